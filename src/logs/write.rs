//! Writing all of a buffer to a descriptor, and what is known when it did not work.
//!
//! Never changes the descriptor's flags: it may be shared with strangers.

use std::os::fd::BorrowedFd;

use memchr::memchr_iter;
use nix::{errno::Errno, unistd::write};

/// A write that ended early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cut {
    /// The number of written bytes.
    pub(super) written: usize,
    /// Why no more did.
    pub(super) errno: Errno,
}

/// Writes all of `bytes`, and reports after each step how many more were written. `full` decides what happens
/// when a non-blocking descriptor is full: it has waited, or this is an error like others.
pub(super) fn write_all(
    to: BorrowedFd<'_>,
    bytes: &[u8],
    progress: impl Fn(usize),
    mut full: impl FnMut() -> Result<(), Errno>,
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
            Err(Errno::EAGAIN) => full().map_err(|errno| Cut { written, errno })?,
            Err(errno) => return Err(Cut { written, errno }),
        }
    }
    Ok(())
}

/// A number of lines, in words.
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
