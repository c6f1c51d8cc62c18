//! The recent lines of one instance, oldest first, in blocks of bytes.
//!
//! A block is filled, then the next one is begun; whole blocks are dropped when there is too much. So a line
//! costs its bytes and a share of an entry, and nothing is moved. A ring never exceeds its limits and knows no
//! other instance.

use std::{
    collections::VecDeque,
    hash::{DefaultHasher, Hasher as _},
    mem,
    num::NonZeroU32,
    ops::Range,
};

use memchr::{memchr, memchr_iter, memrchr_iter};

use super::frame::Edge;
use super::{format::Kind, input::Input};

/// Maximum number of lines in a block, so that lines beyond the limit are dropped in small portions.
const BLOCK_LINES: usize = 128;
/// Maximum size of a block besides its lines, in bytes.
const BLOCK_OVERHEAD: usize = size_of::<Block>() + BLOCK_LINES * size_of::<Entry>();
/// Bytes that the first line of a block reserves at least.
const FIRST: usize = 256;

/// Lines of one stream that were read at one time. All are complete, or it is one piece of a line.
#[derive(Debug, Clone, Copy)]
pub(super) struct Run<'a> {
    /// The lines with `\n` between them.
    pub(super) bytes: &'a [u8],
    pub(super) lines: usize,
    pub(super) kind: Kind,
    /// Milliseconds since 1970.
    pub(super) at: i64,
    /// What precedes it in its line.
    pub(super) begin: Edge,
    /// What follows it in its line.
    pub(super) end: Edge,
    /// The subject of procrun's own lines.
    pub(super) about: About,
}

/// The application and the instance that one of procrun's own lines is about. The application is a hash of its
/// name: that keeps an entry small, and two names in four billion would share a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct About {
    app: Option<NonZeroU32>,
    id: Option<NonZeroU32>,
}

impl About {
    pub(super) fn new(app: Option<&str>, id: Option<u32>) -> Self {
        Self { app: app.map(hash), id: id.and_then(number) }
    }

    pub(super) fn is_app(self, name: &str) -> bool {
        self.app == Some(hash(name))
    }

    pub(super) fn is_instance(self, id: u32) -> bool {
        self.id.is_some() && self.id == number(id)
    }
}

/// An id as a number that is not 0.
fn number(id: u32) -> Option<NonZeroU32> {
    id.checked_add(1).and_then(NonZeroU32::new)
}

fn hash(name: &str) -> NonZeroU32 {
    let mut hasher = DefaultHasher::new();
    hasher.write(name.as_bytes());
    let [a, b, c, d, ..] = hasher.finish().to_ne_bytes();
    NonZeroU32::new(u32::from_ne_bytes([a, b, c, d])).unwrap_or(NonZeroU32::MAX)
}

impl Run<'_> {
    /// Drops the lines at its beginning that exceed these limits.
    pub(super) fn tail(mut self, limits: Limits) -> Self {
        let mut begin = 0;
        if self.lines > limits.lines {
            let nth = limits.lines.checked_sub(1);
            begin =
                nth.and_then(|nth| memrchr_iter(b'\n', self.bytes).nth(nth)).map_or(usize::MAX, |at| at + 1);
        }
        let room = limits.bytes.saturating_sub(BLOCK_OVERHEAD + 1);
        if self.bytes.len() > room {
            let least = self.bytes.len() - room;
            let cut = memchr(b'\n', &self.bytes[least - 1..]).map_or(usize::MAX, |at| least + at);
            begin = begin.max(cut);
        }
        if begin > 0 {
            self.bytes = self.bytes.get(begin..).unwrap_or_default();
            self.lines = if begin == usize::MAX { 0 } else { memchr_iter(b'\n', self.bytes).count() + 1 };
        }
        self
    }
}

