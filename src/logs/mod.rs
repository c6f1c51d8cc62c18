//! The output of workers: pipes → framed lines → prefix, raw, JSON or key=value → stdout, stderr and files.
//!
//! One thread, the log pump, does all of it. The supervisor talks to it through a [`Logs`] handle that never
//! blocks. procrun's own lines go the same way, so a blocked stderr does not stop the supervisor. They reach
//! stderr even while stdout is blocked.
//!
//! | file | contents |
//! |---|---|
//! | `mailbox` | the queue from the supervisor |
//! | `frame` | bytes → lines, or parts of long lines |
//! | `pump`, `input` | the thread: epoll, reading, the order of ends |
//! | `wakeup_coalescer` | gathers lines that arrive one by one |
//! | `pauses` | when an unfinished line is shown |
//! | `writer` | the one place that every finished line passes |
//! | `format`, `json`, `stamp`, `dayjs` | the form of a line |
//! | `console`, `output`, `write` | stdout and stderr, with back-pressure |
//! | `files`, `file`, `rotate` | log files |
//! | `offload` | the thread for log files, because a file system may not answer |
//! | `ring`, `history`, `follow` | the recent lines and their followers |
//! | `view` | the form of lines for a follower |
//! | `own_lines`, `own_log_writer` | procrun's own lines, and how they pass a blocked stdout |
//!
//! It never examines a process and makes no decision about one.

mod console;
mod dayjs;
mod file;
mod file_spec;
mod files;
mod follow;
mod format;
pub mod frame;
mod history;
mod input;
mod json;
mod mailbox;
mod offload;
mod output;
mod own_lines;
mod own_log_writer;
mod pauses;
mod pump;
mod ring;
mod rotate;
mod stamp;
mod view;
mod wakeup_coalescer;
mod write;
mod writer;

use std::{
    io::{self, Write},
    os::fd::{AsFd, OwnedFd},
    sync::{Arc, atomic::Ordering},
};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use tokio::sync::oneshot;
use tracing::{Level, Subscriber};
use tracing_subscriber::Layer;

pub use self::{
    file_spec::FileSpec,
    follow::{Batch, Filter, Follower, Line, OwnLines},
    format::Kind,
    stamp::now as wall_clock,
    view::View,
};
use self::{
    mailbox::{Addition, Mailbox, Message},
    own_lines::{OwnLayer, OwnLine},
    pump::Pump,
};
use crate::{
    spec::{LogSpec, RuntimeLog, Verbosity},
    sys::threads,
};

/// The source of lines, which labels them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    /// Unique among the instances that are added.
    pub key: u32,
    /// PM2's `pm_id`. Two instances may have the same while one replaces the other.
    pub id: u32,
    /// The application's name.
    pub name: String,
}

/// The destinations of an instance's lines besides stdout and stderr, and their form.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sinks {
    /// The settings of the application. Its `files` are not used: the complete paths are in the fields below.
    pub spec: LogSpec,
    /// The file for stdout.
    pub out: Option<FileSpec>,
    /// The file for stderr.
    pub error: Option<FileSpec>,
    /// The file for both streams.
    pub combined: Option<FileSpec>,
}

/// A handle to the log pump: cheap to clone, never blocks. When the last handle is dropped, the pump writes what
/// it can read, and ends.
#[derive(Debug, Clone)]
pub struct Logs(Arc<Handle>);

#[derive(Debug)]
struct Handle(Arc<Mailbox>);

/// As long as it lives, messages do not wake the log pump; see [`Logs::hold`].
#[derive(Debug)]
#[must_use]
pub struct Hold(Logs);

impl Drop for Hold {
    fn drop(&mut self) {
        self.0.0.0.release();
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.0.send(Message::Close);
    }
}

impl Logs {
    /// Lets the pump sleep for a moment, while its caller does what is urgent: a pump that is awake takes a CPU and
    /// the lock of the allocator.
    pub fn hold(&self) -> Hold {
        self.0.0.hold();
        Hold(self.clone())
    }

    /// Starts the pump on this process's stdout and stderr.
    ///
    /// # Errors
    /// If descriptors, memory or the thread are refused.
    pub fn start(log: &RuntimeLog) -> io::Result<Self> {
        let out = io::stdout().as_fd().try_clone_to_owned()?;
        let err = io::stderr().as_fd().try_clone_to_owned()?;
        Self::start_with(log, out, err)
    }

    /// Starts the pump on other descriptors in their place. Their flags are not changed.
    ///
    /// # Errors
    /// As for [`Logs::start`].
    pub fn start_with(log: &RuntimeLog, out: OwnedFd, err: OwnedFd) -> io::Result<Self> {
        Self::start_pump(log, out, err, None)
    }

    /// Starts the pump of a background supervisor: lines of workers go only to their files, and procrun's own
    /// lines to this file.
    ///
    /// # Errors
    /// As for [`Logs::start`].
    pub fn start_unseen(log: &RuntimeLog, own: FileSpec) -> io::Result<Self> {
        let out = io::stdout().as_fd().try_clone_to_owned()?;
        let err = io::stderr().as_fd().try_clone_to_owned()?;
        Self::start_pump(log, out, err, Some(own))
    }

