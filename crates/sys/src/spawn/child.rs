//! The child's side of a start: sets up the process and executes the program. It makes only system calls.

use std::{
    ffi::{c_int, c_void},
    io,
    os::fd::RawFd,
    ptr,
    sync::{OnceLock, atomic::Ordering::SeqCst},
};

use nix::libc;

use super::{
    super::{accounts::Credentials, launch_slots, limits::Limits},
    attempt::Attempt,
    error::Stage,
    launch::Launch,
};

/// The data of the child, in the parent's memory or in a copy of it.
pub(super) struct Shared<'a> {
    pub(super) launch: &'a Launch<'a>,
    /// The descriptors that become the standard streams.
    pub(super) streams: [RawFd; 3],
    /// The child shares the descriptor table, and keeps the descriptors below this number (`CLONE_FILES`).
    pub(super) keeps_below: Option<RawFd>,
    pub(super) argv: Vec<*const libc::c_char>,
    pub(super) env: Vec<*const libc::c_char>,
    /// The other descriptors of the child, each with its number in the child. No source has the number of a target,
    /// so none is overwritten before it is used.
    pub(super) other_descriptors: Vec<(RawFd, RawFd)>,
    /// Where the child writes its process id in decimal. Null: it is not needed.
    pub(super) pid_places: [*mut u8; 2],
    pub(super) parent: u32,
    /// The signals that the child resets to their default disposition, as a bit set.
    pub(super) signals: u64,
    pub(super) attempt: Attempt,
}

/// Sets up the child and executes the program, or stores the failure and exits.
pub(super) extern "C" fn run(shared: *mut c_void) -> c_int {
    // SAFETY: `spawn_in` passes a valid pointer, and does not touch what is there meanwhile.
    let shared = unsafe { &*shared.cast::<Shared<'_>>() };
    // SAFETY: this is the child, and all signals are blocked.
    let stage = unsafe { set_up_and_exec(shared) };
    let errno = io::Error::last_os_error().raw_os_error().unwrap_or(0);
    let report = shared.attempt.report;
    report.errno.store(errno, SeqCst);
    report.stage.store(u32::from(stage.number()) + 1, SeqCst);
    // SAFETY: takes an integer and never returns; runs no exit handlers of procrun's.
    unsafe { libc::_exit(127) }
}

/// Returns the stage that failed, with `errno` set.
///
/// # Safety
///
/// Only in the child, with all signals blocked.
unsafe fn set_up_and_exec(shared: &Shared<'_>) -> Stage {
    let launch = shared.launch;
    // SAFETY: every call is a plain system call with valid pointers that outlive it.
    unsafe {
        if let Some(end) = shared.keeps_below
            && !launch_slots::keep_below(end)
        {
            return Stage::Streams;
        }
        if launch.cgroup.is_some_and(|cgroup| cgroup.is_hidden) {
            // Before the change of user. On a failure the program sees the path of its cgroup.
            libc::unshare(libc::CLONE_NEWCGROUP);
        }
        if libc::setsid() < 0 {
            return Stage::Streams;
        }
        for (from, to) in shared.streams.into_iter().zip(0..) {
            if libc::dup2(from, to) < 0 {
                return Stage::Streams;
            }
        }
        for (from, to) in &shared.other_descriptors {
            if libc::dup2(*from, *to) < 0 {
                return Stage::Streams;
            }
        }
        for text in shared.pid_places {
            if !text.is_null() {
                write_decimal(libc::getpid().cast_unsigned(), text);
            }
        }
        let limit = libc::rlimit { rlim_cur: launch.open_files.soft, rlim_max: launch.open_files.hard };
        libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit);
        if let Some(mark) = launch.mark {
            set_mark(mark);
        }
        if let Some(part) = launch.limits.and_then(Limits::apply) {
            return Stage::Limits(part);
        }
        if let Some(credentials) = launch.credentials
            && !become_user(credentials)
        {
            return Stage::Credentials;
        }
        if libc::chdir(launch.cwd.as_ptr()) < 0 {
            return Stage::Chdir;
        }
        // After the change of user, which clears it. The program can clear it too by changing its user (setpriv, su).
        // The parent may have died before it was set, so its id is compared.
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
        if libc::getppid().cast_unsigned() != shared.parent {
            libc::_exit(127);
        }
        if let Some(part) = launch.limits.and_then(Limits::drop_privileges) {
            return Stage::Limits(part);
        }
        default_signals(shared.signals);
        if shared.attempt.is_cancelled() {
            libc::_exit(127);
        }
        libc::execve(launch.program.as_ptr(), shared.argv.as_ptr(), shared.env.as_ptr());
    }
    Stage::Exec
}