/// Complete lines of one stream in the memory that they were read to.
#[derive(Debug, Clone)]
pub(super) struct Read {
    /// Their place in the input, the last `\n` included.
    pub(super) whole: Range<usize>,
    pub(super) lines: usize,
    pub(super) kind: Kind,
    /// Milliseconds since 1970.
    pub(super) at: i64,
}

impl Read {
    pub(super) fn as_run<'a>(&self, input: &'a Input) -> Run<'a> {
        let bytes = &input[self.whole.start..self.whole.end - 1];
        let (begin, end) = (Edge::Line, Edge::Line);
        Run { bytes, lines: self.lines, kind: self.kind, at: self.at, begin, end, about: About::default() }
    }
}

/// The limits of a ring.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) lines: usize,
    /// Memory in bytes, bookkeeping included.
    pub(super) bytes: usize,
}

impl Limits {
    /// The approximate size of a block.
    fn block(self) -> usize {
        (self.bytes / 16).clamp(1024, 64 * 1024)
    }
}

/// A run, or a part of one, in a block.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    /// The number of its first line among all lines of all instances; the others follow.
    pub(super) seq: u64,
    pub(super) at: i64,
    /// Where its bytes begin in the block; each line ends with `\n`.
    start: u32,
    pub(super) lines: u32,
    pub(super) kind: Kind,
    pub(super) begin: Edge,
    pub(super) end: Edge,
    pub(super) about: About,
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
    Read(Input, usize),
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
    /// Memory for a read. `None`: no memory is available.
    pub(super) fn input(&mut self) -> Option<Input> {
        self.input.take().or_else(|| Input::new().ok())
    }

    fn take(&mut self, mut block: Block) {
        match block.store {
            Store::Copied(mut bytes) if bytes.capacity() <= 64 * 1024 => {
                bytes.clear();
                block.entries.clear();
                self.block = Some(Block { store: Store::Copied(bytes), entries: block.entries, lines: 0 });
            }
            Store::Copied(_) => {}
            Store::Read(input, _) => self.input = Some(input),
        }
    }
}

impl Block {
    pub(super) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The lines of an entry.
    pub(super) fn bytes_of(&self, at: usize) -> &[u8] {
        let (bytes, len) = match &self.store {
            Store::Copied(bytes) => (&bytes[..], bytes.len()),
            Store::Read(input, end) => (&input[..], *end),
        };
        let end = self.entries.get(at + 1).map_or(len, |next| next.start as usize);
        &bytes[self.entries[at].start as usize..end]
    }

    fn begin(&self) -> u64 {
        self.entries.first().map_or(0, |entry| entry.seq)
    }

    fn end(&self) -> u64 {
        self.entries.last().map_or(0, Entry::end)
    }

    fn cost(&self) -> usize {
        let bytes = match &self.store {
            Store::Copied(bytes) => bytes.capacity(),
            Store::Read(input, _) => input.cost(),
        };
        size_of::<Self>() + bytes + self.entries.capacity() * size_of::<Entry>()
    }

    fn append(&mut self, part: &Run<'_>, seq: u64, block: usize) {
        let Store::Copied(bytes) = &mut self.store else { return };
        let needed = bytes.len() + part.bytes.len() + 1;
        if needed > bytes.capacity() {
            let roomy = (bytes.capacity() * 2).max(FIRST).min(block).max(needed);
            bytes.reserve_exact(roomy - bytes.len());
        }
        let (start, lines) = (small(bytes.len()), small(part.lines));
        bytes.extend_from_slice(part.bytes);
        bytes.push(b'\n');
        self.lines += part.lines;
        let Run { kind, at, begin, end, about, .. } = *part;
        let is_whole = |begin, end| (begin, end) == (Edge::Line, Edge::Line);
        match self.entries.last_mut() {
            Some(before)
                if (before.at, before.kind, before.end(), before.about) == (at, kind, seq, about)
                    && is_whole(before.begin, before.end)
                    && is_whole(begin, end) =>
            {
                before.lines += lines;
            }
            _ => self.entries.push(Entry { seq, at, start, lines, kind, begin, end, about }),
        }
    }
}

