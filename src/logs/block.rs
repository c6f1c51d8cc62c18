//! A block of recent lines: its bytes, and an entry for each group of lines.
//!
//! A block either copies lines, until it is full, or owns the memory into which one big read has put them.

use memchr::{memchr, memchr_iter, memrchr_iter};

use super::{
    frame::Edge,
    input::Input,
    line_group::{InputLines, LineGroup, Subject},
    stream_kind::StreamKind,
};

/// Maximum number of lines in a block, so that lines beyond the limit are dropped in small portions.
pub(super) const BLOCK_LINES: usize = 128;
/// Maximum size of a block besides its lines, in bytes.
pub(super) const BLOCK_OVERHEAD: usize = size_of::<Block>() + BLOCK_LINES * size_of::<Entry>();
/// Minimum number of bytes that the first line of a block reserves.
const MIN_RESERVED: usize = 256;

/// The limits of a ring.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) lines: usize,
    /// Memory in bytes, bookkeeping included.
    pub(super) bytes: usize,
}

impl Limits {
    /// The approximate size of a block, in bytes.
    pub(super) fn block_size(self) -> usize {
        (self.bytes / 16).clamp(1024, 64 * 1024)
    }

    /// The last lines of a group that are within these limits.
    pub(super) fn tail(self, mut group: LineGroup<'_>) -> LineGroup<'_> {
        let mut begin = 0;
        if group.lines > self.lines {
            let nth = self.lines.checked_sub(1);
            begin =
                nth.and_then(|nth| memrchr_iter(b'\n', group.bytes).nth(nth)).map_or(usize::MAX, |at| at + 1);
        }
        let room = self.bytes.saturating_sub(BLOCK_OVERHEAD + 1);
        if group.bytes.len() > room {
            let excess = group.bytes.len() - room;
            let cut = memchr(b'\n', &group.bytes[excess - 1..]).map_or(usize::MAX, |at| excess + at);
            begin = begin.max(cut);
        }
        if begin > 0 {
            group.bytes = group.bytes.get(begin..).unwrap_or_default();
            group.lines = if begin == usize::MAX { 0 } else { memchr_iter(b'\n', group.bytes).count() + 1 };
        }
        group
    }
}

/// A group of lines, or a part of one, in a block.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    /// The number of its first line among all lines of all instances; the others follow.
    pub(super) seq: u64,
    pub(super) at: i64,
    /// Where its bytes begin in the block; each line ends with `\n`.
    start: u32,
    pub(super) lines: u32,
    pub(super) kind: StreamKind,
    pub(super) begin: Edge,
    pub(super) end: Edge,
    pub(super) subject: Subject,
}

impl Entry {
    /// The number after that of its last line.
    pub(super) fn end(&self) -> u64 {
        self.seq + u64::from(self.lines)
    }
}

#[derive(Debug)]
pub(super) struct Block {
    store: Store,
    entries: Vec<Entry>,
    lines: usize,
}

#[derive(Debug)]
enum Store {
    /// Copied lines.
    Copied(Vec<u8>),
    /// Lines in the memory that they were read to, up to this place: one entry, and nothing is added.
    InPlace(Input, usize),
}

impl Default for Block {
    fn default() -> Self {
        Self { store: Store::Copied(Vec::new()), entries: Vec::new(), lines: 0 }
    }
}

/// Memory of dropped lines, for new ones.
#[derive(Debug, Default)]
pub(super) struct Spare {
    block: Option<Block>,
    input: Option<Input>,
}

impl Spare {
    /// A block to copy lines into.
    pub(super) fn block(&mut self) -> Block {
        self.block.take().unwrap_or_default()
    }

    /// Memory for a read. `None`: no memory is available.
    pub(super) fn input(&mut self) -> Option<Input> {
        self.input.take().or_else(|| Input::new().ok())
    }

