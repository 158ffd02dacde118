//! What must hold of any bytes that a store or its callers hand in.
//!
//! The same for what the network sends is beside the SDK's private code, in `src/fuzzing.rs`.

mod records;
mod rows;
#[cfg(test)]
mod seeds;

pub use records::{cursors, records};
pub use rows::rows;
