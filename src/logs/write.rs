//! Writing all of a buffer to a descriptor, and what is known when it did not work.
//!
//! Never changes the descriptor's flags: it may be shared with strangers.

use std::os::fd::{AsFd, BorrowedFd};

use memchr::memchr_iter;
use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    unistd::write,
};

/// What to do when a non-blocking descriptor is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WhenFull {
    /// Wait until there is room: back-pressure.
    Wait,
    /// That is an error like others.
    Fail,
}

/// A write that ended early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cut {
    /// So many bytes went through.
    pub(super) written: usize,
    /// Why no more did.
    pub(super) errno: Errno,
}

/// Writes all of `bytes`; says after each step how many more went through.
pub(super) fn write_all(
    to: BorrowedFd<'_>,
    bytes: &[u8],
    full: WhenFull,
    progress: impl Fn(usize),
) -> Result<(), Cut> {
    let mut written = 0;
    while written < bytes.len() {
        match write(to, &bytes[written..]) {
            Ok(0) => return Err(Cut { written, errno: Errno::EIO }),
            Ok(count) => {
                written += count;
                progress(count);
            }
            Err(Errno::EINTR) => {}
            // Somebody else who has the same open file made it non-blocking.
            Err(Errno::EAGAIN) if full == WhenFull::Wait => {
                let mut room = [PollFd::new(to.as_fd(), PollFlags::POLLOUT)];
                // EINTR: the write is simply tried again.
                let _ = poll(&mut room, PollTimeout::NONE);
            }
            Err(errno) => return Err(Cut { written, errno }),
        }
    }
    Ok(())
}

/// So many lines, in words.
pub(super) fn lines(count: u64) -> String {
    if count == 1 { "1 line".to_owned() } else { format!("{count} lines") }
}

/// What has become of a sink that refused lines.
#[derive(Debug, Default)]
pub(super) struct Losses {
    /// Lines that were not (or not wholly) written since the last report of it.
    pub(super) lines: u64,
    /// The last thing written was not a whole line.
    pub(super) torn: bool,
}

impl Losses {
    /// Counts what of `bytes` did not go through.
    pub(super) fn count(&mut self, bytes: &[u8], written: usize) {
        if written > 0 {
            self.torn = bytes[written - 1] != b'\n';
        }
        self.lines += memchr_iter(b'\n', &bytes[written..]).count() as u64;
    }
}
