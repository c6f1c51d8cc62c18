//! One of procrun's two streams, stdout or stderr, and the lines that it has lost.
//!
//! A pipe or a terminal is opened a second time, so that writing to it can be non-blocking without a change to
//! the inherited descriptor, which other processes may share. Where that is not possible, the inherited one is
//! used as it is. No bytes are buffered.

use std::{
    env,
    fs::{File, OpenOptions},
    io::IsTerminal,
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
        unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt},
    },
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    fcntl::{FcntlArg, OFlag, fcntl},
    poll::{PollFd, PollFlags, PollTimeout, poll},
};
use tracing::Level;

use super::{
    own_line::Reports,
    write::{Losses, lines, write_all},
};

/// Pause before a stream that refuses (a full disk behind it) is tried again.
const RETRY_PAUSE: Duration = Duration::from_secs(1);
/// The requested capacity of pipes at procrun's own stdout and stderr, in bytes.
const PIPE_CAPACITY: i32 = 512 * 1024;
/// Bytes that a writable pipe accepts without blocking.
const WRITABLE_BYTES: usize = 4096;
/// The device number of `/dev/ptmx`: opening it again gives another terminal.
const PTMX: u64 = 5 << 8 | 2;

/// Counts written bytes, so that a shutdown can see whether a slow reader still reads.
#[derive(Debug)]
pub(super) struct Progress(Arc<AtomicU64>);

impl Progress {
    pub(super) fn new(bytes: Arc<AtomicU64>) -> Self {
        Self(bytes)
    }

    fn add(&self, count: usize) {
        self.0.fetch_add(count as u64, Ordering::Relaxed);
    }
}

#[derive(Debug)]
pub(super) struct ConsoleStream {
    file: File,
    name: &'static str,
    /// Whether its lines may have colours.
    pub(super) coloured: bool,
    /// Device and inode. `None`: unknown.
    identity: Option<(u64, u64)>,
    terminal: bool,
    /// Whether a write never blocks.
    is_nonblocking: bool,
    state: State,
    losses: Losses,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Open,
    /// An error that may be temporary.
    Refusing {
        until: Instant,
    },
    /// The output has no reader any more.
    Closed,
}

impl ConsoleStream {
    pub(super) fn new(fd: OwnedFd, name: &'static str) -> Self {
        let inherited = File::from(fd);
        let terminal = inherited.is_terminal();
        let found = inherited.metadata().ok();
        let identity = found.as_ref().map(|found| (found.dev(), found.ino()));
        if found.as_ref().is_some_and(|found| found.file_type().is_fifo()) {
            enlarge(&inherited);
        }
        let (is_file, may_block) = found.map_or((false, false), |found| {
            let may_block = found.file_type().is_fifo() || terminal && found.rdev() != PTMX;
            (found.is_file(), may_block)
        });
        let own = may_block.then(|| reopen(&inherited)).flatten();
        let is_nonblocking = is_file || own.is_some();
        Self {
            file: own.unwrap_or(inherited),
            name,
            coloured: is_coloured(terminal),
            identity,
            terminal,
            is_nonblocking,
            state: State::Open,
            losses: Losses::default(),
        }
    }

    /// The output's device and inode, and its name.
    pub(super) fn identity(&self) -> (Option<(u64, u64)>, &'static str) {
        (self.identity, self.name)
    }

    /// Whether both streams may lead to the same place, so that their lines could mix.
    pub(super) fn may_mix_with(&self, other: &Self) -> bool {
        // One terminal has many names.
        self.identity.is_none() || self.identity == other.identity || (self.terminal && other.terminal)
    }

