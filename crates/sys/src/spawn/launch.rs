//! The request for a new process.

use std::{
    ffi::{CStr, CString},
    io,
    os::fd::{BorrowedFd, FromRawFd as _, OwnedFd},
    sync::atomic::AtomicBool,
};

use nix::libc;

use super::super::{accounts::Credentials, limits::Limits, process::OpenFiles};

/// All that a new process needs, ready to hand to the kernel.
#[derive(Debug)]
pub struct Launch<'a> {
    /// The file to execute, with a slash.
    pub program: &'a CStr,
    /// The arguments, `argv[0]` first.
    pub argv: &'a [CString],
    /// The whole environment as `NAME=value`.
    pub env: &'a [CString],
    /// Working directory.
    pub cwd: &'a CStr,
    /// Becomes descriptor 0.
    pub stdin: BorrowedFd<'a>,
    /// Becomes descriptor 1.
    pub stdout: BorrowedFd<'a>,
    /// Becomes descriptor 2.
    pub stderr: BorrowedFd<'a>,
    /// Become the descriptors from [`HANDED`] on. Who gets any is told its own process id as
    /// `LISTEN_PID`, as sd_listen_fds(3) wants it.
    pub sockets: &'a [BorrowedFd<'a>],
    /// It is told its own process id as `WATCHDOG_PID`, as sd_watchdog_enabled(3) wants it.
    pub watched: bool,
    /// A channel, and the descriptor that it becomes: [`channel_number`] or another one above the sockets.
    pub channel: Option<(BorrowedFd<'a>, usize)>,
    /// Whom to run as; `None`: as procrun.
    pub credentials: Option<&'a Credentials>,
    /// The limit of open files the process gets, unless `limits` says another one.
    pub open_files: OpenFiles,
    /// What else it gets otherwise than procrun has it.
    pub limits: Option<&'a Limits>,
    /// The cgroup that it begins in. Where that is refused, it begins in procrun's own.
    pub cgroup: Option<Cgroup<'a>>,
    /// The soft limit of file locks by which its descendants are told
    /// ([`RunMark`](super::tree::RunMark)), unless `limits` says another one.
    pub mark: Option<u64>,
}

/// A cgroup for a new process.
#[derive(Debug, Clone, Copy)]
pub struct Cgroup<'a> {
    /// Its directory.
    pub dir: BorrowedFd<'a>,
    /// The process gets a cgroup namespace in which this cgroup is the root.
    pub is_hidden: bool,
    /// Becomes true if the process begins in it.
    pub has_process: &'a AtomicBool,
}

/// The first descriptor beyond the standard streams (systemd: `SD_LISTEN_FDS_START`).
pub const HANDED: usize = 3;
/// Where a program finds its channel that is not for itself but for its children. Node keeps its descriptors up to
/// the first gap above 15 from its children.
const FORWARDED_CHANNEL: usize = 17;

/// Where a worker finds its channel, unless there are too many sockets. A shell script takes 3 to 9 for
/// itself (`exec 3>&1`), and would hand its own file to a Node that it starts; 10 and up are what shells
/// take when they need one themselves, the lowest that is free. Node closes those up to 15 in its children.
const CHANNEL: usize = 15;

/// The descriptor at which a worker with this number of sockets finds its channel.
pub fn channel_number(sockets: usize) -> usize {
    CHANNEL.max(HANDED + sockets)
}

/// The same for a Node that leaves the channel to its children.
pub fn forwarded_channel_number(sockets: usize) -> usize {
    FORWARDED_CHANNEL.max(HANDED + sockets + 1)
}

/// `/dev/null`, the standard input of what procrun asks nothing.
///
/// # Errors
/// What open(2) says with the path, for example in an image without `/dev`.
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
