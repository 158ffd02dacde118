//! What the benches share. Each bench is a program in `src/bin/` that takes one figure of
//! the SDK and the same figure of a baseline, in one run, against one real server.

pub mod cpu;
pub mod peer;
pub mod raw;
pub mod record;
pub mod report;
