//! Bytes from a pipe → lines, independent of the chunks in which the bytes arrive.
//!
//! A line ends in `\n`; everything else, a `\r` before it and bytes that are not UTF-8 included, belongs to the
//! line. A line longer than the limit is passed on in [`Piece`]s, so memory stays bounded even for a line of a
//! gigabyte. A line whose writer pauses (a prompt, a progress bar) is passed on in pieces, too. Pure; no byte is
//! dropped.

use std::ops::Range;

use memchr::{memchr, memrchr};
use serde::{Deserialize, Serialize};

/// A line longer than this many bytes is forwarded in pieces.
pub const MAX_LINE: usize = 256 * 1024;

/// The boundary before or after a piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Edge {
    /// The beginning or the end of the line.
    Line,
    /// More of the line, which is longer than the limit.
    Cut,
    /// More of the line, or nothing: its writer paused.
    Pause,
}

/// A line, or a part of one. `bytes` is without its `\n`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece<'a> {
    /// The written bytes.
    pub bytes: &'a [u8],
    /// The boundary before it.
    pub begin: Edge,
    /// The boundary after it.
    pub end: Edge,
}

impl<'a> Piece<'a> {
    /// A line in one piece.
    pub fn whole(bytes: &'a [u8]) -> Self {
        Self { bytes, begin: Edge::Line, end: Edge::Line }
    }

    /// Whether the line is in one piece.
    pub fn is_whole(&self) -> bool {
        self.begin == Edge::Line && self.end == Edge::Line
    }

    /// Whether nothing but the end of the line follows a pause.
    pub fn is_bare_end(&self) -> bool {
        self.begin == Edge::Pause && self.end == Edge::Line && matches!(self.bytes, b"" | b"\r")
    }
}

/// Splits one stream into lines. Holds memory only while a line is incomplete.
#[derive(Debug)]
pub struct Framer {
    limit: usize,
    /// The part of the line that was not passed on yet: at most `limit` bytes.
    partial: Vec<u8>,
    /// The boundary before the next piece: unless it is [`Edge::Line`], a piece of the present line was passed on
    /// already.
    begin: Edge,
}

impl Framer {
    /// A framer whose pieces have at most `limit` bytes (at least 4: the longest UTF-8 sequence).
    pub fn new(limit: usize) -> Self {
        debug_assert!(limit >= 4, "a piece must hold one UTF-8 sequence");
        Self { limit, partial: Vec::new(), begin: Edge::Line }
    }

