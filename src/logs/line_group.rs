//! Lines that were read at one time, on their way to the recent lines.

use std::{
    hash::{DefaultHasher, Hasher as _},
    num::NonZeroU32,
    ops::Range,
};

use super::{
    frame::{Edge, Piece},
    input::Input,
    stream_kind::StreamKind,
};

/// Lines of one stream that were read at one time. All are complete, or it is one piece of a line.
#[derive(Debug, Clone, Copy)]
pub(super) struct LineGroup<'a> {
    /// The lines with `\n` between them.
    pub(super) bytes: &'a [u8],
    pub(super) lines: usize,
    pub(super) kind: StreamKind,
    /// Milliseconds since 1970.
    pub(super) at: i64,
    /// What precedes it in its line.
    pub(super) begin: Edge,
    /// What follows it in its line.
    pub(super) end: Edge,
    /// The subject of procrun's own lines.
    pub(super) subject: Subject,
}

/// The application and the instance that one of procrun's own lines is about. The application is a hash of its
/// name: that keeps an entry small, and two names in four billion would share a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Subject {
    app: Option<NonZeroU32>,
    id: Option<NonZeroU32>,
}

impl Subject {
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

/// Complete lines of one stream in the memory that they were read to.
#[derive(Debug, Clone)]
pub(super) struct InputLines {
    /// Their range in the input, the last `\n` included.
    pub(super) whole: Range<usize>,
    pub(super) lines: usize,
    pub(super) kind: StreamKind,
    /// Milliseconds since 1970.
    pub(super) at: i64,
}

impl InputLines {
    /// The lines as a group in this input.
    pub(super) fn as_group<'a>(&self, input: &'a Input) -> LineGroup<'a> {
        let bytes = &input[self.whole.start..self.whole.end - 1];
        let (begin, end) = (Edge::Line, Edge::Line);
        let Self { lines, kind, at, .. } = *self;
        LineGroup { bytes, lines, kind, at, begin, end, subject: Subject::default() }
    }
}

/// Joins adjacent lines of one chunk, so that they are kept with one copy.
#[derive(Debug)]
pub(super) struct GroupBuilder<'a> {
    chunk: &'a [u8],
    kind: StreamKind,
    at: i64,
    from: usize,
    /// After the last line's `\n`.
    to: usize,
    lines: usize,
}

impl<'a> GroupBuilder<'a> {
    pub(super) fn new(chunk: &'a [u8], kind: StreamKind, at: i64) -> Self {
        Self { chunk, kind, at, from: 0, to: 0, lines: 0 }
    }

    /// Adds a line. Adjacent lines of the chunk become one group.
    #[inline]
    pub(super) fn add(&mut self, piece: Piece<'_>, mut keep: impl FnMut(LineGroup<'_>)) {
        let at = (piece.bytes.as_ptr() as usize).wrapping_sub(self.chunk.as_ptr() as usize);
        if piece.is_whole() && at < self.chunk.len() {
            if at != self.to || self.lines == 0 {
                self.finish(&mut keep);
                self.from = at;
            }
            self.to = at + piece.bytes.len() + 1;
            self.lines += 1;
        } else {
            self.finish(&mut keep);
            let Piece { bytes, begin, end } = piece;
            let Self { kind, at, .. } = *self;
            keep(LineGroup { bytes, lines: 1, kind, at, begin, end, subject: Subject::default() });
        }
    }

    /// Passes on the joined lines.
    pub(super) fn finish(&mut self, mut keep: impl FnMut(LineGroup<'_>)) {
        if self.lines > 0 {
            let bytes = &self.chunk[self.from..self.to - 1];
            let (begin, end) = (Edge::Line, Edge::Line);
            let Self { lines, kind, at, .. } = *self;
            keep(LineGroup { bytes, lines, kind, at, begin, end, subject: Subject::default() });
            self.lines = 0;
        }
    }
}
