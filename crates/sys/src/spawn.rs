//! Starting a process.
//!
//! A child that stays procrun's user shares procrun's memory until it executes its program: it runs on a
//! small stack of its own (`CLONE_VM`, clone(2)), as posix_spawn(3) does it. No page table is copied. In
//! exchange it may do nothing but make system calls: no allocation, no lock, and none of glibc's wrappers
//! that would talk to the parent's other threads.
//!
//! A child that becomes another user gets a copy of the memory instead. Sharing would make procrun itself
//! undumpable with the change of user, which closes `/proc/1/fd` to root.
//!
//! Either way the calling thread waits in the kernel (`CLONE_VFORK`) until the child has executed its
//! program or ended, and the child leaves a note of what failed in a page that both share. A process of the
//! application's user, or one of procrun's own user, can stop the child for ever (SIGSTOP), and so can a
//! file system that does not answer. So only threads that may wait for ever call [`spawn`], and
//! [`ChildId`] tells all others which process to kill: SIGKILL also ends a stopped process.
//!
//! A start can be given up while its child is being made and has no process id yet. The child reads that in the
//! shared page and ends instead of executing its program. So no thread kills a child by a number that another
//! process may have by then: the supervisor, which reaps the children, kills those whose number it knows.

use std::{
    cell::RefCell,
    ffi::{CStr, CString, c_int, c_void},
    fmt, io,
    mem::MaybeUninit,
    os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
    ptr,
    sync::{
        Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicI32, AtomicU32, AtomicU64, Ordering::SeqCst, fence},
    },
};

use nix::{
    errno::Errno,
    fcntl::{FcntlArg, fcntl},
    libc,
};

use super::{
    accounts::Credentials,
    cgroup_clone,
    launch_slots::{self, Filled},
    limits::{Limits, Part},
    process::OpenFiles,
    reap::Pid,
};

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

/// The step at which a start failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// No new process.
    Fork,
    /// Standard streams or session.
    Streams,
    /// What it may use, and its priority.
    Limits(Part),
    /// Supplementary groups, group or user.
    Credentials,
    /// Working directory.
    Chdir,
    /// The program itself.
    Exec,
}

impl Stage {
    /// The parts of [`Stage::Limits`] have their numbers from here on.
    const LIMITS: u8 = 64;

    /// As it stands in the note.
    fn number(self) -> u8 {
        match self {
            Self::Fork => 0,
            Self::Streams => 1,
            Self::Credentials => 2,
            Self::Chdir => 3,
            Self::Exec => 4,
            Self::Limits(part) => Self::LIMITS + part.number(),
        }
    }

    fn from_number(number: u8) -> Self {
        match number {
            0 => Self::Fork,
            1 => Self::Streams,
            2 => Self::Credentials,
            3 => Self::Chdir,
            4..Self::LIMITS => Self::Exec,
            Self::LIMITS.. => Self::Limits(Part::from_number(number - Self::LIMITS)),
        }
    }
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
            Stage::Fork => "cannot create a process",
            Stage::Streams => "cannot set up its standard streams",
            Stage::Limits(_) => "cannot set its limits",
            Stage::Credentials => "cannot switch to its user and groups",
            Stage::Chdir => "cannot enter its working directory",
            Stage::Exec => "cannot execute",
        };
        write!(f, "{what}: {}", self.source)
    }
}

impl std::error::Error for Error {}

/// Room for the child's few frames; a page more than it was ever seen to need.
const STACK: usize = 16 * 1024;

#[repr(align(16))]
struct Stack([MaybeUninit<u8>; STACK]);

