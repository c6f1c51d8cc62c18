//! Many descriptors behind one that the runtime waits for.
//!
//! It has an epoll set of its own, so a turn costs what has happened and not how many descriptors there are,
//! and a descriptor costs no task.

use std::{
    io,
    os::fd::{BorrowedFd, OwnedFd},
};

use nix::{
    errno::Errno,
    sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout},
};
use tokio::io::{Interest, unix::AsyncFd};

/// Events of one turn; the rest comes in the next.
const EVENTS: usize = 32;

/// A set of descriptors.
#[derive(Debug)]
pub struct Poller {
    set: Epoll,
    /// The same set, as the runtime waits for it.
    wake: AsyncFd<OwnedFd>,
}

/// What has happened to one descriptor.
#[derive(Debug, Clone, Copy)]
pub struct PollEvent {
    /// The number it was added with.
    pub token: u64,
    /// There is something to read, or its end.
    pub readable: bool,
    /// There is room to write again.
    pub writable: bool,
    /// The other side is gone.
    pub hung_up: bool,
}

/// The events to report. A closed peer is reported in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Readiness {
    /// As long as there is something to read.
    Readable,
    /// As long as there is room to write.
    Writable,
    /// Whenever something more to read has arrived.
    Arrival,
    /// Not before the other side is gone.
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
    /// An empty set, for the runtime of the calling task.
    ///
    /// # Errors
    /// The error of epoll_create1(2), dup(2) or epoll_ctl(2).
    pub fn new() -> io::Result<Self> {
        let set = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        let same = set.0.try_clone()?;
        // SAFETY: an OwnedFd is open, and stays the same, until it is dropped.
        let wake = unsafe { AsyncFd::register_with_interest(same, Interest::READABLE) }?;
        Ok(Self { set, wake })
    }

    /// Adds a descriptor; its events have this `token`.
    ///
    /// # Errors
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

    /// Removes a descriptor. A closed descriptor is removed by the kernel, but only when no copy of it is left.
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
            if self.look(into)? {
                return Ok(());
            }
            ready.clear_ready();
        }
    }

    /// Appends pending events to `into`; false: there are none.
    ///
    /// # Errors
    /// The error of epoll_wait(2).
    pub fn look(&self, into: &mut Vec<PollEvent>) -> io::Result<bool> {
        let mut events = [EpollEvent::empty(); EVENTS];
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
