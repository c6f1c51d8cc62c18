//! Sends signals to single processes of a tree.
//!
//! The kernel reuses a process id after the process has been reaped, and the parent of a member may reap it at any
//! time. So the signal is sent by a pidfd whose process is checked after the pidfd is opened: the signal reaches that
//! process or none.

use std::{
    io,
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
    ptr,
};

use nix::libc;

use super::scan::Identity;
use crate::{descriptor_reserve, proc_stat, process, reap::Pid};

/// Sends a signal (0 to 64) to exactly this process, even if its process id is reused. Uses pidfd_send_signal(2).
///
/// # Errors
///
/// `ESRCH` if the process has ended, `EPERM` if it belongs to another user.
pub fn send_signal(to: Identity, number: i32) -> io::Result<()> {
    let _room = descriptor_reserve::release();
    let has_ended = || io::Error::from_raw_os_error(libc::ESRCH);
    let is_same = || proc_stat::of(to.pid).is_some_and(|stat| stat.start == to.start);
    match open(to.pid) {
        Ok(pidfd) => {
            if !is_same() {
                return Err(has_ended());
            }
            send(&pidfd, number)
        }
        Err(error) if error.raw_os_error() == Some(libc::ESRCH) => Err(error),
        // Linux before 5.3, a seccomp filter that denies the call, or no free descriptor.
        Err(_) if is_same() => process::signal(to.pid, number),
        Err(_) => Err(has_ended()),
    }
}

fn open(pid: Pid) -> io::Result<OwnedFd> {
    // SAFETY: takes integers and touches no memory.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    let fd = i32::try_from(fd).ok().filter(|fd| *fd >= 0).ok_or_else(io::Error::last_os_error)?;
    // SAFETY: the kernel has just made this descriptor, close-on-exec; nothing else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn send(pidfd: &OwnedFd, number: i32) -> io::Result<()> {
    let no_info = ptr::null::<libc::siginfo_t>();
    // SAFETY: the descriptor is open; without a siginfo the kernel fills in what kill(2) does.
    let sent =
        unsafe { libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_raw_fd(), number, no_info, 0) } == 0;
    if sent { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use nix::libc;

    use super::{Identity, proc_stat, send_signal};

    #[test]
    fn a_number_with_another_start_time_gets_no_signal() {
        let pid = i32::try_from(std::process::id()).unwrap();
        let start = proc_stat::of(pid).unwrap().start;
        // Signal 0 only checks that the process exists.
        assert!(send_signal(Identity { pid, start }, 0).is_ok());
        for stranger in [Identity { pid, start: start + 1 }, Identity { pid: i32::MAX, start }] {
            let refused = send_signal(stranger, libc::SIGKILL).unwrap_err();
            assert_eq!(refused.raw_os_error(), Some(libc::ESRCH), "{stranger:?}");
        }
    }
}
