//! File descriptors that are reserved for work that must not fail.
//!
//! Finding the processes of a worker and signalling them takes descriptors: files in `/proc` and a pidfd. When all
//! descriptors are in use (`RLIMIT_NOFILE`), a worker would get no stop signal. So a few descriptors are kept open,
//! and closed during such work ([`release`]).

use std::{
    os::fd::OwnedFd,
    sync::{Mutex, MutexGuard, PoisonError},
};

use nix::sys::eventfd::{EfdFlags, EventFd};

/// The number of descriptors: a directory in `/proc` and a file below it are open at the same time, or a pidfd and a
/// file.
const RESERVED: usize = 2;

static RESERVE: Mutex<Reserve> = Mutex::new(Reserve { descriptors: Vec::new(), users: 0 });

struct Reserve {
    descriptors: Vec<OwnedFd>,
    /// The number of [`ReleasedReserve`] values.
    users: usize,
}

impl Reserve {
    fn lock() -> MutexGuard<'static, Self> {
        RESERVE.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Descriptors that cannot be opened now are opened after the next use.
    fn fill(&mut self) {
        while self.descriptors.len() < RESERVED {
            let Ok(fd) = EventFd::from_flags(EfdFlags::EFD_CLOEXEC) else { return };
            self.descriptors.push(fd.into());
        }
    }
}

/// Opens the reserve. Call it before workers start.
pub fn fill() {
    Reserve::lock().fill();
}

/// While this exists, the descriptors of the reserve are free.
#[derive(Debug)]
#[must_use]
pub struct ReleasedReserve(());

/// Closes the descriptors of the reserve for other use, until the result is dropped.
pub fn release() -> ReleasedReserve {
    let mut reserve = Reserve::lock();
    reserve.users += 1;
    reserve.descriptors.clear();
    ReleasedReserve(())
}

impl Drop for ReleasedReserve {
    fn drop(&mut self) {
        let mut reserve = Reserve::lock();
        reserve.users -= 1;
        if reserve.users == 0 {
            reserve.fill();
        }
    }
}