    /// Takes the next bytes and passes on every line that they complete, in order. Where lines are cut depends on
    /// the bytes only, never on the chunks they arrive in.
    #[inline]
    pub fn feed(&mut self, chunk: &[u8], mut emit: impl FnMut(Piece<'_>)) {
        let mut rest = if self.partial.is_empty() { chunk } else { self.complete(chunk, &mut emit) };
        while !rest.is_empty() {
            let window = &rest[..rest.len().min(self.limit + 1)];
            if let Some(end) = memchr(b'\n', window) {
                emit(Piece { bytes: &rest[..end], begin: self.begin, end: Edge::Line });
                self.begin = Edge::Line;
                rest = &rest[end + 1..];
            } else if window.len() <= self.limit {
                self.keep(window);
                return;
            } else {
                let cut = cut_before(window);
                emit(Piece { bytes: &rest[..cut], begin: self.begin, end: Edge::Cut });
                self.begin = Edge::Cut;
                rest = &rest[cut..];
            }
        }
    }

    /// Continues the incomplete line; returns the part of `chunk` after its end.
    fn complete<'a>(&mut self, chunk: &'a [u8], emit: &mut impl FnMut(Piece<'_>)) -> &'a [u8] {
        let mut rest = chunk;
        loop {
            let room = self.limit + 1 - self.partial.len();
            let window = &rest[..rest.len().min(room)];
            let end = memchr(b'\n', window);
            self.keep(&window[..end.unwrap_or(window.len())]);
            if let Some(end) = end {
                emit(Piece { bytes: &self.partial, begin: self.begin, end: Edge::Line });
                self.begin = Edge::Line;
                self.partial = Vec::new();
                return &rest[end + 1..];
            }
            if window.len() < room {
                return &[];
            }
            let cut = cut_before(&self.partial);
            emit(Piece { bytes: &self.partial[..cut], begin: self.begin, end: Edge::Cut });
            self.begin = Edge::Cut;
            self.partial.drain(..cut);
            rest = &rest[room..];
        }
    }

    /// Appends to the incomplete line without ever growing much beyond the limit.
    fn keep(&mut self, bytes: &[u8]) {
        let needed = self.partial.len() + bytes.len();
        if needed > self.partial.capacity() {
            let roomy = (self.partial.capacity() * 2).clamp(needed, (self.limit + 1).max(needed));
            self.partial.reserve_exact(roomy - self.partial.len());
        }
        self.partial.extend_from_slice(bytes);
    }

    /// The writer pauses: passes on the incomplete line, except an incomplete UTF-8 sequence at its end. Its
    /// continuation is a piece of the same line.
    pub fn pause(&mut self, mut emit: impl FnMut(Piece<'_>)) {
        let cut = before_incomplete_sequence(&self.partial);
        if cut > 0 {
            emit(Piece { bytes: &self.partial[..cut], begin: self.begin, end: Edge::Pause });
            self.begin = Edge::Pause;
            self.partial = self.partial[cut..].to_vec();
        }
    }

    /// The writer has closed the stream: passes on the incomplete line, if there is one, as if it had ended.
    pub fn end(&mut self, mut emit: impl FnMut(Piece<'_>)) {
        if !self.partial.is_empty() || self.begin == Edge::Pause {
            emit(Piece { bytes: &self.partial, begin: self.begin, end: Edge::Line });
            self.partial = Vec::new();
        }
        self.begin = Edge::Line;
    }

    /// The place in `chunk`, which is fed next, of the adjacent lines that begin and end in it. `None` if there is
    /// none, or if a piece of a line may be among them.
    pub fn whole_lines(&self, chunk: &[u8]) -> Option<Range<usize>> {
        let first = memchr(b'\n', chunk)?;
        if self.begin != Edge::Line || chunk.len() > self.limit || self.partial.len() + first > self.limit {
            return None;
        }
        let begin = if self.partial.is_empty() { 0 } else { first + 1 };
        let end = memrchr(b'\n', chunk)? + 1;
        (begin < end).then_some(begin..end)
    }

    /// Whether bytes of an incomplete line are held.
    pub fn is_partial(&self) -> bool {
        !self.partial.is_empty()
    }
}

/// Where to cut a line that is one byte longer than the limit: at the limit, or up to three bytes
/// before it so that no UTF-8 sequence is torn.
fn cut_before(line: &[u8]) -> usize {
    let limit = line.len() - 1;
    let is_continuation = |at: usize| line[at] & 0b1100_0000 == 0b1000_0000;
    if !is_continuation(limit) {
        return limit;
    }
    match before_incomplete_sequence(&line[..limit]) {
        0 => limit,
        cut => cut,
    }
}

/// The length without an incomplete UTF-8 sequence at the end.
fn before_incomplete_sequence(bytes: &[u8]) -> usize {
    let end = bytes.len();
    let is_continuation = |at: usize| bytes[at] & 0b1100_0000 == 0b1000_0000;
    let Some(lead) = (end.saturating_sub(3)..end).rev().find(|&at| !is_continuation(at)) else {
        return end;
    };
    let sequence = match bytes[lead] {
        0xC2..=0xDF => 2,
        0xE0..=0xEF => 3,
        0xF0..=0xF4 => 4,
        _ => 1,
    };
    if lead + sequence > end { lead } else { end }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Edge, Framer, Piece};

    type Owned = (Vec<u8>, Edge, Edge);

    fn owned(piece: Piece<'_>) -> Owned {
        (piece.bytes.to_vec(), piece.begin, piece.end)
    }

    /// The joined pieces.
    fn joined(pieces: &[Owned]) -> Vec<u8> {
        let mut joined = Vec::new();
        let mut before = Edge::Line;
        for (bytes, begin, end) in pieces {
            assert!(!bytes.contains(&b'\n'));
            assert_eq!(*begin, before, "the edge after a piece is the edge before the next one");
            before = *end;
            joined.extend_from_slice(bytes);
            if *end == Edge::Line {
                joined.push(b'\n');
            }
        }
        assert_eq!(before, Edge::Line, "the last piece ends its line");
        joined
    }

    /// The input with an end of its last line.
    fn ended(input: &[u8]) -> Vec<u8> {
        let mut ended = input.to_vec();
        if !matches!(input.last(), None | Some(b'\n')) {
            ended.push(b'\n');
        }
        ended
    }

    fn frame(limit: usize, chunks: &[&[u8]]) -> Vec<Owned> {
        let mut framer = Framer::new(limit);
        let mut lines = Vec::new();
        for chunk in chunks {
            framer.feed(chunk, |piece| lines.push(owned(piece)));
        }
        framer.end(|piece| lines.push(owned(piece)));
        lines
    }

    /// Bytes in which newlines and the parts of UTF-8 sequences are frequent.
    fn bytes() -> impl Strategy<Value = Vec<u8>> {
        let byte = prop_oneof![
            4 => prop::sample::select(b"\n\r a\x00".to_vec()),
            2 => prop::sample::select("é€😀".as_bytes().to_vec()),
            1 => any::<u8>(),
        ];
        prop_oneof![
            prop::collection::vec(byte, 0..200),
            prop::collection::vec(prop::sample::select(vec!["a", "é", "€", "😀", "\n"]), 0..80)
                .prop_map(|parts| parts.concat().into_bytes()),
        ]
    }

    proptest! {
        #[test]
        fn lines_do_not_depend_on_the_chunks(
            input in bytes(), limit in 4usize..20, mut cuts in prop::collection::vec(0usize..200, 0..20),
        ) {
            cuts.retain(|cut| *cut <= input.len());
            cuts.push(0);
            cuts.push(input.len());
            cuts.sort_unstable();
            let chunks: Vec<&[u8]> = cuts.windows(2).map(|pair| &input[pair[0]..pair[1]]).collect();
            prop_assert_eq!(frame(limit, &chunks), frame(limit, &[&input]));
        }

        #[test]
        fn the_pieces_joined_are_the_input(input in bytes(), limit in 4usize..20) {
            let pieces = frame(limit, &[&input]);
            prop_assert!(pieces.iter().all(|(bytes, ..)| bytes.len() <= limit));
            prop_assert_eq!(joined(&pieces), ended(&input));
        }

        #[test]
        fn pauses_lose_nothing_and_tear_no_character(
            chunks in prop::collection::vec((bytes(), any::<bool>()), 0..8), limit in 4usize..20,
        ) {
            let mut framer = Framer::new(limit);
            let mut pieces = Vec::new();
            for (chunk, pauses) in &chunks {
                framer.feed(chunk, |piece| pieces.push(owned(piece)));
                if *pauses {
                    let held = framer.partial.len();
                    framer.pause(|piece| pieces.push(owned(piece)));
                    let is_torn = framer.is_partial();
                    prop_assert!(!is_torn || framer.partial.len() < 4, "{held} bytes are held back");
                    framer.pause(|_| panic!("a second pause has nothing to show"));
                }
            }
            framer.end(|piece| pieces.push(owned(piece)));
            let input: Vec<u8> = chunks.iter().flat_map(|(chunk, _)| chunk.clone()).collect();
            prop_assert_eq!(joined(&pieces), ended(&input));
            if std::str::from_utf8(&input).is_ok() {
                prop_assert!(pieces.iter().all(|(bytes, ..)| std::str::from_utf8(bytes).is_ok()));
            }
        }

        #[test]
        fn whole_lines_are_those_that_come_out_of_the_chunk_itself(
            before in bytes(), chunk in bytes(), limit in 4usize..200,
        ) {
            let mut framer = Framer::new(limit);
            framer.feed(&before, |_| ());
            let whole = framer.whole_lines(&chunk);
            let skip = usize::from(framer.is_partial());
            let mut pieces = Vec::new();
            framer.feed(&chunk, |piece| pieces.push(owned(piece)));
            if let Some(whole) = whole {
                prop_assert!(pieces.iter().all(|(_, begin, end)| (*begin, *end) == (Edge::Line, Edge::Line)));
                let lines = chunk[whole].strip_suffix(b"\n").unwrap().split(|byte| *byte == b'\n');
                let expected: Vec<&[u8]> = pieces[skip..].iter().map(|(bytes, ..)| &bytes[..]).collect();
                prop_assert_eq!(lines.collect::<Vec<_>>(), expected);
            }
        }

        #[test]
        fn a_cut_never_tears_a_character(text in "[aé€😀\n]{0,80}", limit in 4usize..20) {
            for (bytes, _, _) in frame(limit, &[text.as_bytes()]) {
                prop_assert!(std::str::from_utf8(&bytes).is_ok());
            }
        }
    }

    #[test]
    fn a_line_of_exactly_the_limit_is_whole() {
        assert_eq!(frame(4, &[b"abcd\n"]), [(b"abcd".to_vec(), Edge::Line, Edge::Line)]);
        assert_eq!(
            frame(4, &[b"abcde\n"]),
            [(b"abcd".to_vec(), Edge::Line, Edge::Cut), (b"e".to_vec(), Edge::Cut, Edge::Line)]
        );
    }

    #[test]
    fn a_line_continues_after_a_pause_and_its_bare_end_is_detected() {
        let mut framer = Framer::new(100);
        let mut pieces = Vec::new();
        framer.feed(b"whole\nName: ", |piece| pieces.push(owned(piece)));
        framer.pause(|piece| pieces.push(owned(piece)));
        framer.feed(b"yes\nSure? ", |piece| pieces.push(owned(piece)));
        framer.pause(|piece| pieces.push(owned(piece)));
        let mut bare_ends = 0;
        framer.feed(b"\n\n", |piece| {
            bare_ends += usize::from(piece.is_bare_end());
            pieces.push(owned(piece));
        });
        framer.pause(|_| panic!("there is nothing to show"));
        framer.end(|_| panic!("nothing has begun"));
        let piece = |bytes: &[u8], begin, end| (bytes.to_vec(), begin, end);
        assert_eq!(
            pieces,
            [
                piece(b"whole", Edge::Line, Edge::Line),
                piece(b"Name: ", Edge::Line, Edge::Pause),
                piece(b"yes", Edge::Pause, Edge::Line),
                piece(b"Sure? ", Edge::Line, Edge::Pause),
                piece(b"", Edge::Pause, Edge::Line),
                piece(b"", Edge::Line, Edge::Line),
            ]
        );
        assert_eq!(bare_ends, 1, "an empty line is none");
    }

    #[test]
    fn memory_is_held_only_for_an_incomplete_line_and_is_bounded() {
        let mut framer = Framer::new(1000);
        for _ in 0..100 {
            framer.feed(&[b'x'; 333], |_| ());
            assert!(framer.partial.capacity() <= 1001, "{}", framer.partial.capacity());
        }
        assert!(framer.is_partial());
        framer.feed(b"\n", |_| ());
        assert!(!framer.is_partial());
        assert_eq!(framer.partial.capacity(), 0);
    }
}
