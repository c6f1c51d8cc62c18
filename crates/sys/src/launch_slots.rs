//! Low file descriptors from which a child takes what it gets.
//!
//! fork(2) copies the table of descriptors and execve(2) closes what is marked so: both take longer the more
//! descriptors procrun has, six for each worker. A child that shares the table instead (`CLONE_FILES`) and then
//! unshares it with close_range(2) (`CLOSE_RANGE_UNSHARE`) copies only those below a number. So what a child needs is
//! copied to low numbers first. Linux has the flag since 5.9, but before 6.11 (CVE-2024-45025) the child gets a wrong map
//! of the numbers in use.
//!
//! One start at a time uses the slots. Another thread that starts a process meanwhile does without them.

use std::{
    os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd},
    sync::{
        Mutex, MutexGuard, OnceLock, PoisonError, TryLockError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use nix::{
    errno::Errno,
    fcntl::{FcntlArg, fcntl},
    libc,
    sys::{
        resource::{Resource, getrlimit},
        utsname::uname,
    },
};

/// Standard input, output and error, an IPC channel and four sockets.
const COUNT: usize = 8;
/// Above the numbers that a child uses: 3 and on for sockets, 15 or 17 for its channel.
const FIRST: RawFd = 20;
/// With inherited descriptors in the way, slots above this number would be no gain.
const MAX: RawFd = 63;
/// Where a process may have fewer descriptors, they are too scarce for slots.
const MIN_LIMIT: u64 = 256;

static SLOTS: Mutex<Vec<OwnedFd>> = Mutex::new(Vec::new());

/// Takes the slots, which hold copies of this descriptor while they are empty. Call it before other descriptors
/// are opened. Without them, starts take longer.
pub fn reserve(placeholder: BorrowedFd<'_>) {
    if getrlimit(Resource::RLIMIT_NOFILE).is_ok_and(|(soft, _)| soft < MIN_LIMIT) {
        return;
    }
    let mut slots = SLOTS.lock().unwrap_or_else(PoisonError::into_inner);
    while slots.len() < COUNT {
        let Ok(fd) = fcntl(placeholder, FcntlArg::F_DUPFD_CLOEXEC(FIRST)) else { break };
        // SAFETY: the kernel has just made this descriptor; nothing else owns it.
        slots.push(unsafe { OwnedFd::from_raw_fd(fd) });
    }
    if slots.len() < COUNT || slots.iter().any(|fd| fd.as_raw_fd() > MAX) {
        slots.clear();
    }
}

/// Slots in which descriptors lie for a child. They are empty again when this is dropped.
pub(super) struct Filled {
    slots: MutexGuard<'static, Vec<OwnedFd>>,
    count: usize,
}

impl Filled {
    /// Copies these descriptors to the slots. `None`: there are no slots or too few, they are in use, or the kernel
    /// cannot use them. The numbers below `end` are what the child uses itself.
    pub(super) fn with(descriptors: &[BorrowedFd<'_>], end: RawFd) -> Option<Self> {
        if descriptors.len() >= COUNT || end > FIRST || !is_supported() {
            return None;
        }
        let slots = match SLOTS.try_lock() {
            Ok(slots) => slots,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return None,
        };
        // The last one is never filled: it is what the others hold while they are empty.
        if slots.len() < COUNT {
            return None;
        }
        let mut filled = Self { slots, count: 0 };
        for descriptor in descriptors {
            copy(descriptor.as_raw_fd(), filled.slots[filled.count].as_raw_fd())?;
            filled.count += 1;
        }
        Some(filled)
    }

    /// The number of a slot.
    pub(super) fn number(&self, slot: usize) -> RawFd {
        self.slots[slot].as_raw_fd()
    }

    /// The first number above all slots.
    pub(super) fn end(&self) -> RawFd {
        self.slots.iter().map(|slot| slot.as_raw_fd() + 1).max().unwrap_or(FIRST)
    }
}

impl Drop for Filled {
    fn drop(&mut self) {
        let placeholder = self.slots[COUNT - 1].as_raw_fd();
        for slot in &self.slots[..self.count] {
            // The number is in use already, so it needs no other one.
            let _ = copy(placeholder, slot.as_raw_fd());
        }
    }
}

fn copy(from: RawFd, to: RawFd) -> Option<()> {
    // SAFETY: both are open; `to` is a slot, whose content nothing else uses.
    (unsafe { libc::dup3(from, to, libc::O_CLOEXEC) } >= 0).then_some(())
}

/// Whether a child could not be made with them.
static IS_REFUSED: AtomicBool = AtomicBool::new(false);

/// Uses the slots no more: an emulator (qemu-user) or a filter refuses what they need.
pub(super) fn give_up() {
    IS_REFUSED.store(true, Relaxed);
}

/// Whether the kernel has the call without the fault, and no filter refuses it.
fn is_supported() -> bool {
    static IS_SUPPORTED: OnceLock<bool> = OnceLock::new();
    let is_supported = *IS_SUPPORTED.get_or_init(|| {
        let is_new = uname().is_ok_and(|it| it.release().to_str().is_some_and(is_new));
        // SAFETY: an empty range closes nothing. The kernel refuses it before it does anything.
        let result = unsafe { libc::syscall(libc::SYS_close_range, 1, 0, libc::CLOSE_RANGE_UNSHARE) };
        is_new && result < 0 && Errno::last() == Errno::EINVAL
    });
    is_supported && !IS_REFUSED.load(Relaxed)
}

/// Whether a release of Linux copies the map of numbers right.
fn is_new(release: &str) -> bool {
    let mut numbers =
        release.split(|letter: char| !letter.is_ascii_digit()).map(|number| number.parse().ok());
    let mut next = || numbers.next().flatten().unwrap_or(0_u32);
    (next(), next()) >= (6, 11)
}

/// Gives this process, which shares its table of descriptors, one of its own with those below `end`.
///
/// # Safety
/// Only in a child that shares the table, before it uses any descriptor. Makes one system call.
pub(super) unsafe fn keep_below(end: RawFd) -> bool {
    let last = libc::c_uint::MAX;
    // SAFETY: the shared table stays as it is.
    unsafe { libc::syscall(libc::SYS_close_range, end, last, libc::CLOSE_RANGE_UNSHARE) == 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_kernels_that_copy_the_map_of_numbers_right_are_new() {
        for release in ["6.11.0", "6.11-rc5", "6.18.44-fc-v657", "7.0"] {
            assert!(is_new(release), "{release}");
        }
        for release in ["", "5.10.225", "6.1.107-amd64", "6.10.7", "4.19.0"] {
            assert!(!is_new(release), "{release}");
        }
    }
}
