//! The state that the supervisor and the watch thread share.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nix::sys::eventfd::EventFd;
use tokio::sync::Notify;

use super::{event::WatchEvent, watched::Watched};

/// The state that the supervisor and the watch thread share.
#[derive(Debug)]
pub(super) struct WatchShared {
    pub(super) mailbox: Mutex<Mailbox>,
    /// Wakes the watch thread.
    pub(super) wake_fd: EventFd,
    /// Wakes the supervisor.
    pub(super) supervisor_wake: Notify,
}

#[derive(Debug, Default)]
pub(super) struct Mailbox {
    /// A new configuration for the thread; an empty one ends it.
    pub(super) new_config: Option<Vec<Arc<Watched>>>,
    /// The last configuration that the thread has read, for a thread that restarts after a panic.
    pub(super) current: Vec<Arc<Watched>>,
    /// Reports: for each application at most one change, and the result of each configuration.
    pub(super) events: Vec<WatchEvent>,
    /// Whether no application watches any more, which ends the thread.
    pub(super) is_over: bool,
}

impl WatchShared {
    pub(super) fn mailbox(&self) -> MutexGuard<'_, Mailbox> {
        // It is consistent at every moment: no operation under the lock can panic.
        self.mailbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next configuration, if there is a new one.
    pub(super) fn take_new_config(&self) -> Option<Vec<Arc<Watched>>> {
        let mut mailbox = self.mailbox();
        let new_config = mailbox.new_config.take()?;
        mailbox.current.clone_from(&new_config);
        Some(new_config)
    }

    /// Restores the last configuration, unless there is a new one.
    pub(super) fn restore_config(&self) {
        let mut mailbox = self.mailbox();
        let current = mailbox.current.clone();
        mailbox.new_config.get_or_insert(current);
    }

    pub(super) fn wake(&self) {
        // Full only if it was written and not read.
        let _ = self.wake_fd.write(1);
    }

    pub(super) fn report(&self, event: WatchEvent) {
        let mut mailbox = self.mailbox();
        let is_known = |known: &WatchEvent| match (known, &event) {
            (WatchEvent::Changed { app: known, .. }, WatchEvent::Changed { app, .. }) => known == app,
            _ => *known == event,
        };
        if !mailbox.events.iter().any(is_known) {
            mailbox.events.push(event);
        }
        drop(mailbox);
        self.supervisor_wake.notify_one();
    }
}
