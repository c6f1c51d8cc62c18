//! The only owner of waiting: every child and every adopted orphan is reaped here.
//!
//! No other code may wait for a child: a second waiter would steal exit statuses.

use std::mem::MaybeUninit;

use nix::libc;

/// A process id as the kernel reports it, always positive.
pub type Pid = i32;

/// How a process ended (wait(2)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// The process exited with this code.
    Exited(u8),
    /// A signal terminated it.
    Signaled {
        /// The number of the signal, 1 to 64.
        signal: i32,
        /// The process has dumped core.
        core_dumped: bool,
    },
}

/// Reaps one child that has ended. `None`: no child has ended.
///
/// The kernel merges SIGCHLD signals, so call this until it returns `None`.
pub fn next() -> Option<(Pid, Status)> {
    loop {
        let mut raw = 0;
        // SAFETY: `raw` is a valid place for the status; WNOHANG makes the call return at once.
        let pid = unsafe { libc::waitpid(-1, &raw mut raw, libc::WNOHANG) };
        if pid > 0 {
            if let Some(status) = decode(raw) {
                return Some((pid, status));
            }
        } else if pid == 0 || std::io::Error::last_os_error().raw_os_error() != Some(libc::EINTR) {
            return None;
        }
    }
}

/// Whether this process has children, ended or not. Reaps none.
pub fn has_children() -> bool {
    let mut info = MaybeUninit::<libc::siginfo_t>::uninit();
    let how = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
    // SAFETY: `info` is a valid place for the result, which is not read.
    unsafe { libc::waitid(libc::P_ALL, 0, info.as_mut_ptr(), how) == 0 }
}

/// nix's `WaitStatus` cannot represent a termination by a real-time signal.
fn decode(raw: i32) -> Option<Status> {
    if libc::WIFEXITED(raw) {
        Some(Status::Exited(u8::try_from(libc::WEXITSTATUS(raw)).unwrap_or(u8::MAX)))
    } else if libc::WIFSIGNALED(raw) {
        Some(Status::Signaled { signal: libc::WTERMSIG(raw), core_dumped: libc::WCOREDUMP(raw) })
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::{Status, decode};

    #[test]
    fn statuses_decode_as_in_wait_2() {
        assert_eq!(decode(0x0700), Some(Status::Exited(7)));
        assert_eq!(decode(0xff00), Some(Status::Exited(255)));
        assert_eq!(decode(9), Some(Status::Signaled { signal: 9, core_dumped: false }));
        assert_eq!(decode(0x8b), Some(Status::Signaled { signal: 11, core_dumped: true }));
        assert_eq!(decode(63), Some(Status::Signaled { signal: 63, core_dumped: false }));
        assert_eq!(decode(0x137f), None, "stopped is not an end");
    }
}
