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
        launch_slots::{self, Filled},
        reap::Pid,
    },
    attempt::{Attempt, ChildId, Note},
    child::{ALL_SIGNALS, Shared, ignored_signals, run},
    descriptors::{fill_slots, handed, slot_numbers, standard_streams},
    error::{Error, Stage},
    launch::{Cgroup, Launch},
};

/// Room for the child's few frames; a page more than it was ever seen to need.
const STACK: usize = 16 * 1024;

#[repr(align(16))]
pub(super) struct Stack([MaybeUninit<u8>; STACK]);

/// What a thread needs to start processes, one at a time.
pub(super) struct SpawnStack {
    pub(super) stack: Box<Stack>,
    pub(super) note: &'static Note,
    /// How many starts there have been.
    pub(super) starts: u64,
}

impl SpawnStack {
    pub(super) fn new() -> io::Result<Self> {
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

    pub(super) fn next_attempt(&mut self) -> Attempt {
        self.starts += 1;
        Attempt { note: self.note, number: self.starts }
    }
}

/// The threads that have started processes. None of them ends before procrun does.
static THREADS: Mutex<Vec<Pid>> = Mutex::new(Vec::new());

/// The threads that have started processes, and may have children therefore.
pub(crate) fn threads() -> Vec<Pid> {
    THREADS.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

thread_local! {
    static CRADLE: RefCell<Option<SpawnStack>> = const { RefCell::new(None) };
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
pub(super) fn make_child(stack: &mut Stack, shared: &mut Shared<'_>, id: &ChildId) -> Result<Pid, Error> {
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
