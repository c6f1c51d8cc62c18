//! Starting a process: fork, set it up, exec.
//!
//! Between fork and exec only async-signal-safe calls happen (signal-safety(7)): everything that
//! allocates is prepared before. The child tells the parent through a close-on-exec pipe at which
//! step it failed and why; it is then reaped like every other child.

use std::{
    ffi::{CStr, CString},
    fmt, io,
    mem::MaybeUninit,
    os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
    ptr,
};

use nix::libc;

use super::{accounts::Credentials, process::OpenFiles, reap::Pid};

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
    /// Whom to run as; `None`: as procrun.
    pub credentials: Option<&'a Credentials>,
    /// The limit of open files the process gets.
    pub open_files: OpenFiles,
}

/// The step at which a start failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// No new process, or no pipe to hear from it.
    Fork,
    /// Standard streams or session.
    Streams,
    /// Supplementary groups, group or user.
    Credentials,
    /// Working directory.
    Chdir,
    /// The program itself.
    Exec,
}

/// Why a process did not start.
#[derive(Debug)]
pub struct Error {
    /// Where it failed.
    pub stage: Stage,
    /// The kernel's reason.
    pub source: io::Error,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.stage {
            Stage::Fork => "cannot make a process",
            Stage::Streams => "cannot set up its standard streams",
            Stage::Credentials => "cannot become the wanted user and groups",
            Stage::Chdir => "cannot enter its working directory",
            Stage::Exec => "cannot execute",
        };
        write!(f, "{what}: {}", self.source)
    }
}

impl std::error::Error for Error {}

/// A child that has been forked and may not have reached its program yet.
#[derive(Debug)]
pub struct Starting {
    pid: Pid,
    report: OwnedFd,
}

/// The child's message: step and errno, one byte and four.
const REPORT: usize = 5;

/// Forks. The answer whether the program could be executed comes from [`Starting::finish`], so
/// that several children can be on their way at once.
///
/// Must be called from one and the same thread as long as procrun lives: the parent-death signal
/// fires when the *thread* that forked ends (prctl(2)).
///
/// # Errors
/// [`Stage::Fork`] only.
pub fn start(launch: &Launch<'_>) -> Result<Starting, Error> {
    let fork_error = |source: io::Error| Error { stage: Stage::Fork, source };
    let (report, report_write) =
        nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC).map_err(|errno| fork_error(errno.into()))?;
    let argv = pointers(launch.argv);
    let env = pointers(launch.env);
    let parent = std::process::id();
    // A handler of procrun's must never run in the child: block everything until it has none.
    let blocked = BlockedSignals::all();
    // SAFETY: the child calls only async-signal-safe functions until it execs or exits.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        // SAFETY: this is the forked child, single-threaded; see `child`.
        unsafe { child(launch, &argv, &env, parent, report_write.as_raw_fd()) }
    }
    let error = io::Error::last_os_error();
    drop(blocked);
    if pid < 0 { Err(fork_error(error)) } else { Ok(Starting { pid, report }) }
}

impl Starting {
    /// The process id; the child exists, and is reaped by the reaper whatever happens.
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// Waits until the program runs or has failed to.
    ///
    /// # Errors
    /// The step that failed and the kernel's reason.
    pub fn finish(self) -> Result<Pid, Error> {
        let mut report = [0; REPORT];
        let mut have = 0;
        while have < REPORT {
            match nix::unistd::read(&self.report, &mut report[have..]) {
                Ok(0) => return Ok(self.pid),
                Ok(n) => have += n,
                Err(nix::Error::EINTR) => {}
                Err(errno) => return Err(Error { stage: Stage::Fork, source: errno.into() }),
            }
        }
        let stage = match report[0] {
            0 => Stage::Streams,
            1 => Stage::Credentials,
            2 => Stage::Chdir,
            _ => Stage::Exec,
        };
        let errno = i32::from_ne_bytes([report[1], report[2], report[3], report[4]]);
        Err(Error { stage, source: io::Error::from_raw_os_error(errno) })
    }
}

fn pointers(strings: &[CString]) -> Vec<*const libc::c_char> {
    strings.iter().map(|string| string.as_ptr()).chain([ptr::null()]).collect()
}

