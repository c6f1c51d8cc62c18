//! Bytes from a pipe → lines, whatever the pieces they arrive in.
//!
//! A line ends in `\n`; everything else, a `\r` before it and bytes that are no UTF-8 included,
//! belongs to the line. A line longer than the limit leaves in [`Piece`]s, so memory stays bounded
//! also for a line of a gigabyte. Never reads, never formats, never drops a byte.

use std::ops::Range;

use memchr::{memchr, memrchr};

/// A line longer than this many bytes is forwarded in pieces.
pub const MAX_LINE: usize = 256 * 1024;

/// A line, or a part of one that is longer than the limit. `bytes` is without its `\n`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece<'a> {
    /// What was written.
    pub bytes: &'a [u8],
    /// The line begins with this piece.
    pub first: bool,
    /// The line ends with this piece.
    pub last: bool,
}

/// Cuts one stream into lines. Holds memory only while a line is incomplete.
#[derive(Debug)]
pub struct Framer {
    limit: usize,
    /// What has come of the line so far and has not left: at most `limit` bytes.
    partial: Vec<u8>,
    /// A piece of the present line has left already.
    continued: bool,
}

impl Framer {
    /// A framer whose pieces have at most `limit` bytes (at least 4: the longest UTF-8 sequence).
    pub fn new(limit: usize) -> Self {
        debug_assert!(limit >= 4, "a piece must hold one UTF-8 sequence");
        Self { limit, partial: Vec::new(), continued: false }
    }

    /// Takes the next bytes and hands out every line that they complete, in order.
    /// Where lines are cut depends on the bytes only, never on the chunks they came in.
    #[inline]
    pub fn feed(&mut self, chunk: &[u8], mut emit: impl FnMut(Piece<'_>)) {
        let mut rest = if self.partial.is_empty() { chunk } else { self.complete(chunk, &mut emit) };
        while !rest.is_empty() {
            let window = &rest[..rest.len().min(self.limit + 1)];
            if let Some(end) = memchr(b'\n', window) {
                emit(Piece { bytes: &rest[..end], first: !self.continued, last: true });
                self.continued = false;
                rest = &rest[end + 1..];
            } else if window.len() <= self.limit {
                self.keep(window);
                return;
            } else {
                let cut = cut_before(window);
                emit(Piece { bytes: &rest[..cut], first: !self.continued, last: false });
                self.continued = true;
                rest = &rest[cut..];
            }
        }
    }

    /// Goes on with the incomplete line; returns what of `chunk` comes after its end.
    fn complete<'a>(&mut self, chunk: &'a [u8], emit: &mut impl FnMut(Piece<'_>)) -> &'a [u8] {
        let mut rest = chunk;
        loop {
            let room = self.limit + 1 - self.partial.len();
            let window = &rest[..rest.len().min(room)];
            let end = memchr(b'\n', window);
            self.keep(&window[..end.unwrap_or(window.len())]);
            if let Some(end) = end {
                emit(Piece { bytes: &self.partial, first: !self.continued, last: true });
                self.continued = false;
                self.partial = Vec::new();
                return &rest[end + 1..];
            }
            if window.len() < room {
                return &[];
            }
            let cut = cut_before(&self.partial);
            emit(Piece { bytes: &self.partial[..cut], first: !self.continued, last: false });
            self.continued = true;
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

    /// The writer is gone: hands out the incomplete line, if there is one, as if it had ended.
    pub fn end(&mut self, mut emit: impl FnMut(Piece<'_>)) {
        if !self.partial.is_empty() {
            emit(Piece { bytes: &self.partial, first: !self.continued, last: true });
            self.partial = Vec::new();
        }
        self.continued = false;
    }

    /// Where in `chunk`, fed next, the lines stand that have both their beginning and their end there,
    /// one behind the other. `None` if there is none, or if a piece of a line may be among them.
    pub fn whole_lines(&self, chunk: &[u8]) -> Option<Range<usize>> {
        let first = memchr(b'\n', chunk)?;
        if self.continued || chunk.len() > self.limit || self.partial.len() + first > self.limit {
            return None;
        }
        let begin = if self.partial.is_empty() { 0 } else { first + 1 };
        let end = memrchr(b'\n', chunk)? + 1;
        (begin < end).then_some(begin..end)
    }

    /// A line has begun and not ended.
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
    let Some(lead) = (limit.saturating_sub(3)..limit).rev().find(|&at| !is_continuation(at)) else {
        return limit;
    };
    let sequence = match line[lead] {
        0xC2..=0xDF => 2,
        0xE0..=0xEF => 3,
        0xF0..=0xF4 => 4,
        _ => 1,
    };
    if lead > 0 && lead + sequence > limit { lead } else { limit }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Framer, Piece};

    type Owned = (Vec<u8>, bool, bool);

    fn owned(piece: Piece<'_>) -> Owned {
        (piece.bytes.to_vec(), piece.first, piece.last)
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
            let mut joined = Vec::new();
            let mut within = false;
            for (bytes, first, last) in &pieces {
                prop_assert!(bytes.len() <= limit);
                prop_assert!(!bytes.contains(&b'\n'));
                prop_assert_eq!(*first, !within);
                within = !last;
                joined.extend_from_slice(bytes);
                if *last { joined.push(b'\n'); }
            }
            prop_assert!(!within, "the last piece ends its line");
            let mut expected = input.clone();
            if !matches!(input.last(), None | Some(b'\n')) { expected.push(b'\n'); }
            prop_assert_eq!(joined, expected);
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
                prop_assert!(pieces.iter().all(|(_, first, last)| *first && *last));
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
        assert_eq!(frame(4, &[b"abcd\n"]), [(b"abcd".to_vec(), true, true)]);
        assert_eq!(frame(4, &[b"abcde\n"]), [(b"abcd".to_vec(), true, false), (b"e".to_vec(), false, true)]);
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
