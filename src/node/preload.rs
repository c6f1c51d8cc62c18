//! The scripts that run in a Node worker before the application: one reports uncaught errors, one lets the workers
//! of a cluster drain, and one sends heartbeats.
//!
//! Node's `--require` accepts nothing but the path of a file, so the file must exist for as long as a worker may
//! start or create a thread: `/dev/shm` first, which is in memory and is writable even with a read-only root. It
//! is created for the first worker that needs it, and removed at the end. A procrun that was killed leaves it
//! behind; the next one finds it unlocked and removes it.

use std::{
    env, fs,
    hash::{BuildHasher, RandomState},
    io::{self, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use nix::{fcntl::OFlag, unistd::geteuid};

use crate::{
    spec::{PACKAGE_RUNNER_PROGRAMS, PACKAGE_RUNNERS},
    sys::lock::FileLock,
};

/// Lets a worker of a cluster finish its connections, and accept them for itself; reports uncaught errors.
pub(super) const DRAIN: &str =
    concat!(include_str!("drain.cjs"), include_str!("accept.cjs"), include_str!("faults.cjs"));
/// Reports uncaught errors of a worker.
pub(super) const FAULTS: &str = include_str!("faults.cjs");
/// Sends heartbeats while the event loop of the worker runs.
pub(super) const BEAT: &str = include_str!("beat.cjs");

/// Passes the channel of package runners to their child.
pub(super) fn forward() -> String {
    let packages = serde_json::json!(PACKAGE_RUNNERS).to_string();
    let programs = serde_json::json!(PACKAGE_RUNNER_PROGRAMS).to_string();
    include_str!("forward.cjs").replacen("PACKAGE_RUNNERS", &packages, 1).replacen(
        "PACKAGE_RUNNER_PROGRAMS",
        &programs,
        1,
    )
}

/// The file of a script, if it exists yet.
#[derive(Debug, Default)]
pub(super) struct Preload {
    file: Option<File>,
    /// Whether it was reported that there is none.
    is_reported: bool,
}

#[derive(Debug)]
struct File {
    path: PathBuf,
    /// Device and inode, which distinguish it from another file in its place.
    id: (u64, u64),
    /// Marks it as in use.
    _lock: FileLock,
}

impl Preload {
    /// Its path. The file is created, and created again after it was removed.
    ///
    /// # Errors
    /// All places that were tried, with the reasons of the failures; only the first time.
    pub(super) fn path(&mut self, script: &str) -> Result<&Path, Option<String>> {
        if self.file.as_ref().is_some_and(|file| !file.is_there()) {
            self.file = None;
        }
        match &mut self.file {
            Some(file) => Ok(&file.path),
            none => {
                let say = |why| (!std::mem::replace(&mut self.is_reported, true)).then_some(why);
                Ok(&none.insert(File::make(script).map_err(say)?).path)
            }
        }
    }

    /// Removes the file.
    pub(super) fn remove(&mut self) {
        if let Some(file) = self.file.take_if(|file| file.is_there()) {
            let _ = fs::remove_file(file.path);
        }
    }
}

impl File {
    fn make(script: &str) -> Result<Self, String> {
        let mut refused = Vec::new();
        for place in [Path::new("/dev/shm"), Path::new("/run"), &env::temp_dir()] {
            match Self::make_in(place, script) {
                Ok(file) => {
                    remove_unlocked(place);
                    return Ok(file);
                }
                Err(error) => refused.push(format!("{}: {error}", place.display())),
            }
        }
        Err(refused.join(", "))
    }

    fn make_in(place: &Path, script: &str) -> io::Result<Self> {
        let path = place.join(format!("procrun-{:016x}.cjs", RandomState::new().hash_one(place)));
        // Never an existing file or link.
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        let made = file
            .write_all(script.as_bytes())
            // Readable for the user of any worker, whatever the umask is.
            .and_then(|()| file.set_permissions(fs::Permissions::from_mode(0o444)))
            .and_then(|()| file.metadata())
            .and_then(|meta| Ok((meta, lock(file)?)));
        match made {
            Ok((meta, lock)) => {
                let file = Self { path, id: (meta.dev(), meta.ino()), _lock: lock };
                // Another procrun that removes old files may have come before the lock.
                if file.is_there() { Ok(file) } else { Err(io::ErrorKind::NotFound.into()) }
            }
            Err(error) => {
                let _ = fs::remove_file(&path);
                Err(error)
            }
        }
    }

    fn is_there(&self) -> bool {
        fs::symlink_metadata(&self.path).is_ok_and(|meta| (meta.dev(), meta.ino()) == self.id)
    }
}

/// Never waits: any process that may read the file may hold a lock.
fn lock(file: fs::File) -> io::Result<FileLock> {
    FileLock::take(file)?.ok_or_else(|| io::ErrorKind::WouldBlock.into())
}

/// Removes the files of supervisors that were killed.
fn remove_unlocked(place: &Path) {
    let is_one = |name: &str| name.strip_suffix(".cjs").is_some_and(|name| name.starts_with("procrun-"));
    for entry in fs::read_dir(place).into_iter().flatten().flatten() {
        if !entry.file_name().to_str().is_some_and(is_one) {
            continue;
        }
        let flags = (OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits();
        let Ok(file) = fs::OpenOptions::new().read(true).custom_flags(flags).open(entry.path()) else {
            continue;
        };
        let is_ours = file.metadata().is_ok_and(|meta| meta.is_file() && meta.uid() == geteuid().as_raw());
        if is_ours && let Ok(_until_it_is_gone) = lock(file) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_made_once_and_anew_when_it_is_gone() {
        let mut preload = Preload::default();
        let first = preload.path(DRAIN).unwrap().to_owned();
        assert_eq!(preload.path(DRAIN).unwrap(), first);
        assert_eq!(fs::read_to_string(&first).unwrap(), DRAIN);
        assert_eq!(fs::metadata(&first).unwrap().mode() & 0o777, 0o444);

        fs::remove_file(&first).unwrap();
        fs::write(&first, "left by another").unwrap();
        let second = preload.path(DRAIN).unwrap().to_owned();
        assert_ne!(first, second);
        assert!(!first.exists(), "it is not in use");
        let third = Preload::default().path(DRAIN).unwrap().to_owned();
        assert!(second.exists() && third.exists(), "a file in use stays");
        preload.remove();
        assert!(!second.exists());
        fs::remove_file(third).unwrap();
    }
}