fn small(number: usize) -> u32 {
    // A block has at most 64 KiB, one piece of a line, or one read.
    u32::try_from(number).unwrap_or(u32::MAX)
}

#[derive(Debug, Default)]
pub(super) struct Ring {
    blocks: VecDeque<Block>,
    lines: usize,
    cost: usize,
}

impl Ring {
    /// Takes the memory of a read, which gets other memory to continue; its first line has the number `seq`.
    /// False, without any change, if that would exceed the limits.
    pub(super) fn push_read(
        &mut self,
        input: &mut Input,
        read: &Read,
        seq: u64,
        limits: Limits,
        spare: &mut Spare,
        mut lost: impl FnMut(&Block),
    ) -> bool {
        // Memory is dropped by whole reads: there should be several.
        if input.cost() > limits.bytes / 4 {
            return false;
        }
        self.make_room(BLOCK_OVERHEAD + input.cost(), read.lines, limits, spare, &mut lost);
        let Some(other) = spare.input() else { return false };
        let Read { ref whole, lines, kind, at } = *read;
        let entries = vec![Entry {
            seq,
            at,
            start: small(whole.start),
            lines: small(lines),
            kind,
            begin: Edge::Line,
            end: Edge::Line,
            about: About::default(),
        }];
        let block = Block { store: Store::Read(mem::replace(input, other), whole.end), entries, lines };
        self.cost += block.cost();
        self.lines += lines;
        self.blocks.push_back(block);
        true
    }

    /// Appends a run; its first line has the number `seq`. Lines that are dropped for it are passed to `lost`; the
    /// memory of dropped blocks is kept in `spare` for the next one.
    pub(super) fn push(
        &mut self,
        run: Run<'_>,
        mut seq: u64,
        limits: Limits,
        spare: &mut Spare,
        mut lost: impl FnMut(&Block),
    ) {
        let (mut rest, mut left) = (run.bytes, run.lines);
        while left > 0 {
            let (len, lines) = self.fitting(rest, left, limits).unwrap_or_else(|| {
                let first = memchr(b'\n', rest).unwrap_or(rest.len());
                self.begin(first, limits, spare, &mut lost);
                // A line that is longer than a block gets one of its own.
                self.fitting(rest, left, limits).unwrap_or((first, 1))
            });
            let part = Run { bytes: &rest[..len], lines, ..run };
            if let Some(block) = self.blocks.back_mut() {
                let before = block.cost();
                block.append(&part, seq, limits.block());
                self.cost = self.cost + block.cost() - before;
                self.lines += lines;
            }
            seq += lines as u64;
            left -= lines;
            rest = rest.get(len + 1..).unwrap_or_default();
        }
    }

    /// The part of `rest`, which has `left` lines, that fits into the last block: bytes and lines.
    fn fitting(&self, rest: &[u8], left: usize, limits: Limits) -> Option<(usize, usize)> {
        let block = self.blocks.back()?;
        let Store::Copied(bytes) = &block.store else { return None };
        let room = limits.block().saturating_sub(bytes.len());
        let lines = BLOCK_LINES.saturating_sub(block.lines);
        if rest.len() < room && left <= lines {
            return Some((rest.len(), left));
        }
        let window = &rest[..rest.len().min(room)];
        memchr_iter(b'\n', window).zip(1..=lines).last()
    }

    /// Begins a block for a line of `first` bytes.
    fn begin(&mut self, first: usize, limits: Limits, spare: &mut Spare, lost: &mut impl FnMut(&Block)) {
        self.make_room(BLOCK_OVERHEAD + limits.block().max(first + 1), 1, limits, spare, lost);
        let block = spare.block.take().unwrap_or_default();
        self.cost += block.cost();
        self.blocks.push_back(block);
    }

