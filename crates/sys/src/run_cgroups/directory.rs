//! The directory with the cgroups of one procrun, below procrun's own cgroup.
//!
//! The directory is locked while procrun runs, which works across PID namespaces. A procrun that is killed leaves a
//! directory without a lock, and the next procrun removes it.

use std::{
    collections::VecDeque,
    fs::{self, File},
    io,
    os::{fd::AsFd as _, unix::fs::FileExt as _},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    time::Duration,
};

use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
};

use super::{
    super::{lock::FileLock, proc_stat},
    placement::{NoCgroupReason, Placement},
};

const PREFIX: &str = "procrun-";
/// The maximum number of cgroups of ended runs that are kept: reusing one is cheaper than creating one.
const MAX_SPARE: usize = 256;
/// The maximum number of kept cgroups that a start checks; some may still have processes.
const MAX_CHECKS: usize = 4;
/// The number of attempts to create the directory: another procrun may remove it before it is locked.
const MAX_ATTEMPTS: u32 = 3;
/// The maximum depth to which a worker's own cgroups are removed.
const MAX_DEPTH: usize = 32;
/// The number of steps of the wait for the last processes.
const WAIT_STEPS: u16 = 20;

/// The directory of one procrun.
#[derive(Debug)]
pub(super) struct Directory {
    path: PathBuf,
    /// The cgroup's path in `/proc/PID/cgroup`.
    group: Arc<str>,
    _lock: FileLock,
    numbers: Mutex<Numbers>,
}

#[derive(Debug, Default)]
struct Numbers {
    last: u32,
    /// Cgroups that are known to be empty.
    empty: Vec<u32>,
    /// Cgroups of ended runs, which may still have processes.
    spare: VecDeque<u32>,
    /// Cgroups to remove, which had processes at the last attempt.
    discarded: VecDeque<u32>,
}

impl Directory {
    /// Creates it. [`remove_stale`] removes the directories of procruns that were killed.
    pub(super) fn create(placement: &Placement) -> Result<Self, NoCgroupReason> {
        Self::create_with(placement, |path| File::open(path).and_then(FileLock::take))
    }

    fn create_with(
        placement: &Placement,
        lock: impl Fn(&Path) -> io::Result<Option<FileLock>>,
    ) -> Result<Self, NoCgroupReason> {
        let mut result = Self::attempt(placement, &lock);
        for _ in 1..MAX_ATTEMPTS {
            if !matches!(result, Err(NoCgroupReason::Contended(_))) {
                break;
            }
            result = Self::attempt(placement, &lock);
        }
        result
    }

    fn attempt(
        placement: &Placement,
        lock: impl FnOnce(&Path) -> io::Result<Option<FileLock>>,
    ) -> Result<Self, NoCgroupReason> {
        let refused = |error| NoCgroupReason::Refused(placement.dir.clone(), error);
        let name = name();
        let path = placement.dir.join(&name);
        fs::create_dir(&path).map_err(refused)?;
        let locked = match lock(&path) {
            // While it is locked, no other procrun removes it.
            Ok(Some(lock)) if path.is_dir() => {
                // The file exists since Linux 5.14. Older kernels may lack other parts, too.
                if path.join("cgroup.kill").exists() { Ok(lock) } else { Err(NoCgroupReason::TooOld) }
            }
            // Another procrun has treated it as stale.
            Ok(_) => Err(NoCgroupReason::Contended(placement.dir.clone())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(NoCgroupReason::Contended(placement.dir.clone()))
            }
            Err(error) => Err(refused(error)),
        };
        let lock = locked.inspect_err(|_| drop(fs::remove_dir(&path)))?;
        let group = format!("{}/{name}", placement.group.trim_end_matches('/')).into();
        Ok(Self { path, group, _lock: lock, numbers: Mutex::default() })
    }

    pub(super) fn group(&self) -> &Arc<str> {
        &self.group
    }

    /// procrun's own cgroup.
    pub(super) fn parent(&self) -> Option<&Path> {
        self.path.parent()
    }

    pub(super) fn path(&self, number: u32) -> PathBuf {
        self.path.join(number.to_string())
    }

