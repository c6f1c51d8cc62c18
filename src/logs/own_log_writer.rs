//! The form of procrun's own lines, and how they overtake a blocked stdout.
//!
//! It has its own time stamps, because an own line may be written while a worker's line is incomplete. It takes
//! only own lines from the mailbox, and keeps at most one of them that stderr does not accept.

use std::{
    os::fd::{AsFd, BorrowedFd},
    sync::Arc,
};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::{
    dayjs,
    mailbox::Mailbox,
    message::Message,
    output::{ConsoleStream, Progress, wait_until_writable},
    own_line::{OwnLine, Reports},
    stamp::{StampId, Stamps},
};
use crate::spec::{LogStyle, RuntimeLog};

/// Own lines overtake after this time without a write, in milliseconds: a reader that is only slow gets all lines in
/// order.
const OVERTAKE_AFTER_MS: u8 = 100;

#[derive(Debug)]
pub(super) struct OwnLogWriter {
    mailbox: Arc<Mailbox>,
    style: LogStyle,
    stamps: Stamps,
    stamp: Option<StampId>,
    /// The time stamp of a line under [`LogStyle::KeyValue`].
    key_value_stamp: StampId,
    /// The width of the label column, in characters.
    pub(super) width: usize,
    /// Bytes that stderr gets before anything else; it may have a part of them already.
    pub(super) pending: Vec<u8>,
}

impl OwnLogWriter {
    pub(super) fn new(log: &RuntimeLog, mailbox: Arc<Mailbox>) -> Self {
        let mut stamps = Stamps::new();
        let stamp = log.date_format.as_deref().map(|pattern| stamps.find(pattern));
        let key_value_stamp = stamp.unwrap_or_else(|| stamps.find(dayjs::KEY_VALUE));
        let pending = Vec::new();
        Self { mailbox, style: log.style, stamps, stamp, key_value_stamp, width: 0, pending }
    }

    /// Appends the line in the chosen form to the pending bytes, and to the recent lines.
    pub(super) fn append(&mut self, line: &OwnLine, coloured: bool) {
        line.keep_in(&self.mailbox.history);
        let Self { stamps, pending, .. } = self;
        match self.style {
            LogStyle::Prefix | LogStyle::Raw => {
                let width = if self.style == LogStyle::Prefix { self.width } else { 0 };
                let time = self.stamp.map(|id| stamps.text(id, line.at));
                line.text(width, coloured, time, pending);
            }
            LogStyle::Json => line.record(stamps.text(StampId::ISO, line.at), pending),
            LogStyle::KeyValue => line.key_value(stamps.text(self.key_value_stamp, line.at), pending),
        }
    }

    /// Waits until `out` accepts bytes again, or has failed. Own lines go to `err` meanwhile.
    pub(super) fn wait(
        &mut self,
        out: BorrowedFd<'_>,
        err: &mut ConsoleStream,
        reports: &mut Reports,
        progress: &Progress,
    ) {
        let writable = || PollFd::new(out, PollFlags::POLLOUT);
        // EINTR does not occur in a thread that has all signals blocked; it would only shorten the wait.
        if poll(&mut [writable()], OVERTAKE_AFTER_MS).is_ok_and(|ready| ready > 0) {
            return;
        }
        self.mailbox.set_blocked(true);
        loop {
            self.mailbox.clear_wakeup();
            self.overtake(err, reports, progress);
            let other = if self.pending.is_empty() {
                PollFd::new(self.mailbox.as_fd(), PollFlags::POLLIN)
            } else {
                PollFd::new(err.as_fd(), PollFlags::POLLOUT)
            };
            let mut either = [writable(), other];
            // Whatever the result is, the next check shows what has changed.
            let _ = poll(&mut either, PollTimeout::NONE);
            if either[0].any() == Some(true) {
                self.mailbox.set_blocked(false);
                self.mailbox.wake_if_pending();
                return;
            }
        }
    }

    /// As [`Self::wait`], where own lines cannot overtake.
    pub(super) fn wait_in_order(&self, out: BorrowedFd<'_>) {
        let writable = || PollFd::new(out, PollFlags::POLLOUT);
        if poll(&mut [writable()], OVERTAKE_AFTER_MS).is_ok_and(|ready| ready > 0) {
            return;
        }
        self.mailbox.set_blocked(true);
        wait_until_writable(out);
        self.mailbox.set_blocked(false);
    }

    /// Writes own lines as long as `err` accepts them without blocking.
    fn overtake(&mut self, err: &mut ConsoleStream, reports: &mut Reports, progress: &Progress) {
        loop {
            if !self.pending.is_empty() {
                err.write_now(&mut self.pending, reports, progress);
                if !self.pending.is_empty() {
                    return;
                }
            }
            match self.mailbox.receive_own() {
                Some(Message::Own(line)) => self.append(&line, err.coloured),
                Some(Message::Dropped(count)) => self.append(&OwnLine::dropped(count), err.coloured),
                _ => return,
            }
        }
    }
}
