//! The scripts that run in a Node worker before the application: one reports uncaught errors and measures, one
//! lets the workers of a cluster drain, too, and one sends heartbeats.
//!
//! Node's `--require` accepts nothing but the path of a file, so the file must exist for as long as a worker may
//! start or create a thread: `/dev/shm` first, which is in memory and is writable even with a read-only root. It
//! is created for the first worker that needs it, and removed at the end. A procrun that was killed leaves it
//! behind; the next one finds it unlocked and removes it.

use std::{
    borrow::Cow,
    env, fs,
    hash::{BuildHasher, RandomState},
    io::{self, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use nix::{fcntl::OFlag, unistd::geteuid};

use crate::{
    spec::{PACKAGE_RUNNERS, package_runner_programs},
    sys::lock::FileLock,
};

/// A script that Node runs in a worker before the application.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Script {
    /// Lets a worker of a cluster finish its connections, and accept connections by itself; reports uncaught errors;
    /// measures.
    Drain,
    /// Reports uncaught errors and failures to listen; measures.
    Report,
    /// Leaves the channel of a package runner to the Node processes that it starts.
    Forward,
    /// Reports at intervals that the event loop of the worker runs.
    Heartbeat,
}

impl Script {
    const COUNT: usize = 4;

    fn source(self) -> Cow<'static, str> {
        match self {
            Self::Drain => concat!(
                include_str!("drain.cjs"),
                include_str!("accept.cjs"),
                include_str!("faults.cjs"),
                include_str!("metrics.cjs")
            )
            .into(),
            Self::Report => concat!(include_str!("faults.cjs"), include_str!("metrics.cjs")).into(),
            Self::Forward => {
                let packages = serde_json::json!(PACKAGE_RUNNERS).to_string();
                let programs = serde_json::json!(package_runner_programs().collect::<Vec<_>>()).to_string();
                let script = include_str!("forward.cjs").replacen("PACKAGE_RUNNERS", &packages, 1);
                script.replacen("PACKAGE_RUNNER_PROGRAMS", &programs, 1).into()
            }
            Self::Heartbeat => include_str!("beat.cjs").into(),
        }
    }
}

/// The files of the scripts, for all threads that start workers.
#[derive(Debug, Clone, Default)]
pub struct Scripts(Arc<Files>);

#[derive(Debug, Default)]
struct Files {
    /// By the number of the script. A file is created under its lock: only for threads that may wait.
    files: [Mutex<ScriptFile>; Script::COUNT],
    /// Failures that have not been reported.
    failures: Mutex<Vec<(Script, String)>>,
}

impl Scripts {
    /// The file of a script. It is created if it does not exist. `None`: no directory accepts it; see
    /// [`Self::take_failures`].
    pub fn path(&self, script: Script) -> Option<PathBuf> {
        match lock(&self.0.files[script as usize]).path(script) {
            Ok(path) => Some(path.to_owned()),
            Err(failure) => {
                lock(&self.0.failures).extend(failure.map(|failure| (script, failure)));
                None
            }
        }
    }

    /// The scripts without a file since the last call, each with the directories that were tried.
    pub fn take_failures(&self) -> Vec<(Script, String)> {
        std::mem::take(&mut *lock(&self.0.failures))
    }

    /// Removes the files.
    pub fn remove(&self) {
        for file in &self.0.files {
            lock(file).remove();
        }
    }
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic leaves a file that exists, or one that does not.
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The file of a script, if it has been created.
#[derive(Debug, Default)]
struct ScriptFile {
    file: Option<File>,
    /// Whether the failure to create it has been reported.
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

impl ScriptFile {
    /// The script's path. The file is created if it does not exist, or has been removed.
    ///
    /// # Errors
    /// All directories that were tried, and why each failed; only the first time.
    fn path(&mut self, script: Script) -> Result<&Path, Option<String>> {
        if self.file.as_ref().is_some_and(|file| !file.exists()) {
            self.file = None;
        }
        match &mut self.file {
            Some(file) => Ok(&file.path),
            none => {
                let report = |why| (!std::mem::replace(&mut self.is_reported, true)).then_some(why);
                Ok(&none.insert(File::create(&script.source()).map_err(report)?).path)
            }
        }
    }

