//! How a bench is asked and how it answers.

use std::process::ExitCode;

use clap::Parser;
use serde_json::json;

/// What every bench can be told.
#[derive(Debug, Parser)]
pub struct Options {
    /// Where the server is
    #[arg(long, env = "SANDBOX_AGENT_URL")]
    pub url: String,
    /// The agent to run there
    #[arg(long, env = "SANDBOX_AGENT_AGENT", default_value = "mock")]
    pub agent: String,
    /// How many runs the median is taken of
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    pub runs: u32,
    /// Print one JSON object a line instead of a table
    #[arg(long)]
    pub json: bool,
}

/// One figure of ours beside the same figure of a baseline, taken in the same run.
#[derive(Debug)]
pub struct Measure {
    /// What is measured, with its unit.
    pub name: &'static str,
    /// The median of the SDK's runs.
    pub ours: f64,
    /// The median of the baseline's runs.
    pub baseline: f64,
    /// What `ok` was decided against.
    pub bar: f64,
    /// Whether ours is good enough.
    pub ok: bool,
}

impl Measure {
    /// Ours as a multiple of the baseline.
    #[must_use]
    pub fn ratio(&self) -> f64 {
        self.ours / self.baseline
    }
}

/// The middle value; of an even number of values, the mean of the middle two. Zero of none.
#[must_use]
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let (upper, lower) = (values.len() / 2, values.len().saturating_sub(1) / 2);
    match (values.get(lower), values.get(upper)) {
        (Some(lower), Some(upper)) => f64::midpoint(*lower, *upper),
        _ => 0.0,
    }
}

/// Prints the measures, and fails when one of them isn't good enough.
#[must_use]
pub fn print(measures: &[Measure], json: bool) -> ExitCode {
    if !json {
        println!("{:<44} {:>10} {:>10} {:>7} {:>7}  ok", "measure", "ours", "baseline", "ratio", "bar");
    }
    for measure in measures {
        let Measure { name, ours, baseline, bar, ok } = measure;
        let ratio = measure.ratio();
        if json {
            println!(
                "{}",
                json!({"measure": name, "ours": ours, "baseline": baseline, "ratio": ratio, "bar": bar, "ok": ok})
            );
        } else {
            println!("{name:<44} {ours:>10.4} {baseline:>10.4} {ratio:>7.3} {bar:>7.3}  {ok}");
        }
    }
    if measures.iter().all(|measure| measure.ok) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

#[cfg(test)]
mod tests {
    use super::median;

    #[test]
    fn median_is_the_middle_of_the_sorted_values() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), 2.5);
        assert_eq!(median(vec![7.0]), 7.0);
    }
}
