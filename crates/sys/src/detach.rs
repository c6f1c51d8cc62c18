//! Starts a process that outlives its caller.

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

/// The descriptor in the started process that is connected to the socket of [`start`].
const CHANNEL_DESCRIPTOR: i32 = 3;

/// Starts a program with `called` as its `argv[0]`, in a new session (setsid(2)) and the directory `/`. Its stdin and
/// stdout are `/dev/null`, its stderr is the caller's. Its descriptor 3 is connected to the socket that is returned.
///
/// # Errors
///
/// The error of socketpair(2), fork(2) or execve(2).
pub fn start(program: &Path, called: &OsStr, args: &[OsString]) -> io::Result<OwnedFd> {
    let (own_end, other_end) = std::os::unix::net::UnixStream::pair()?;
    let fd = other_end.as_raw_fd();
    let mut command = Command::new(program);
    command.arg0(called).args(args).current_dir("/").stdin(Stdio::null()).stdout(Stdio::null());
    let set_up = move || {
        // SAFETY: three system calls that are async-signal-safe and touch no memory. The descriptor
        // is open: the parent holds it until the program is being executed.
        unsafe {
            if libc::setsid() < 0 {
                return Err(io::Error::last_os_error());
            }
            let done = if fd == CHANNEL_DESCRIPTOR {
                libc::fcntl(fd, libc::F_SETFD, 0)
            } else {
                libc::dup2(fd, CHANNEL_DESCRIPTOR)
            };
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
    drop((child, other_end));
    Ok(own_end.into())
}

/// Takes descriptor 3, which [`start`] gave this process. Must be called once, before any other file is opened.
/// `None`: descriptor 3 is not a socket.
pub fn channel() -> Option<OwnedFd> {
    let mut kind: libc::c_int = 0;
    let mut size = libc::socklen_t::try_from(size_of::<libc::c_int>()).ok()?;
    // SAFETY: both places are valid for what the kernel writes.
    let done = unsafe {
        libc::getsockopt(
            CHANNEL_DESCRIPTOR,
            libc::SOL_SOCKET,
            libc::SO_TYPE,
            (&raw mut kind).cast(),
            &raw mut size,
        )
    } == 0;
    // SAFETY: it is open, and nothing else in this process owns it: the caller promises that.
    done.then(|| unsafe { OwnedFd::from_raw_fd(CHANNEL_DESCRIPTOR) })
}
