//! The request for a new process.

use std::{
    ffi::{CStr, CString},
    io,
    os::fd::{BorrowedFd, FromRawFd as _, OwnedFd},
    sync::atomic::AtomicBool,
};

use nix::libc;

use super::super::{accounts::Credentials, limits::Limits, process::OpenFiles};

/// The request for a new process.
#[derive(Debug)]
pub struct Launch<'a> {
    /// The path of the program; it must contain a slash.
    pub program: &'a CStr,
    /// The arguments, `argv[0]` first.
    pub argv: &'a [CString],
    /// The whole environment as `NAME=value`.
    pub env: &'a [CString],
    /// The working directory.
    pub cwd: &'a CStr,
    /// Becomes descriptor 0.
    pub stdin: BorrowedFd<'a>,
    /// Becomes descriptor 1.
    pub stdout: BorrowedFd<'a>,
    /// Becomes descriptor 2.
    pub stderr: BorrowedFd<'a>,
    /// The sockets, which become the descriptors from [`HANDED`] on. If there are any, the process gets its process
    /// id as `LISTEN_PID` (sd_listen_fds(3)).
    pub sockets: &'a [BorrowedFd<'a>],
    /// The process gets its process id as `WATCHDOG_PID` (sd_watchdog_enabled(3)).
    pub watched: bool,
    /// The IPC channel and its descriptor: [`channel_number`] or another number above the sockets.
    pub channel: Option<(BorrowedFd<'a>, usize)>,
    /// The user and groups. `None`: procrun's own.
    pub credentials: Option<&'a Credentials>,
    /// The limits of open files, unless `limits` has them.
    pub open_files: OpenFiles,
    /// Limits and attributes that differ from procrun's own.
    pub limits: Option<&'a Limits>,
    /// The cgroup. If the kernel rejects it, the process starts in procrun's own.
    pub cgroup: Option<Cgroup<'a>>,
    /// The soft limit of file locks that marks the process and its descendants ([`RunMark`](crate::tree::RunMark)),
    /// unless `limits` sets that limit.
    pub mark: Option<u64>,
}

/// A cgroup for a new process.
#[derive(Debug, Clone, Copy)]
pub struct Cgroup<'a> {
    /// The directory of the cgroup.
    pub dir: BorrowedFd<'a>,
    /// The process gets a cgroup namespace with this cgroup as its root.
    pub is_hidden: bool,
    /// Set to true when the process starts in the cgroup.
    pub has_process: &'a AtomicBool,
}

/// The first descriptor after the standard streams (`SD_LISTEN_FDS_START` of sd_listen_fds(3)).
pub const HANDED: usize = 3;
/// The descriptor of a channel that a program passes on to its children. Node keeps descriptors from its children up
/// to the first unused number above 15.
const FORWARDED_CHANNEL: usize = 17;

/// The descriptor of a worker's channel, unless there are too many sockets. Shell scripts use 3 to 9 (`exec 3>&1`)
/// and would pass their own file to a Node that they start. Shells themselves use the lowest free number from 10 on.
/// Node closes the descriptors up to 15 in its children.
const CHANNEL: usize = 15;

/// The descriptor of the channel in a worker with this number of sockets.
pub fn channel_number(sockets: usize) -> usize {
    CHANNEL.max(HANDED + sockets)
}

/// The descriptor of the channel for a Node that leaves the channel to its children.
pub fn forwarded_channel_number(sockets: usize) -> usize {
    FORWARDED_CHANNEL.max(HANDED + sockets + 1)
}

/// Opens `/dev/null`, for processes without another standard stream.
///
/// # Errors
///
/// The error of open(2) with the path, for example in an image without `/dev`.
pub fn dev_null() -> io::Result<OwnedFd> {
    // SAFETY: the path is a C string; the descriptor is new and owned by nothing else.
    let fd = unsafe { libc::open(c"/dev/null".as_ptr(), libc::O_RDWR | libc::O_CLOEXEC) };
    if fd < 0 {
        let error = io::Error::last_os_error();
        return Err(io::Error::new(error.kind(), format!("cannot open /dev/null: {error}")));
    }
    // SAFETY: as above.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