    fn start_pump(log: &RuntimeLog, out: OwnedFd, err: OwnedFd, own: Option<FileSpec>) -> io::Result<Self> {
        let mailbox = Arc::new(Mailbox::new(log.history)?);
        let mut pump = Pump::new(mailbox.clone(), log, out, err, own)?;
        let theirs = mailbox.clone();
        threads::spawn("logs", None, move || theirs.is_closed(), move || pump.run())?;
        Ok(Self(Arc::new(Handle(mailbox))))
    }

    /// Makes room for the label of an instance that is about to start: the lines of others are aligned with it.
    pub fn expect(&self, label: Label) {
        self.send(Message::Expect(Box::new(label)));
    }

    /// Reads an instance's pipes from now on (the read ends; they become non-blocking) and opens its files. They
    /// stay through all its runs. An instance of the same key is removed first.
    pub fn add(&self, label: Label, sinks: Sinks, out: OwnedFd, err: OwnedFd) {
        self.send(Message::Add(Box::new(Addition { label, sinks, out, err })));
    }

    /// A run of this instance has ended: all its output is written, and an incomplete last line is ended, before
    /// anything that is sent after this. Output of an orphan that still holds the pipe is still read.
    pub fn run_ended(&self, key: u32) {
        self.send(Message::RunEnded(key));
    }

    /// Answers with the last lines of the latest ended runs of these instances: for each at most 32 lines of its
    /// stderr, none older than 10 s, of the recent lines. The answer does not arrive while stdout or stderr is
    /// blocked: wait with a deadline.
    pub fn last_lines(&self, keys: Vec<u32>) -> oneshot::Receiver<Vec<String>> {
        let (done, wait) = oneshot::channel();
        self.send(Message::LastLines(keys, done));
        wait
    }

    /// Writes what the instance has written until now, then closes its pipes and files.
    pub fn remove(&self, key: u32) {
        self.send(Message::Remove(key));
    }

    /// Logs one of procrun's own lines. When 256 KiB of them are waiting, the line is dropped and counted, and the
    /// count is logged when there is space again.
    pub fn own(&self, level: Level, message: impl Into<String>) {
        self.push_own(OwnLine::new(level, message.into()));
    }

    /// Answers when everything that was sent before, and everything readable, has been written. The answer does
    /// not arrive while stdout or stderr is blocked: wait with a deadline.
    pub fn finish(&self) -> oneshot::Receiver<()> {
        let (done, wait) = oneshot::channel();
        self.send(Message::Finish(done));
        wait
    }

    /// Ends the log files: as [`Logs::finish`], and before the answer all losses are reported and all files are
    /// closed; the compression of older files gets half a second to end. Later lines go to stdout and stderr only.
    pub fn shut(&self) -> oneshot::Receiver<()> {
        let (done, wait) = oneshot::channel();
        self.send(Message::Shut(done));
        wait
    }

    /// Follows the last `lines` of each instance, then new ones. The existing lines come from
    /// [`Follower::recent`], which never waits, or together with new ones from [`Follower::next`].
    pub fn follow(&self, filter: Filter, lines: usize) -> Follower {
        Follower::new(self.0.0.history.clone(), filter, lines)
    }

    /// Empties the log files of these instances and drops their recent lines; rotated files stay. The answer
    /// lists what could not be emptied. It does not arrive while stdout or stderr is blocked: wait with a
    /// deadline.
    pub fn flush(&self, ids: Vec<u32>) -> oneshot::Receiver<Vec<String>> {
        let (done, wait) = oneshot::channel();
        self.send(Message::Flush(ids, done));
        wait
    }

    /// Bytes that were written to stdout and stderr until now: shows whether a slow reader still reads.
    pub fn written(&self) -> u64 {
        self.0.0.progress.load(Ordering::Relaxed)
    }

    /// As [`Logs::own`] from a panic hook: the panicking thread may hold the queue. False: the line was dropped.
    pub fn own_from_panic(&self, message: String) -> bool {
        self.0.0.try_send_own(OwnLine::new(Level::ERROR, message))
    }

    fn push_own(&self, line: OwnLine) {
        self.0.0.send_own(line);
    }

    fn send(&self, message: Message) {
        self.0.0.send(message);
    }
}

/// Writes one line to stderr when the pump is stuck in a write to stdout; does nothing if that would block too.
pub fn say_past_the_pump(what: &str) {
    let stderr = io::stderr();
    let mut room = [PollFd::new(stderr.as_fd(), PollFlags::POLLOUT)];
    if poll(&mut room, PollTimeout::ZERO).is_ok_and(|ready| ready > 0) {
        // Smaller than what a writable pipe accepts in one write.
        let _ = writeln!(&stderr, "procrun | warn: {what}");
    }
}

/// Turns procrun's own tracing events, up to the level `max`, into its own lines.
pub fn layer<S: Subscriber>(logs: Logs, max: Verbosity) -> impl Layer<S> {
    OwnLayer::new(logs, max)
}
