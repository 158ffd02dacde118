//! What each package may depend on.

use anyhow::{Context, Result, bail};
use cargo_metadata::{Metadata, Package};

use crate::crates::{Crate, subtree, tree};
use crate::workspace::{MULTIPLAYER, MULTIPLAYER_AXUM, PAGE, PERSIST, SDK, TESTKIT, Workspace};

/// How many crates the SDK may add to what its HTTP client brings anyway.
const ADDED_LIMIT: usize = 30;
const HTTP_CLIENT: &str = "reqwest";
const HTTP_SERVER: &str = "axum";
/// What is built on the HTTP server: tests, a host for who has that server, and an example of one.
const HTTP_SERVER_USERS: [&str; 3] = [TESTKIT, MULTIPLAYER_AXUM, PAGE];
/// Crates whose presence means that C is compiled or linked.
const C_TOOLS: [&str; 6] = ["bindgen", "cc", "cmake", "nasm-rs", "pkg-config", "vcpkg"];

const RULES: [fn(&Workspace) -> Result<()>; 4] =
    [sdk_adds_little, persist_is_light, http_server_comes_with_hosts_alone, rust_version_is_the_dependencies];

/// Checks every rule, so that one run shows all that is broken.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    let broken: Vec<_> =
        RULES.iter().filter_map(|rule| rule(workspace).err()).map(|error| format!("{error:#}")).collect();
    if !broken.is_empty() {
        bail!("{}", broken.join("\n"));
    }
    Ok(())
}

/// Counts foreign crates in the graph of the SDK built alone, with its default features,
/// on this platform: those that are not below the HTTP client. Other members can't
/// turn features on here, so the figure is what a user of the SDK gets.
fn sdk_adds_little(workspace: &Workspace) -> Result<()> {
    let alone = ["-p", SDK, "-e", "normal"];
    let client = subtree(workspace.root(), HTTP_CLIENT, &alone)?;
    let mut added = Vec::new();
    for one in tree(workspace.root(), &alone)? {
        if !client.contains(&one) && is_foreign(one.package(&workspace.metadata)?) {
            added.push(one);
        }
    }
    println!(
        "{SDK} adds {} crates to the {} of {HTTP_CLIENT} (limit {ADDED_LIMIT}): {}",
        added.len(),
        client.len(),
        join(&added)
    );
    if added.len() > ADDED_LIMIT {
        bail!("{SDK} adds {} crates to {HTTP_CLIENT}, more than {ADDED_LIMIT}", added.len());
    }
    Ok(())
}

fn persist_is_light(workspace: &Workspace) -> Result<()> {
    let crates = tree(workspace.root(), &["-p", PERSIST, "-e", "normal,build", "--target", "all"])?;
    for one in &crates {
        let links = one.package(&workspace.metadata)?.links.is_some();
        if one.name == HTTP_CLIENT || links || C_TOOLS.contains(&one.name.as_str()) {
            bail!("{PERSIST} must have neither an HTTP client nor C, but it brings {one}");
        }
    }
    println!("{PERSIST} has neither {HTTP_CLIENT} nor C among its {} crates", crates.len());
    Ok(())
}

/// Nobody gets the HTTP server who did not ask for a host that is built on it.
fn http_server_comes_with_hosts_alone(workspace: &Workspace) -> Result<()> {
    let every = ["--all-features", "--target", "all"];
    for library in [SDK, MULTIPLAYER] {
        let crates = tree(workspace.root(), &[&["-p", library, "-e", "normal,build"][..], &every].concat())?;
        if crates.iter().any(|one| one.name == HTTP_SERVER) {
            bail!("{library} depends on {HTTP_SERVER}, which is for {} alone", HTTP_SERVER_USERS.join(", "));
        }
    }
    let upward = ["--workspace", "-e", "normal,build,dev", "--depth", "1", "--invert", HTTP_SERVER];
    let users = tree(workspace.root(), &[&upward[..], &every].concat())?;
    let is_known = |name: &str| name == HTTP_SERVER || HTTP_SERVER_USERS.contains(&name);
    let others: Vec<_> = users.iter().filter(|one| !is_known(&one.name)).collect();
    if !others.is_empty() {
        bail!(
            "only {} may depend on {HTTP_SERVER}, but these do: {}",
            HTTP_SERVER_USERS.join(", "),
            join(others)
        );
    }
    println!("{HTTP_SERVER} is in the graph through {} alone", HTTP_SERVER_USERS.join(", "));
    Ok(())
}

/// The workspace promises the lowest Rust that its dependencies leave possible:
/// none of them needs a newer one, and one that users get needs exactly this one.
fn rust_version_is_the_dependencies(workspace: &Workspace) -> Result<()> {
    let every = ["-e", "normal,build", "--all-features", "--target", "all"];
    let promised =
        workspace.member(SDK)?.rust_version.clone().with_context(|| format!("{SDK} has no rust-version"))?;
    for one in tree(workspace.root(), &[&["--workspace"][..], &every].concat())? {
        let needed = &one.package(&workspace.metadata)?.rust_version;
        if needed.as_ref().is_some_and(|needed| *needed > promised) {
            bail!(
                "{one} needs a newer Rust than the {promised} of the workspace: raise it, or take an older {}",
                one.name
            );
        }
    }
    let published: Vec<_> = published(&workspace.metadata).flat_map(|name| ["-p", name]).collect();
    let mut highest = Vec::new();
    for one in tree(workspace.root(), &[&published[..], &every].concat())? {
        let package = one.package(&workspace.metadata)?;
        if is_foreign(package) && package.rust_version.as_ref() == Some(&promised) {
            highest.push(one);
        }
    }
    if highest.is_empty() {
        bail!(
            "no dependency needs Rust {promised}: lower the workspace's rust-version to the highest among them"
        );
    }
    println!("Rust {promised} is what {} need", join(&highest));
    Ok(())
}

fn published(metadata: &Metadata) -> impl Iterator<Item = &str> {
    let may_publish =
        |list: &Option<Vec<String>>| list.as_ref().is_none_or(|registries| !registries.is_empty());
    metadata
        .workspace_packages()
        .into_iter()
        .filter(move |package| may_publish(&package.publish))
        .map(|package| package.name.as_str())
}

/// A package of this workspace comes from no registry.
fn is_foreign(package: &Package) -> bool {
    package.source.is_some()
}

fn join<'a>(crates: impl IntoIterator<Item = &'a Crate>) -> String {
    crates.into_iter().map(Crate::to_string).collect::<Vec<_>>().join(", ")
}
