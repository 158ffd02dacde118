//! Bringing sessions from one store to another: as lines of text, or directly.

mod copy;
mod export;
mod import;
mod line;
mod proof;
mod stand_in;
mod target;

pub use copy::{CopyFailure, CopyProgress, CopyReport, SessionCopied, SessionCopy, copy_all, copy_session};
pub use export::SessionExport;
pub use import::{Imported, SessionImport};
pub use line::EXPORT_VERSION;
