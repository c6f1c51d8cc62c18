//! The recent lines of all instances, and their followers.
//!
//! The pump appends, once for each read; the supervisor's thread reads. The lock is held for a copy of at most
//! [`BATCH_SIZE`] bytes, never for I/O, so neither waits for the other's work. Lines that are dropped before a follower
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

use super::{
    batch::Batch,
    block::{Block, Entry, Limits, Spare},
    filter::Filter,
    input::Input,
    instance::LineSource,
    line_group::{InputLines, LineGroup, Subject},
    ring::{Ring, RingIndex},
    stream_kind::StreamKind,
};
use crate::spec::LogHistory;

/// The limit of all instances together, as a multiple of the limit of one.
const TOTAL_FACTOR: usize = 16;
/// A batch for a follower ends with the entry that exceeds this number of bytes.
pub(super) const BATCH_SIZE: usize = 128 * 1024;

/// Maximum number of lines in the answer about the last lines of a run.
const MAX_LAST_LINES: usize = 32;
/// Maximum length of one of them, in bytes.
const MAX_LAST_LINE: usize = 1024;

#[derive(Debug)]
pub(super) struct History(Mutex<State>);

#[derive(Debug)]
struct State {
    limits: Limits,
    instances: BTreeMap<LineSource, InstanceHistory>,
    /// The memory of all rings, in bytes.
    cost: usize,
    /// The sequence number of the next line.
    next: u64,
    spare: Spare,
    followers: BTreeMap<u64, FollowerState>,
    next_follower: u64,
}

/// The ring of one instance.
#[derive(Debug)]
struct InstanceHistory {
    name: Arc<str>,
    ring: Ring,
    /// The instance was removed; a follower may not have read its last lines yet.
    removed: bool,
}

/// The position of a follower.
#[derive(Debug)]
struct FollowerState {
    filter: Filter,
    /// The follower has read all lines before this number.
    seen: u64,
    /// For these instances, it skips lines before this number.
    from: BTreeMap<LineSource, u64>,
    missed: u64,
    /// The follower has read everything and waits for a wake-up.
    waiting: bool,
    wake: Arc<Notify>,
}

impl FollowerState {
    fn begin(&self, source: LineSource) -> u64 {
        self.from.get(&source).map_or(self.seen, |from| self.seen.max(*from))
    }

