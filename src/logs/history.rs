//! The recent lines of all instances, and their followers.
//!
//! The pump appends, once for each read; the supervisor's thread reads. The lock is held for a copy of at most
//! [`BATCH`] bytes, never for I/O, so neither waits for the other's work. Lines that are dropped before a follower
//! has read them are counted for it. An instance that has written nothing uses no memory.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
    mem,
    ops::Range,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use memchr::memchr_iter;
use tokio::sync::Notify;

use super::frame::{Edge, Piece};
use super::{
    follow::{Batch, Filter},
    format::Kind,
    input::Input,
    ring::{About, Block, Entry, Limits, Read, Ring, RingIndex, Run, Spare},
};
use crate::spec::LogHistory;

/// The limit of all instances together, as a multiple of the limit of one.
const TOTAL: usize = 16;
/// A batch for a follower ends with the entry that exceeds this number of bytes.
pub(super) const BATCH: usize = 128 * 1024;

/// Maximum number of last lines of a run.
const LAST_LINES: usize = 32;
/// Maximum length of one of them, in bytes.
const LAST_LINE: usize = 1024;

/// The source of lines: an instance by its id, or procrun itself.
pub(super) type Source = Option<u32>;

#[derive(Debug)]
pub(super) struct History(Mutex<State>);

#[derive(Debug)]
struct State {
    limits: Limits,
    shelves: BTreeMap<Source, InstanceHistory>,
    /// The memory of all rings, in bytes.
    cost: usize,
    /// The sequence number of the next line.
    next: u64,
    spare: Spare,
    viewers: BTreeMap<u64, Viewer>,
    next_viewer: u64,
}

/// The ring of one instance.
#[derive(Debug)]
struct InstanceHistory {
    name: Arc<str>,
    ring: Ring,
    /// The instance was removed; a follower may not have read its last lines yet.
    gone: bool,
}

/// The position of a follower.
#[derive(Debug)]
struct Viewer {
    filter: Filter,
    /// It has read all lines before this number.
    seen: u64,
    /// For these instances, it skips lines before this number.
    from: BTreeMap<Source, u64>,
    missed: u64,
    /// It has read everything and waits for a wake-up.
    waiting: bool,
    wake: Arc<Notify>,
}

impl Viewer {
    fn begin(&self, source: Source) -> u64 {
        self.from.get(&source).map_or(self.seen, |from| self.seen.max(*from))
    }

    /// Counts lines that are about to be dropped.
    fn count_lost(&mut self, source: Source, name: &str, block: &Block) {
        if self.filter.takes(source, name) {
            let begin = self.begin(source);
            for entry in block.entries().iter().rev().take_while(|entry| entry.end() > begin) {
                if self.filter.takes_entry(source, entry) {
                    self.missed += entry.end() - entry.seq.max(begin);
                }
            }
        }
    }
}

impl History {
    pub(super) fn new(history: LogHistory) -> Self {
        let limits = Limits {
            lines: history.lines as usize,
            bytes: usize::try_from(history.bytes).unwrap_or(usize::MAX / TOTAL),
        };
        Self(Mutex::new(State {
            limits,
            shelves: BTreeMap::new(),
            cost: 0,
            next: 0,
            spare: Spare::default(),
            viewers: BTreeMap::new(),
            next_viewer: 0,
        }))
    }

    /// Keeps lines of an instance.
    pub(super) fn push(&self, source: Source, name: &str, run: Run<'_>) {
        self.lock().push(source, name, run);
    }

    /// Keeps lines of an instance together with the memory that they were read to; `input` gets other memory.
    pub(super) fn push_read(&self, source: Source, name: &str, input: &mut Input, read: &Read) {
        let mut state = self.lock();
        let limits = state.announce(source, name, read.kind, About::default(), |_| 0);
        if limits.lines == 0 {
            return;
        }
        let kept = state.change(source, name, |ring, seq, spare, lost| {
            ring.push_read(input, read, seq, limits, spare, lost).then_some(read.lines)
        });
        if !kept {
            state.push(source, name, read.as_run(input));
        }
    }

