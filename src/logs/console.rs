//! procrun's stdout and stderr, behind one shared buffer.
//!
//! Writes wait until the stream accepts data: this back-pressure slows the workers when the reader stops. While
//! stdout is blocked, procrun's own lines still go to stderr, ahead of worker lines that wait behind stdout. Only
//! then does the order of lines on stderr differ from the order in which they were handed over. Behind a blocked
//! stderr nothing overtakes: stdout waits too. A reader that has closed the stream is reported once, and its lines
//! are dropped from then on. procrun never switches to the other stream within a line.

use std::{
    io,
    os::fd::OwnedFd,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use super::{
    files::OwnStreams,
    format::{Kind, PerKind, Put},
    mailbox::Mailbox,
    output::End,
    own_lines::{OwnLine, Reports},
    own_log_writer::OwnLogWriter,
};
use crate::{spec::RuntimeLog, sys::pages::Pages};

const BUFFER: usize = 256 * 1024;
/// Approximate bytes of a line besides its text: prefix, time, marks.
const LINE_OVERHEAD: usize = 256;

#[derive(Debug)]
pub(super) struct Console {
    buffer: Pages,
    len: usize,
    /// Maximum number of buffered bytes since the last [`Console::take_most`].
    most: usize,
    /// The stream that the buffered bytes are for.
    target: Kind,
    ends: PerKind<End>,
    own_writer: OwnLogWriter,
    /// Whether own lines may overtake: stderr leads to another place than stdout, so no line can be torn.
    apart: bool,
    reports: Reports,
    progress: Progress,
}

/// Counts written bytes, so that a shutdown can see whether a slow reader still reads.
#[derive(Debug)]
pub(super) struct Progress(Arc<AtomicU64>);

impl Progress {
    pub(super) fn add(&self, count: usize) {
        self.0.fetch_add(count as u64, Ordering::Relaxed);
    }
}

impl Console {
    pub(super) fn new(
        log: &RuntimeLog,
        out: OwnedFd,
        err: OwnedFd,
        mailbox: Arc<Mailbox>,
    ) -> io::Result<Self> {
        let ends = PerKind { out: End::new(out, "stdout"), err: End::new(err, "stderr") };
        Ok(Self {
            buffer: Pages::new(BUFFER)?,
            len: 0,
            most: 0,
            target: Kind::Out,
            apart: !ends.out.may_mix_with(&ends.err),
            ends,
            progress: Progress(mailbox.progress.clone()),
            own_writer: OwnLogWriter::new(log, mailbox),
            reports: Reports::default(),
        })
    }

    /// Whether lines on this stream may have colours.
    pub(super) fn coloured(&self, kind: Kind) -> bool {
        self.ends.of(kind).coloured
    }

    /// Device and inode of both streams: a log file may be one of them.
    pub(super) fn streams(&self) -> OwnStreams {
        [self.ends.out.identity(), self.ends.err.identity()]
    }

    /// Pads the labels of own lines to this width from now on.
    pub(super) fn widen(&mut self, width: usize) {
        self.own_writer.width = width;
    }

    /// Begins a line of about `len` bytes for this stream.
    #[inline]
    pub(super) fn begin(&mut self, kind: Kind, len: usize) {
        if self.target != kind || self.len + len > self.buffer.len() {
            self.write();
            self.target = kind;
            if kind == Kind::Err {
                self.put_pending();
            }
        }
    }

    /// Appends one of procrun's own lines.
    pub(super) fn own(&mut self, line: &OwnLine) {
        // It counts as pending while earlier lines are written: a blocked stdout does not hold it up.
        self.own_writer.say(line, self.ends.err.coloured);
        self.begin(Kind::Err, line.message.len() + LINE_OVERHEAD);
        self.put_pending();
    }

    fn put_pending(&mut self) {
        let pending = std::mem::take(&mut self.own_writer.pending);
        self.put(&pending);
    }

    /// Writes the buffer.
    pub(super) fn flush(&mut self) {
        self.write();
        if !self.own_writer.pending.is_empty() {
            // What stderr did not accept while stdout was blocked.
            self.begin(Kind::Err, 0);
            self.write();
        }
    }

    fn write(&mut self) {
        if self.len == 0 {
            return;
        }
        let Self { own_writer, reports, progress, ends: PerKind { out, err }, .. } = self;
        let bytes = &self.buffer[..self.len];
        match self.target {
            Kind::Out if self.apart => {
                out.write(bytes, reports, progress, |fd, reports| {
                    own_writer.wait(fd, err, reports, progress);
                });
            }
            Kind::Out => out.write(bytes, reports, progress, |fd, _| own_writer.wait_in_order(fd)),
            Kind::Err => err.write(bytes, reports, progress, |fd, _| own_writer.wait_in_order(fd)),
        }
        self.most = self.most.max(self.len);
        self.len = 0;
    }

    /// Discards the buffer, which may hold half of a line.
    pub(super) fn drop_buffered(&mut self) {
        self.len = 0;
    }

    /// Adds unreported losses to the next reports, and retries a stream that refused.
    pub(super) fn report_losses(&mut self) {
        for kind in Kind::BOTH {
            self.ends.of_mut(kind).report_losses(&mut self.reports);
        }
    }

    /// Failures since the last call.
    pub(super) fn take_reports(&mut self) -> Reports {
        std::mem::take(&mut self.reports)
    }

    /// The maximum number of buffered bytes since the last call.
    pub(super) fn take_most(&mut self) -> usize {
        std::mem::take(&mut self.most)
    }

    /// Frees the buffer until the next line.
    pub(super) fn release(&mut self) {
        self.buffer.release();
    }
}

impl Put for Console {
    #[inline]
    fn put(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        loop {
            let room = &mut self.buffer[self.len..];
            if let Some(room) = room.get_mut(..rest.len()) {
                room.copy_from_slice(rest);
                self.len += rest.len();
                return;
            }
            // A line that is longer than the buffer.
            let (now, later) = rest.split_at(room.len());
            room.copy_from_slice(now);
            self.len += now.len();
            self.write();
            rest = later;
        }
    }
}
