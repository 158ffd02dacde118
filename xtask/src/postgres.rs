//! A scratch PostgreSQL for the tests: installed where it isn't, on a free port, gone afterwards.

use std::env;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};
use clap::Args;
use tempfile::TempDir;

use crate::debian::{is_root, number};
use crate::{command, debian};

/// Where Debian and its kin put each version.
const VERSIONS: &str = "/usr/lib/postgresql";
const PROGRAMS: [&str; 3] = ["initdb", "pg_ctl", "postgres"];
/// The server refuses to run as root. The first of these that there is runs it then.
const USERS: [&str; 2] = ["postgres", "nobody"];

/// Makes the cluster and runs the server for as long as its input is open, so that the server ends
/// with whoever started it, however that ends.
const KEEPER: &str = r#"
trap '' INT TERM HUP
umask 077
cd "$FOLDER" || exit 1
printf %s "$PASSWORD" >password
"$PROGRAMS/initdb" --pgdata="$FOLDER/data" --username=postgres --pwfile=password --auth=scram-sha-256 \
    --encoding=UTF8 --locale=C --no-sync >&2 || exit 1
printf '%s\n' "port = $PORT" "listen_addresses = '127.0.0.1'" "unix_socket_directories = ''" \
    "fsync = on" "max_connections = 200" >>data/postgresql.conf
"$PROGRAMS/pg_ctl" --pgdata="$FOLDER/data" --log=server.log --wait --timeout=60 start >&2 || exit 1
echo ready
cat >/dev/null
"$PROGRAMS/pg_ctl" --pgdata="$FOLDER/data" --mode=immediate --wait stop >&2
cd / && rm -rf "$FOLDER"
"#;

#[derive(Debug, Args)]
pub(crate) struct PostgresOptions {
    /// The command, which finds the server in its environment
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
    command: Vec<String>,
}

/// Runs a command beside a server of its own.
pub(crate) fn run(options: &PostgresOptions) -> Result<()> {
    let Some((program, args)) = options.command.split_first() else {
        bail!("no command");
    };
    let postgres = Postgres::start()?;
    command::run(postgres.shown_to(Command::new(program).args(args)))
}

/// A running server. Killed and cleaned up on drop.
#[derive(Debug)]
pub(crate) struct Postgres {
    keeper: Child,
    folder: TempDir,
    programs: PathBuf,
    url: String,
}

impl Postgres {
    /// Starts one on a free port, and waits until it takes connections.
    pub(crate) fn start() -> Result<Self> {
        let programs = programs()?;
        let folder = tempfile::tempdir().context("can't create a folder for PostgreSQL")?;
        let port = free_port()?;
        let password = password()?;
        let mut keeper = Command::new("sh");
        keeper
            .args(["-c", KEEPER])
            .env("FOLDER", folder.path())
            .env("PROGRAMS", &programs)
            .env("PORT", port.to_string())
            .env("PASSWORD", &password)
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(log_of(folder.path()))?);
        run_unprivileged(&mut keeper, folder.path())?;
        let keeper = keeper.spawn().context("can't start `sh`")?;
        let url = format!("postgres://postgres:{password}@127.0.0.1:{port}/postgres");
        let mut postgres = Self { keeper, folder, programs, url };
        postgres.wait_until_ready()?;
        Ok(postgres)
    }

    /// The command with what it needs to find the server, and to restart it.
    pub(crate) fn shown_to<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command
            .env("SANDBOX_AGENT_POSTGRES_URL", &self.url)
            .env("SANDBOX_AGENT_POSTGRES_PGCTL", self.programs.join("pg_ctl"))
            .env("SANDBOX_AGENT_POSTGRES_DATA", self.folder.path().join("data"))
    }

    fn wait_until_ready(&mut self) -> Result<()> {
        let said = self.keeper.stdout.take().context("`sh` has no output")?;
        let mut line = String::new();
        BufReader::new(said).read_line(&mut line)?;
        if line.trim() != "ready" {
            let logs = [log_of(self.folder.path()), self.folder.path().join("server.log")];
            let logs = logs.map(|log| fs::read_to_string(log).unwrap_or_default());
            bail!("PostgreSQL did not start: {}", logs.concat());
        }
        Ok(())
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        // What it could not stop or remove is told in its log, which is gone by now.
        let _ = self.keeper.wait();
    }
}

fn log_of(folder: &Path) -> PathBuf {
    folder.join("keeper.log")
}

/// The folder of the server's programs, installed if they aren't there.
fn programs() -> Result<PathBuf> {
    if let Some(folder) = installed() {
        return Ok(folder);
    }
    debian::install(&["postgresql"]).context("there is no PostgreSQL server here")?;
    installed().context("apt-get installed `postgresql`, and its programs are nowhere")
}

fn installed() -> Option<PathBuf> {
    let told = Command::new("pg_config").arg("--bindir").stdin(Stdio::null()).output();
    let told = told.ok().and_then(|told| String::from_utf8(told.stdout).ok());
    let told = told.map(|folder| PathBuf::from(folder.trim()));
    let mut versions: Vec<_> =
        fs::read_dir(VERSIONS).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    versions.sort_by_key(|folder| folder.file_name().and_then(OsStr::to_str)?.parse::<u32>().ok());
    let versions = versions.iter().rev().map(|folder| folder.join("bin"));
    let path = env::var_os("PATH").unwrap_or_default();
    let has_all = |folder: &PathBuf| PROGRAMS.iter().all(|program| folder.join(program).is_file());
    told.into_iter().chain(versions).chain(env::split_paths(&path)).find(has_all)
}

fn free_port() -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free port on 127.0.0.1")?;
    Ok(listener.local_addr()?.port())
}

/// Nobody else on the machine is to be let in: who is may run programs.
fn password() -> Result<String> {
    let mut bytes = [0; 16];
    File::open("/dev/urandom")
        .and_then(|mut random| random.read_exact(&mut bytes))
        .context("no /dev/urandom")?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Gives the folder and the command to an unprivileged user, if this one is root.
#[cfg(unix)]
fn run_unprivileged(command: &mut Command, folder: &Path) -> Result<()> {
    use std::os::unix::fs::chown;
    use std::os::unix::process::CommandExt;

    if !is_root() {
        return Ok(());
    }
    let ids = USERS.iter().find_map(|user| Some((number(&["-u", user])?, number(&["-g", user])?)));
    let (user, group) =
        ids.with_context(|| format!("root can't run PostgreSQL; make a user {}", USERS[0]))?;
    chown(folder, Some(user), Some(group)).context("can't give the folder away")?;
    command.uid(user).gid(group);
    Ok(())
}

#[cfg(not(unix))]
fn run_unprivileged(_command: &mut Command, _folder: &Path) -> Result<()> {
    bail!("a scratch PostgreSQL is started on Linux and macOS alone")
}
