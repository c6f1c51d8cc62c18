//! The recent lines of one instance, oldest first, in blocks of bytes.
//!
//! A block is filled, then the next one is begun; whole blocks are dropped when there is too much. So a line
//! costs its bytes and a share of an entry, and nothing is moved. A ring never exceeds its limits and knows no
//! other instance.

use std::{collections::VecDeque, mem};

use memchr::{memchr, memchr_iter};

use super::{
    block::{BLOCK_LINES, BLOCK_OVERHEAD, Block, Entry, Limits, Spare},
    input::Input,
    line_group::{InputLines, LineGroup},
};

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
        read: &InputLines,
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
        let block = Block::in_place(mem::replace(input, other), read, seq);
        self.cost += block.cost();
        self.lines += block.lines();
        self.blocks.push_back(block);
        true
    }

    /// Appends a group; its first line has the number `seq`. Lines that are dropped for it are passed to `lost`; the
    /// memory of dropped blocks is kept in `spare` for the next one.
    pub(super) fn push(
        &mut self,
        group: LineGroup<'_>,
        mut seq: u64,
        limits: Limits,
        spare: &mut Spare,
        mut lost: impl FnMut(&Block),
    ) {
        let (mut rest, mut left) = (group.bytes, group.lines);
        while left > 0 {
            let (len, lines) = self.fitting(rest, left, limits).unwrap_or_else(|| {
                let first = memchr(b'\n', rest).unwrap_or(rest.len());
                self.begin_block(first, limits, spare, &mut lost);
                // A line that is longer than a block gets one of its own.
                self.fitting(rest, left, limits).unwrap_or((first, 1))
            });
            let part = LineGroup { bytes: &rest[..len], lines, ..group };
            if let Some(block) = self.blocks.back_mut() {
                let before = block.cost();
                block.append(&part, seq, limits.block_size());
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
        let room = limits.block_size().saturating_sub(block.copied()?);
        let lines = BLOCK_LINES.saturating_sub(block.lines());
        if rest.len() < room && left <= lines {
            return Some((rest.len(), left));
        }
        let window = &rest[..rest.len().min(room)];
        memchr_iter(b'\n', window).zip(1..=lines).last()
    }

    /// Begins a block for a line of `first` bytes.
    fn begin_block(
        &mut self,
        first: usize,
        limits: Limits,
        spare: &mut Spare,
        lost: &mut impl FnMut(&Block),
    ) {
        self.make_room(BLOCK_OVERHEAD + limits.block_size().max(first + 1), 1, limits, spare, lost);
        let block = spare.block();
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
            && (self.cost + room > limits.bytes || self.lines - front.lines() + lines >= limits.lines)
        {
            self.drop_oldest(spare, |block| lost(block));
        }
    }

    /// Drops the oldest block.
    pub(super) fn drop_oldest(&mut self, spare: &mut Spare, lost: impl FnOnce(&Block)) {
        if let Some(block) = self.blocks.pop_front() {
            lost(&block);
            self.cost -= block.cost();
            self.lines -= block.lines();
            spare.recycle(block);
        }
    }

    /// The ring's size in memory, in bytes.
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
        for entry in self.blocks.iter().rev().flat_map(|block| block.entries().iter().rev()) {
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

    /// The position of the first entry with a line of the number `seq` or a later one.
    pub(super) fn find(&self, seq: u64) -> RingIndex {
        let block = self.blocks.partition_point(|block| block.end() <= seq);
        let entry = self
            .blocks
            .get(block)
            .map_or(0, |block| block.entries().partition_point(|entry| entry.end() <= seq));
        RingIndex { block, entry }
    }

    /// The entry at a position, and its block.
    pub(super) fn at(&self, position: RingIndex) -> Option<(&Entry, &Block)> {
        let block = self.blocks.get(position.block)?;
        Some((block.entries().get(position.entry)?, block))
    }

    /// The position after this one.
    pub(super) fn after(&self, position: RingIndex) -> RingIndex {
        let next = RingIndex { entry: position.entry + 1, ..position };
        if self.at(next).is_some() { next } else { RingIndex { block: position.block + 1, entry: 0 } }
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

    use super::{BLOCK_OVERHEAD, Block, Input, InputLines, Limits, LineGroup, Ring, RingIndex, Spare};
    use crate::logs::{frame::Edge, line_group::Subject, stream_kind::StreamKind};

    fn group(bytes: &[u8], lines: usize) -> LineGroup<'_> {
        LineGroup {
            bytes,
            lines,
            kind: StreamKind::Out,
            at: 0,
            begin: Edge::Line,
            end: Edge::Line,
            subject: Subject::default(),
        }
    }

    fn lines(ring: &Ring) -> Vec<(u64, Vec<u8>)> {
        let mut found = Vec::new();
        let mut position = RingIndex { block: 0, entry: 0 };
        while let Some((entry, block)) = ring.at(position) {
            let bytes = block.bytes_of(position.entry);
            let bytes = bytes.strip_suffix(b"\n").unwrap();
            for (seq, line) in (entry.seq..).zip(bytes.split(|byte| *byte == b'\n')) {
                found.push((seq, line.to_vec()));
            }
            position = ring.after(position);
        }
        found
    }

    proptest! {
        #[test]
        fn a_ring_holds_the_last_lines_within_its_limits(
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
                let count = Block::lines;
                let read = InputLines { whole: 3..joined.len() + 4, lines: texts.len(), kind: StreamKind::Out, at: 0 };
                let fits = in_place && read.whole.end <= input.len();
                if fits {
                    input.room()[read.whole.clone()].copy_from_slice(&[&joined[..], b"\n"].concat());
                    input.touch(read.whole.end);
                }
                if !fits
                    || !ring.push_read(&mut input, &read, seq, limits, &mut spare, |block| lost += count(block))
                {
                    ring.push(group(&joined, texts.len()), seq, limits, &mut spare, |block| lost += count(block));
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
        fn the_tail_of_a_group_is_its_last_lines(
            lengths in prop::collection::vec(0usize..30, 1..60), lines in 0usize..70, bytes in 1usize..900,
        ) {
            let texts: Vec<Vec<u8>> = lengths.iter().map(|length| vec![b'x'; *length]).collect();
            let joined = texts.join(&b'\n');
            let tail =
                Limits { lines, bytes: bytes + BLOCK_OVERHEAD + 1 }.tail(group(&joined, texts.len()));
            prop_assert!(tail.lines <= lines && tail.bytes.len() <= bytes);
            let expected = texts[texts.len() - tail.lines..].join(&b'\n');
            prop_assert_eq!(tail.bytes, &expected[..]);
            let one_more = texts[texts.len() - (tail.lines + 1).min(texts.len())..].join(&b'\n');
            let all = tail.lines == texts.len();
            prop_assert!(all || tail.lines == lines || one_more.len() > bytes);
        }
    }

    #[test]
    fn the_subject_of_an_own_line_is_an_app_or_an_instance() {
        let subject = Subject::new(Some("api"), Some(0));
        assert!(subject.is_app("api") && !subject.is_app("web"));
        assert!(subject.is_instance(0) && !subject.is_instance(1));
        let none = Subject::default();
        assert!(!none.is_app("") && !none.is_instance(0) && !none.is_instance(u32::MAX));
        assert_eq!(size_of::<Subject>(), 8, "each entry has one");
    }

    #[test]
    fn one_line_costs_less_than_a_kibibyte() {
        let mut ring = Ring::default();
        assert_eq!(ring.cost(), 0);
        ring.push(
            group(b"listening on port 3000", 1),
            0,
            Limits { lines: 1000, bytes: 1 << 20 },
            &mut Spare::default(),
            |_| (),
        );
        assert!(ring.cost() < 1024, "{}", ring.cost());
    }
}