/// The child's part. Never returns.
///
/// # Safety
/// Only in a child forked while all signals were blocked; `argv` and `env` end with a null pointer.
unsafe fn child(
    launch: &Launch<'_>,
    argv: &[*const libc::c_char],
    env: &[*const libc::c_char],
    parent: u32,
    report: RawFd,
) -> ! {
    // SAFETY: as the caller promises.
    let stage = unsafe { set_up_and_exec(launch, argv, env, parent) };
    let errno = io::Error::last_os_error().raw_os_error().unwrap_or(0).to_ne_bytes();
    let message: [u8; REPORT] = [stage, errno[0], errno[1], errno[2], errno[3]];
    // SAFETY: the buffer is valid for its length.
    unsafe { libc::write(report, message.as_ptr().cast(), REPORT) };
    // SAFETY: takes an integer and never returns.
    unsafe { libc::_exit(127) }
}

/// Returns the step that failed, with `errno` set.
///
/// # Safety
/// As [`child`].
#[expect(clippy::multiple_unsafe_ops_per_block, reason = "one sequence of plain system calls")]
unsafe fn set_up_and_exec(
    launch: &Launch<'_>,
    argv: &[*const libc::c_char],
    env: &[*const libc::c_char],
    parent: u32,
) -> u8 {
    // SAFETY: every call is async-signal-safe and gets valid pointers that outlive it.
    unsafe {
        if libc::setsid() < 0 {
            return 0;
        }
        for (from, to) in [(launch.stdin, 0), (launch.stdout, 1), (launch.stderr, 2)] {
            if libc::dup2(from.as_raw_fd(), to) < 0 {
                return 0;
            }
        }
        let limit = libc::rlimit { rlim_cur: launch.open_files.soft, rlim_max: launch.open_files.hard };
        libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit);
        if let Some(credentials) = launch.credentials
            && !become_user(credentials)
        {
            return 1;
        }
        if libc::chdir(launch.cwd.as_ptr()) < 0 {
            return 2;
        }
        // After the change of user, which clears it. The parent may have died before it was set.
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
        if libc::getppid().cast_unsigned() != parent {
            libc::_exit(127);
        }
        default_signals();
        libc::execve(launch.program.as_ptr(), argv.as_ptr(), env.as_ptr());
    }
    3
}

/// # Safety
/// As [`child`].
unsafe fn become_user(credentials: &Credentials) -> bool {
    // SAFETY: the list of groups is valid for its length.
    let groups = unsafe { libc::setgroups(credentials.groups.len(), credentials.groups.as_ptr()) };
    // Without the right to set groups a process may still be exactly who it is.
    // SAFETY: reads the process's own ids.
    let already = unsafe { libc::getuid() } == credentials.uid;
    if groups < 0 && !already {
        return false;
    }
    // SAFETY: takes an integer.
    let group_set = unsafe { libc::setgid(credentials.gid) } == 0;
    // SAFETY: takes an integer.
    group_set && unsafe { libc::setuid(credentials.uid) } == 0
}

/// Default dispositions for all signals, then none blocked: what a program expects to find.
///
/// # Safety
/// As [`child`].
unsafe fn default_signals() {
    // SAFETY: an all-zero sigaction is a valid one with SIG_DFL, no flags and an empty mask.
    let default: libc::sigaction = unsafe { MaybeUninit::zeroed().assume_init() };
    for number in 1..=64 {
        // Refused for SIGKILL, SIGSTOP and the two that glibc keeps; nothing to do about it.
        // SAFETY: `default` is valid, no old action is asked for.
        unsafe { libc::sigaction(number, &raw const default, ptr::null_mut()) };
    }
    let none = nix::sys::signal::SigSet::empty();
    let _ = none.thread_set_mask();
}

/// All signals blocked in this thread until dropped.
struct BlockedSignals(nix::sys::signal::SigSet);

impl BlockedSignals {
    fn all() -> Self {
        let all = nix::sys::signal::SigSet::all();
        let old = all.thread_swap_mask(nix::sys::signal::SigmaskHow::SIG_BLOCK);
        Self(old.unwrap_or_else(|_| nix::sys::signal::SigSet::empty()))
    }
}

impl Drop for BlockedSignals {
    fn drop(&mut self) {
        let _ = self.0.thread_set_mask();
    }
}

/// `/dev/null`, what workers get as their stdin.
///
/// # Errors
/// What open(2) says, for example in an image without `/dev`.
pub fn dev_null() -> io::Result<OwnedFd> {
    // SAFETY: the path is a C string; the descriptor is new and owned by nobody else.
    let fd = unsafe { libc::open(c"/dev/null".as_ptr(), libc::O_RDWR | libc::O_CLOEXEC) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: as above.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
