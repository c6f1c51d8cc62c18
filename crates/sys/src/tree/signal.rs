//! Signals to single members of a tree.
//!
//! A number names a process only until it has been reaped. A member's parent may reap it at any moment, so
//! the signal goes by a pidfd that was checked after it was opened: it reaches that process or none.

use std::{
    io,
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
    ptr,
};

use nix::libc;

use super::{Identity, scan};
use crate::{descriptor_reserve, process, reap::Pid};

/// Sends a signal to a process, and to no other that has got its number since.
///
/// # Errors
/// `ESRCH` when it is gone, `EPERM` when it is another user's.
pub fn send_signal(to: Identity, number: i32) -> io::Result<()> {
    let _room = descriptor_reserve::make_room();
    let gone = || io::Error::from_raw_os_error(libc::ESRCH);
    let is_it = || scan::stat(to.pid).is_some_and(|stat| stat.start == to.start);
    match open(to.pid) {
        Ok(pidfd) => {
            if !is_it() {
                return Err(gone());
            }
            send(&pidfd, number)
        }
        Err(error) if error.raw_os_error() == Some(libc::ESRCH) => Err(error),
        // Linux before 5.3, a filter that does not know the call, or no descriptor left.
        Err(_) if is_it() => process::signal(to.pid, number),
        Err(_) => Err(gone()),
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

    use super::{Identity, scan, send_signal};

    #[test]
    fn a_number_with_another_start_time_gets_no_signal() {
        let pid = i32::try_from(std::process::id()).unwrap();
        let start = scan::stat(pid).unwrap().start;
        // Signal 0 asks only whether there is such a process.
        assert!(send_signal(Identity { pid, start }, 0).is_ok());
        for stranger in [Identity { pid, start: start + 1 }, Identity { pid: i32::MAX, start }] {
            let refused = send_signal(stranger, libc::SIGKILL).unwrap_err();
            assert_eq!(refused.raw_os_error(), Some(libc::ESRCH), "{stranger:?}");
        }
    }
}
