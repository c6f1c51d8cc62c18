//! The directory that holds the cgroups of one procrun, below procrun's own cgroup.
//!
//! Its lock is held as long as procrun lives, also in another PID namespace. So a procrun that is killed leaves
//! a directory without a lock, which the next one removes.

use std::{
    collections::VecDeque,
    fs::{self, File},
    io,
    os::{fd::AsFd as _, unix::fs::FileExt as _},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
};

use super::{
    super::{lock::FileLock, tree},
    placement::{Placement, Reason},
};

const PREFIX: &str = "procrun-";
/// Cgroups of ended runs that are kept for the next ones: to make one costs more than to use one again.
const MAX_SPARE: usize = 16;
/// A start looks at this many cgroups of ended runs, some of which may have processes still.
const MAX_LOOKS: usize = 4;
/// How deep a worker's own cgroups are removed: a limit of the recursion.
const MAX_DEPTH: usize = 32;
/// In how many parts the wait for the last processes is divided.
const WAITS: u16 = 20;

/// The directory of one procrun.
#[derive(Debug)]
pub(super) struct Directory {
    path: PathBuf,
    /// Its path in `/proc/PID/cgroup`.
    group: Arc<str>,
    _lock: FileLock,
    numbers: Mutex<Numbers>,
}

#[derive(Debug, Default)]
struct Numbers {
    last: u32,
    /// Those of ended runs, which may have processes still.
    spare: VecDeque<u32>,
}

impl Directory {
    /// Makes it, and removes those of procruns that were killed.
    pub(super) fn create(placement: &Placement) -> Result<Self, Reason> {
        let refused = |error| Reason::Refused(placement.dir.clone(), error);
        remove_stale(&placement.dir);
        let name = name();
        let path = placement.dir.join(&name);
        fs::create_dir(&path).map_err(refused)?;
        let lock = File::open(&path).and_then(FileLock::take).and_then(|lock| {
            // Another procrun has taken it for one that was left behind.
            lock.ok_or_else(|| io::ErrorKind::WouldBlock.into())
        });
        let made = lock.map_err(refused).and_then(|lock| {
            // Older kernels have no such file (Linux 5.14); they may lack the rest, too.
            if path.join("cgroup.kill").exists() { Ok(lock) } else { Err(Reason::TooOld) }
        });
        let lock = made.inspect_err(|_| drop(fs::remove_dir(&path)))?;
        let group = format!("{}/{name}", placement.group.trim_end_matches('/')).into();
        Ok(Self { path, group, _lock: lock, numbers: Mutex::default() })
    }

    pub(super) fn group(&self) -> &Arc<str> {
        &self.group
    }

    pub(super) fn path(&self, number: u32) -> PathBuf {
        self.path.join(number.to_string())
    }

    /// An empty cgroup that no run uses.
    pub(super) fn take(&self) -> io::Result<u32> {
        let looks = self.lock().spare.len().min(MAX_LOOKS);
        for _ in 0..looks {
            let Some(number) = self.lock().spare.pop_front() else { break };
            match is_populated(&self.path(number)) {
                Ok(false) => return Ok(number),
                Ok(true) => self.lock().spare.push_back(number),
                // It was removed.
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

    /// A run does not use it any more.
    pub(super) fn give_back(&self, number: u32) {
        let is_full = self.lock().spare.len() >= MAX_SPARE;
        // One with processes stays until they have ended.
        if !is_full || remove(&self.path(number), MAX_DEPTH).is_err() {
            self.lock().spare.push_back(number);
        }
    }

    /// Removes all of it once it has no process left, and waits for that up to a time limit.
    pub(super) fn remove(&self, limit: Duration) -> io::Result<()> {
        let mut result = remove(&self.path, MAX_DEPTH);
        for _ in 0..WAITS {
            if result.is_ok() {
                break;
            }
            wait_for_change(&self.path, limit / u32::from(WAITS))?;
            result = remove(&self.path, MAX_DEPTH);
        }
        result
    }

    fn lock(&self) -> MutexGuard<'_, Numbers> {
        // Nothing panics while it is held.
        self.numbers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The process id alone names no process for good.
fn name() -> String {
    let pid = std::process::id();
    let stat = i32::try_from(pid).ok().and_then(tree::stat_now);
    format!("{PREFIX}{pid}-{}", stat.map_or(0, |stat| stat.start))
}

/// Removes what procruns have left that were killed. Where processes are left, it stays.
fn remove_stale(parent: &Path) {
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let is_ours = entry.file_name().to_str().is_some_and(|name| name.starts_with(PREFIX));
        if is_ours && let Ok(Some(_lock)) = File::open(entry.path()).and_then(FileLock::take) {
            let _ = remove(&entry.path(), MAX_DEPTH);
        }
    }
}

/// Removes a cgroup and those below it, which a worker may have made. The kernel refuses it where a process is.
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

/// Whether a process is in a cgroup or below it.
fn is_populated(path: &Path) -> io::Result<bool> {
    says_populated(&File::open(path.join("cgroup.events"))?)
}

/// One read(2), which costs half of [`fs::read_to_string`].
fn says_populated(events: &File) -> io::Result<bool> {
    let mut text = [0; 64];
    let length = events.read_at(&mut text, 0)?;
    Ok(text[..length].split(|byte| *byte == b'\n').any(|line| line == b"populated 1"))
}

/// Waits until the last process has left a cgroup or those below it, up to a time limit.
fn wait_for_change(path: &Path, limit: Duration) -> io::Result<()> {
    let events = File::open(path.join("cgroup.events"))?;
    // What changes from this read on wakes poll(2).
    if says_populated(&events)? {
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
    use super::*;

    fn directory() -> (tempfile::TempDir, Directory) {
        let dir = tempfile::tempdir().unwrap();
        let lock = FileLock::take(File::open(dir.path()).unwrap()).unwrap().unwrap();
        let path = dir.path().to_owned();
        (dir, Directory { path, group: "/procrun-1-2".into(), _lock: lock, numbers: Mutex::default() })
    }

    /// As the kernel does it.
    fn populate(directory: &Directory, number: u32, yes: bool) {
        let text = format!("populated {}\nfrozen 0\n", i32::from(yes));
        fs::write(directory.path(number).join("cgroup.events"), text).unwrap();
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
    fn few_spare_cgroups_are_kept() {
        let (_dir, directory) = directory();
        let numbers: Vec<u32> = (0..20).map(|_| directory.take().unwrap()).collect();
        for number in &numbers {
            directory.give_back(*number);
        }
        let there = numbers.iter().filter(|number| directory.path(**number).exists()).count();
        assert_eq!(there, MAX_SPARE);
        assert_eq!(directory.lock().spare.len(), MAX_SPARE);
    }
}
