//! What this process has taken of the processors.

use anyhow::{Context, Result};

/// User and system time of this process. The kernel counts it in hundredths of a second.
pub fn seconds() -> Result<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let (_, fields) = stat.rsplit_once(") ").context("/proc/self/stat has no name in brackets")?;
    let times = fields.split(' ').skip(11).take(2).map(str::parse::<f64>);
    Ok(times.sum::<Result<f64, _>>()? / 100.0)
}
