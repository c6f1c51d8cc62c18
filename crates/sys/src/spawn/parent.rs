//! The parent's side of a start: creates the child and reads its report.

use std::{
    cell::RefCell,
    ffi::{CString, c_int, c_void},
    io,
    mem::MaybeUninit,
    ptr,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
};

use nix::{errno::Errno, libc};

use super::{
    super::{
        cgroup_clone,
        launch_slots::{self, FilledSlots},
        reap::Pid,
    },
    attempt::{Attempt, ChildId, SharedReport},
    child::{ALL_SIGNALS, Shared, ignored_signals, run},
    descriptors::{fill_slots, other_descriptors, slot_numbers, standard_streams},
    error::{Error, Stage},
    launch::{Cgroup, Launch},
};

/// The size of the child's stack in bytes: one page more than its largest known use.
const STACK_SIZE: usize = 16 * 1024;

#[repr(align(16))]
pub(super) struct Stack([MaybeUninit<u8>; STACK_SIZE]);

/// The resources of a thread that starts processes, one at a time.
pub(super) struct SpawnStack {
    pub(super) stack: Box<Stack>,
    pub(super) report: &'static SharedReport,
    /// The number of attempts.
    pub(super) starts: u64,
}

impl SpawnStack {
    pub(super) fn new() -> io::Result<Self> {
        let flags = libc::MAP_SHARED | libc::MAP_ANONYMOUS;
        let access = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: maps new memory at an address of the kernel's choice.
        let report = unsafe { libc::mmap(ptr::null_mut(), size_of::<SharedReport>(), access, flags, -1, 0) };
        if report == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: a page of zeros is a valid `SharedReport`, the mapping is aligned to a page and never removed.
        let report = unsafe { &*report.cast::<SharedReport>() };
        THREADS.lock().unwrap_or_else(PoisonError::into_inner).push(nix::unistd::gettid().as_raw());
        Ok(Self { stack: Box::new(Stack([MaybeUninit::uninit(); STACK_SIZE])), report, starts: 0 })
    }

    pub(super) fn next_attempt(&mut self) -> Attempt {
        self.starts += 1;
        Attempt { report: self.report, number: self.starts }
    }
}

/// The ids of the threads that have started processes. They live as long as procrun.
static THREADS: Mutex<Vec<Pid>> = Mutex::new(Vec::new());

