//! Messages of the supervisor to the pump: a queue and an eventfd that wakes the pump.
//!
//! Sending never blocks: the lock is held for a push or a pop, never for I/O. procrun's own lines are bounded
//! in bytes; beyond that they are dropped and counted, and the count is logged when there is room again. The
//! other messages are bounded by the number of instances: at most one `RunEnded` waits for each.

use std::{
    collections::VecDeque,
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError, atomic::AtomicU64},
};

use nix::{
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::eventfd::{EfdFlags, EventFd},
};

use super::{
    history::History,
    message::{Addition, Message},
    own_line::OwnLine,
};
use crate::spec::LogHistory;

/// Maximum number of ended instances that wait for the pump to read their output.
const UNREAD_LIMIT: usize = 16;
/// Maximum bytes of procrun's own lines that wait.
const OWN_LIMIT: usize = 256 * 1024;

#[derive(Debug)]
pub(super) struct Mailbox {
    queue: Mutex<Queue>,
    wake: EventFd,
    /// Bytes that the pump has written to stdout and stderr.
    pub(super) progress: Arc<AtomicU64>,
    /// The recent lines of all instances.
    pub(super) history: Arc<History>,
}

#[derive(Debug, Default)]
struct Queue {
    messages: VecDeque<Message>,
    /// Bytes of own lines in the queue.
    own_cost: usize,
    dropped: u64,
    /// Instances whose `RunEnded` waits. One is enough: when it is handled, everything that any run has written
    /// before any of the calls is in the pipe, and is read before what follows.
    ended: Vec<u32>,
    /// Instances that were dropped with their unread output.
    unread: u64,
    /// Whether the pump waits for a reader of procrun's output.
    blocked: bool,
    /// Since the queue was last found empty, of own lines at least.
    wakeup: Wakeup,
    /// The number of [`Mailbox::hold`]s that have not been released.
    held: u32,
    /// Whether `Close` was sent.
    is_closed: bool,
}

/// Whether the pump has been woken for the messages in the queue.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Wakeup {
    /// The next message wakes it.
    #[default]
    Due,
    /// The release of the last [`Mailbox::hold`] wakes it.
    Held,
    /// The eventfd was written.
    Done,
}

impl Queue {
    /// Drops the messages of an instance that the pump does not know yet, if its pipes are empty. While procrun's
    /// output is not read, each replaced instance would keep two descriptors. Of those with output in their pipes,
    /// the oldest is dropped when too many wait.
    fn drop_unread(&mut self, key: u32) -> bool {
        if !self.blocked {
            return false;
        }
        let Some(addition) = self.addition(key) else { return false };
        if is_empty(&addition.out) && is_empty(&addition.err) {
            self.forget(key);
            return true;
        }
        let removed = self.messages.iter().filter_map(|message| match message {
            Message::Remove(key) => Some(*key),
            _ => None,
        });
        let unread: Vec<u32> = removed.filter(|key| self.addition(*key).is_some()).collect();
        if unread.len() >= UNREAD_LIMIT {
            self.forget(unread[0]);
            self.unread += 1;
        }
        false
    }

    /// The message that adds this instance, if it still waits.
    fn addition(&self, key: u32) -> Option<&Addition> {
        self.messages.iter().find_map(|message| match message {
            Message::Add(addition) if addition.label.key == key => Some(&**addition),
            _ => None,
        })
    }

    /// Whether the label of an instance waits.
    fn expects(&self, key: u32) -> bool {
        self.messages.iter().any(|message| matches!(message, Message::Expect(label) if label.key == key))
    }

    /// Drops all messages about an instance that the pump does not know yet.
    fn forget(&mut self, key: u32) {
        self.messages.retain(|message| match message {
            Message::Expect(label) => label.key != key,
            Message::Add(addition) => addition.label.key != key,
            Message::RunEnded(other) | Message::Remove(other) => *other != key,
            Message::Own(_)
            | Message::Dropped(_)
            | Message::Unread(_)
            | Message::LastLines(..)
            | Message::Finish(_)
            | Message::Flush(..)
            | Message::Shut(_)
            | Message::Close => true,
        });
        self.ended.retain(|ended| *ended != key);
    }
}

/// Whether the pipe holds no unread data.
fn is_empty(pipe: &OwnedFd) -> bool {
    let mut pipe = [PollFd::new(pipe.as_fd(), PollFlags::POLLIN)];
    let result = poll(&mut pipe, PollTimeout::ZERO);
    result.is_ok() && !pipe[0].revents().is_some_and(|events| events.contains(PollFlags::POLLIN))
}

impl Mailbox {
    pub(super) fn new(history: LogHistory) -> io::Result<Self> {
        let wake = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?;
        let history = Arc::new(History::new(history));
        Ok(Self { queue: Mutex::default(), wake, progress: Arc::default(), history })
    }