    /// An empty cgroup that no run uses, in the state in which the kernel creates it.
    pub(super) fn take(&self) -> io::Result<u32> {
        if let Some(number) = self.lock().empty.pop() {
            return Ok(number);
        }
        self.find_empty()
    }

    /// Prepares a cgroup for the next run, and removes those that no run may use again. Creating a cgroup, or finding
    /// out that one is empty, takes longer than all other cgroup work of a start.
    pub(super) fn prepare_next(&self) -> io::Result<()> {
        self.remove_discarded();
        if self.lock().empty.is_empty() {
            let number = self.find_empty()?;
            self.lock().empty.push(number);
        }
        Ok(())
    }

    fn find_empty(&self) -> io::Result<u32> {
        let checks = self.lock().spare.len().min(MAX_CHECKS);
        for _ in 0..checks {
            let Some(number) = self.lock().spare.pop_front() else { break };
            match Events::of(&self.path(number)) {
                Ok(Events { is_populated: true, .. }) => self.lock().spare.push_back(number),
                // A worker may have frozen its own cgroup; a new process in it could not execute its program.
                Ok(Events { is_frozen: true, .. }) => self.discard(number),
                Ok(_) if !is_as_created(&self.path(number)) => self.discard(number),
                Ok(Events { is_populated: false, is_frozen: false }) => return Ok(number),
                // The cgroup was removed.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => {
                    self.lock().spare.push_back(number);
                    return Err(error);
                }
            }
        }
        let number = {
            let mut numbers = self.lock();
            numbers.last += 1;
            numbers.last
        };
        fs::create_dir(self.path(number)).map(|()| number)
    }

    /// Whether a cgroup or a descendant of it has a process.
    pub(super) fn has_processes(&self, number: u32) -> io::Result<bool> {
        Ok(Events::of(&self.path(number))?.is_populated)
    }

    /// Takes back the cgroup of a run that has ended.
    pub(super) fn give_back(&self, number: u32) {
        let is_full = self.lock().spare.len() >= MAX_SPARE;
        // A cgroup with processes is kept until they have ended.
        if !is_full || remove(&self.path(number), MAX_DEPTH).is_err() {
            self.lock().spare.push_back(number);
        }
    }

    /// Removes a cgroup that no run may use again. One with processes is removed later.
    pub(super) fn discard(&self, number: u32) {
        if remove(&self.path(number), MAX_DEPTH).is_err() {
            self.lock().discarded.push_back(number);
        }
    }

    /// Tries again to remove some of the discarded cgroups.
    fn remove_discarded(&self) {
        let attempts = self.lock().discarded.len().min(MAX_CHECKS);
        for _ in 0..attempts {
            let Some(number) = self.lock().discarded.pop_front() else { break };
            self.discard(number);
        }
    }

    /// Removes the directory once it has no processes, and waits for that up to a time limit.
    pub(super) fn remove(&self, limit: Duration) -> io::Result<()> {
        // Most are empty and have known names, so the directory need not be listed.
        let Numbers { empty, spare, .. } = std::mem::take(&mut *self.lock());
        for number in empty.into_iter().chain(spare) {
            let _ = fs::remove_dir(self.path(number));
        }
        let mut result = remove(&self.path, MAX_DEPTH);
        for _ in 0..WAIT_STEPS {
            if result.is_ok() {
                break;
            }
            wait_for_change(&self.path, limit / u32::from(WAIT_STEPS))?;
            result = remove(&self.path, MAX_DEPTH);
        }
        result
    }

    fn lock(&self) -> MutexGuard<'_, Numbers> {
        // No code panics while it holds the lock.
        self.numbers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A unique name for a directory, also among other procruns: process ids are reused. A directory that another program
/// removes must not be recreated with the same name, because runs still have its path.
fn name() -> String {
    static CREATED: AtomicU32 = AtomicU32::new(0);
    let pid = std::process::id();
    let stat = i32::try_from(pid).ok().and_then(proc_stat::of);
    let number = CREATED.fetch_add(1, Relaxed) + 1;
    format!("{PREFIX}{pid}-{}-{number}", stat.map_or(0, |stat| stat.start))
}