    /// Registers an instance with this id and name. Its earlier lines stay, unless they belong to another name.
    pub(super) fn register(&self, id: u32, name: &str) {
        let mut state = self.lock();
        match state.shelves.get_mut(&Some(id)) {
            Some(shelf) if *shelf.name == *name => shelf.gone = false,
            Some(_) => state.forget(Some(id)),
            None => {}
        }
    }

    /// Marks an instance as removed. Followers can still read its last lines.
    pub(super) fn remove(&self, id: u32) {
        let mut state = self.lock();
        if state.viewers.is_empty() {
            state.forget(Some(id));
        } else if let Some(shelf) = state.shelves.get_mut(&Some(id)) {
            shelf.gone = true;
        }
    }

    /// Drops the lines of an instance.
    pub(super) fn clear(&self, id: u32) {
        self.lock().forget(Some(id));
    }

    /// Frees memory that only a busy pump needs.
    pub(super) fn release(&self) {
        self.lock().spare = Spare::default();
    }

    /// Adds a follower that begins with the last `lines` of each instance. Returns its id, its wake-up, and the
    /// number of the first line that does not exist yet.
    pub(super) fn attach(&self, filter: Filter, lines: usize) -> (u64, Arc<Notify>, u64) {
        let mut state = self.lock();
        let taken = state.shelves.iter().filter(|(source, shelf)| filter.takes(**source, &shelf.name));
        let from: BTreeMap<Source, u64> = taken
            .map(|(source, shelf)| {
                (*source, shelf.ring.last(lines, |entry| filter.takes_entry(*source, entry)))
            })
            .collect();
        let seen = from.values().copied().min().unwrap_or(state.next);
        let wake = Arc::<Notify>::default();
        let viewer = Viewer { filter, seen, from, missed: 0, waiting: false, wake: wake.clone() };
        let id = state.next_viewer;
        state.next_viewer += 1;
        state.viewers.insert(id, viewer);
        (id, wake, state.next)
    }

    /// Removes a follower.
    pub(super) fn detach(&self, viewer: u64) {
        let mut state = self.lock();
        state.viewers.remove(&viewer);
        if state.viewers.is_empty() {
            let gone = state.shelves.iter().filter(|(_, shelf)| shelf.gone);
            let gone: Vec<Source> = gone.map(|(source, _)| *source).collect();
            for source in gone {
                state.forget(source);
            }
        }
    }

    /// The number of the next line.
    pub(super) fn next_line(&self) -> u64 {
        self.lock().next
    }

    /// The last lines of one stream of an instance, among those with these numbers that were read at `since` or
    /// later.
    pub(super) fn last_lines(&self, source: Source, kind: Kind, numbers: Range<u64>, since: i64) -> String {
        let state = self.lock();
        let Some(InstanceHistory { ring, .. }) = state.shelves.get(&source) else { return String::new() };
        let is_wanted = |entry: &Entry| {
            entry.kind == kind && entry.at >= since && entry.end() > numbers.start && entry.seq < numbers.end
        };
        let begin = ring.last(LAST_LINES, is_wanted).max(numbers.start);
        let mut text = String::new();
        let mut place = ring.find(begin);
        while let Some((entry, block)) = ring.at(place).filter(|(entry, _)| entry.seq < numbers.end) {
            if is_wanted(entry) {
                let bytes = behind(block.bytes_of(place.entry), begin.saturating_sub(entry.seq));
                for line in bytes.strip_suffix(b"\n").unwrap_or(bytes).split(|byte| *byte == b'\n') {
                    text.push_str(&String::from_utf8_lossy(&line[..line.len().min(LAST_LINE)]));
                    text.push('\n');
                }
            }
            place = ring.after(place);
        }
        text
    }

    /// The number of followers.
    pub(super) fn viewers(&self) -> usize {
        self.lock().viewers.len()
    }