    /// Writes `bytes`, which continue the last ones. `on_full` waits when the stream is not writable.
    pub(super) fn write(
        &mut self,
        bytes: &[u8],
        reports: &mut Reports,
        progress: &Progress,
        mut on_full: impl FnMut(BorrowedFd<'_>, &mut Reports),
    ) {
        if !self.accepts(bytes) {
            return;
        }
        let file = &self.file;
        let begin: &[u8] = if self.losses.torn { b"\n" } else { b"" };
        let mut step = |bytes| {
            write_all(
                file.as_fd(),
                bytes,
                |count| progress.add(count),
                || {
                    on_full(file.as_fd(), reports);
                    Ok(())
                },
            )
        };
        let result = step(begin)
            .map_err(|cut| (0, cut.errno))
            .and_then(|()| step(bytes).map_err(|cut| (cut.written, cut.errno)));
        match result {
            Ok(()) => self.on_written(reports),
            Err((written, errno)) => {
                self.losses.count(bytes, written);
                self.on_error(errno, reports);
            }
        }
    }

    /// Writes what is possible without waiting and leaves the rest; nothing if the stream refuses.
    pub(super) fn write_now(&mut self, bytes: &mut Vec<u8>, reports: &mut Reports, progress: &Progress) {
        if !self.accepts(bytes) {
            return bytes.clear();
        }
        if self.losses.torn {
            bytes.insert(0, b'\n');
            self.losses.torn = false;
        }
        while !bytes.is_empty() {
            let mut part = &bytes[..];
            if !self.is_nonblocking {
                let mut writable = [PollFd::new(self.file.as_fd(), PollFlags::POLLOUT)];
                if poll(&mut writable, PollTimeout::ZERO) != Ok(1) {
                    return;
                }
                part = &part[..part.len().min(WRITABLE_BYTES)];
            }
            let result =
                write_all(self.file.as_fd(), part, |count| progress.add(count), || Err(Errno::EAGAIN));
            let written = result.map_or_else(|cut| cut.written, |()| part.len());
            match result.map_err(|cut| cut.errno) {
                Ok(()) => self.on_written(reports),
                Err(Errno::EAGAIN) => {
                    bytes.drain(..written);
                    return;
                }
                Err(errno) => {
                    self.losses.count(bytes, written);
                    self.on_error(errno, reports);
                    return bytes.clear();
                }
            }
            bytes.drain(..written);
        }
    }

    /// Reports unreported losses; the next write is attempted in any case.
    pub(super) fn report_losses(&mut self, reports: &mut Reports) {
        if matches!(self.state, State::Refusing { .. }) {
            self.state = State::Open;
            let lost = lines(std::mem::take(&mut self.losses.lines));
            reports.push(Level::WARN, format!("{} did not accept {lost}", self.name));
        }
    }

    /// Whether a write should be attempted; otherwise counts the lines as lost.
    #[expect(clippy::disallowed_methods, reason = "the log pump has its own clock")]
    fn accepts(&mut self, bytes: &[u8]) -> bool {
        match self.state {
            State::Refusing { until } if Instant::now() < until => {
                self.losses.count(bytes, 0);
                false
            }
            State::Open | State::Refusing { .. } => true,
            State::Closed => false,
        }
    }

    fn on_written(&mut self, reports: &mut Reports) {
        self.losses.torn = false;
        if matches!(self.state, State::Refusing { .. }) {
            self.state = State::Open;
            let lost = lines(std::mem::take(&mut self.losses.lines));
            reports.push(Level::WARN, format!("{} is writable again, {lost} lost", self.name));
        }
    }

    #[expect(clippy::disallowed_methods, reason = "the log pump has its own clock")]
    fn on_error(&mut self, errno: Errno, reports: &mut Reports) {
        // EIO: the terminal is gone. For a file or a device it may be temporary.
        if matches!(errno, Errno::EPIPE | Errno::EBADF) || errno == Errno::EIO && self.terminal {
            self.state = State::Closed;
            reports.push(
                Level::WARN,
                format!("{} no longer has a reader ({errno}): its lines are dropped", self.name),
            );
            return;
        }
        if matches!(self.state, State::Open) {
            reports.push(
                Level::ERROR,
                format!("cannot write to {}: {errno}; its lines are lost until it can be written", self.name),
            );
        }
        self.state = State::Refusing { until: Instant::now() + RETRY_PAUSE };
    }
}

impl AsFd for ConsoleStream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// Enlarges a pipe of the default 64 KiB: each time it is full, the pump and its reader wait for each other. If
/// the kernel refuses, they only wait more often.
fn enlarge(pipe: &File) {
    if fcntl(pipe, FcntlArg::F_GETPIPE_SZ).is_ok_and(|size| size < PIPE_CAPACITY) {
        let _ = fcntl(pipe, FcntlArg::F_SETPIPE_SZ(PIPE_CAPACITY));
    }
}

/// Another open file of the same pipe or terminal, non-blocking. `None` without `/proc`, without the permission to
/// open it, and for a pipe without a reader.
fn reopen(file: &File) -> Option<File> {
    let flags = OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    OpenOptions::new().write(true).custom_flags(flags.bits()).open(path).ok()
}

/// Waits until the descriptor is writable, or has an error, which the next write reports.
pub(super) fn wait_until_writable(fd: BorrowedFd<'_>) {
    // EINTR: the write is simply tried again.
    let _ = poll(&mut [PollFd::new(fd, PollFlags::POLLOUT)], PollTimeout::NONE);
}

/// Whether lines have colours: on a terminal, unless `NO_COLOR` is set; `CLICOLOR_FORCE` overrides both rules.
fn is_coloured(terminal: bool) -> bool {
    let set = |name| env::var_os(name).is_some_and(|value| !value.is_empty());
    let forced = env::var_os("CLICOLOR_FORCE").is_some_and(|value| !value.is_empty() && value != "0");
    forced || (terminal && !set("NO_COLOR"))
}