/// Removes the directories of procruns that were killed. A directory with processes stays.
pub(super) fn remove_stale(parent: &Path) {
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let is_ours = entry.file_name().to_str().is_some_and(|name| name.starts_with(PREFIX));
        if is_ours && let Ok(Some(_lock)) = File::open(entry.path()).and_then(FileLock::take) {
            let _ = remove(&entry.path(), MAX_DEPTH);
        }
    }
}

/// Removes a cgroup and its descendants, which a worker may have created. The kernel rejects this if there are
/// processes.
fn remove(path: &Path, depth: usize) -> io::Result<()> {
    let is_busy = |error: &io::Error| error.raw_os_error() == Some(Errno::EBUSY as i32);
    match fs::remove_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) if is_busy(&error) && depth > 0 => {
            for entry in fs::read_dir(path)?.flatten() {
                if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    remove(&entry.path(), depth - 1)?;
                }
            }
            fs::remove_dir(path)
        }
        result => result,
    }
}

/// Whether a process can start in this cgroup. A worker that manages cgroups may have enabled controllers or threaded
/// mode in its own cgroup.
fn is_as_created(cgroup: &Path) -> bool {
    let is = |file: &str, expected: &str| match fs::read_to_string(cgroup.join(file)) {
        Ok(text) => text.trim_end() == expected,
        // The cgroup was removed, which `take` finds out.
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    };
    is("cgroup.subtree_control", "") && is("cgroup.type", "domain")
}

/// The content of `cgroup.events`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Events {
    /// The cgroup or a descendant has a process.
    is_populated: bool,
    /// The processes of the cgroup are frozen, including new ones.
    is_frozen: bool,
}

impl Events {
    fn of(cgroup: &Path) -> io::Result<Self> {
        Self::read(&File::open(cgroup.join("cgroup.events"))?)
    }

    /// Makes one read(2), which costs half of [`fs::read_to_string`].
    fn read(events: &File) -> io::Result<Self> {
        let mut text = [0; 64];
        let length = events.read_at(&mut text, 0)?;
        let has = |mode: &[u8]| text[..length].split(|byte| *byte == b'\n').any(|line| line == mode);
        Ok(Self { is_populated: has(b"populated 1"), is_frozen: has(b"frozen 1") })
    }
}