    /// The lines that a follower has not read yet, up to a batch and only before the number `until`. `None`: there
    /// are none; with `wait` it is woken when there are.
    pub(super) fn take(&self, viewer: u64, until: u64, wait: bool) -> Option<Batch> {
        let mut state = self.lock();
        let State { shelves, next, viewers, .. } = &mut *state;
        let viewer = viewers.get_mut(&viewer)?;
        let until = until.min(*next);
        let mut heads = BinaryHeap::new();
        for (source, shelf) in &*shelves {
            let begin = viewer.begin(*source);
            if shelf.ring.end() > begin && viewer.filter.takes(*source, &shelf.name) {
                let place = shelf.ring.find(begin);
                if let Some((entry, _)) = shelf.ring.at(place) {
                    heads.push(Reverse(Head { seq: entry.seq.max(begin), source: *source, place }));
                }
            }
        }
        let mut batch = Batch::new(mem::take(&mut viewer.missed));
        viewer.seen = loop {
            let Some(Reverse(head)) = heads.pop().filter(|Reverse(head)| head.seq < until) else {
                break until;
            };
            if batch.size() >= BATCH {
                break head.seq;
            }
            let Some(shelf) = shelves.get(&head.source) else { continue };
            let Some((entry, block)) = shelf.ring.at(head.place) else { continue };
            if viewer.filter.takes_entry(head.source, entry) {
                let bytes = block.bytes_of(head.place.entry);
                batch.push(head.source, &shelf.name, entry, behind(bytes, head.seq - entry.seq));
            }
            let place = shelf.ring.after(head.place);
            if let Some((entry, _)) = shelf.ring.at(place) {
                heads.push(Reverse(Head { seq: entry.seq, source: head.source, place }));
            }
        };
        viewer.from.retain(|_, from| *from > viewer.seen);
        if batch.is_empty() {
            viewer.waiting = wait;
            return None;
        }
        Some(batch)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic under the lock may have lost lines; the rings are still consistent.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn push(&mut self, source: Source, name: &str, run: Run<'_>) {
        let mut kept = run;
        let limits = self.announce(source, name, run.kind, run.about, |limits| {
            kept = run.tail(limits);
            run.lines - kept.lines
        });
        if kept.lines > 0 {
            self.change(source, name, |ring, seq, spare, lost| {
                ring.push(kept, seq, limits, spare, lost);
                Some(kept.lines)
            });
        }
    }

    /// Wakes the followers of such lines, and counts lines that will not be kept as missed. Returns which limits
    /// apply to the lines.
    fn announce(
        &mut self,
        source: Source,
        name: &str,
        kind: Kind,
        about: About,
        skipped: impl FnOnce(Limits) -> usize,
    ) -> Limits {
        let mut limits = self.limits;
        let mut concerned: Vec<&mut Viewer> = Vec::new();
        for viewer in self.viewers.values_mut() {
            if viewer.filter.takes(source, name) && viewer.filter.takes_line(source, kind, about) {
                concerned.push(viewer);
            }
        }
        if concerned.iter().any(|viewer| viewer.missed == 0) {
            // A follower should see a whole burst. A follower that has missed lines learns that before the next
            // ones: to keep more for it would only cost the worker.
            limits.lines = usize::MAX;
        }
        let skipped = skipped(limits) as u64;
        for viewer in concerned {
            viewer.missed += skipped;
            if mem::take(&mut viewer.waiting) {
                viewer.wake.notify_one();
            }
        }
        limits
    }

    /// Lets `add` append lines to a ring and return their number, and enforces the limit of all rings. False if
    /// nothing was added.
    fn change(
        &mut self,
        source: Source,
        name: &str,
        add: impl FnOnce(&mut Ring, u64, &mut Spare, &mut dyn FnMut(&Block)) -> Option<usize>,
    ) -> bool {
        let Self { limits, shelves, cost, next, spare, viewers, .. } = self;
        let shelf = shelves.entry(source).or_insert_with(|| InstanceHistory::new(name));
        let before = shelf.ring.cost();
        let added = add(&mut shelf.ring, *next, spare, &mut |block| {
            for viewer in viewers.values_mut() {
                viewer.count_lost(source, name, block);
            }
        });
        *next += added.unwrap_or(0) as u64;
        *cost = *cost + shelf.ring.cost() - before;
        while *cost > limits.bytes.saturating_mul(TOTAL) {
            let rings = shelves.iter_mut().filter_map(|(key, it)| Some((it.ring.oldest()?, *key, it)));
            let Some((_, key, oldest)) = rings.min_by_key(|(seq, ..)| *seq) else { break };
            let InstanceHistory { name, ring, .. } = oldest;
            *cost -= ring.cost();
            ring.drop_oldest(spare, |block| {
                for viewer in viewers.values_mut() {
                    viewer.count_lost(key, name, block);
                }
            });
            *cost += ring.cost();
        }
        added.is_some()
    }

    fn forget(&mut self, source: Source) {
        if let Some(InstanceHistory { name, mut ring, .. }) = self.shelves.remove(&source) {
            self.cost -= ring.cost();
            while ring.oldest().is_some() {
                ring.drop_oldest(&mut self.spare, |block| {
                    for viewer in self.viewers.values_mut() {
                        viewer.count_lost(source, &name, block);
                    }
                });
            }
        }
    }
}

impl InstanceHistory {
    fn new(name: &str) -> Self {
        Self { name: name.into(), ring: Ring::default(), gone: false }
    }
}

/// The next entry of an instance that a follower has not read.
#[derive(Debug)]
struct Head {
    seq: u64,
    source: Source,
    place: RingIndex,
}

impl PartialEq for Head {
    fn eq(&self, other: &Self) -> bool {
        self.seq == other.seq
    }
}

impl Eq for Head {}

impl PartialOrd for Head {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Head {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        // No two lines have the same number.
        self.seq.cmp(&other.seq)
    }
}

/// The bytes after this number of lines.
fn behind(bytes: &[u8], lines: u64) -> &[u8] {
    let nth = usize::try_from(lines).ok().and_then(|lines| lines.checked_sub(1));
    let begin = nth.and_then(|nth| memchr_iter(b'\n', bytes).nth(nth)).map_or(0, |at| at + 1);
    &bytes[begin..]
}

/// Joins adjacent lines of one chunk, so that they are kept with one copy.
#[derive(Debug)]
pub(super) struct Gather<'a> {
    chunk: &'a [u8],
    kind: Kind,
    at: i64,
    from: usize,
    /// After the last line's `\n`.
    to: usize,
    lines: usize,
}

