//! procrun's stdout and stderr, behind one shared buffer.
//!
//! Writes block: that is the back-pressure which slows the workers when nobody reads. A reader that
//! is gone for good is reported once and its lines are thrown away from then on. Never changes the
//! inherited descriptors, and never leaves one stream within a line to write to the other.

use std::{
    env, io,
    io::IsTerminal,
    os::fd::{AsFd, OwnedFd},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use nix::errno::Errno;
use tracing::Level;

use super::{
    format::{Kind, PerKind, Put},
    own::Reports,
    write::{Losses, WhenFull, lines, write_all},
};
use crate::sys::pages::Pages;

const BUFFER: usize = 256 * 1024;
/// How long a stream that refuses (a full disk behind it) is left alone.
const RETRY: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Console {
    buffer: Pages,
    len: usize,
    /// The most that was buffered since the last question for it.
    most: usize,
    /// Where the buffered bytes go.
    target: Kind,
    ends: PerKind<End>,
    reports: Reports,
    /// Bytes that went through, for whoever waits for the last ones.
    progress: Arc<AtomicU64>,
}

#[derive(Debug)]
struct End {
    fd: OwnedFd,
    name: &'static str,
    coloured: bool,
    state: State,
    losses: Losses,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Open,
    /// An error that may pass.
    Refusing {
        until: Instant,
    },
    /// Nobody will ever read it.
    Closed,
}

impl Console {
    pub(super) fn new(out: OwnedFd, err: OwnedFd, progress: Arc<AtomicU64>) -> io::Result<Self> {
        let end = |fd: OwnedFd, name| {
            let coloured = wants_colour(fd.is_terminal());
            End { fd, name, coloured, state: State::Open, losses: Losses::default() }
        };
        Ok(Self {
            buffer: Pages::new(BUFFER)?,
            len: 0,
            most: 0,
            target: Kind::Out,
            ends: PerKind { out: end(out, "stdout"), err: end(err, "stderr") },
            reports: Reports::default(),
            progress,
        })
    }

    /// Lines on this stream may have colours.
    pub(super) fn coloured(&self, kind: Kind) -> bool {
        self.ends.of(kind).coloured
    }

    /// What follows is one line of about `len` bytes for this stream.
    #[inline]
    pub(super) fn begin(&mut self, kind: Kind, len: usize) {
        if self.target != kind || self.len + len > self.buffer.len() {
            self.flush();
            self.target = kind;
        }
    }

    /// Writes what is buffered.
    pub(super) fn flush(&mut self) {
        if self.len > 0 {
            let bytes = &self.buffer[..self.len];
            self.ends.of_mut(self.target).write(bytes, &mut self.reports, &self.progress);
            self.most = self.most.max(self.len);
            self.len = 0;
        }
    }

    /// What went wrong since the last call.
    pub(super) fn take_reports(&mut self) -> Reports {
        std::mem::take(&mut self.reports)
    }

    /// So many bytes of the buffer were touched since the last call.
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
            self.flush();
            rest = later;
        }
    }
}

impl End {
    #[expect(clippy::disallowed_methods, reason = "the log pump has its own clock")]
    fn write(&mut self, bytes: &[u8], reports: &mut Reports, progress: &AtomicU64) {
        match self.state {
            State::Closed => return,
            State::Refusing { until } if Instant::now() < until => return self.losses.count(bytes, 0),
            State::Open | State::Refusing { .. } => {}
        }
        let fd = self.fd.as_fd();
        let begin: &[u8] = if self.losses.torn { b"\n" } else { b"" };
        let progress = |count| {
            progress.fetch_add(count as u64, Ordering::Relaxed);
        };
        let result =
            write_all(fd, begin, WhenFull::Wait, progress).map_err(|cut| (0, cut.errno)).and_then(|()| {
                write_all(fd, bytes, WhenFull::Wait, progress).map_err(|cut| (cut.written, cut.errno))
            });
        let Err((written, errno)) = result else {
            self.losses.torn = false;
            if matches!(self.state, State::Refusing { .. }) {
                self.state = State::Open;
                let lost = lines(std::mem::take(&mut self.losses.lines));
                reports.push(Level::WARN, format!("{} takes lines again, {lost} lost", self.name));
            }
            return;
        };
        self.losses.count(bytes, written);
        // EIO: the terminal is gone.
        if matches!(errno, Errno::EPIPE | Errno::EBADF | Errno::EIO) {
            self.state = State::Closed;
            reports.push(
                Level::WARN,
                format!("nobody reads {} any more ({errno}): its lines are thrown away", self.name),
            );
            return;
        }
        if matches!(self.state, State::Open) {
            reports.push(
                Level::ERROR,
                format!("cannot write to {}: {errno}; its lines are lost until it can be written", self.name),
            );
        }
        self.state = State::Refusing { until: Instant::now() + RETRY };
    }
}

/// Only on a terminal and unless `NO_COLOR` is set; `CLICOLOR_FORCE` overrules both.
fn wants_colour(terminal: bool) -> bool {
    let set = |name| env::var_os(name).is_some_and(|value| !value.is_empty());
    let forced = env::var_os("CLICOLOR_FORCE").is_some_and(|value| !value.is_empty() && value != "0");
    forced || (terminal && !set("NO_COLOR"))
}
