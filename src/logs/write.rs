//! Writes a whole buffer to a descriptor, and records what was lost if that fails.
//!
//! It never changes the descriptor's flags: other processes may share it.

use std::os::fd::BorrowedFd;

use memchr::memchr_iter;
use nix::{errno::Errno, unistd::write};

/// A write that ended early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cut {
    /// The number of written bytes.
    pub(super) written: usize,
    /// The reason.
    pub(super) errno: Errno,
}

/// Writes all of `bytes`, and reports after each step how many more were written. `full` decides what happens when
/// a non-blocking descriptor is full: it has waited, or this is an error like others.
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

/// A number of lines as text.
pub(super) fn lines(count: u64) -> String {
    if count == 1 { "1 line".to_owned() } else { format!("{count} lines") }
}

/// The losses of a sink that refused lines.
#[derive(Debug, Default)]
pub(super) struct Losses {
    /// Lines that were not (or not completely) written since the last report.
    pub(super) lines: u64,
    /// Whether the last write ended within a line.
    pub(super) torn: bool,
}

impl Losses {
    /// Counts the lines of `bytes` that were not written.
    pub(super) fn count(&mut self, bytes: &[u8], written: usize) {
        if written > 0 {
            self.torn = bytes[written - 1] != b'\n';
        }
        self.lines += memchr_iter(b'\n', &bytes[written..]).count() as u64;
    }
}
