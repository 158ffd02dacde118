//! What a client saw and did, line by line: a file that outlives it, or a list in memory.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub(crate) enum Line {
    Opened {
        session: String,
        outcome: String,
    },
    NotOpened {
        session: String,
        error: String,
    },
    /// `prompt` was called.
    Prompted {
        session: String,
        prompt: usize,
        text: String,
    },
    /// The turn ended: how, and how much was stored by then.
    Settled {
        session: String,
        prompt: usize,
        outcome: String,
        delivery: Option<String>,
        last_index: u64,
    },
    /// Somebody begins to read after this index.
    Subscribed {
        reader: String,
        session: String,
        after: u64,
    },
    Saw {
        reader: String,
        index: u64,
        id: String,
    },
    /// Somebody should have read so far by now.
    Expected {
        reader: String,
        upto: u64,
    },
    /// Somebody was told that the store can't be read.
    ReaderFailed {
        reader: String,
        error: String,
    },
    /// Something went wrong in the client itself: its store, or that it let go of a session.
    Trouble {
        kind: String,
    },
    /// A call took longer than its bound.
    Hung {
        session: String,
        call: String,
        bound_ms: u64,
    },
    Finished,
}

/// A line, and which life of the client wrote it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Entry {
    pub(crate) life: u32,
    #[serde(flatten)]
    pub(crate) line: Line,
}

/// Where one life of a client writes.
#[derive(Clone, Debug)]
pub(crate) struct Log {
    life: u32,
    sink: Sink,
}

#[derive(Clone, Debug)]
enum Sink {
    File(Arc<File>),
    Memory(Entries),
}

/// The lines of all lives of a client in this process.
#[derive(Clone, Debug, Default)]
pub(crate) struct Entries(Arc<Mutex<Vec<Entry>>>);

impl Entries {
    pub(crate) fn all(&self) -> Vec<Entry> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Log {
    /// Appends to the file. A line that a kill cut short is taken away first.
    pub(crate) fn to_file(path: &Path, life: u32) -> Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        let text = std::fs::read(path)?;
        let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        file.set_len(whole as u64)?;
        Ok(Self { life, sink: Sink::File(Arc::new(file)) })
    }

    pub(crate) fn to_memory(entries: &Entries, life: u32) -> Self {
        Self { life, sink: Sink::Memory(entries.clone()) }
    }

    pub(crate) fn life(&self) -> u32 {
        self.life
    }

    /// In one write, which is with the system when this returns.
    pub(crate) fn write(&self, line: Line) {
        let entry = Entry { life: self.life, line };
        match &self.sink {
            Sink::File(file) => {
                let text = serde_json::to_string(&entry).unwrap_or_default() + "\n";
                if let Err(error) = file.as_ref().write_all(text.as_bytes()) {
                    // Without its log the client proves nothing.
                    eprintln!("the client's log can't be written: {error}");
                    std::process::exit(3);
                }
            }
            Sink::Memory(Entries(entries)) => {
                entries.lock().unwrap_or_else(PoisonError::into_inner).push(entry);
            }
        }
    }
}

/// The lines of a file; a last one that was cut short by a kill is left out.
pub(crate) fn read(path: &Path) -> Result<Vec<Entry>> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).with_context(|| format!("can't read {}", path.display())),
    };
    whole_lines(&text).map(|line| serde_json::from_str(line).with_context(|| line.to_owned())).collect()
}

/// The lines that have their end.
pub(crate) fn whole_lines(text: &str) -> impl Iterator<Item = &str> {
    text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n'))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_file_gives_back_what_was_written_without_a_torn_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        assert_eq!(read(&path).unwrap(), []);
        Log::to_file(&path, 1).unwrap().write(Line::Finished);
        let saw = Line::Saw { reader: "r".into(), index: 3, id: "x:1".into() };
        Log::to_file(&path, 2).unwrap().write(saw.clone());
        let mut file = OpenOptions::new().append(true).open(&path).unwrap();
        file.write_all(b"{\"life\":2,\"wh").unwrap();
        let expected = [Entry { life: 1, line: Line::Finished }, Entry { life: 2, line: saw }];
        assert_eq!(read(&path).unwrap(), expected);
        Log::to_file(&path, 3).unwrap().write(Line::Finished);
        assert_eq!(read(&path).unwrap().len(), 3);
    }
}
