//! The handle by which the rest of procrun uses the log pump.
//!
//! Every call puts a message into the pump's mailbox or reads the recent lines. None of them blocks.

use std::{
    io::{self, Write},
    os::fd::{AsFd, OwnedFd},
    sync::{Arc, atomic::Ordering},
};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use tokio::sync::oneshot;
use tracing::Level;

use super::{
    file_spec::FileSpec,
    filter::Filter,
    follow::Follower,
    instance::{Label, Sinks},
    mailbox::Mailbox,
    message::{Addition, Message},
    own_line::OwnLine,
    pump::Pump,
};
use crate::{spec::RuntimeLog, sys::threads};

/// A handle to the log pump: cheap to clone, never blocks. When the last handle is dropped, the pump writes what
/// it can read, and ends.
#[derive(Debug, Clone)]
pub struct Logs(Arc<Handle>);

#[derive(Debug)]
struct Handle(Arc<Mailbox>);

/// While it exists, messages do not wake the log pump; see [`Logs::hold`].
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

    /// As [`Logs::start`] on other descriptors than stdout and stderr. Their flags are not changed.
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
    pub fn start_in_background(log: &RuntimeLog, own: FileSpec) -> io::Result<Self> {
        let out = io::stdout().as_fd().try_clone_to_owned()?;
        let err = io::stderr().as_fd().try_clone_to_owned()?;
        Self::start_pump(log, out, err, Some(own))
    }

    fn start_pump(log: &RuntimeLog, out: OwnedFd, err: OwnedFd, own: Option<FileSpec>) -> io::Result<Self> {
        let mailbox = Arc::new(Mailbox::new(log.history)?);
        let mut pump = Pump::new(mailbox.clone(), log, out, err, own)?;
        let watched = mailbox.clone();
        threads::spawn("logs", None, move || watched.is_closed(), move || pump.run())?;
        Ok(Self(Arc::new(Handle(mailbox))))
    }

    /// Widens the label column for an instance that is about to start, so that its lines are aligned with those of
    /// the others.
    pub fn expect(&self, label: Label) {
        self.send(Message::Expect(Box::new(label)));
    }

    /// Reads an instance's pipes from now on (the read ends; they become non-blocking) and opens its files. They
    /// stay through all its runs. An instance of the same key is removed first.
    pub fn add(&self, label: Label, sinks: Sinks, out: OwnedFd, err: OwnedFd) {
        self.send(Message::Add(Box::new(Addition { label, sinks, out, err })));
    }

    /// Reports that a run of this instance has ended: all its output is written, and an incomplete last line is ended, before
    /// anything that is sent after this. Output of an orphan that holds the pipe open is still read.
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

    /// Writes the output of the instance up to now, then closes its pipes and files.
    pub fn remove(&self, key: u32) {
        self.send(Message::Remove(key));
    }

    /// Logs one of procrun's own lines. When 256 KiB of them are waiting, the line is dropped and counted, and the
    /// count is logged when there is space again.
    pub fn own(&self, level: Level, message: impl Into<String>) {
        self.push_own(OwnLine::new(level, message.into()));
    }

    /// Answers when all messages that were sent before are handled and all readable output is written. The answer
    /// does not arrive while stdout or stderr is blocked: wait with a deadline.
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
    /// lists the failures. It does not arrive while stdout or stderr is blocked: wait with a
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

    /// The number of log lines until now; `None`: lines are not kept, and not counted.
    pub fn lines(&self) -> Option<u64> {
        self.0.0.history.count()
    }

    /// As [`Logs::own`] from a panic hook: the panicking thread may hold the queue. False: the line was dropped.
    pub fn own_from_panic(&self, message: String) -> bool {
        self.0.0.try_send_own(OwnLine::new(Level::ERROR, message))
    }

    pub(super) fn push_own(&self, line: OwnLine) {
        self.0.0.send_own(line);
    }

    fn send(&self, message: Message) {
        self.0.0.send(message);
    }
}

/// Writes one line to stderr when the pump is stuck in a write to stdout; does nothing if that would block too.
pub fn write_past_the_pump(message: &str) {
    let stderr = io::stderr();
    let mut writable = [PollFd::new(stderr.as_fd(), PollFlags::POLLOUT)];
    if poll(&mut writable, PollTimeout::ZERO).is_ok_and(|ready| ready > 0) {
        // Smaller than what a writable pipe accepts in one write.
        let _ = writeln!(&stderr, "procrun | warn: {message}");
    }
}
