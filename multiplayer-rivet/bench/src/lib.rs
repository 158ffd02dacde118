//! What the bench's program has in common with the benches of the project's other workspace.

// One form of answer for all benches. Their package brings databases that nothing here needs.
#[path = "../../../benches/src/report.rs"]
pub mod report;
