//! What procrun does to itself, and signals to others.

use std::io;

use nix::{
    libc,
    sys::resource::{Resource, getrlimit, setrlimit},
};

use super::reap::Pid;

/// Whether this process is the init of its PID namespace.
pub fn is_pid1() -> bool {
    std::process::id() == 1
}

/// Makes orphaned descendants become children of this process (`PR_SET_CHILD_SUBREAPER`,
/// Linux 3.4). PID 1 has that role anyway.
///
/// # Errors
/// What prctl(2) says.
pub fn become_subreaper() -> io::Result<()> {
    nix::sys::prctl::set_child_subreaper(true).map_err(io::Error::from)
}

/// The limit of open files as it was before [`raise_open_files`]; workers get it back.
#[derive(Debug, Clone, Copy)]
pub struct OpenFiles {
    pub(super) soft: u64,
    pub(super) hard: u64,
}

/// Raises the soft limit of open files to the hard one: each worker costs procrun four
/// descriptors. Returns what it was. A refusal is no error: it means fewer workers.
pub fn raise_open_files() -> OpenFiles {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap_or((1024, 1024));
    if soft < hard {
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    }
    OpenFiles { soft, hard }
}

/// Sends a signal (1 to 64, real-time ones too) to one process.
///
/// # Errors
/// `ESRCH` when it is gone, `EPERM` when it is somebody else's.
pub fn signal(pid: Pid, number: i32) -> io::Result<()> {
    send(pid, number)
}

/// Sends a signal to every process of a group.
///
/// # Errors
/// `ESRCH` when the group is empty.
pub fn signal_group(group: Pid, number: i32) -> io::Result<()> {
    send(-group, number)
}

/// Whether a process group has a member, zombies included.
pub fn group_exists(group: Pid) -> bool {
    match send(-group, 0) {
        Ok(()) => true,
        Err(error) => error.raw_os_error() == Some(libc::EPERM),
    }
}

fn send(target: Pid, number: i32) -> io::Result<()> {
    assert!(target != 0 && target != -1, "0 and -1 mean procrun's own group and everybody");
    // SAFETY: kill takes two integers and touches no memory.
    if unsafe { libc::kill(target, number) } == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Gives memory that start-up needed back to the kernel: freed heap, and the pages of code that
/// only start-up runs (they stay in the page cache and come back on demand).
pub fn trim_memory() {
    // SAFETY: malloc_trim only releases free memory of the allocator.
    unsafe { libc::malloc_trim(0) };
}

/// Keeps the allocator to one arena: two threads need no more, and each arena is memory of its own.
pub fn limit_allocator_arenas() {
    // SAFETY: mallopt changes a parameter of the allocator; called before any thread starts.
    unsafe { libc::mallopt(libc::M_ARENA_MAX, 1) };
}