/// What the child works with, in the parent's memory or in its copy of it.
struct Shared<'a> {
    launch: &'a Launch<'a>,
    /// What becomes the standard streams.
    streams: [RawFd; 3],
    /// The child shares the table of descriptors, and keeps those below this number.
    keeps_below: Option<RawFd>,
    argv: Vec<*const libc::c_char>,
    env: Vec<*const libc::c_char>,
    /// What is handed to the child, and as which descriptor. None of the first is one of the second, so
    /// that none is overwritten before its turn.
    handed: Vec<(RawFd, RawFd)>,
    /// Where the child writes its process id; null where it need not know it.
    pid_texts: [*mut u8; 2],
    parent: u32,
    /// The signals whose disposition the child sets to the default.
    signals: u64,
    attempt: Attempt,
}

/// What failed before the child executed its program, and whether it is still to execute it. It lies in memory
/// that parent and child share also where the child has a copy of everything else.
#[derive(Debug)]
#[repr(C)]
struct Note {
    /// The last start that was given up, by its number.
    given_up: AtomicU64,
    /// The number of the stage and 1; 0: nothing has failed.
    stage: AtomicU32,
    errno: AtomicI32,
}

/// One start, in the page of the thread that makes it. The starts of a thread are numbered.
#[derive(Debug, Clone, Copy)]
struct Attempt {
    note: &'static Note,
    number: u64,
}

impl Attempt {
    fn give_up(self) {
        // A start that was given up late must not hide a later one.
        self.note.given_up.fetch_max(self.number, SeqCst);
    }

    fn is_given_up(self) -> bool {
        self.note.given_up.load(SeqCst) >= self.number
    }
}

/// What a thread needs to start processes, one at a time.
struct SpawnStack {
    stack: Box<Stack>,
    note: &'static Note,
    /// How many starts there have been.
    starts: u64,
}

impl SpawnStack {
    fn new() -> io::Result<Self> {
        let flags = libc::MAP_SHARED | libc::MAP_ANONYMOUS;
        let access = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: maps new memory at an address of the kernel's choice.
        let note = unsafe { libc::mmap(ptr::null_mut(), size_of::<Note>(), access, flags, -1, 0) };
        if note == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: a page of zeros is a valid `Note`, the mapping is aligned to a page and never removed.
        let note = unsafe { &*note.cast::<Note>() };
        THREADS.lock().unwrap_or_else(PoisonError::into_inner).push(nix::unistd::gettid().as_raw());
        Ok(Self { stack: Box::new(Stack([MaybeUninit::uninit(); STACK])), note, starts: 0 })
    }

    fn next_attempt(&mut self) -> Attempt {
        self.starts += 1;
        Attempt { note: self.note, number: self.starts }
    }
}

/// The threads that have started processes. None of them ends before procrun does.
static THREADS: Mutex<Vec<Pid>> = Mutex::new(Vec::new());

