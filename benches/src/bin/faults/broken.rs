//! Turns that are broken off: by a connection, by an agent.

use std::time::Duration;

use anyhow::Result;
use futures::try_join;

use crate::bench::Bench;
use crate::table::Row;
use crate::turn::{self, Case, Ending, Outcome};

const BOUND: Duration = Duration::from_secs(10);

pub(crate) async fn rows(bench: &Bench) -> Result<Vec<Row>> {
    let (cut, exit) = try_join!(cut(bench), exit(bench))?;
    Ok(vec![cut, exit])
}

async fn cut(bench: &Bench) -> Result<Row> {
    let case = Case {
        prompt: "stream 200 rate=100",
        next: Some("say after"),
        cut_at: Some(100),
        bound: BOUND,
        ..Case::default()
    };
    let (ours, typescript) = try_join!(turn::ours(bench, case), turn::typescript(bench, case))?;
    let says = |outcome: &Outcome| {
        format!("{}; {} of 200 stored; {}", prompt(outcome), outcome.stored, next(outcome))
    };
    let kept = ours.ending.returned() && ours.stored == 200 && goes_on(&ours);
    let name = "all TCP connections are cut in the middle of a turn of 200 updates";
    Ok(Row::new(name, says(&typescript), says(&ours)).kept(kept))
}

async fn exit(bench: &Bench) -> Result<Row> {
    let case = Case { prompt: "stream 50; exit 1", next: Some("say after"), bound: BOUND, ..Case::default() };
    let (ours, typescript) = try_join!(turn::ours(bench, case), turn::typescript(bench, case))?;
    let says = |outcome: &Outcome| format!("{}; {}", prompt(outcome), next(outcome));
    let kept = matches!(&ours.ending, Ending::Failed(error) if error.starts_with("AgentExited"));
    let name = "the agent exits during a turn";
    Ok(Row::new(name, says(&typescript), says(&ours)).kept(kept && goes_on(&ours)))
}

fn prompt(outcome: &Outcome) -> String {
    format!("prompt: {}", outcome.ending.says(BOUND))
}

fn next(outcome: &Outcome) -> String {
    let next = outcome.next.as_ref().map(|next| next.says(BOUND)).unwrap_or_default();
    let unhandled = match outcome.unhandled {
        0 => "",
        _ => "; an unhandled rejection, which ends Node.js by default",
    };
    format!("next prompt: {next}{unhandled}")
}

fn goes_on(outcome: &Outcome) -> bool {
    outcome.next.as_ref().is_some_and(Ending::returned)
}