impl<'a> Gather<'a> {
    pub(super) fn new(chunk: &'a [u8], kind: Kind, at: i64) -> Self {
        Self { chunk, kind, at, from: 0, to: 0, lines: 0 }
    }

    /// Adds a line. Adjacent lines of the chunk become one run.
    #[inline]
    pub(super) fn piece(&mut self, piece: Piece<'_>, mut keep: impl FnMut(Run<'_>)) {
        let at = (piece.bytes.as_ptr() as usize).wrapping_sub(self.chunk.as_ptr() as usize);
        if piece.is_whole() && at < self.chunk.len() {
            if at != self.to || self.lines == 0 {
                self.end(&mut keep);
                self.from = at;
            }
            self.to = at + piece.bytes.len() + 1;
            self.lines += 1;
        } else {
            self.end(&mut keep);
            let Piece { bytes, begin, end } = piece;
            let Self { kind, at, .. } = *self;
            keep(Run { bytes, lines: 1, kind, at, begin, end, about: About::default() });
        }
    }

    /// Passes on what has gathered.
    pub(super) fn end(&mut self, mut keep: impl FnMut(Run<'_>)) {
        if self.lines > 0 {
            let bytes = &self.chunk[self.from..self.to - 1];
            let (begin, end) = (Edge::Line, Edge::Line);
            let Self { lines, kind, at, .. } = *self;
            keep(Run { bytes, lines, kind, at, begin, end, about: About::default() });
            self.lines = 0;
        }
    }
}
