//! The lines that a follower gets at one time.

use std::sync::Arc;

use super::{block::Entry, frame::Edge, instance::LineSource, stream_kind::StreamKind};

/// A line, or a piece of a line that is longer than 256 KiB or whose writer paused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line<'a> {
    /// PM2's `pm_id` of the instance; `None`: procrun itself.
    pub id: Option<u32>,
    /// The name of the application.
    pub name: &'a str,
    /// The stream it was written to.
    pub kind: StreamKind,
    /// When it was read, in milliseconds since 1970.
    pub at: i64,
    /// The bytes as they were written, without `\n`; not necessarily UTF-8.
    pub bytes: &'a [u8],
    /// What precedes it in its line.
    pub begin: Edge,
    /// What follows it in its line.
    pub end: Edge,
}

/// Lines in the order in which they were read.
#[derive(Debug, Default)]
pub struct Batch {
    /// The number of lines before these that were dropped before the follower read them.
    pub missed: u64,
    bytes: Vec<u8>,
    entries: Vec<BatchEntry>,
}

#[derive(Debug)]
struct BatchEntry {
    id: LineSource,
    name: Arc<str>,
    kind: StreamKind,
    at: i64,
    begin: Edge,
    end: Edge,
    /// End of its bytes, after the `\n` of its last line.
    end_offset: usize,
}

impl Batch {
    pub(super) fn new(missed: u64) -> Self {
        Self { missed, bytes: Vec::new(), entries: Vec::new() }
    }

    pub(super) fn push(&mut self, id: LineSource, name: &Arc<str>, entry: &Entry, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        let Entry { kind, at, begin, end, .. } = *entry;
        let end_offset = self.bytes.len();
        self.entries.push(BatchEntry { id, name: name.clone(), kind, at, begin, end, end_offset });
    }

    pub(super) fn size(&self) -> usize {
        self.bytes.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.missed == 0
    }

    /// The lines, oldest first.
    pub fn lines(&self) -> impl Iterator<Item = Line<'_>> {
        let mut from = 0;
        self.entries.iter().flat_map(move |entry| {
            let bytes = &self.bytes[from..entry.end_offset];
            from = entry.end_offset;
            let lines = bytes.strip_suffix(b"\n").unwrap_or(bytes).split(|byte| *byte == b'\n');
            let BatchEntry { id, kind, at, begin, end, .. } = *entry;
            lines.map(move |bytes| Line { id, name: &entry.name, kind, at, bytes, begin, end })
        })
    }
}
