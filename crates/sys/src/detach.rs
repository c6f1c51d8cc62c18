//! Starting a process that outlives its caller.

use std::{
    ffi::{OsStr, OsString},
    io,
    os::{
        fd::{AsRawFd, FromRawFd, OwnedFd},
        unix::process::CommandExt,
    },
    path::Path,
    process::{Command, Stdio},
};

use nix::libc;

/// The descriptor of the started process that is the other end of what [`start`] gives.
const CHANNEL: i32 = 3;

/// Starts a program under the name `called` in a session of its own, in `/`, with `/dev/null` as stdin and stdout and the
/// caller's stderr. Its descriptor 3 is connected to the socket that is returned.
///
/// # Errors
/// The error of socketpair(2), fork(2) or execve(2).
pub fn start(program: &Path, called: &OsStr, args: &[OsString]) -> io::Result<OwnedFd> {
    let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
    let fd = theirs.as_raw_fd();
    let mut command = Command::new(program);
    command.arg0(called).args(args).current_dir("/").stdin(Stdio::null()).stdout(Stdio::null());
    let set_up = move || {
        // SAFETY: three system calls that are async-signal-safe and touch no memory. The descriptor
        // is open: the parent holds it until the program is being executed.
        unsafe {
            if libc::setsid() < 0 {
                return Err(io::Error::last_os_error());
            }
            let done =
                if fd == CHANNEL { libc::fcntl(fd, libc::F_SETFD, 0) } else { libc::dup2(fd, CHANNEL) };
            if done < 0 {
                return Err(io::Error::last_os_error());
            }
        }
        Ok(())
    };
    // SAFETY: see there; nothing is allocated and no lock is taken between fork and exec.
    unsafe { command.pre_exec(set_up) };
    #[expect(clippy::disallowed_methods, reason = "a command has no supervisor; it ends before its child")]
    let child = command.spawn()?;
    drop((child, theirs));
    Ok(ours.into())
}

/// The descriptor 3 that [`start`] gave this process. Called once, before any other file is opened. `None` if
/// it is not a socket.
pub fn channel() -> Option<OwnedFd> {
    let mut kind: libc::c_int = 0;
    let mut size = libc::socklen_t::try_from(size_of::<libc::c_int>()).ok()?;
    // SAFETY: both places are valid for what the kernel writes.
    let done = unsafe {
        libc::getsockopt(CHANNEL, libc::SOL_SOCKET, libc::SO_TYPE, (&raw mut kind).cast(), &raw mut size)
    } == 0;
    // SAFETY: it is open, and nothing else in this process owns it: the caller promises that.
    done.then(|| unsafe { OwnedFd::from_raw_fd(CHANNEL) })
}
