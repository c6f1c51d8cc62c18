//! stdout and stderr of a worker or of procrun.

/// One of a worker's two streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamKind {
    /// stdout.
    Out,
    /// stderr.
    Err,
}

impl StreamKind {
    pub(super) const BOTH: [Self; 2] = [Self::Out, Self::Err];

    /// PM2's word in a JSON record.
    pub(super) fn json_type(self) -> &'static [u8] {
        match self {
            Self::Out => b"out",
            Self::Err => b"err",
        }
    }

    /// PM2's word under `--format`.
    pub(super) fn key_value_type(self) -> &'static [u8] {
        match self {
            Self::Out => b"out",
            Self::Err => b"error",
        }
    }
}

/// One value for each stream of a worker, or for stdout and stderr of procrun.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct PerStream<T> {
    pub(super) out: T,
    pub(super) err: T,
}

impl<T> PerStream<T> {
    pub(super) fn of(&self, kind: StreamKind) -> &T {
        match kind {
            StreamKind::Out => &self.out,
            StreamKind::Err => &self.err,
        }
    }

    pub(super) fn of_mut(&mut self, kind: StreamKind) -> &mut T {
        match kind {
            StreamKind::Out => &mut self.out,
            StreamKind::Err => &mut self.err,
        }
    }
}