    /// Keeps the memory of a dropped block.
    pub(super) fn recycle(&mut self, mut block: Block) {
        match block.store {
            Store::Copied(mut bytes) if bytes.capacity() <= 64 * 1024 => {
                bytes.clear();
                block.entries.clear();
                self.block = Some(Block { store: Store::Copied(bytes), entries: block.entries, lines: 0 });
            }
            Store::Copied(_) => {}
            Store::InPlace(input, _) => self.input = Some(input),
        }
    }
}

impl Block {
    /// A block that owns the memory of a read. Its first line has the number `seq`.
    pub(super) fn in_place(input: Input, read: &InputLines, seq: u64) -> Self {
        let InputLines { ref whole, lines, kind, at } = *read;
        let entries = vec![Entry {
            seq,
            at,
            start: to_u32(whole.start),
            lines: to_u32(lines),
            kind,
            begin: Edge::Line,
            end: Edge::Line,
            subject: Subject::default(),
        }];
        Self { store: Store::InPlace(input, whole.end), entries, lines }
    }

    /// The number of its lines.
    pub(super) fn lines(&self) -> usize {
        self.lines
    }

    pub(super) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The lines of an entry.
    pub(super) fn bytes_of(&self, at: usize) -> &[u8] {
        let (bytes, len) = match &self.store {
            Store::Copied(bytes) => (&bytes[..], bytes.len()),
            Store::InPlace(input, end) => (&input[..], *end),
        };
        let end = self.entries.get(at + 1).map_or(len, |next| next.start as usize);
        &bytes[self.entries[at].start as usize..end]
    }

    /// The number of its first line.
    pub(super) fn begin(&self) -> u64 {
        self.entries.first().map_or(0, |entry| entry.seq)
    }

    /// The number after that of its last line.
    pub(super) fn end(&self) -> u64 {
        self.entries.last().map_or(0, Entry::end)
    }

    /// The bytes of copied lines. `None`: nothing can be added.
    pub(super) fn copied(&self) -> Option<usize> {
        match &self.store {
            Store::Copied(bytes) => Some(bytes.len()),
            Store::InPlace(..) => None,
        }
    }

    /// The block's size in memory, in bytes.
    pub(super) fn cost(&self) -> usize {
        let bytes = match &self.store {
            Store::Copied(bytes) => bytes.capacity(),
            Store::InPlace(input, _) => input.cost(),
        };
        size_of::<Self>() + bytes + self.entries.capacity() * size_of::<Entry>()
    }

    /// Copies lines, of which the first has the number `seq`. `size` is the usual size of a block.
    pub(super) fn append(&mut self, part: &LineGroup<'_>, seq: u64, size: usize) {
        let Store::Copied(bytes) = &mut self.store else { return };
        let needed = bytes.len() + part.bytes.len() + 1;
        if needed > bytes.capacity() {
            let capacity = (bytes.capacity() * 2).max(MIN_RESERVED).min(size).max(needed);
            bytes.reserve_exact(capacity - bytes.len());
        }
        let (start, lines) = (to_u32(bytes.len()), to_u32(part.lines));
        bytes.extend_from_slice(part.bytes);
        bytes.push(b'\n');
        self.lines += part.lines;
        let LineGroup { kind, at, begin, end, subject, .. } = *part;
        let is_whole = |begin, end| (begin, end) == (Edge::Line, Edge::Line);
        match self.entries.last_mut() {
            Some(before)
                if (before.at, before.kind, before.end(), before.subject) == (at, kind, seq, subject)
                    && is_whole(before.begin, before.end)
                    && is_whole(begin, end) =>
            {
                before.lines += lines;
            }
            _ => self.entries.push(Entry { seq, at, start, lines, kind, begin, end, subject }),
        }
    }
}

fn to_u32(number: usize) -> u32 {
    // A block has at most 64 KiB, one piece of a line, or one read.
    u32::try_from(number).unwrap_or(u32::MAX)
}
