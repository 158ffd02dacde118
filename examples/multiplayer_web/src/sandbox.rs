//! Which sandbox the page is about.

use std::env;

use anyhow::Result;
use sandbox_agent_testkit::Sandbox as InProcess;
use serde_json::{Value, json};
use tokio::net::TcpStream;

const DEFAULT_HOST: &str = "127.0.0.1:2468";
/// What `SANDBOX_AGENT_URL` says to have the one in this process, whatever runs on the machine.
const SCRIPTED: &str = "scripted";

/// Things to try with the scripted agent; its language is in the testkit's module `script`.
const SUGGESTIONS: [(&str, &str); 6] = [
    ("Answer in Markdown", MARKDOWN),
    (
        "Work for a while",
        "thought The tests first, then the fix.; tool Read src/session.rs; tool Run the tests; stream 120 rate=12; say **Done.**",
    ),
    ("Ask for permission", "tool Look around; ask Delete the folder build/; say The rest is up to you."),
    ("Think for 5 seconds", "think 5000; say That took a moment."),
    ("Say a lot at once", "stream 400"),
    ("Fail", "fail -32000 This agent wants a login"),
];

/// No first word of it is a command, so that the agent says it back.
const MARKDOWN: &str = "Here is the plan:

### Split the middleware

1. Move the **token check** into `auth/token.rs`
2. Keep the *session lookup* where it is
3. Delete ~~the old adapter~~

```rust
fn check(token: &str) -> Result<User, Denied> {
    lookup(token).ok_or(Denied)
}
```

| step | risk |
| --- | --- |
| token check | low |
| session lookup | none |

> Nothing here is run as HTML: <b>not bold</b>. See https://example.com for more.";

/// A sandbox, and what to say of it.
pub(crate) struct Sandbox {
    pub(crate) url: String,
    pub(crate) agent: String,
    pub(crate) about: String,
    in_process: Option<InProcess>,
}

impl Sandbox {
    /// The one that the environment names, or that answers where one usually does; else one in this process.
    pub(crate) async fn find() -> Result<Self> {
        let named = env::var("SANDBOX_AGENT_URL").ok();
        let agent = env::var("SANDBOX_AGENT_AGENT").unwrap_or_else(|_| "claude".to_owned());
        if named.as_deref() == Some(SCRIPTED) {
            return Self::in_process(
                "An agent that follows scripts answers here, in a sandbox inside the program.",
            )
            .await;
        }
        if named.is_none() && TcpStream::connect(DEFAULT_HOST).await.is_err() {
            return Self::in_process(&format!(
                "No sandbox answers at http://{DEFAULT_HOST}. This one runs inside the program, and its agent follows scripts."
            ))
            .await;
        }
        let url = named.unwrap_or_else(|| format!("http://{DEFAULT_HOST}"));
        let about = format!("The agent {agent} works in the sandbox at {}.", without_secrets(&url));
        Ok(Self { url, agent, about, in_process: None })
    }

    async fn in_process(about: &str) -> Result<Self> {
        let sandbox = InProcess::builder().quick_delete().start().await?;
        let about = about.to_owned();
        let url = sandbox.url().to_owned();
        Ok(Self { url, agent: "mock".to_owned(), about, in_process: Some(sandbox) })
    }

    /// What the page is told.
    pub(crate) fn config(&self) -> Value {
        let scripted = self.in_process.is_some();
        let suggestions: &[_] = if scripted { &SUGGESTIONS } else { &[] };
        let suggestions: Vec<Value> =
            suggestions.iter().map(|(label, text)| json!({ "label": label, "text": text })).collect();
        json!({
            "title": "Workspace",
            "workspace": format!("/workspaces/{}", crate::WORKSPACE),
            "about": self.about,
            "banner": scripted.then_some(&self.about),
            "suggestions": suggestions,
        })
    }

    pub(crate) async fn shutdown(self) {
        if let Some(sandbox) = self.in_process {
            sandbox.shutdown().await;
        }
    }
}

/// A URL may have a user and a password, which are nothing for a page.
fn without_secrets(url: &str) -> String {
    match (url.split_once("://"), url.split_once('@')) {
        (Some((scheme, _)), Some((_, host))) => format!("{scheme}://{host}"),
        _ => url.to_owned(),
    }
}
