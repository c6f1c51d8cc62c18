//! Waits for many descriptors with one descriptor of the async runtime.
//!
//! The set has its own epoll instance. The cost of a loop iteration depends on the number of events, not on the number of
//! descriptors, and a descriptor needs no task.

use std::{
    io,
    os::fd::{BorrowedFd, OwnedFd},
};

use nix::{
    errno::Errno,
    sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout},
};
use tokio::io::{Interest, unix::AsyncFd};

/// The maximum number of events of one call; the next call returns the others.
const MAX_EVENTS: usize = 32;

/// A set of descriptors (epoll(7)).
#[derive(Debug)]
pub struct Poller {
    set: Epoll,
    /// A duplicate of the epoll descriptor, registered with the runtime.
    wake: AsyncFd<OwnedFd>,
}

/// The events of one descriptor.
#[derive(Debug, Clone, Copy)]
pub struct PollEvent {
    /// The token of [`Poller::add`].
    pub token: u64,
    /// Data can be read, or the end of the stream.
    pub readable: bool,
    /// Data can be written.
    pub writable: bool,
    /// The peer has closed the connection (`EPOLLHUP`), or there is an error (`EPOLLERR`).
    pub hung_up: bool,
}

/// The events to report. `EPOLLHUP` and `EPOLLERR` are always reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Readiness {
    /// Level-triggered: while data can be read.
    Readable,
    /// Level-triggered: while data can be written.
    Writable,
    /// Edge-triggered: each time when more data arrives (`EPOLLET`).
    Arrival,
    /// Only when the peer has closed the connection.
    Gone,
}

impl Readiness {
    fn flags(self) -> EpollFlags {
        match self {
            Self::Readable => EpollFlags::EPOLLIN,
            Self::Writable => EpollFlags::EPOLLOUT,
            Self::Arrival => EpollFlags::EPOLLIN | EpollFlags::EPOLLET,
            Self::Gone => EpollFlags::empty(),
        }
    }
}

impl Poller {
    /// Creates an empty set for the runtime of the calling task.
    ///
    /// # Errors
    ///
    /// The error of epoll_create1(2), dup(2) or epoll_ctl(2).
    pub fn new() -> io::Result<Self> {
        let set = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        let same = set.0.try_clone()?;
        // SAFETY: an OwnedFd is open, and stays the same, until it is dropped.
        let wake = unsafe { AsyncFd::register_with_interest(same, Interest::READABLE) }?;
        Ok(Self { set, wake })
    }

    /// Adds a descriptor. Its events carry this `token`.
    ///
    /// # Errors
    ///
    /// The error of epoll_ctl(2).
    pub fn add(&self, fd: BorrowedFd<'_>, token: u64, when: Readiness) -> io::Result<()> {
        Ok(self.set.add(fd, EpollEvent::new(when.flags(), token))?)
    }

    /// Changes the events of a descriptor.
    ///
    /// # Errors
    /// The error of epoll_ctl(2).
    pub fn change(&self, fd: BorrowedFd<'_>, token: u64, when: Readiness) -> io::Result<()> {
        Ok(self.set.modify(fd, &mut EpollEvent::new(when.flags(), token))?)
    }

    /// Removes a descriptor. The kernel removes a closed descriptor itself, but only when no duplicate of it is left.
    pub fn remove(&self, fd: BorrowedFd<'_>) {
        let _ = self.set.delete(fd);
    }

    /// Waits for events and appends them to `into`. Cancel-safe.
    ///
    /// # Errors
    /// The error of epoll_wait(2).
    pub async fn wait(&self, into: &mut Vec<PollEvent>) -> io::Result<()> {
        loop {
            let mut ready = self.wake.readable().await?;
            if self.poll(into)? {
                return Ok(());
            }
            ready.clear_ready();
        }
    }

    /// Appends the pending events to `into` without waiting. Returns false if there are none.
    ///
    /// # Errors
    ///
    /// The error of epoll_wait(2).
    pub fn poll(&self, into: &mut Vec<PollEvent>) -> io::Result<bool> {
        let mut events = [EpollEvent::empty(); MAX_EVENTS];
        let count = loop {
            match self.set.wait(&mut events, EpollTimeout::ZERO) {
                Err(Errno::EINTR) => {}
                result => break result?,
            }
        };
        into.extend(events[..count].iter().map(|event| {
            let has = |flag| event.events().intersects(flag);
            PollEvent {
                token: event.data(),
                readable: has(EpollFlags::EPOLLIN),
                writable: has(EpollFlags::EPOLLOUT),
                hung_up: has(EpollFlags::EPOLLHUP | EpollFlags::EPOLLERR),
            }
        }));
        Ok(count > 0)
    }
}