    pub(super) fn send(&self, message: Message) {
        let mut queue = self.lock();
        if let Message::RunEnded(id) = message {
            if queue.ended.contains(&id) {
                return;
            }
            queue.ended.push(id);
        }
        if let Message::Expect(label) = &message
            && queue.expects(label.key)
        {
            return;
        }
        if let Message::Remove(key) = message
            && queue.drop_unread(key)
        {
            return;
        }
        queue.is_closed |= matches!(message, Message::Close);
        queue.messages.push_back(message);
        self.wake(queue);
    }

    /// Whether no handle is left, so that the pump may end.
    pub(super) fn is_closed(&self) -> bool {
        self.lock().is_closed
    }

    pub(super) fn send_own(&self, line: OwnLine) {
        self.push_own(self.lock(), line);
    }

    /// As [`Self::send_own`], but fails instead of waiting for the lock.
    pub(super) fn try_send_own(&self, line: OwnLine) -> bool {
        let queue = match self.queue.try_lock() {
            Ok(queue) => queue,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return false,
        };
        self.push_own(queue, line);
        true
    }

    fn push_own(&self, mut queue: MutexGuard<'_, Queue>, line: OwnLine) {
        let cost = line.cost();
        if queue.own_cost + cost > OWN_LIMIT {
            queue.dropped += 1;
            return;
        }
        let dropped = std::mem::take(&mut queue.dropped);
        if dropped > 0 {
            queue.messages.push_back(Message::Dropped(dropped));
        }
        queue.own_cost += cost;
        queue.messages.push_back(Message::Own(line));
        self.wake(queue);
    }

    /// The next message, if there is one.
    pub(super) fn receive(&self) -> Option<Message> {
        let mut queue = self.lock();
        let Some(message) = queue.messages.pop_front() else {
            let unread = std::mem::take(&mut queue.unread);
            if unread > 0 {
                return Some(Message::Unread(unread));
            }
            queue.wakeup = Wakeup::Due;
            queue.messages.shrink_to(16);
            let dropped = std::mem::take(&mut queue.dropped);
            return (dropped > 0).then_some(Message::Dropped(dropped));
        };
        match &message {
            Message::Own(line) => queue.own_cost -= line.cost(),
            Message::RunEnded(id) => queue.ended.retain(|ended| ended != id),
            Message::Expect(_)
            | Message::Add(_)
            | Message::Remove(_)
            | Message::Dropped(_)
            | Message::Unread(_)
            | Message::LastLines(..)
            | Message::Finish(_)
            | Message::Flush(..)
            | Message::Shut(_)
            | Message::Close => {}
        }
        Some(message)
    }

    /// The next of procrun's own lines, or the number of dropped ones, past all other messages. After `None`, the
    /// next message of any kind wakes the pump.
    pub(super) fn receive_own(&self) -> Option<Message> {
        let mut queue = self.lock();
        let own = |message: &Message| matches!(message, Message::Own(_) | Message::Dropped(_));
        let message = queue.messages.iter().position(own).and_then(|at| queue.messages.remove(at));
        match &message {
            Some(Message::Own(line)) => queue.own_cost -= line.cost(),
            Some(_) => {}
            None => {
                let dropped = std::mem::take(&mut queue.dropped);
                if dropped > 0 {
                    return Some(Message::Dropped(dropped));
                }
                queue.wakeup = Wakeup::Due;
            }
        }
        message
    }

    /// Records whether the pump waits for a reader of procrun's output.
    pub(super) fn set_blocked(&self, blocked: bool) {
        self.lock().blocked = blocked;
    }

    /// Wakes the pump again if a message waits. To be called when own lines are no longer read out of order.
    pub(super) fn wake_if_pending(&self) {
        let mut queue = self.lock();
        // The last wake-up was consumed: even if the queue is empty, the next message has to wake the pump.
        queue.wakeup = Wakeup::Due;
        if !queue.messages.is_empty() || queue.dropped > 0 {
            self.wake(queue);
        }
    }

    /// Holds wake-ups back until [`Self::release`].
    pub(super) fn hold(&self) {
        self.lock().held += 1;
    }

    /// Ends one [`Self::hold`]. With the last one, a wake-up that was held back takes place.
    pub(super) fn release(&self) {
        let mut queue = self.lock();
        queue.held -= 1;
        if queue.held == 0 && queue.wakeup == Wakeup::Held {
            queue.wakeup = Wakeup::Due;
            self.wake(queue);
        }
    }

    /// Consumes the wake-up. To be called before messages are received.
    pub(super) fn clear_wakeup(&self) {
        // EAGAIN: there was none. An eventfd has no other error.
        let _ = self.wake.read();
    }

    /// Wakes the pump, after the queue is unlocked: a pump that wakes at once would wait for the lock.
    fn wake(&self, mut queue: MutexGuard<'_, Queue>) {
        if queue.wakeup == Wakeup::Done {
            return;
        }
        if queue.held > 0 {
            queue.wakeup = Wakeup::Held;
            return;
        }
        queue.wakeup = Wakeup::Done;
        drop(queue);
        // The counter cannot overflow: it is written once for each read of it.
        let _ = self.wake.write(1);
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        // Nothing that is done under the lock leaves the queue half changed.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AsFd for Mailbox {
    /// Readable when there may be messages.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }
}

#[cfg(test)]
mod tests;