/// The ids of the threads that have started processes, and so may have children.
pub(crate) fn threads() -> Vec<Pid> {
    THREADS.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

thread_local! {
    static SPAWN_STACK: RefCell<Option<SpawnStack>> = const { RefCell::new(None) };
}

/// Whether no more processes may start.
static IS_CLOSED: AtomicBool = AtomicBool::new(false);

/// Prevents the start of further processes. A process that is being created at the same time may still start.
pub fn close() {
    IS_CLOSED.store(true, SeqCst);
}

/// Starts a process, and waits until it has executed its program or ended. That can block forever, unless another
/// thread kills the process of `child`.
///
/// Must be called from a thread that lives as long as procrun: the parent-death signal fires when the *thread* that
/// created the child ends (prctl(2)). The reaper always reaps the child. A child that was killed or cancelled before
/// it executed its program counts as started.
///
/// # Errors
///
/// The stage that failed and the error of the system call.
pub fn spawn(launch: &Launch<'_>, child: &ChildId) -> Result<Pid, Error> {
    let result = SPAWN_STACK.with_borrow_mut(|stack| {
        let stack = match stack {
            Some(stack) => stack,
            none => none.insert(SpawnStack::new().map_err(|source| Error { stage: Stage::Fork, source })?),
        };
        spawn_in(stack, launch, child)
    });
    if result.is_err() {
        child.cancel();
    }
    result
}

fn spawn_in(stack: &mut SpawnStack, launch: &Launch<'_>, id: &ChildId) -> Result<Pid, Error> {
    let pointers = |strings: &[CString], more: &[*const libc::c_char]| {
        strings.iter().map(|it| it.as_ptr()).chain(more.iter().copied()).chain([ptr::null()]).collect()
    };
    let streams = |errno: Errno| Error { stage: Stage::Streams, source: errno.into() };
    let mut moved = Vec::new();
    let slots = fill_slots(launch);
    let (standard, others) = match &slots {
        Some(slots) => slot_numbers(launch, slots),
        None => (standard_streams(launch), other_descriptors(launch, &mut moved).map_err(streams)?),
    };
    let mut listen_pid = PidVariable::named(LISTEN_PID);
    let mut watchdog_pid = PidVariable::named(WATCHDOG_PID);
    let mut entries = Vec::new();
    let mut pid_places = [ptr::null_mut(); 2];
    for (entry, name, is_set, text) in [
        (&mut listen_pid, LISTEN_PID, !launch.sockets.is_empty(), 0),
        (&mut watchdog_pid, WATCHDOG_PID, launch.watched, 1),
    ] {
        if is_set {
            let entry = ptr::from_mut(entry).cast::<u8>();
            entries.push(entry.cast_const().cast());
            pid_places[text] = entry.wrapping_add(name.len());
        }
    }
    let attempt = stack.next_attempt();
    attempt.report.stage.store(0, SeqCst);
    let mut shared = Shared {
        launch,
        streams: standard,
        keeps_below: slots.as_ref().map(FilledSlots::end),
        argv: pointers(launch.argv, &[]),
        env: pointers(launch.env, &entries),
        other_descriptors: others,
        pid_places,
        parent: std::process::id(),
        signals: ALL_SIGNALS,
        attempt,
    };
    // The preparation may have taken long.
    if !id.begin(attempt) || IS_CLOSED.load(SeqCst) {
        return Err(Error { stage: Stage::Fork, source: io::ErrorKind::Interrupted.into() });
    }
    let result = make_child(&mut stack.stack, &mut shared, id);
    let Err(Error { stage: Stage::Fork | Stage::Streams, .. }) = &result else { return result };
    if slots.is_none() {
        return result;
    }
    launch_slots::disable();
    if id.get().is_some() {
        // The child has existed, so there is no second attempt. The next start does not use slots.
        return result;
    }
    drop(slots);
    shared.streams = standard_streams(launch);
    shared.other_descriptors = other_descriptors(launch, &mut moved).map_err(streams)?;
    shared.keeps_below = None;
    make_child(&mut stack.stack, &mut shared, id)
}

/// Creates the child, and waits until it has executed its program or ended.
pub(super) fn make_child(stack: &mut Stack, shared: &mut Shared<'_>, id: &ChildId) -> Result<Pid, Error> {
    let report = shared.attempt.report;
    let memory = if shared.launch.credentials.is_some() { 0 } else { libc::CLONE_VM };
    let files = if shared.keeps_below.is_some() { libc::CLONE_FILES } else { 0 };
    let flags = memory | files | libc::CLONE_VFORK | libc::CLONE_PARENT_SETTID;
    // A signal handler of procrun must not run in the child: all signals stay blocked until the handlers are reset.
    let blocked = BlockedSignals::all();
    let pid = clone(stack, flags, shared, id);
    drop(blocked);
    let pid = pid.map_err(|source| Error { stage: Stage::Fork, source })?;
    match report.stage.load(SeqCst).checked_sub(1) {
        None => Ok(pid),
        Some(stage) => {
            let stage = Stage::from_number(u8::try_from(stage).unwrap_or(u8::MAX));
            Err(Error { stage, source: io::Error::from_raw_os_error(report.errno.load(SeqCst)) })
        }
    }
}

/// Creates the child, and returns when it has executed its program or ended.
fn clone(stack: &mut Stack, flags: c_int, shared: &mut Shared<'_>, id: &ChildId) -> io::Result<Pid> {
    let (bottom, top) = (stack.0.as_mut_ptr(), stack.0.as_mut_ptr_range().end);
    let cgroup = shared.launch.cgroup;
    if let Some(Cgroup { dir, has_process, .. }) = cgroup {
        // The kernel itself resets the handlers (`CLONE_CLEAR_SIGHAND`).
        shared.signals = ignored_signals();
        let argument = ptr::from_mut(shared).cast::<c_void>();
        // SAFETY: the stack is aligned and outlives the child's use of it, and so does `shared`:
        // CLONE_VFORK keeps this thread in the kernel until the child has executed its program or
        // exited. `run` makes only system calls. The kernel writes the process id to `id`, which has one.
        let child = unsafe {
            cgroup_clone::clone(run, (bottom.cast(), STACK_SIZE), flags, argument, id.pid.as_ptr(), dir)
        };
        // The kernel or a seccomp filter may reject clone3(2), and the cgroup may have been removed.
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

/// A variable with space for the digits of a process id and a NUL byte.
#[repr(transparent)]
struct PidVariable([u8; 24]);

impl PidVariable {
    fn named(name: &[u8]) -> Self {
        let mut text = [0; 24];
        text[..name.len()].copy_from_slice(name);
        Self(text)
    }
}

/// Blocks all signals in this thread until it is dropped.
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