/// Waits until a cgroup and its descendants have no process, up to a time limit.
fn wait_for_change(path: &Path, limit: Duration) -> io::Result<()> {
    let events = File::open(path.join("cgroup.events"))?;
    // A change after this read wakes poll(2).
    if Events::read(&events)?.is_populated {
        let timeout = PollTimeout::try_from(limit).unwrap_or(PollTimeout::ZERO);
        match poll(&mut [PollFd::new(events.as_fd(), PollFlags::POLLPRI)], timeout) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::{super::View, *};

    fn directory() -> (tempfile::TempDir, Directory) {
        let dir = tempfile::tempdir().unwrap();
        let lock = FileLock::take(File::open(dir.path()).unwrap()).unwrap().unwrap();
        let path = dir.path().to_owned();
        (dir, Directory { path, group: "/procrun-1-2".into(), _lock: lock, numbers: Mutex::default() })
    }

    /// Writes the file as the kernel does.
    fn set_events(directory: &Directory, number: u32, is_populated: bool, is_frozen: bool) {
        let text = format!("populated {}\nfrozen {}\n", i32::from(is_populated), i32::from(is_frozen));
        fs::write(directory.path(number).join("cgroup.events"), text).unwrap();
    }

    fn populate(directory: &Directory, number: u32, yes: bool) {
        set_events(directory, number, yes, false);
    }

    fn placement(dir: &Path) -> Placement {
        Placement { dir: dir.to_owned(), group: "/".to_owned(), view: View::Path }
    }

    #[test]
    fn an_empty_cgroup_is_used_again_and_one_with_processes_is_not() {
        let (_dir, directory) = directory();
        assert_eq!((directory.take().unwrap(), directory.take().unwrap()), (1, 2));
        populate(&directory, 1, true);
        populate(&directory, 2, false);
        directory.give_back(1);
        directory.give_back(2);
        assert_eq!(directory.take().unwrap(), 2);
        assert_eq!(directory.take().unwrap(), 3, "1 has processes");
        populate(&directory, 1, false);
        assert_eq!(directory.take().unwrap(), 1);
        assert!(directory.path(3).is_dir() && !directory.path(4).exists());
    }

    #[test]
    fn a_frozen_cgroup_is_not_used_again() {
        let (_dir, directory) = directory();
        assert_eq!(directory.take().unwrap(), 1);
        set_events(&directory, 1, true, true);
        directory.give_back(1);
        assert_eq!(directory.take().unwrap(), 2);
        set_events(&directory, 1, false, true);
        assert_eq!(directory.take().unwrap(), 3);
        assert_eq!(directory.lock().spare.len(), 0);
    }

    #[test]
    fn a_cgroup_that_its_run_has_changed_is_not_used_again() {
        for (file, unchanged, changed) in
            [("cgroup.subtree_control", "\n", "memory\n"), ("cgroup.type", "domain\n", "domain threaded\n")]
        {
            let (_dir, directory) = directory();
            let number = directory.take().unwrap();
            populate(&directory, number, false);
            fs::write(directory.path(number).join(file), unchanged).unwrap();
            directory.give_back(number);
            assert_eq!(directory.take().unwrap(), number, "{file}");
            fs::write(directory.path(number).join(file), changed).unwrap();
            directory.give_back(number);
            assert_ne!(directory.take().unwrap(), number, "{file}");
            assert_eq!(directory.lock().spare.len(), 0);
        }
    }

    #[test]
    fn a_discarded_cgroup_is_removed_once_its_processes_have_ended() {
        let (_dir, directory) = directory();
        let number = directory.take().unwrap();
        // The file makes rmdir(2) fail, as a process does.
        populate(&directory, number, true);
        directory.discard(number);
        assert_eq!(directory.take().unwrap(), 2);
        assert!(directory.path(number).is_dir());
        fs::remove_file(directory.path(number).join("cgroup.events")).unwrap();
        directory.prepare_next().unwrap();
        assert!(!directory.path(number).exists());
        assert_eq!(directory.take().unwrap(), 3);
        assert_eq!(directory.lock().discarded.len(), 0);
    }

    #[test]
    fn no_two_directories_have_the_same_name() {
        assert_ne!(name(), name());
    }

    fn take(path: &Path) -> io::Result<Option<FileLock>> {
        File::open(path).and_then(FileLock::take)
    }

    type Race = dyn Fn(&Path) -> io::Result<Option<FileLock>>;

    #[test]
    fn a_directory_that_another_procrun_removes_is_created_again() {
        let dir = tempfile::tempdir().unwrap();
        let placement = placement(dir.path());
        // The ways in which the other procrun wins, once.
        let removes_before = |path: &Path| fs::remove_dir(path).and_then(|()| take(path));
        let removes_after = |path: &Path| {
            let file = File::open(path)?;
            fs::remove_dir(path)?;
            FileLock::take(file)
        };
        let holds = |_: &Path| Ok(None);
        let races: [&Race; 3] = [&removes_before, &removes_after, &holds];
        for race in races {
            let attempts = Cell::new(0);
            let created = Directory::create_with(&placement, |path| {
                attempts.set(attempts.get() + 1);
                if attempts.get() == 1 {
                    return race(path);
                }
                fs::write(path.join("cgroup.kill"), "")?;
                take(path)
            });
            assert!(created.unwrap().path.is_dir());
            assert_eq!(attempts.get(), 2);
            // The error is temporary.
            let reason = Directory::create_with(&placement, race).unwrap_err();
            assert!(matches!(reason, NoCgroupReason::Contended(_)), "{reason}");
        }
    }

    #[test]
    fn few_spare_cgroups_are_kept() {
        let (_dir, directory) = directory();
        let numbers: Vec<u32> = (0..MAX_SPARE + 4).map(|_| directory.take().unwrap()).collect();
        for number in &numbers {
            directory.give_back(*number);
        }
        let there = numbers.iter().filter(|number| directory.path(**number).exists()).count();
        assert_eq!(there, MAX_SPARE);
        assert_eq!(directory.lock().spare.len(), MAX_SPARE);
    }
}
