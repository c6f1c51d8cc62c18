//! procrun's stdout and stderr, behind one shared buffer.
//!
//! Writes wait for room: this is the back-pressure that slows the workers when the reader stops. While stdout
//! has no room, procrun's own lines still go to stderr, ahead of worker lines that wait behind stdout. Only
//! then does the order of lines on stderr differ from the order in which they were handed over. Behind a
//! blocked stderr nothing overtakes: stdout waits too. A reader that is gone for good is reported once, and its
//! lines are dropped from then on. A stream is never left within a line to write to the other.

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
/// The approximate size of what surrounds the text of a line.
const AROUND: usize = 256;

#[derive(Debug)]
pub(super) struct Console {
    buffer: Pages,
    len: usize,
    /// The most that was buffered since the last question for it.
    most: usize,
    /// Where the buffered bytes go.
    target: Kind,
    ends: PerKind<End>,
    voice: OwnLogWriter,
    /// Own lines may overtake: stderr is not the place where stdout may be within a line.
    apart: bool,
    reports: Reports,
    progress: Progress,
}

/// Bytes that were written, for a waiter for the last ones.
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
            voice: OwnLogWriter::new(log, mailbox),
            reports: Reports::default(),
        })
    }

    /// Lines on this stream may have colours.
    pub(super) fn coloured(&self, kind: Kind) -> bool {
        self.ends.of(kind).coloured
    }

    /// The streams themselves: a log file may be one of them.
    pub(super) fn streams(&self) -> OwnStreams {
        [self.ends.out.identity(), self.ends.err.identity()]
    }

    /// From now on the labels of own lines are padded to this width.
    pub(super) fn widen(&mut self, width: usize) {
        self.voice.width = width;
    }

    /// What follows is one line of about `len` bytes for this stream.
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

    /// One of procrun's own lines.
    pub(super) fn own(&mut self, line: &OwnLine) {
        // Counted as pending while the lines before it are written: a blocked stdout does not hold it.
        self.voice.say(line, self.ends.err.coloured);
        self.begin(Kind::Err, line.message.len() + AROUND);
        self.put_pending();
    }

    fn put_pending(&mut self) {
        let pending = std::mem::take(&mut self.voice.pending);
        self.put(&pending);
    }

    /// Writes what is buffered.
    pub(super) fn flush(&mut self) {
        self.write();
        if !self.voice.pending.is_empty() {
            // What stderr had not taken while stdout was blocked.
            self.begin(Kind::Err, 0);
            self.write();
        }
    }

    fn write(&mut self) {
        if self.len == 0 {
            return;
        }
        let Self { voice, reports, progress, ends: PerKind { out, err }, .. } = self;
        let bytes = &self.buffer[..self.len];
        match self.target {
            Kind::Out if self.apart => {
                out.write(bytes, reports, progress, |fd, reports| voice.wait(fd, err, reports, progress));
            }
            Kind::Out => out.write(bytes, reports, progress, |fd, _| voice.wait_in_order(fd)),
            Kind::Err => err.write(bytes, reports, progress, |fd, _| voice.wait_in_order(fd)),
        }
        self.most = self.most.max(self.len);
        self.len = 0;
    }

    /// Discards the buffer: it may hold half of a line.
    pub(super) fn drop_buffered(&mut self) {
        self.len = 0;
    }

    /// What was lost and not yet reported is in the next reports; a stream that refused is tried again.
    pub(super) fn report_losses(&mut self) {
        for kind in Kind::BOTH {
            self.ends.of_mut(kind).report_losses(&mut self.reports);
        }
    }

    /// What went wrong since the last call.
    pub(super) fn take_reports(&mut self) -> Reports {
        std::mem::take(&mut self.reports)
    }

    /// The number of bytes of the buffer that were used since the last call.
    pub(super) fn take_most(&mut self) -> usize {
        std::mem::take(&mut self.most)
    }

    /// Gives the buffer's memory back until the next line.
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
