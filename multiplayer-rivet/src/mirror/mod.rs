//! Sessions' records, also in the actor's state.

mod driver;
mod records;

pub use driver::MirroredSessionPersistDriver;
pub use records::RecordMirror;
