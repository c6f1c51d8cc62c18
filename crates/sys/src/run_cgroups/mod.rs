//! A cgroup of version 2 for the processes of each run, where that is possible.
//!
//! A process leaves its cgroup only if it is moved, whatever else it gives up: session, environment, limits,
//! output. The kernel ends all processes of a cgroup in one go (`cgroup.kill`). No controller is enabled: the
//! cgroups only tell which processes belong together, and procrun stays where it is.
//!
//! All calls here are answered by the kernel alone. Where they fail (descriptors, memory), a run has no cgroup.

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
pub use self::placement::{Reason, View, Wanted};
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
    wanted: Wanted,
    view: Result<View, Reason>,
    is_reported: bool,
}

impl RunCgroups {
    /// Finds out whether runs get cgroups, and prepares one for the next run.
    pub fn prepare(&self, wanted: Wanted) {
        let found = Self::find(&mut self.lock(), wanted);
        if let Some((directory, _)) = found {
            // With another error the run makes one itself, or has none.
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

    /// A cgroup for a run. `None`: the run gets none. `decided` is told whether runs get any, and why not, each
    /// time that this is found out.
    pub fn for_run(&self, wanted: Wanted, decided: impl FnOnce(Result<View, &Reason>)) -> Option<NewCgroup> {
        let (directory, view) = {
            let mut state = self.lock();
            let found = Self::find(&mut state, wanted);
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

    /// Forgets a directory unless another thread has done so.
    fn forget(&self, removed: &Arc<Directory>) {
        let mut state = self.lock();
        if state.directory.as_ref().is_some_and(|directory| Arc::ptr_eq(directory, removed)) {
            *state = State::default();
        }
    }

    /// The directory, and what its runs see. `None`: runs get no cgroups, or not now.
    fn find(state: &mut State, wanted: Wanted) -> Option<(Arc<Directory>, View)> {
        if let Some(decision) = state.decided.as_ref().filter(|decision| decision.wanted == wanted) {
            return state.directory.clone().zip(decision.view.as_ref().ok().copied());
        }
        let found = placement::find(wanted, own_cgroup, placement::may_hide).and_then(|placement| {
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
            // It may work the next time.
            Err(Reason::Refused(_, error)) if is_shortage(&error) => return None,
            Err(Reason::Contended(_)) => return None,
            Err(reason) => Err(reason),
        };
        let decision = state.decided.insert(Decision { wanted, view, is_reported: false });
        state.directory.clone().zip(decision.view.as_ref().ok().copied())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Removes all cgroups at the end of procrun, and waits up to this time for their last processes.
    ///
    /// # Errors
    /// Processes are left, or the file system refuses it.
    pub fn remove(&self, limit: Duration) -> io::Result<()> {
        let directory = self.lock().directory.take();
        directory.map_or(Ok(()), |directory| directory.remove(limit))
    }
}

fn own_cgroup() -> Option<Unified> {
    cgroups::unified(Path::new("/"))
}

/// The cgroup for a run whose start is under way. It is removed if the start fails or times out: the reason may be
/// the cgroup.
#[derive(Debug)]
pub struct NewCgroup {
    cgroup: RunCgroup,
    view: View,
    /// The kernel has started a process in it.
    has_process: AtomicBool,
}

impl NewCgroup {
    /// Opens it for the start of its first process.
    ///
    /// # Errors
    /// What open(2) says.
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

    /// The place of its first process. `dir` is what [`Self::open`] returned.
    pub fn place<'a>(&'a self, dir: BorrowedFd<'a>) -> Cgroup<'a> {
        Cgroup { dir, is_hidden: self.view == View::Namespace, has_process: &self.has_process }
    }

    /// The program of the run is executed. `None`: its process began in another cgroup.
    pub fn into_run(self) -> Option<RunCgroup> {
        let Self { mut cgroup, has_process, .. } = self;
        cgroup.is_reusable = has_process;
        let has_process = *cgroup.is_reusable.get_mut();
        has_process.then_some(cgroup)
    }
}

/// The cgroup of a run. Another run gets it when this is dropped and no process is left.
#[derive(Debug)]
pub struct RunCgroup {
    directory: Arc<Directory>,
    number: u32,
    is_reusable: AtomicBool,
}

impl RunCgroup {
    /// Its directory.
    pub fn path(&self) -> PathBuf {
        self.directory.path(self.number)
    }

    /// Its path in `/proc/PID/cgroup`.
    pub fn group(&self) -> String {
        format!("{}/{}", self.directory.group(), self.number)
    }

    /// The same of the directory of all runs.
    pub fn group_of_all(&self) -> Arc<str> {
        Arc::clone(self.directory.group())
    }

    /// Ends all processes in it and below it, also those that are being made.
    ///
    /// No other run gets it afterwards: Linux 6.18 still kills each process that clone3(2) makes in a cgroup that
    /// was killed once (`CLONE_INTO_CGROUP` compares the count of kills with that of the parent's cgroup).
    ///
    /// # Errors
    /// What the kernel says.
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