    /// Drops the oldest blocks that exceed the limits with a new one of this size, or whose lines no limit keeps.
    fn make_room(
        &mut self,
        room: usize,
        lines: usize,
        limits: Limits,
        spare: &mut Spare,
        lost: &mut impl FnMut(&Block),
    ) {
        while let Some(front) = self.blocks.front()
            && (self.cost + room > limits.bytes || self.lines - front.lines + lines >= limits.lines)
        {
            self.drop_oldest(spare, |block| lost(block));
        }
    }

    /// Drops the oldest block.
    pub(super) fn drop_oldest(&mut self, spare: &mut Spare, lost: impl FnOnce(&Block)) {
        if let Some(block) = self.blocks.pop_front() {
            lost(&block);
            self.cost -= block.cost();
            self.lines -= block.lines;
            spare.take(block);
        }
    }

    /// Its size in memory, in bytes.
    pub(super) fn cost(&self) -> usize {
        self.cost
    }

    /// The number of its oldest line.
    pub(super) fn oldest(&self) -> Option<u64> {
        self.blocks.front().map(Block::begin)
    }

    /// The number after that of its newest line.
    pub(super) fn end(&self) -> u64 {
        self.blocks.back().map_or(0, Block::end)
    }

    /// The number from which on there are `count` wanted lines, or as many as exist.
    pub(super) fn last(&self, count: usize, wanted: impl Fn(&Entry) -> bool) -> u64 {
        let mut left = count as u64;
        for entry in self.blocks.iter().rev().flat_map(|block| block.entries.iter().rev()) {
            if left == 0 {
                return entry.end();
            }
            if wanted(entry) {
                let lines = u64::from(entry.lines);
                if lines >= left {
                    return entry.end() - left;
                }
                left -= lines;
            }
        }
        if left == count as u64 { self.end() } else { 0 }
    }

    /// The place of the first entry with a line of the number `seq` or a later one.
    pub(super) fn find(&self, seq: u64) -> RingIndex {
        let block = self.blocks.partition_point(|block| block.end() <= seq);
        let entry = self
            .blocks
            .get(block)
            .map_or(0, |block| block.entries.partition_point(|entry| entry.end() <= seq));
        RingIndex { block, entry }
    }

    /// The entry at a place, and its block.
    pub(super) fn at(&self, place: RingIndex) -> Option<(&Entry, &Block)> {
        let block = self.blocks.get(place.block)?;
        Some((block.entries.get(place.entry)?, block))
    }

    /// The place after this one.
    pub(super) fn after(&self, place: RingIndex) -> RingIndex {
        let next = RingIndex { entry: place.entry + 1, ..place };
        if self.at(next).is_some() { next } else { RingIndex { block: place.block + 1, entry: 0 } }
    }
}

/// The position of an entry.
#[derive(Debug, Clone, Copy)]
pub(super) struct RingIndex {
    block: usize,
    pub(super) entry: usize,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{About, BLOCK_OVERHEAD, Edge, Input, Kind, Limits, Read, Ring, RingIndex, Run, Spare};