/// Sets the soft limit of file locks. No mark is set if the hard limit is below the mark: the program must not lose a
/// part of its limit.
///
/// # Safety
///
/// As [`set_up_and_exec`].
unsafe fn set_mark(mark: u64) {
    let mut locks = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `locks` is a valid place for the limit.
    if unsafe { libc::getrlimit(libc::RLIMIT_LOCKS, &raw mut locks) } == 0 && mark <= locks.rlim_max {
        locks.rlim_cur = mark;
        // SAFETY: as above. A sandbox may refuse it; the other witnesses remain.
        unsafe { libc::setrlimit(libc::RLIMIT_LOCKS, &raw const locks) };
    }
}

/// Writes the digits of a number. The bytes after them are zero already.
///
/// # Safety
///
/// `to` has ten bytes, which no other code uses at the same time.
unsafe fn write_decimal(number: u32, to: *mut u8) {
    let length = number.checked_ilog10().unwrap_or(0) + 1;
    for place in 0..length {
        let digit = number / 10_u32.pow(length - 1 - place) % 10;
        // SAFETY: fewer than ten bytes from the start; the number of a place fits everywhere.
        unsafe { to.add(place as usize).write(b'0' + u8::try_from(digit).unwrap_or(0)) };
    }
}

/// Changes user and groups by bare system calls: glibc's wrappers change the ids of all threads of the *parent*
/// (nptl(7)).
///
/// # Safety
///
/// As [`set_up_and_exec`].
unsafe fn become_user(credentials: &Credentials) -> bool {
    let Credentials { uid, gid, groups, .. } = credentials;
    // SAFETY: the list of groups is valid for its length.
    let groups = unsafe { libc::syscall(libc::SYS_setgroups, groups.len(), groups.as_ptr()) };
    // Without the right to set groups a process may still be exactly who it is.
    // SAFETY: reads the process's own id.
    let already = unsafe { libc::getuid() } == *uid;
    if groups < 0 && !already {
        return false;
    }
    // SAFETY: takes integers.
    let group_set = unsafe { libc::syscall(libc::SYS_setresgid, *gid, *gid, *gid) } == 0;
    // SAFETY: takes integers.
    group_set && unsafe { libc::syscall(libc::SYS_setresuid, *uid, *uid, *uid) } == 0
}

/// All signals as a bit set; bit 0 is signal 1.
pub(super) const ALL_SIGNALS: u64 = u64::MAX;

/// Looks up in advance what the first start needs, so that it takes less time.
pub fn prepare() {
    ignored_signals();
}

/// The signals that this process ignores, as a bit set. procrun itself ignores no signal after its first start.
pub(super) fn ignored_signals() -> u64 {
    static IGNORED: OnceLock<u64> = OnceLock::new();
    *IGNORED
        .get_or_init(|| (1..=64).filter(|number| is_ignored(*number)).fold(0, |all, it| all | 1 << (it - 1)))
}

fn is_ignored(number: c_int) -> bool {
    let mut action = [0_u64; 8];
    let no_action = ptr::null::<u64>();
    // SAFETY: `action` is larger than the kernel's own sigaction, whose first word is the handler.
    let result = unsafe {
        libc::syscall(libc::SYS_rt_sigaction, number, no_action, action.as_mut_ptr(), size_of::<u64>())
    };
    result == 0 && action[0] == libc::SIG_IGN as u64
}

/// Resets these signals to their default disposition and unblocks all signals, as a program expects.
///
/// By bare system calls, because glibc's wrapper rejects the two signals that it uses itself, and the caller of
/// procrun may have ignored those too.
///
/// # Safety
///
/// As [`set_up_and_exec`].
unsafe fn default_signals(signals: u64) {
    // The kernel's `sigaction` has at most this number of words on any architecture. All zero is SIG_DFL without
    // flags and mask.
    let default = [0_u64; 8];
    let mask_size = size_of::<u64>();
    for number in (1..=64).filter(|number| signals >> (number - 1) & 1 == 1) {
        // Refused for SIGKILL and SIGSTOP, which cannot be changed.
        // SAFETY: `default` is large enough, and no old action is asked for.
        unsafe {
            let no_action = ptr::null_mut::<u64>();
            libc::syscall(libc::SYS_rt_sigaction, number, default.as_ptr(), no_action, mask_size)
        };
    }
    let none = nix::sys::signal::SigSet::empty();
    let _ = none.thread_set_mask();
}
