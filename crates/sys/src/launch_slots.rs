//! Low file descriptors with copies of the descriptors of a child.
//!
//! fork(2) copies the descriptor table and execve(2) closes the close-on-exec descriptors. Both take longer with more
//! descriptors, and procrun has six for each worker. A child that shares the table (`CLONE_FILES`) and then unshares
//! it with close_range(2) (`CLOSE_RANGE_UNSHARE`) copies only the descriptors below a number. So the descriptors of a
//! child are first copied to low numbers. Linux has the flag since 5.9, but before 6.11 (CVE-2024-45025) the child
//! gets a wrong bitmap of open descriptors.
//!
//! One start at a time uses the slots. Starts of other threads at the same time do not use them.

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

/// The number of slots: three standard streams, an IPC channel and four sockets.
const SLOT_COUNT: usize = 8;
/// The lowest slot: above the numbers that a child uses, 3 and up for sockets, 15 or 17 for its channel.
const FIRST_SLOT: RawFd = 20;
/// The highest slot: if inherited descriptors force higher numbers, slots gain nothing.
const MAX_SLOT: RawFd = 63;
/// If the limit of descriptors is lower than this, they are too scarce for slots.
const MIN_LIMIT: u64 = 256;

static SLOTS: Mutex<Vec<OwnedFd>> = Mutex::new(Vec::new());

/// Reserves the slots, which hold copies of this descriptor while they are unused. Call it before other descriptors
/// are opened. Without slots, starts take longer.
pub fn reserve(placeholder: BorrowedFd<'_>) {
    if getrlimit(Resource::RLIMIT_NOFILE).is_ok_and(|(soft, _)| soft < MIN_LIMIT) {
        return;
    }
    let mut slots = SLOTS.lock().unwrap_or_else(PoisonError::into_inner);
    while slots.len() < SLOT_COUNT {
        let Ok(fd) = fcntl(placeholder, FcntlArg::F_DUPFD_CLOEXEC(FIRST_SLOT)) else { break };
        // SAFETY: the kernel has just made this descriptor; nothing else owns it.
        slots.push(unsafe { OwnedFd::from_raw_fd(fd) });
    }
    if slots.len() < SLOT_COUNT || slots.iter().any(|fd| fd.as_raw_fd() > MAX_SLOT) {
        slots.clear();
    }
}

/// Slots with the descriptors of a child. Dropping this clears them.
pub(super) struct FilledSlots {
    slots: MutexGuard<'static, Vec<OwnedFd>>,
    count: usize,
}

impl FilledSlots {
    /// Copies these descriptors to the slots. `None`: there are no slots or too few, they are in use, or the kernel
    /// does not support them. The child itself uses the numbers below `end`.
    pub(super) fn with(descriptors: &[BorrowedFd<'_>], end: RawFd) -> Option<Self> {
        if descriptors.len() >= SLOT_COUNT || end > FIRST_SLOT || !is_supported() {
            return None;
        }
        let slots = match SLOTS.try_lock() {
            Ok(slots) => slots,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return None,
        };
        // The last slot is never filled: its descriptor clears the others.
        if slots.len() < SLOT_COUNT {
            return None;
        }
        let mut filled = Self { slots, count: 0 };
        for descriptor in descriptors {
            copy(descriptor.as_raw_fd(), filled.slots[filled.count].as_raw_fd())?;
            filled.count += 1;
        }
        Some(filled)
    }

    /// The descriptor of a slot.
    pub(super) fn number(&self, slot: usize) -> RawFd {
        self.slots[slot].as_raw_fd()
    }

    /// The first number above all slots.
    pub(super) fn end(&self) -> RawFd {
        self.slots.iter().map(|slot| slot.as_raw_fd() + 1).max().unwrap_or(FIRST_SLOT)
    }
}

impl Drop for FilledSlots {
    fn drop(&mut self) {
        let placeholder = self.slots[SLOT_COUNT - 1].as_raw_fd();
        for slot in &self.slots[..self.count] {
            // The number is in use already, so dup3(2) allocates nothing.
            let _ = copy(placeholder, slot.as_raw_fd());
        }
    }
}

fn copy(from: RawFd, to: RawFd) -> Option<()> {
    // SAFETY: both are open; `to` is a slot, whose content nothing else uses.
    (unsafe { libc::dup3(from, to, libc::O_CLOEXEC) } >= 0).then_some(())
}

/// Whether the creation of a child with slots has failed.
static IS_REFUSED: AtomicBool = AtomicBool::new(false);

/// Stops using the slots: an emulator (qemu-user) or a seccomp filter rejects the calls.
pub(super) fn disable() {
    IS_REFUSED.store(true, Relaxed);
}

/// Whether the kernel has close_range(2) without the fault, and no filter rejects it.
fn is_supported() -> bool {
    static IS_SUPPORTED: OnceLock<bool> = OnceLock::new();
    let is_supported = *IS_SUPPORTED.get_or_init(|| {
        let has_fix = uname().is_ok_and(|it| it.release().to_str().is_some_and(has_fix));
        // SAFETY: an empty range closes nothing. The kernel refuses it before it does anything.
        let result = unsafe { libc::syscall(libc::SYS_close_range, 1, 0, libc::CLOSE_RANGE_UNSHARE) };
        has_fix && result < 0 && Errno::last() == Errno::EINVAL
    });
    is_supported && !IS_REFUSED.load(Relaxed)
}

/// Whether this release of Linux copies the bitmap of open descriptors correctly.
fn has_fix(release: &str) -> bool {
    let mut numbers =
        release.split(|letter: char| !letter.is_ascii_digit()).map(|number| number.parse().ok());
    let mut next = || numbers.next().flatten().unwrap_or(0_u32);
    (next(), next()) >= (6, 11)
}

/// Unshares the descriptor table of this process, and keeps the descriptors below `end`.
///
/// # Safety
///
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
    fn only_kernels_with_the_fix_use_slots() {
        for release in ["6.11.0", "6.11-rc5", "6.18.44-fc-v657", "7.0"] {
            assert!(has_fix(release), "{release}");
        }
        for release in ["", "5.10.225", "6.1.107-amd64", "6.10.7", "4.19.0"] {
            assert!(!has_fix(release), "{release}");
        }
    }
}
