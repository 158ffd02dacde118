//! What the engine takes in one go, and how much of it is used.

/// Bytes that are bound to one statement. The engine refuses one with more than 131,072.
pub(super) const STATEMENT: usize = 120 * 1024;
/// Bytes that a value of no text counts for.
pub(super) const SCALAR: usize = 8;
/// Bytes of ids and words that a row may have, so that they fit into a statement with whatever else it has.
pub(super) const NAMES: usize = 16 * 1024;
/// Bytes of a payload or a record that lie in the row; longer ones are cut into pieces.
pub(super) const INLINE: usize = 32 * 1024;
/// Bytes of a piece.
pub(super) const PIECE: usize = 96 * 1024;
/// Bytes of an event or a record. The engine's connection breaks at about 40 MB of statements.
pub(super) const LARGEST: usize = 16 * 1024 * 1024;
/// Bytes of the statements that are sent together, unless a single event has more.
pub(super) const BATCH: usize = 4 * 1024 * 1024;
/// Events of one statement: at seven values each, far below what SQLite takes.
pub(super) const ROWS: usize = 1_000;
/// Bytes that are read together, and one item more.
pub(super) const READ: usize = 4 * 1024 * 1024;
/// Items that are read together.
pub(super) const READ_ROWS: usize = 2_000;
/// Reads at once. The actor's database refuses the 129th call that waits, whoever makes it.
pub(super) const READERS: u32 = 16;
