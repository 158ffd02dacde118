//! What an agent stands on: a process of its own, or a task of the in-process sandbox.

use std::io;

use futures::future::BoxFuture;

/// Where an agent writes, and how it ends.
pub(crate) trait Host: Send + Sync + 'static {
    /// Writes whole lines, each ending in a newline. Lines of two calls never mix, and their
    /// order is the order of the calls.
    fn write(&self, lines: Vec<u8>) -> BoxFuture<'_, io::Result<()>>;

    /// Writes a line to stderr.
    fn stderr(&self, line: &str);

    /// The process id that `whoami` tells.
    fn pid(&self) -> u32;

    /// Ends the process, with everything before it written. Never returns.
    fn exit(&self, code: i32) -> BoxFuture<'_, ()>;
}
