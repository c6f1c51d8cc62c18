//! A version 2 cgroup for the processes of each run, where that is possible.
//!
//! A process leaves its cgroup only if it is moved, whatever session, environment, limits or output it changes. The
//! kernel kills all processes of a cgroup at once (`cgroup.kill`, Linux 5.14). No controller is enabled: the cgroups
//! only group processes, and procrun stays in its own.
//!
//! Only the kernel handles these calls, so they do not block. If a call fails (descriptors, memory), a run has no
//! cgroup.

mod directory;
mod placement;

use std::{
    ffi::CString,
    fs, io,
    os::{
        fd::{BorrowedFd, FromRawFd as _, OwnedFd},
        unix::ffi::OsStrExt as _,
    },
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use nix::libc;

use self::directory::Directory;
pub use self::placement::{CgroupMode, NoCgroupReason, View};
use super::{
    cgroups::{self, Unified},
    shortage::is_shortage,
    spawn::Cgroup,
};

/// The cgroups of all runs.
#[derive(Debug, Clone, Default)]
pub struct RunCgroups(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    decided: Option<Decision>,
    directory: Option<Arc<Directory>>,
}

/// Whether runs get cgroups.
#[derive(Debug)]
struct Decision {
    mode: CgroupMode,
    view: Result<View, NoCgroupReason>,
    is_reported: bool,
}

impl RunCgroups {
    /// Decides whether runs get cgroups, and prepares one for the next run.
    pub fn prepare(&self, mode: CgroupMode) {
        let found = Self::find(&mut self.lock(), mode);
        if let Some((directory, _)) = found {
            // On another error the run creates a cgroup itself, or has none.
            if directory.prepare_next().is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
                // The directory was removed. The next run gets another one.
                self.forget(&directory);
            }
        }
    }

    /// Removes the cgroups of procruns that were killed.
    pub fn remove_stale(&self) {
        let directory = self.lock().directory.clone();
        if let Some(parent) = directory.as_ref().and_then(|directory| directory.parent()) {
            directory::remove_stale(parent);
        }
    }

    /// A cgroup for a run. `None`: the run gets none. `decided` is called with the decision, or its reason, each time
    /// it is made.
    pub fn for_run(
        &self,
        mode: CgroupMode,
        decided: impl FnOnce(Result<View, &NoCgroupReason>),
    ) -> Option<NewCgroup> {
        let (directory, view) = {
            let mut state = self.lock();
            let found = Self::find(&mut state, mode);
            if let Some(decision) = state.decided.as_mut().filter(|decision| !decision.is_reported) {
                decision.is_reported = true;
                decided(decision.view.as_ref().copied());
            }
            found?
        };
        match directory.take() {
            Ok(number) => {
                let cgroup = RunCgroup { directory, number, is_reusable: AtomicBool::new(false) };
                Some(NewCgroup { cgroup, view, has_process: AtomicBool::new(false) })
            }
            Err(error) => {
                if error.kind() == io::ErrorKind::NotFound {
                    // The directory was removed. The next run gets another one.
                    self.forget(&directory);
                }
                None
            }
        }
    }

    /// Drops the directory unless another thread has done so.
    fn forget(&self, removed: &Arc<Directory>) {
        let mut state = self.lock();
        if state.directory.as_ref().is_some_and(|directory| Arc::ptr_eq(directory, removed)) {
            *state = State::default();
        }
    }

    /// The directory, and the view of its runs. `None`: runs get no cgroups, or none now.
    fn find(state: &mut State, mode: CgroupMode) -> Option<(Arc<Directory>, View)> {
        if let Some(decision) = state.decided.as_ref().filter(|decision| decision.mode == mode) {
            return state.directory.clone().zip(decision.view.as_ref().ok().copied());
        }
        let found = placement::find(mode, own_cgroup, placement::may_hide).and_then(|placement| {
            let directory = match &state.directory {
                Some(directory) => Arc::clone(directory),
                None => Arc::new(Directory::create(&placement)?),
            };
            Ok((directory, placement.view))
        });
        let view = match found {
            Ok((directory, view)) => {
                state.directory = Some(directory);
                Ok(view)
            }
            // A later attempt may succeed.
            Err(NoCgroupReason::Refused(_, error)) if is_shortage(&error) => return None,
            Err(NoCgroupReason::Contended(_)) => return None,
            Err(reason) => Err(reason),
        };
        let decision = state.decided.insert(Decision { mode, view, is_reported: false });
        state.directory.clone().zip(decision.view.as_ref().ok().copied())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Removes all cgroups at the end of procrun, and waits for their last processes up to this time.
    ///
    /// # Errors
    ///
    /// Processes remain, or the file system rejects the removal.
    pub fn remove(&self, limit: Duration) -> io::Result<()> {
        let directory = self.lock().directory.take();
        directory.map_or(Ok(()), |directory| directory.remove(limit))
    }
}

fn own_cgroup() -> Option<Unified> {
    cgroups::unified(Path::new("/"))
}

/// The cgroup of a run that is starting. It is removed if the start fails or times out, because the cgroup may be the
/// reason.
#[derive(Debug)]
pub struct NewCgroup {
    cgroup: RunCgroup,
    view: View,
    /// The kernel has started a process in the cgroup.
    has_process: AtomicBool,
}

impl NewCgroup {
    /// Opens the cgroup for the start of its first process (`O_PATH`).
    ///
    /// # Errors
    ///
    /// The error of open(2).
    pub fn open(&self) -> io::Result<OwnedFd> {
        let path = CString::new(self.cgroup.path().as_os_str().as_bytes())?;
        // SAFETY: the path is a C string.
        let fd = unsafe { libc::open(path.as_ptr(), libc::O_PATH | libc::O_DIRECTORY | libc::O_CLOEXEC) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the kernel has just made this descriptor; nothing else owns it.
        Ok(unsafe { OwnedFd::from_raw_fd(fd) })
    }

    /// The cgroup for a request to start its first process. `dir` is the result of [`Self::open`].
    pub fn place<'a>(&'a self, dir: BorrowedFd<'a>) -> Cgroup<'a> {
        Cgroup { dir, is_hidden: self.view == View::Namespace, has_process: &self.has_process }
    }

    /// The cgroup of a run whose program is executed. `None`: its process started in another cgroup.
    pub fn into_run(self) -> Option<RunCgroup> {
        let Self { mut cgroup, has_process, .. } = self;
        cgroup.is_reusable = has_process;
        let has_process = *cgroup.is_reusable.get_mut();
        has_process.then_some(cgroup)
    }
}

/// The cgroup of a run. After it is dropped and its processes have ended, another run can use it.
#[derive(Debug)]
pub struct RunCgroup {
    directory: Arc<Directory>,
    number: u32,
    is_reusable: AtomicBool,
}

impl RunCgroup {
    /// The cgroup's directory.
    pub fn path(&self) -> PathBuf {
        self.directory.path(self.number)
    }

    /// The path in `/proc/PID/cgroup`.
    pub fn group(&self) -> String {
        format!("{}/{}", self.directory.group(), self.number)
    }

    /// The path of the directory with the cgroups of all runs.
    pub fn group_of_all(&self) -> Arc<str> {
        Arc::clone(self.directory.group())
    }

    /// Kills all processes in the cgroup and its descendants, including those that are being created.
    ///
    /// No other run uses the cgroup afterwards: Linux 6.18 kills each process that clone3(2) creates in a cgroup that
    /// was killed before (`CLONE_INTO_CGROUP` compares the kill count of the cgroup with that of the parent's
    /// cgroup).
    ///
    /// # Errors
    ///
    /// The error of the file system.
    pub fn kill(&self) -> io::Result<()> {
        if !self.directory.has_processes(self.number)? {
            return Ok(());
        }
        self.is_reusable.store(false, Relaxed);
        fs::write(self.path().join("cgroup.kill"), "1")
    }
}

impl Drop for RunCgroup {
    fn drop(&mut self) {
        if *self.is_reusable.get_mut() {
            self.directory.give_back(self.number);
        } else {
            self.directory.discard(self.number);
        }
    }
}
