//! procrun's stdout and stderr, behind one shared buffer.
//!
//! Writes wait until the stream accepts data: this back-pressure slows the workers when the reader stops. While
//! stdout is blocked, procrun's own lines still go to stderr, ahead of worker lines that wait for stdout. Only then
//! the order of lines on stderr differs from the order in which they arrived. While stderr is blocked, no line
//! overtakes: stdout waits too. A reader that has closed the stream is reported once, and its lines
//! are dropped from then on. procrun never switches to the other stream within a line.

use std::{io, os::fd::OwnedFd, sync::Arc};

use super::{
    files::ConsoleIdentities,
    mailbox::Mailbox,
    output::{ConsoleStream, Progress},
    own_line::{OwnLine, Reports},
    own_log_writer::OwnLogWriter,
    put::Put,
    stream_kind::{PerStream, StreamKind},
};
use crate::{spec::RuntimeLog, sys::pages::Pages};

const BUFFER: usize = 256 * 1024;
/// Approximate bytes of a line besides its text: prefix, time, marks.
const LINE_OVERHEAD: usize = 256;

#[derive(Debug)]
pub(super) struct Console {
    buffer: Pages,
    len: usize,
    /// Maximum number of buffered bytes since the last [`Console::take_peak`].
    peak: usize,
    /// The stream that the buffered bytes are for.
    target: StreamKind,
    streams: PerStream<ConsoleStream>,
    own_writer: OwnLogWriter,
    /// Whether own lines may overtake: stderr and stdout are different files, so no line can be torn.
    may_overtake: bool,
    reports: Reports,
    progress: Progress,
}

impl Console {
    pub(super) fn new(
        log: &RuntimeLog,
        out: OwnedFd,
        err: OwnedFd,
        mailbox: Arc<Mailbox>,
    ) -> io::Result<Self> {
        let streams =
            PerStream { out: ConsoleStream::new(out, "stdout"), err: ConsoleStream::new(err, "stderr") };
        Ok(Self {
            buffer: Pages::new(BUFFER)?,
            len: 0,
            peak: 0,
            target: StreamKind::Out,
            may_overtake: !streams.out.may_mix_with(&streams.err),
            streams,
            progress: Progress::new(mailbox.progress.clone()),
            own_writer: OwnLogWriter::new(log, mailbox),
            reports: Reports::default(),
        })
    }

    /// Whether lines on this stream may have colours.
    pub(super) fn coloured(&self, kind: StreamKind) -> bool {
        self.streams.of(kind).coloured
    }

    /// Device and inode of both streams: a log file may be one of them.
    pub(super) fn identities(&self) -> ConsoleIdentities {
        [self.streams.out.identity(), self.streams.err.identity()]
    }

    /// Pads the labels of own lines to this width from now on.
    pub(super) fn widen(&mut self, width: usize) {
        self.own_writer.width = width;
    }

    /// Begins a line of about `len` bytes for this stream.
    #[inline]
    pub(super) fn begin(&mut self, kind: StreamKind, len: usize) {
        if self.target != kind || self.len + len > self.buffer.len() {
            self.write();
            self.target = kind;
            if kind == StreamKind::Err {
                self.put_pending();
            }
        }
    }

    /// Appends one of procrun's own lines.
    pub(super) fn own(&mut self, line: &OwnLine) {
        // It counts as pending while earlier lines are written: a blocked stdout does not hold it up.
        self.own_writer.append(line, self.streams.err.coloured);
        self.begin(StreamKind::Err, line.message.len() + LINE_OVERHEAD);
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
            // Own lines that stderr did not accept while stdout was blocked.
            self.begin(StreamKind::Err, 0);
            self.write();
        }
    }

    fn write(&mut self) {
        if self.len == 0 {
            return;
        }
        let Self { own_writer, reports, progress, streams: PerStream { out, err }, .. } = self;
        let bytes = &self.buffer[..self.len];
        match self.target {
            StreamKind::Out if self.may_overtake => {
                out.write(bytes, reports, progress, |fd, reports| {
                    own_writer.wait(fd, err, reports, progress);
                });
            }
            StreamKind::Out => out.write(bytes, reports, progress, |fd, _| own_writer.wait_in_order(fd)),
            StreamKind::Err => err.write(bytes, reports, progress, |fd, _| own_writer.wait_in_order(fd)),
        }
        self.peak = self.peak.max(self.len);
        self.len = 0;
    }

    /// Discards the buffer, which may hold half of a line.
    pub(super) fn drop_buffered(&mut self) {
        self.len = 0;
    }

    /// Adds unreported losses to the next reports, and retries a stream that refused.
    pub(super) fn report_losses(&mut self) {
        for kind in StreamKind::BOTH {
            self.streams.of_mut(kind).report_losses(&mut self.reports);
        }
    }

    /// Failures since the last call.
    pub(super) fn take_reports(&mut self) -> Reports {
        std::mem::take(&mut self.reports)
    }

    /// The maximum number of buffered bytes since the last call.
    pub(super) fn take_peak(&mut self) -> usize {
        std::mem::take(&mut self.peak)
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
            let free = &mut self.buffer[self.len..];
            if let Some(free) = free.get_mut(..rest.len()) {
                free.copy_from_slice(rest);
                self.len += rest.len();
                return;
            }
            // A line that is longer than the buffer.
            let (now, later) = rest.split_at(free.len());
            free.copy_from_slice(now);
            self.len += now.len();
            self.write();
            rest = later;
        }
    }
}