/// The threads that have started processes, and may have children therefore.
pub(super) fn threads() -> Vec<Pid> {
    THREADS.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

thread_local! {
    static CRADLE: RefCell<Option<SpawnStack>> = const { RefCell::new(None) };
}

/// The process id of a child, for other threads than the one that makes it. The kernel writes it before the
/// child runs, so the thread that reaps the child finds it here.
#[derive(Debug, Default)]
pub struct ChildId {
    pid: AtomicI32,
    /// Its start, as soon as a thread has begun to make it.
    attempt: OnceLock<Attempt>,
}

impl ChildId {
    /// There will be no child.
    const NEVER: i32 = -1;

    /// The process id, once there is a child.
    pub fn get(&self) -> Option<Pid> {
        Some(self.pid.load(SeqCst)).filter(|pid| *pid > 0)
    }

    /// Whether it is this child's, which is the case until the child has been reaped.
    pub fn is(&self, pid: Pid) -> bool {
        self.get() == Some(pid)
    }

    /// Gives the start up: no child executes its program from now on. Either [`Self::get`] names the child after
    /// this call, or a child that is being made at the moment ends by itself.
    pub fn prevent(&self) {
        let _ = self.pid.compare_exchange(0, Self::NEVER, SeqCst, SeqCst);
        // Either the attempt is seen here, or this is seen by `begin`.
        fence(SeqCst);
        if let Some(attempt) = self.attempt.get() {
            attempt.give_up();
        }
    }

    /// Whether there is no child and none comes.
    pub fn is_prevented(&self) -> bool {
        self.pid.load(SeqCst) == Self::NEVER
    }

    /// A thread is about to make the child; false if the start has been given up.
    fn begin(&self, attempt: Attempt) -> bool {
        // Each id is used for one start.
        let _ = self.attempt.set(attempt);
        fence(SeqCst);
        !self.is_prevented()
    }
}

/// Whether no process is to be started any more.
static IS_CLOSED: AtomicBool = AtomicBool::new(false);

/// Lets no thread start a process any more. One that is being made at that moment comes nevertheless.
pub fn close() {
    IS_CLOSED.store(true, SeqCst);
}

/// Starts a process and waits until it executes its program or has ended. That may take for ever, unless
/// another thread kills the process that `child` names.
///
/// Must be called from a thread that lives as long as procrun: the parent-death signal fires when the
/// *thread* that made the child ends (prctl(2)). Whatever happens, the child is reaped by the reaper like
/// every other. A child that was killed or given up before it executed its program counts as started.
///
/// # Errors
/// The step that failed and the kernel's reason.
pub fn spawn(launch: &Launch<'_>, child: &ChildId) -> Result<Pid, Error> {
    let result = CRADLE.with_borrow_mut(|cradle| {
        let cradle = match cradle {
            Some(cradle) => cradle,
            none => none.insert(SpawnStack::new().map_err(|source| Error { stage: Stage::Fork, source })?),
        };
        spawn_in(cradle, launch, child)
    });
    if result.is_err() {
        child.prevent();
    }
    result
}

fn spawn_in(cradle: &mut SpawnStack, launch: &Launch<'_>, id: &ChildId) -> Result<Pid, Error> {
    let pointers = |strings: &[CString], more: &[*const libc::c_char]| {
        strings.iter().map(|it| it.as_ptr()).chain(more.iter().copied()).chain([ptr::null()]).collect()
    };
    let streams = |errno: Errno| Error { stage: Stage::Streams, source: errno.into() };
    let mut out_of_the_way = Vec::new();
    let slots = fill_slots(launch);
    let (standard, others) = match &slots {
        Some(slots) => slot_numbers(launch, slots),
        None => (standard_streams(launch), handed(launch, &mut out_of_the_way).map_err(streams)?),
    };
    let mut listen_pid = OwnPid::named(LISTEN_PID);
    let mut watchdog_pid = OwnPid::named(WATCHDOG_PID);
    let mut entries = Vec::new();
    let mut pid_texts = [ptr::null_mut(); 2];
    for (entry, name, is_told, text) in [
        (&mut listen_pid, LISTEN_PID, !launch.sockets.is_empty(), 0),
        (&mut watchdog_pid, WATCHDOG_PID, launch.watched, 1),
    ] {
        if is_told {
            let entry = ptr::from_mut(entry).cast::<u8>();
            entries.push(entry.cast_const().cast());
            pid_texts[text] = entry.wrapping_add(name.len());
        }
    }
    let attempt = cradle.next_attempt();
    attempt.note.stage.store(0, SeqCst);
    let mut shared = Shared {
        launch,
        streams: standard,
        keeps_below: slots.as_ref().map(Filled::end),
        argv: pointers(launch.argv, &[]),
        env: pointers(launch.env, &entries),
        handed: others,
        pid_texts,
        parent: std::process::id(),
        signals: ALL_SIGNALS,
        attempt,
    };
    // What comes before may have taken long.
    if !id.begin(attempt) || IS_CLOSED.load(SeqCst) {
        return Err(Error { stage: Stage::Fork, source: io::ErrorKind::Interrupted.into() });
    }
    let result = make_child(&mut cradle.stack, &mut shared, id);
    let Err(Error { stage: Stage::Fork | Stage::Streams, .. }) = &result else { return result };
    if slots.is_none() {
        return result;
    }
    launch_slots::give_up();
    if id.get().is_some() {
        // There was a child. The next start does without them.
        return result;
    }
    drop(slots);
    shared.streams = standard_streams(launch);
    shared.handed = handed(launch, &mut out_of_the_way).map_err(streams)?;
    shared.keeps_below = None;
    make_child(&mut cradle.stack, &mut shared, id)
}

/// Makes the child and waits until it executes its program or has ended.
fn make_child(stack: &mut Stack, shared: &mut Shared<'_>, id: &ChildId) -> Result<Pid, Error> {
    let note = shared.attempt.note;
    let memory = if shared.launch.credentials.is_some() { 0 } else { libc::CLONE_VM };
    let files = if shared.keeps_below.is_some() { libc::CLONE_FILES } else { 0 };
    let flags = memory | files | libc::CLONE_VFORK | libc::CLONE_PARENT_SETTID;
    // A handler of procrun's must never run in the child: block everything until it has none.
    let blocked = BlockedSignals::all();
    let pid = clone(stack, flags, shared, id);
    drop(blocked);
    let pid = pid.map_err(|source| Error { stage: Stage::Fork, source })?;
    match note.stage.load(SeqCst).checked_sub(1) {
        None => Ok(pid),
        Some(stage) => {
            let stage = Stage::from_number(u8::try_from(stage).unwrap_or(u8::MAX));
            Err(Error { stage, source: io::Error::from_raw_os_error(note.errno.load(SeqCst)) })
        }
    }
}

/// Makes the child, and returns when it has executed its program or ended.
fn clone(stack: &mut Stack, flags: c_int, shared: &mut Shared<'_>, id: &ChildId) -> io::Result<Pid> {
    let (bottom, top) = (stack.0.as_mut_ptr(), stack.0.as_mut_ptr_range().end);
    let cgroup = shared.launch.cgroup;
    if let Some(Cgroup { dir, has_process, .. }) = cgroup {
        // The kernel clears the handlers itself.
        shared.signals = ignored_signals();
        let argument = ptr::from_mut(shared).cast::<c_void>();
        // SAFETY: the stack is aligned and outlives the child's use of it, and so does `shared`:
        // CLONE_VFORK keeps this thread in the kernel until the child has executed its program or
        // exited. `run` makes only system calls. The kernel writes the process id to `id`, which has one.
        let child = unsafe {
            cgroup_clone::clone(run, (bottom.cast(), STACK), flags, argument, id.pid.as_ptr(), dir)
        };
        // An old kernel or a filter may not know the call, and the cgroup may have been removed.
        if child.is_ok() {
            has_process.store(true, SeqCst);
            return child;
        }
    }
    shared.signals = ALL_SIGNALS;
    let argument = ptr::from_mut(shared).cast::<c_void>();
    // SAFETY: as above.
    let pid =
        unsafe { libc::clone(run, top.cast::<c_void>(), flags | libc::SIGCHLD, argument, id.pid.as_ptr()) };
    if pid < 0 { Err(io::Error::last_os_error()) } else { Ok(pid) }
}

const LISTEN_PID: &[u8] = b"LISTEN_PID=";
const WATCHDOG_PID: &[u8] = b"WATCHDOG_PID=";

/// One of these names and room for the digits of a process id and a NUL.
#[repr(transparent)]
struct OwnPid([u8; 24]);

impl OwnPid {
    fn named(name: &[u8]) -> Self {
        let mut text = [0; 24];
        text[..name.len()].copy_from_slice(name);
        Self(text)
    }
}

/// Copies all that the child gets to the launch slots, if it can have them.
fn fill_slots(launch: &Launch<'_>) -> Option<Filled> {
    let channel = launch.channel.map(|(channel, _)| channel);
    let standard = [launch.stdin, launch.stdout, launch.stderr];
    let all: Vec<BorrowedFd<'_>> =
        standard.into_iter().chain(launch.sockets.iter().copied()).chain(channel).collect();
    Filled::with(&all, end_of_handed(launch))
}

/// Where the standard streams lie in the slots, and what else is handed to the child.
fn slot_numbers(launch: &Launch<'_>, slots: &Filled) -> ([RawFd; 3], Vec<(RawFd, RawFd)>) {
    let sockets = (HANDED..).take(launch.sockets.len());
    let targets = sockets.chain(launch.channel.map(|(_, number)| number));
    let handed = targets.zip(3..).map(|(to, slot)| {
        // No number is that high: see `end_of_handed`.
        (slots.number(slot), RawFd::try_from(to).unwrap_or(RawFd::MAX))
    });
    ([0, 1, 2].map(|slot| slots.number(slot)), handed.collect())
}

fn standard_streams(launch: &Launch<'_>) -> [RawFd; 3] {
    [launch.stdin, launch.stdout, launch.stderr].map(|stream| stream.as_raw_fd())
}

/// What is handed to the child beyond its standard streams. What stands where one of them is to be
/// gets another number, which `moved` keeps open.
fn handed(launch: &Launch<'_>, moved: &mut Vec<OwnedFd>) -> Result<Vec<(RawFd, RawFd)>, Errno> {
    let end = end_of_handed(launch);
    let sockets = launch.sockets.iter().copied().zip(HANDED..);
    let all = sockets.chain(launch.channel);
    all.map(|(fd, to)| {
        let to = RawFd::try_from(to).map_err(|_| Errno::EMFILE)?;
        if fd.as_raw_fd() >= end {
            return Ok((fd.as_raw_fd(), to));
        }
        let fd = above(fd, end)?;
        let number = fd.as_raw_fd();
        moved.push(fd);
        Ok((number, to))
    })
    .collect()
}

/// The first number after those of what is handed to the child.
fn end_of_handed(launch: &Launch<'_>) -> RawFd {
    let sockets = launch.sockets.len();
    let end = launch.channel.map_or(HANDED + sockets, |(_, number)| number + 1);
    RawFd::try_from(end).unwrap_or(RawFd::MAX)
}

/// The same open file with a number of at least `least`.
fn above(fd: BorrowedFd<'_>, least: RawFd) -> Result<OwnedFd, Errno> {
    let fd = fcntl(fd, FcntlArg::F_DUPFD_CLOEXEC(least))?;
    // SAFETY: the kernel has just created this descriptor; nothing else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// The child's part: sets itself up and executes the program, or leaves a note and exits.
extern "C" fn run(shared: *mut c_void) -> c_int {
    // SAFETY: `spawn_in` passes a valid pointer, and does not touch what is there meanwhile.
    let shared = unsafe { &*shared.cast::<Shared<'_>>() };
    // SAFETY: this is the child, and all signals are blocked.
    let stage = unsafe { set_up_and_exec(shared) };
    let errno = io::Error::last_os_error().raw_os_error().unwrap_or(0);
    let note = shared.attempt.note;
    note.errno.store(errno, SeqCst);
    note.stage.store(u32::from(stage.number()) + 1, SeqCst);
    // SAFETY: takes an integer and never returns; runs no exit handlers of procrun's.
    unsafe { libc::_exit(127) }
}

/// Returns the step that failed, with `errno` set.
///
/// # Safety
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
            // Before the change of user. Where it fails, the program sees the path of its cgroup.
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
        for (from, to) in &shared.handed {
            if libc::dup2(*from, *to) < 0 {
                return Stage::Streams;
            }
        }
        for text in shared.pid_texts {
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
        // After the change of user, which clears it; one by the program itself (setpriv, su) clears it, too. The parent may have died before it was set.
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
        if libc::getppid().cast_unsigned() != shared.parent {
            libc::_exit(127);
        }
        if let Some(part) = launch.limits.and_then(Limits::give_up_privileges) {
            return Stage::Limits(part);
        }
        default_signals(shared.signals);
        if shared.attempt.is_given_up() {
            libc::_exit(127);
        }
        libc::execve(launch.program.as_ptr(), shared.argv.as_ptr(), shared.env.as_ptr());
    }
    Stage::Exec
}

/// Sets the soft limit of file locks. Where the hard one is below the mark, there is no mark: to take part
/// of a limit away from a program is worse.
///
/// # Safety
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

/// The digits of a number. What comes after them is zero already.
///
/// # Safety
/// `to` has room for ten bytes, which nothing else uses meanwhile.
unsafe fn write_decimal(number: u32, to: *mut u8) {
    let length = number.checked_ilog10().unwrap_or(0) + 1;
    for place in 0..length {
        let digit = number / 10_u32.pow(length - 1 - place) % 10;
        // SAFETY: fewer than ten bytes from the start; the number of a place fits everywhere.
        unsafe { to.add(place as usize).write(b'0' + u8::try_from(digit).unwrap_or(0)) };
    }
}

/// By bare system calls: glibc's wrappers change the ids of all threads of the *parent*.
///
/// # Safety
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

/// Every signal, as a set of bits: bit 0 is signal 1.
const ALL_SIGNALS: u64 = u64::MAX;

/// The signals that this process ignores, as a set of bits. procrun ignores none itself after its first start.
fn ignored_signals() -> u64 {
    static IGNORED: OnceLock<u64> = OnceLock::new();
    *IGNORED
        .get_or_init(|| (1..=64).filter(|number| is_ignored(*number)).fold(0, |all, it| all | 1 << (it - 1)))
}

fn is_ignored(number: c_int) -> bool {
    let mut action = [0_u64; 8];
    let nothing = ptr::null::<u64>();
    // SAFETY: `action` is larger than the kernel's own sigaction, whose first word is the handler.
    let result = unsafe {
        libc::syscall(libc::SYS_rt_sigaction, number, nothing, action.as_mut_ptr(), size_of::<u64>())
    };
    result == 0 && action[0] == libc::SIG_IGN as u64
}

/// Default dispositions for these signals, then none blocked: what a program expects to find.
///
/// By bare system calls, because glibc's wrapper refuses the two signals it keeps for itself, and
/// a caller may have ignored those too.
///
/// # Safety
/// As [`set_up_and_exec`].
unsafe fn default_signals(signals: u64) {
    // The kernel's own sigaction has at most these many words on any architecture; all zero is
    // SIG_DFL, no flags, an empty mask.
    let default = [0_u64; 8];
    let mask_size = size_of::<u64>();
    for number in (1..=64).filter(|number| signals >> (number - 1) & 1 == 1) {
        // Refused for SIGKILL and SIGSTOP, which cannot be changed.
        // SAFETY: `default` is large enough, and no old action is asked for.
        unsafe {
            let nothing = ptr::null_mut::<u64>();
            libc::syscall(libc::SYS_rt_sigaction, number, default.as_ptr(), nothing, mask_size)
        };
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

#[cfg(test)]
mod tests {
    use super::{
        ALL_SIGNALS, ChildId, HANDED, Launch, OpenFiles, Part, Pid, Shared, SpawnStack, Stage,
        channel_number, dev_null, end_of_handed, forwarded_channel_number, handed, libc, make_child,
        standard_streams,
    };
    use std::{
        ffi::CString,
        os::fd::{AsFd, AsRawFd, BorrowedFd},
        ptr,
    };

    fn launch<'a>(argv: &'a [CString], null: BorrowedFd<'a>, sockets: &'a [BorrowedFd<'a>]) -> Launch<'a> {
        Launch {
            program: c"/bin/sh",
            argv,
            env: &[],
            cwd: c"/",
            stdin: null,
            stdout: null,
            stderr: null,
            sockets,
            watched: false,
            channel: None,
            credentials: None,
            open_files: OpenFiles { soft: 1024, hard: 1024 },
            limits: None,
            cgroup: None,
            mark: None,
        }
    }

    fn exit_code(pid: Pid) -> i32 {
        let mut status = 0;
        // SAFETY: waits for a child of this test; `status` is a valid place.
        assert_eq!(unsafe { libc::waitpid(pid, &raw mut status, 0) }, pid);
        assert!(libc::WIFEXITED(status), "{status:#x}");
        libc::WEXITSTATUS(status)
    }

    #[test]
    fn a_child_whose_start_is_given_up_while_it_is_made_executes_nothing() {
        let null = dev_null().unwrap();
        let argv = [c"sh", c"-c", c"exit 7"].map(CString::from);
        let launch = launch(&argv, null.as_fd(), &[]);
        let mut cradle = SpawnStack::new().unwrap();
        // That of an earlier start of the thread concerns no later one.
        let earlier = ChildId::default();
        assert!(earlier.begin(cradle.next_attempt()));
        for (is_given_up, code) in [(false, 7), (true, 127), (false, 7)] {
            let (attempt, id) = (cradle.next_attempt(), ChildId::default());
            assert!(id.begin(attempt));
            let mut words: Vec<_> = argv.iter().map(|word| word.as_ptr()).collect();
            words.push(ptr::null());
            let mut shared = Shared {
                launch: &launch,
                streams: standard_streams(&launch),
                keeps_below: None,
                argv: words,
                env: vec![ptr::null()],
                handed: Vec::new(),
                pid_texts: [ptr::null_mut(); 2],
                parent: std::process::id(),
                signals: ALL_SIGNALS,
                attempt,
            };
            earlier.prevent();
            if is_given_up {
                id.prevent();
            }
            let pid = make_child(&mut cradle.stack, &mut shared, &id).unwrap();
            assert_eq!((id.get(), exit_code(pid)), (Some(pid), code));
        }
        let late = ChildId::default();
        late.prevent();
        assert!(!late.begin(cradle.next_attempt()), "it is not even made");
    }

    #[test]
    fn a_stage_comes_back_from_its_number() {
        let limits = [Part::Resource(0), Part::Resource(15), Part::Privileges].map(Stage::Limits);
        for stage in [Stage::Fork, Stage::Streams, Stage::Credentials, Stage::Chdir, Stage::Exec]
            .into_iter()
            .chain(limits)
        {
            assert_eq!(Stage::from_number(stage.number()), stage);
        }
    }

    #[test]
    fn what_stands_where_something_is_handed_is_moved_first() {
        let null = dev_null().unwrap();
        let sockets = vec![null.as_fd(); 200];
        let launch = Launch {
            channel: Some((null.as_fd(), channel_number(sockets.len()))),
            ..launch(&[], null.as_fd(), &sockets)
        };
        let end = end_of_handed(&launch);
        assert_eq!(usize::try_from(end).unwrap(), HANDED + 201);
        assert!(null.as_raw_fd() < end, "it is in the way");
        let mut moved = Vec::new();
        let all = handed(&launch, &mut moved).unwrap();
        assert_eq!((all.len(), moved.len()), (201, 201));
        assert!(all.iter().all(|(fd, _)| *fd >= end), "{all:?}");
        assert_eq!(all.last().map(|(_, to)| *to), Some(end - 1), "behind the sockets");
        let alone = Launch { sockets: &[], channel: Some((null.as_fd(), channel_number(0))), ..launch };
        let all = handed(&alone, &mut moved).unwrap();
        assert_eq!((all[0].1, end_of_handed(&alone)), (15, 16));
        // A gap above 15 ends what Node keeps from its children.
        assert_eq!([0, 13, 14, 200].map(forwarded_channel_number), [17, 17, 18, 204]);
    }
}
