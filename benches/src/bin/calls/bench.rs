//! Both sides of a call, in turn.

use std::time::{Duration, Instant};

use anyhow::Result;
use sandbox_agent_benches::report::{Measure, Options, median};
use sandbox_agent_sdk::SandboxAgent;
use tempfile::TempDir;

use crate::bare::Bare;

/// Calls of each side in one run: so many that a median of them stands still.
const CALLS: usize = 200;
/// What reqwest itself keeps connections for.
const IDLE: Duration = Duration::from_secs(90);
/// What a call may cost, as a multiple of the bare request.
const BAR: f64 = 1.1;

pub(crate) struct Bench {
    pub(crate) sdk: SandboxAgent,
    pub(crate) keeping: SandboxAgent,
    pub(crate) bare: Bare,
    pub(crate) pooled: Bare,
    /// The sandbox is this machine.
    pub(crate) folder: TempDir,
    runs: u32,
    measures: Vec<Measure>,
}

impl Bench {
    pub(crate) async fn connect(options: &Options) -> Result<Self> {
        let sdk = SandboxAgent::connect(&options.url).await?;
        let keeping = SandboxAgent::builder(&options.url).keep_connections(IDLE).connect().await?;
        let (bare, pooled) = (Bare::new(&options.url)?, Bare::pooled(&options.url)?);
        let folder = tempfile::tempdir()?;
        Ok(Self { sdk, keeping, bare, pooled, folder, runs: options.runs, measures: Vec::new() })
    }

    pub(crate) async fn close(self) -> Result<Vec<Measure>> {
        self.sdk.close().await?;
        self.keeping.close().await?;
        Ok(self.measures)
    }

    /// The path of something in the sandbox.
    pub(crate) fn path(&self, name: &str) -> String {
        format!("{}/{name}", self.folder.path().display())
    }

    /// Measures a call by the SDK beside the same one by a bare client.
    pub(crate) async fn compare<T>(
        &mut self,
        name: &str,
        ours: impl AsyncFn() -> Result<T>,
        bare: impl AsyncFn() -> Result<T>,
    ) -> Result<()> {
        self.compare_after(name, async || Ok(()), ours, bare).await
    }

    /// The same for a call that needs something done before it each time.
    pub(crate) async fn compare_after<T>(
        &mut self,
        name: &str,
        before: impl AsyncFn() -> Result<()>,
        ours: impl AsyncFn() -> Result<T>,
        bare: impl AsyncFn() -> Result<T>,
    ) -> Result<()> {
        let (ours, bare) = self.figures(name, before, ours, bare).await?;
        self.measures.push(Measure::at_most(format!("{name}, µs"), ours, bare, BAR));
        Ok(())
    }

    /// Measures a call beside one that is no fair baseline, to know what the difference costs.
    pub(crate) async fn tell<T>(
        &mut self,
        name: &str,
        ours: impl AsyncFn() -> Result<T>,
        bare: impl AsyncFn() -> Result<T>,
    ) -> Result<()> {
        let (ours, bare) = self.figures(name, async || Ok(()), ours, bare).await?;
        self.measures.push(Measure::told(format!("{name}, µs"), ours, bare));
        Ok(())
    }

    async fn figures<T>(
        &self,
        name: &str,
        before: impl AsyncFn() -> Result<()>,
        ours: impl AsyncFn() -> Result<T>,
        bare: impl AsyncFn() -> Result<T>,
    ) -> Result<(f64, f64)> {
        let mut runs = Vec::new();
        // The first run warms all up.
        for run in 0..=self.runs {
            let (mut our_times, mut bare_times) = (Vec::new(), Vec::new());
            for call in 0..CALLS {
                // In turn, and each the first as often, so that a busy moment of the machine meets both.
                for turn in [call % 2, (call + 1) % 2] {
                    before().await?;
                    if turn == 0 {
                        our_times.push(time(&ours).await?);
                    } else {
                        bare_times.push(time(&bare).await?);
                    }
                }
            }
            if run > 0 {
                runs.push((median(our_times), median(bare_times)));
            }
        }
        let (ours, bare) = middle(runs);
        eprintln!("{name}: {ours:.0} µs, bare {bare:.0} µs");
        Ok((ours, bare))
    }
}

/// The run whose ratio is the middle one: both figures are of the same moment, however the machine was before and after.
fn middle(mut runs: Vec<(f64, f64)>) -> (f64, f64) {
    runs.sort_by(|one, other| (one.0 / one.1).total_cmp(&(other.0 / other.1)));
    runs[runs.len() / 2]
}

/// The time of one call in microseconds.
async fn time<T>(call: impl AsyncFn() -> Result<T>) -> Result<f64> {
    let start = Instant::now();
    let answer = call().await?;
    let took = start.elapsed();
    drop(answer);
    Ok(micros(took))
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

#[cfg(test)]
mod tests {
    use super::middle;

    #[test]
    fn the_middle_run_is_that_of_the_middle_ratio() {
        assert_eq!(middle(vec![(30.0, 10.0), (1.0, 1.0), (4.0, 2.0)]), (4.0, 2.0));
    }
}
