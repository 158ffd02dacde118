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

/// One figure of ours, beside the same figure of a baseline where there is one, taken in the same run.
#[derive(Debug)]
pub struct Measure {
    /// What is measured, with its unit.
    pub name: String,
    /// The SDK's figure.
    pub ours: f64,
    /// The baseline's.
    pub baseline: Option<f64>,
    /// What `ok` was decided against; none for a figure that is told and not judged.
    pub bar: Option<f64>,
    /// Whether ours is good enough.
    pub ok: bool,
}

impl Measure {
    /// Ours has to be so many times the baseline, or more.
    pub fn at_least(name: impl Into<String>, ours: f64, baseline: f64, bar: f64) -> Self {
        let (name, baseline) = (name.into(), Some(baseline));
        let measure = Self { name, ours, baseline, bar: Some(bar), ok: false };
        let ok = measure.ratio().is_some_and(|ratio| ratio >= bar);
        Self { ok, ..measure }
    }

    /// Ours may be so many times the baseline, and no more.
    pub fn at_most(name: impl Into<String>, ours: f64, baseline: f64, bar: f64) -> Self {
        let (name, baseline) = (name.into(), Some(baseline));
        let measure = Self { name, ours, baseline, bar: Some(bar), ok: false };
        let ok = measure.ratio().is_some_and(|ratio| ratio <= bar);
        Self { ok, ..measure }
    }

    /// Ours may be so much, whatever others need.
    pub fn limited(name: impl Into<String>, ours: f64, bar: f64) -> Self {
        Self { name: name.into(), ours, baseline: None, bar: Some(bar), ok: ours <= bar }
    }

    /// Ours has to be just that.
    pub fn exactly(name: impl Into<String>, ours: f64, wanted: f64) -> Self {
        let ok = ours.total_cmp(&wanted).is_eq();
        Self { name: name.into(), ours, baseline: Some(wanted), bar: Some(1.0), ok }
    }

    /// A figure to know, beside another one.
    pub fn told(name: impl Into<String>, ours: f64, baseline: f64) -> Self {
        Self { name: name.into(), ours, baseline: Some(baseline), bar: None, ok: true }
    }

    /// Ours as a multiple of the baseline.
    #[must_use]
    pub fn ratio(&self) -> Option<f64> {
        self.baseline.map(|baseline| self.ours / baseline)
    }

    fn line(&self) -> String {
        let Self { name, ours, baseline, bar, ok } = self;
        let shown = |figure: Option<f64>, digits| match figure {
            Some(figure) => format!("{figure:.digits$}"),
            None => "-".to_owned(),
        };
        let (ratio, bar, baseline) = (shown(self.ratio(), 3), shown(*bar, 3), shown(*baseline, 4));
        format!("{name:<NAME$} {ours:>12.4} {baseline:>12} {ratio:>8} {bar:>7}  {ok}")
    }
}

/// How wide the names are.
const NAME: usize = 72;

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
        println!("{:<NAME$} {:>12} {:>12} {:>8} {:>7}  ok", "measure", "ours", "baseline", "ratio", "bar");
    }
    for measure in measures {
        let Measure { name, ours, baseline, bar, ok } = measure;
        let ratio = measure.ratio();
        let object = json!({"measure": name, "ours": ours, "baseline": baseline, "ratio": ratio, "bar": bar, "ok": ok});
        println!("{}", if json { object.to_string() } else { measure.line() });
    }
    if measures.iter().all(|measure| measure.ok) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

#[cfg(test)]
mod tests {
    use super::{Measure, median};

    #[test]
    fn median_is_the_middle_of_the_sorted_values() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), 2.5);
        assert_eq!(median(vec![7.0]), 7.0);
    }

    #[test]
    fn a_measure_is_good_on_the_right_side_of_its_bar() {
        let ok = |measure: Measure| measure.ok;
        assert!(ok(Measure::at_least("", 9.0, 10.0, 0.9)) && !ok(Measure::at_least("", 8.9, 10.0, 0.9)));
        assert!(ok(Measure::at_most("", 12.0, 10.0, 1.2)) && !ok(Measure::at_most("", 12.1, 10.0, 1.2)));
        assert!(ok(Measure::limited("", 10.0, 10.0)) && !ok(Measure::limited("", 10.1, 10.0)));
        assert!(ok(Measure::exactly("", 3.0, 3.0)) && !ok(Measure::exactly("", 2.0, 3.0)));
        assert!(!ok(Measure::at_least("nothing was measured", f64::NAN, 1.0, 0.9)));
    }
}