    /// Counts lines that are about to be dropped.
    fn count_lost(&mut self, source: LineSource, name: &str, block: &Block) {
        if self.filter.includes_source(source, name) {
            let begin = self.begin(source);
            for entry in block.entries().iter().rev().take_while(|entry| entry.end() > begin) {
                if self.filter.includes_entry(source, entry) {
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
            bytes: usize::try_from(history.bytes).unwrap_or(usize::MAX / TOTAL_FACTOR),
        };
        Self(Mutex::new(State {
            limits,
            instances: BTreeMap::new(),
            cost: 0,
            next: 0,
            spare: Spare::default(),
            followers: BTreeMap::new(),
            next_follower: 0,
        }))
    }

    /// Keeps lines of an instance.
    pub(super) fn push(&self, source: LineSource, name: &str, group: LineGroup<'_>) {
        self.lock().push(source, name, group);
    }

    /// Keeps lines of an instance together with the memory that they were read to; `input` gets other memory.
    pub(super) fn push_read(&self, source: LineSource, name: &str, input: &mut Input, read: &InputLines) {
        let mut state = self.lock();
        let limits = state.notify_followers(source, name, read.kind, Subject::default(), |_| 0);
        if limits.lines == 0 {
            return;
        }
        let kept = state.change(source, name, |ring, seq, spare, lost| {
            ring.push_read(input, read, seq, limits, spare, lost).then_some(read.lines)
        });
        if !kept {
            state.push(source, name, read.as_group(input));
        }
    }

    /// Registers an instance with this id and name. Its earlier lines stay, unless they belong to another name.
    pub(super) fn register(&self, id: u32, name: &str) {
        let mut state = self.lock();
        match state.instances.get_mut(&Some(id)) {
            Some(instance) if *instance.name == *name => instance.removed = false,
            Some(_) => state.forget(Some(id)),
            None => {}
        }
    }

    /// Marks an instance as removed. Followers can still read its last lines.
    pub(super) fn remove(&self, id: u32) {
        let mut state = self.lock();
        if state.followers.is_empty() {
            state.forget(Some(id));
        } else if let Some(instance) = state.instances.get_mut(&Some(id)) {
            instance.removed = true;
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
        let taken = state
            .instances
            .iter()
            .filter(|(source, instance)| filter.includes_source(**source, &instance.name));
        let from: BTreeMap<LineSource, u64> = taken
            .map(|(source, instance)| {
                (*source, instance.ring.last(lines, |entry| filter.includes_entry(*source, entry)))
            })
            .collect();
        let seen = from.values().copied().min().unwrap_or(state.next);
        let wake = Arc::<Notify>::default();
        let follower = FollowerState { filter, seen, from, missed: 0, waiting: false, wake: wake.clone() };
        let id = state.next_follower;
        state.next_follower += 1;
        state.followers.insert(id, follower);
        (id, wake, state.next)
    }

    /// Removes a follower.
    pub(super) fn detach(&self, follower: u64) {
        let mut state = self.lock();
        state.followers.remove(&follower);
        if state.followers.is_empty() {
            let removed = state.instances.iter().filter(|(_, instance)| instance.removed);
            let removed: Vec<LineSource> = removed.map(|(source, _)| *source).collect();
            for source in removed {
                state.forget(source);
            }
        }
    }

    /// The number of the next line.
    pub(super) fn next_line(&self) -> u64 {
        self.lock().next
    }

    /// The number of lines so far; `None`: lines are not kept, and not counted.
    pub(super) fn count(&self) -> Option<u64> {
        let state = self.lock();
        (state.limits.lines > 0).then_some(state.next)
    }

    /// The last lines of one stream of an instance, among those with these numbers that were read at `since` or
    /// later.
    pub(super) fn last_lines(
        &self,
        source: LineSource,
        kind: StreamKind,
        numbers: Range<u64>,
        since: i64,
    ) -> String {
        let state = self.lock();
        let Some(InstanceHistory { ring, .. }) = state.instances.get(&source) else { return String::new() };
        let is_wanted = |entry: &Entry| {
            entry.kind == kind && entry.at >= since && entry.end() > numbers.start && entry.seq < numbers.end
        };
        let begin = ring.last(MAX_LAST_LINES, is_wanted).max(numbers.start);
        let mut text = String::new();
        let mut position = ring.find(begin);
        while let Some((entry, block)) = ring.at(position).filter(|(entry, _)| entry.seq < numbers.end) {
            if is_wanted(entry) {
                let bytes = skip_lines(block.bytes_of(position.entry), begin.saturating_sub(entry.seq));
                for line in bytes.strip_suffix(b"\n").unwrap_or(bytes).split(|byte| *byte == b'\n') {
                    text.push_str(&String::from_utf8_lossy(&line[..line.len().min(MAX_LAST_LINE)]));
                    text.push('\n');
                }
            }
            position = ring.after(position);
        }
        text
    }

    /// The number of followers.
    pub(super) fn followers(&self) -> usize {
        self.lock().followers.len()
    }

    /// The lines that a follower has not read yet, up to a batch and only before the number `until`. `None`: there
    /// are none; with `wait` it is woken when there are.
    pub(super) fn take(&self, follower: u64, until: u64, wait: bool) -> Option<Batch> {
        let mut state = self.lock();
        let State { instances, next, followers, .. } = &mut *state;
        let follower = followers.get_mut(&follower)?;
        let until = until.min(*next);
        let mut heads = BinaryHeap::new();
        for (source, instance) in &*instances {
            let begin = follower.begin(*source);
            if instance.ring.end() > begin && follower.filter.includes_source(*source, &instance.name) {
                let position = instance.ring.find(begin);
                if let Some((entry, _)) = instance.ring.at(position) {
                    heads.push(Reverse(Head { seq: entry.seq.max(begin), source: *source, position }));
                }
            }
        }
        let mut batch = Batch::new(mem::take(&mut follower.missed));
        follower.seen = loop {
            let Some(Reverse(head)) = heads.pop().filter(|Reverse(head)| head.seq < until) else {
                break until;
            };
            if batch.size() >= BATCH_SIZE {
                break head.seq;
            }
            let Some(instance) = instances.get(&head.source) else { continue };
            let Some((entry, block)) = instance.ring.at(head.position) else { continue };
            if follower.filter.includes_entry(head.source, entry) {
                let bytes = block.bytes_of(head.position.entry);
                batch.push(head.source, &instance.name, entry, skip_lines(bytes, head.seq - entry.seq));
            }
            let position = instance.ring.after(head.position);
            if let Some((entry, _)) = instance.ring.at(position) {
                heads.push(Reverse(Head { seq: entry.seq, source: head.source, position }));
            }
        };
        follower.from.retain(|_, from| *from > follower.seen);
        if batch.is_empty() {
            follower.waiting = wait;
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
    fn push(&mut self, source: LineSource, name: &str, group: LineGroup<'_>) {
        let mut kept = group;
        let limits = self.notify_followers(source, name, group.kind, group.subject, |limits| {
            kept = limits.tail(group);
            group.lines - kept.lines
        });
        if kept.lines > 0 {
            self.change(source, name, |ring, seq, spare, lost| {
                ring.push(kept, seq, limits, spare, lost);
                Some(kept.lines)
            });
        }
    }

    /// Wakes the followers of such lines, and counts lines that will not be kept as missed. Returns the limits for
    /// the lines.
    fn notify_followers(
        &mut self,
        source: LineSource,
        name: &str,
        kind: StreamKind,
        subject: Subject,
        skipped: impl FnOnce(Limits) -> usize,
    ) -> Limits {
        let mut limits = self.limits;
        let mut matching: Vec<&mut FollowerState> = Vec::new();
        for follower in self.followers.values_mut() {
            if follower.filter.includes_source(source, name)
                && follower.filter.includes_line(source, kind, subject)
            {
                matching.push(follower);
            }
        }
        if matching.iter().any(|follower| follower.missed == 0) {
            // A follower should see a whole burst. A follower that has missed lines learns that before the next
            // ones: to keep more for it would only cost the worker.
            limits.lines = usize::MAX;
        }
        let skipped = skipped(limits) as u64;
        for follower in matching {
            follower.missed += skipped;
            if mem::take(&mut follower.waiting) {
                follower.wake.notify_one();
            }
        }
        limits
    }

    /// Lets `add` append lines to a ring and return their number, and enforces the limit of all rings. False if
    /// nothing was added.
    fn change(
        &mut self,
        source: LineSource,
        name: &str,
        add: impl FnOnce(&mut Ring, u64, &mut Spare, &mut dyn FnMut(&Block)) -> Option<usize>,
    ) -> bool {
        let Self { limits, instances, cost, next, spare, followers, .. } = self;
        let instance = instances.entry(source).or_insert_with(|| InstanceHistory::new(name));
        let before = instance.ring.cost();
        let added = add(&mut instance.ring, *next, spare, &mut |block| {
            for follower in followers.values_mut() {
                follower.count_lost(source, name, block);
            }
        });
        *next += added.unwrap_or(0) as u64;
        *cost = *cost + instance.ring.cost() - before;
        while *cost > limits.bytes.saturating_mul(TOTAL_FACTOR) {
            let rings = instances.iter_mut().filter_map(|(key, it)| Some((it.ring.oldest()?, *key, it)));
            let Some((_, key, oldest)) = rings.min_by_key(|(seq, ..)| *seq) else { break };
            let InstanceHistory { name, ring, .. } = oldest;
            *cost -= ring.cost();
            ring.drop_oldest(spare, |block| {
                for follower in followers.values_mut() {
                    follower.count_lost(key, name, block);
                }
            });
            *cost += ring.cost();
        }
        added.is_some()
    }

    fn forget(&mut self, source: LineSource) {
        if let Some(InstanceHistory { name, mut ring, .. }) = self.instances.remove(&source) {
            self.cost -= ring.cost();
            while ring.oldest().is_some() {
                ring.drop_oldest(&mut self.spare, |block| {
                    for follower in self.followers.values_mut() {
                        follower.count_lost(source, &name, block);
                    }
                });
            }
        }
    }
}

impl InstanceHistory {
    fn new(name: &str) -> Self {
        Self { name: name.into(), ring: Ring::default(), removed: false }
    }
}

/// The next entry of an instance that a follower has not read.
#[derive(Debug)]
struct Head {
    seq: u64,
    source: LineSource,
    position: RingIndex,
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
fn skip_lines(bytes: &[u8], lines: u64) -> &[u8] {
    let nth = usize::try_from(lines).ok().and_then(|lines| lines.checked_sub(1));
    let begin = nth.and_then(|nth| memchr_iter(b'\n', bytes).nth(nth)).map_or(0, |at| at + 1);
    &bytes[begin..]
}