    /// Removes the file.
    fn remove(&mut self) {
        if let Some(file) = self.file.take_if(|file| file.exists()) {
            let _ = fs::remove_file(file.path);
        }
    }
}

impl File {
    fn create(script: &str) -> Result<Self, String> {
        let mut refused = Vec::new();
        for directory in [Path::new("/dev/shm"), Path::new("/run"), &env::temp_dir()] {
            match Self::create_in(directory, script) {
                Ok(file) => {
                    remove_unlocked(directory);
                    return Ok(file);
                }
                Err(error) => refused.push(format!("{}: {error}", directory.display())),
            }
        }
        Err(refused.join(", "))
    }

    fn create_in(directory: &Path, script: &str) -> io::Result<Self> {
        let path = directory.join(format!("procrun-{:016x}.cjs", RandomState::new().hash_one(directory)));
        // Never an existing file or link.
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        let created = file
            .write_all(script.as_bytes())
            // Readable for the user of any worker, whatever the umask is.
            .and_then(|()| file.set_permissions(fs::Permissions::from_mode(0o444)))
            .and_then(|()| file.metadata())
            .and_then(|meta| Ok((meta, lock_file(file)?)));
        match created {
            Ok((meta, lock)) => {
                let file = Self { path, id: (meta.dev(), meta.ino()), _lock: lock };
                // Another procrun that removes old files may have come before the lock.
                if file.exists() { Ok(file) } else { Err(io::ErrorKind::NotFound.into()) }
            }
            Err(error) => {
                let _ = fs::remove_file(&path);
                Err(error)
            }
        }
    }

    fn exists(&self) -> bool {
        fs::symlink_metadata(&self.path).is_ok_and(|meta| (meta.dev(), meta.ino()) == self.id)
    }
}

/// Never waits: any process that may read the file may hold a lock.
fn lock_file(file: fs::File) -> io::Result<FileLock> {
    FileLock::take(file)?.ok_or_else(|| io::ErrorKind::WouldBlock.into())
}

/// Removes the files of supervisors that were killed.
fn remove_unlocked(directory: &Path) {
    let is_script = |name: &str| name.strip_suffix(".cjs").is_some_and(|name| name.starts_with("procrun-"));
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        if !entry.file_name().to_str().is_some_and(is_script) {
            continue;
        }
        let flags = (OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits();
        let Ok(file) = fs::OpenOptions::new().read(true).custom_flags(flags).open(entry.path()) else {
            continue;
        };
        let is_ours = file.metadata().is_ok_and(|meta| meta.is_file() && meta.uid() == geteuid().as_raw());
        if is_ours && let Ok(_lock) = lock_file(file) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_created_once_and_again_after_its_removal() {
        let mut file = ScriptFile::default();
        let first = file.path(Script::Drain).unwrap().to_owned();
        assert_eq!(file.path(Script::Drain).unwrap(), first);
        assert_eq!(fs::read_to_string(&first).unwrap(), Script::Drain.source());
        assert_eq!(fs::metadata(&first).unwrap().mode() & 0o777, 0o444);

        fs::remove_file(&first).unwrap();
        fs::write(&first, "left by another").unwrap();
        let second = file.path(Script::Drain).unwrap().to_owned();
        assert_ne!(first, second);
        assert!(!first.exists(), "a file without a lock is removed");
        let third = ScriptFile::default().path(Script::Drain).unwrap().to_owned();
        assert!(second.exists() && third.exists(), "a file in use stays");
        file.remove();
        assert!(!second.exists());
        fs::remove_file(third).unwrap();
    }
}
