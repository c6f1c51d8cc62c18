//! The size of a terminal.

use std::{
    mem::MaybeUninit,
    os::fd::{AsRawFd, BorrowedFd},
};

use nix::libc;

/// The columns and rows of a terminal (`TIOCGWINSZ`, ioctl_tty(2)). `None`: it is not a terminal, or its size is
/// unknown.
pub fn size(of: BorrowedFd<'_>) -> Option<(u16, u16)> {
    let mut size = MaybeUninit::<libc::winsize>::uninit();
    // SAFETY: the kernel writes one `winsize`, for which there is room.
    let done = unsafe { libc::ioctl(of.as_raw_fd(), libc::TIOCGWINSZ, size.as_mut_ptr()) } == 0;
    if !done {
        return None;
    }
    // SAFETY: the call has succeeded, so it has been written.
    let size = unsafe { size.assume_init() };
    (size.ws_col > 0).then_some((size.ws_col, size.ws_row))
}