    fn run(bytes: &[u8], lines: usize) -> Run<'_> {
        Run {
            bytes,
            lines,
            kind: Kind::Out,
            at: 0,
            begin: Edge::Line,
            end: Edge::Line,
            about: About::default(),
        }
    }

    fn lines(ring: &Ring) -> Vec<(u64, Vec<u8>)> {
        let mut found = Vec::new();
        let mut place = RingIndex { block: 0, entry: 0 };
        while let Some((entry, block)) = ring.at(place) {
            let bytes = block.bytes_of(place.entry);
            let bytes = bytes.strip_suffix(b"\n").unwrap();
            for (seq, line) in (entry.seq..).zip(bytes.split(|byte| *byte == b'\n')) {
                found.push((seq, line.to_vec()));
            }
            place = ring.after(place);
        }
        found
    }

    proptest! {
        #[test]
        fn it_holds_the_end_of_what_came_and_keeps_its_limits(
            runs in prop::collection::vec((prop::collection::vec(0usize..1200, 1..400), any::<bool>()), 0..12),
            keep_lines in 0usize..500, keep_bytes in 20_000usize..200_000,
        ) {
            let limits = Limits { lines: keep_lines, bytes: keep_bytes };
            let (mut ring, mut spare) = (Ring::default(), Spare::default());
            let (mut all, mut lost, mut seq) = (Vec::new(), 0, 0);
            let mut input = Input::new().unwrap();
            for (lengths, in_place) in runs {
                let texts: Vec<Vec<u8>> = lengths.iter().map(|length| vec![b'x'; *length]).collect();
                all.extend((seq..).zip(texts.clone()));
                let joined = texts.join(&b'\n');
                let count = |block: &super::Block| block.lines;
                let read = Read { whole: 3..joined.len() + 4, lines: texts.len(), kind: Kind::Out, at: 0 };
                let fits = in_place && read.whole.end <= input.len();
                if fits {
                    input.room()[read.whole.clone()].copy_from_slice(&[&joined[..], b"\n"].concat());
                    input.touch(read.whole.end);
                }
                if !fits
                    || !ring.push_read(&mut input, &read, seq, limits, &mut spare, |block| lost += count(block))
                {
                    ring.push(run(&joined, texts.len()), seq, limits, &mut spare, |block| lost += count(block));
                }
                seq += texts.len() as u64;
                prop_assert!(ring.cost() <= keep_bytes, "{} of {keep_bytes}", ring.cost());
            }
            prop_assert_eq!(ring.end(), seq);
            let held = lines(&ring);
            prop_assert_eq!(&held[..], &all[lost..]);
            prop_assert!(lost == 0 || held.len() >= keep_lines.min(1) && !held.is_empty());
            for wanted in [0, 1, held.len() / 2, held.len(), held.len() + 9] {
                let from = ring.last(wanted, |_| true);
                prop_assert_eq!(held.iter().filter(|(seq, _)| *seq >= from).count(), wanted.min(held.len()));
            }
        }

        #[test]
        fn the_tail_of_a_run_is_its_last_lines(
            lengths in prop::collection::vec(0usize..30, 1..60), lines in 0usize..70, bytes in 1usize..900,
        ) {
            let texts: Vec<Vec<u8>> = lengths.iter().map(|length| vec![b'x'; *length]).collect();
            let joined = texts.join(&b'\n');
            let tail = run(&joined, texts.len()).tail(Limits { lines, bytes: bytes + BLOCK_OVERHEAD + 1 });
            prop_assert!(tail.lines <= lines && tail.bytes.len() <= bytes);
            let expected = texts[texts.len() - tail.lines..].join(&b'\n');
            prop_assert_eq!(tail.bytes, &expected[..]);
            let one_more = texts[texts.len() - (tail.lines + 1).min(texts.len())..].join(&b'\n');
            let all = tail.lines == texts.len();
            prop_assert!(all || tail.lines == lines || one_more.len() > bytes);
        }
    }

    #[test]
    fn lines_of_procruns_own_are_about_an_app_or_one_of_its_instances() {
        let about = About::new(Some("api"), Some(0));
        assert!(about.is_app("api") && !about.is_app("web"));
        assert!(about.is_instance(0) && !about.is_instance(1));
        let none = About::default();
        assert!(!none.is_app("") && !none.is_instance(0) && !none.is_instance(u32::MAX));
        assert_eq!(size_of::<About>(), 8, "each entry has one");
    }

    #[test]
    fn a_quiet_worker_holds_next_to_nothing() {
        let mut ring = Ring::default();
        assert_eq!(ring.cost(), 0);
        ring.push(
            run(b"listening on port 3000", 1),
            0,
            Limits { lines: 1000, bytes: 1 << 20 },
            &mut Spare::default(),
            |_| (),
        );
        assert!(ring.cost() < 1024, "{}", ring.cost());
    }
}
