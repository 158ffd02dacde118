//! What this process has taken of the processors.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// User and system time of this process, of all its threads.
pub fn time() -> Duration {
    let now = clock_gettime(ClockId::ProcessCPUTime);
    // Neither is ever negative.
    Duration::new(now.tv_sec.unsigned_abs(), now.tv_nsec.try_into().unwrap_or_default())
}
