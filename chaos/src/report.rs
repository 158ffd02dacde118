//! What is printed: findings as they come, and the one line at the end.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::oracle::{Kind, Verdict};

/// A seed that shows something that must not be.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) seed: u64,
    /// Where all logs of it are.
    pub(crate) folder: PathBuf,
    /// Kind, count and words of each finding; or why the seed did not come to its end.
    pub(crate) findings: Vec<(String, u64, String)>,
}

/// The sums over all seeds.
#[derive(Debug, Default)]
pub(crate) struct Report {
    seeds: u64,
    turns: u64,
    events: u64,
    gaps: u64,
    /// By why the processes ended.
    tails: BTreeMap<String, u64>,
    found: BTreeMap<&'static str, u64>,
    failures: Vec<Failure>,
}

const KINDS: [(Kind, &str); 6] = [
    (Kind::Lost, "lost"),
    (Kind::Doubled, "doubled"),
    (Kind::Disordered, "disordered"),
    (Kind::SilentGap, "silent-gaps"),
    (Kind::Hung, "hung"),
    (Kind::PromptTwice, "prompts-twice"),
];

fn name(kind: Kind) -> &'static str {
    KINDS.iter().find(|(one, _)| *one == kind).map_or("", |(_, name)| name)
}

impl Report {
    pub(crate) fn add(&mut self, verdict: &Verdict) {
        self.seeds += 1;
        self.turns += verdict.turns;
        self.events += verdict.events;
        self.gaps += verdict.gaps;
        for (reason, count) in &verdict.tails {
            *self.tails.entry(reason.clone()).or_default() += count;
        }
        for (kind, name) in KINDS {
            *self.found.entry(name).or_default() += verdict.count(kind);
        }
    }

    /// Shows a seed at once; what is wrong with it may be looked at while others run.
    pub(crate) fn fail(&mut self, failure: Failure) {
        eprintln!("seed {} is wrong; its logs are in {}", failure.seed, failure.folder.display());
        for (kind, count, text) in &failure.findings {
            eprintln!("  {kind} {count}: {text}");
        }
        self.failures.push(failure);
    }

    pub(crate) fn is_clean(&self) -> bool {
        self.failures.is_empty() && self.found.values().all(|count| *count == 0)
    }

    pub(crate) fn line(&self) -> String {
        let Self { seeds, turns, events, gaps, tails, .. } = self;
        let tail: u64 = tails.values().sum();
        let mut line = format!("seeds {seeds} turns {turns} events {events} gaps {gaps} tail {tail}");
        for (_, name) in KINDS {
            line += &format!(" {name} {}", self.found.get(name).copied().unwrap_or(0));
        }
        line
    }

    /// Why the processes ended whose last events nobody got.
    pub(crate) fn tails(&self) -> &BTreeMap<String, u64> {
        &self.tails
    }

    pub(crate) fn json(&self, faults: &BTreeMap<String, u64>) -> Value {
        let failures = self.failures.iter().map(|failure| {
            let findings = failure.findings.iter();
            let findings =
                findings.map(|(kind, count, text)| json!({"kind": kind, "count": count, "text": text}));
            json!({"seed": failure.seed, "folder": failure.folder, "findings": findings.collect::<Vec<_>>()})
        });
        let mut all = json!({
            "seeds": self.seeds, "turns": self.turns, "events": self.events, "gaps": self.gaps,
            "tail": self.tails.values().sum::<u64>(), "tails": self.tails, "faults": faults, "failures": failures.collect::<Vec<_>>(),
        });
        for (_, name) in KINDS {
            all[name] = json!(self.found.get(name).copied().unwrap_or(0));
        }
        all
    }
}

impl Failure {
    pub(crate) fn of_verdict(seed: u64, folder: PathBuf, verdict: &Verdict) -> Self {
        let findings = verdict.findings.iter();
        let findings =
            findings.map(|finding| (name(finding.kind).to_owned(), finding.count, finding.text.clone()));
        Self { seed, folder, findings: findings.collect() }
    }

    /// Of a seed that did not come to its end.
    pub(crate) fn broken(seed: u64, folder: PathBuf, error: &anyhow::Error) -> Self {
        Self { seed, folder, findings: vec![("broken".to_owned(), 1, format!("{error:#}"))] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle::Finding;

    #[test]
    fn the_line_has_every_figure() {
        let mut report = Report::default();
        let lost = Finding { kind: Kind::Lost, count: 3, text: String::new() };
        let tails = [("gone".to_owned(), 3), ("exited".to_owned(), 1)].into();
        let verdict =
            Verdict { tails, turns: 2, events: 30, gaps: 1, findings: vec![lost], ..Verdict::default() };
        report.add(&Verdict::default());
        assert!(report.is_clean());
        report.add(&verdict);
        assert!(!report.is_clean());
        assert_eq!(
            report.line(),
            "seeds 2 turns 2 events 30 gaps 1 tail 4 lost 3 doubled 0 disordered 0 silent-gaps 0 hung 0 prompts-twice 0"
        );
        assert_eq!(report.json(&BTreeMap::new())["lost"], 3);
    }
}
