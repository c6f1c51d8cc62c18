//! File descriptors that are kept for work that must not fail.
//!
//! To find the processes of a worker and to signal them takes descriptors: those of `/proc` and a pidfd.
//! Where all are in use (`RLIMIT_NOFILE`), a worker would get no stop signal. So a few are held open, and
//! closed for as long as such work goes on ([`make_room`]).

use std::{
    os::fd::OwnedFd,
    sync::{Mutex, MutexGuard, PoisonError},
};

use nix::sys::eventfd::{EfdFlags, EventFd};

/// A directory of `/proc` and a file below it are open at the same time; a pidfd and a file, too.
const SIZE: usize = 2;

static RESERVE: Mutex<Reserve> = Mutex::new(Reserve { held: Vec::new(), users: 0 });

struct Reserve {
    held: Vec<OwnedFd>,
    /// How many [`Room`]s there are.
    users: usize,
}

impl Reserve {
    fn lock() -> MutexGuard<'static, Self> {
        RESERVE.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What cannot be opened now is tried again after the next use.
    fn fill(&mut self) {
        while self.held.len() < SIZE {
            let Ok(fd) = EventFd::from_flags(EfdFlags::EFD_CLOEXEC) else { return };
            self.held.push(fd.into());
        }
    }
}

/// Takes the descriptors into reserve. Call it before workers are started.
pub fn fill() {
    Reserve::lock().fill();
}

/// As long as it lives, the descriptors of the reserve are free.
#[derive(Debug)]
#[must_use]
pub struct Room(());

/// Frees the descriptors of the reserve.
pub fn make_room() -> Room {
    let mut reserve = Reserve::lock();
    reserve.users += 1;
    reserve.held.clear();
    Room(())
}

impl Drop for Room {
    fn drop(&mut self) {
        let mut reserve = Reserve::lock();
        reserve.users -= 1;
        if reserve.users == 0 {
            reserve.fill();
        }
    }
}
