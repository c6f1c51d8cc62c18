//! The files that hold the process ids of instances while they run (`pid_file`).
//!
//! A helper thread writes and removes them: their file system may not answer. What is done to one file is
//! done in its order; of several things that wait for a file only the last one is done.

use std::{
    collections::HashMap,
    fs::{self, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::PathBuf,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use nix::fcntl::OFlag;
use tracing::warn;

use super::helper_threads::HelperThreads;
use crate::{
    machine::Subject,
    sys::{
        file_rights::{FileOwner, FileRights},
        reap::Pid,
    },
};

/// How long the end of procrun waits for pid files.
const FINISH_TIMEOUT: Duration = Duration::from_secs(1);

/// A pid file, kept for an application that may run as a user of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PidFile {
    pub(super) path: PathBuf,
    pub(super) owner: Option<FileOwner>,
}

impl PidFile {
    /// Writes the id, and makes the directory first if it is missing, as PM2 does.
    ///
    /// Must be a regular file: to write to a FIFO or a device could take any time or do anything.
    fn write(&self, pid: Pid) -> io::Result<()> {
        let _rights = self.rights();
        if let Some(directory) = self.path.parent() {
            fs::create_dir_all(directory)?;
        }
        let mut options = OpenOptions::new();
        let flags = OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
        options.write(true).create(true).custom_flags(flags.bits());
        let mut file = options.open(&self.path)?;
        if !file.metadata()?.is_file() {
            return Err(io::Error::other("is not a regular file"));
        }
        file.set_len(0)?;
        writeln!(file, "{pid}")
    }

    /// Removes the file, if it is there.
    fn remove(&self) {
        let _rights = self.rights();
        let _ = fs::remove_file(&self.path);
    }

    fn rights(&self) -> FileRights {
        FileRights::on(&self.path, self.owner.as_ref())
    }
}

/// What is being done to pid files.
#[derive(Debug, Clone, Default)]
pub(super) struct PidFiles(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    /// What is to be done next to the files that a thread is at.
    busy: Mutex<HashMap<PathBuf, Option<Change>>>,
    is_done: Condvar,
}

/// What is to be done to a file.
#[derive(Debug)]
struct Change {
    file: PidFile,
    content: Content,
}

#[derive(Debug)]
enum Content {
    /// The id of this process.
    Pid(Subject, Pid),
    /// None: it is removed.
    None,
}

impl PidFiles {
    /// Has the id of a process written.
    pub(super) fn write(&self, helpers: &HelperThreads, file: &PidFile, who: &Subject, pid: Pid) {
        self.submit(helpers, Change { file: file.clone(), content: Content::Pid(who.clone(), pid) });
    }

    /// Has the file removed.
    pub(super) fn remove(&self, helpers: &HelperThreads, file: &PidFile) {
        self.submit(helpers, Change { file: file.clone(), content: Content::None });
    }

    fn submit(&self, helpers: &HelperThreads, change: Change) {
        let path = change.file.path.clone();
        if let Some(next) = self.0.lock().get_mut(&path) {
            *next = Some(change);
            return;
        }
        self.0.lock().insert(path.clone(), Some(change));
        let shared = Arc::clone(&self.0);
        if let Err(error) = helpers.submit(move || shared.work(&path)) {
            let changes = std::mem::take(&mut *self.0.lock());
            for change in changes.into_values().flatten() {
                change.report(&error);
            }
        }
    }

    /// Waits until all files are written or removed, up to a time limit.
    pub(super) fn finish(&self) {
        let busy = self.0.lock();
        let _ = self.0.is_done.wait_timeout_while(busy, FINISH_TIMEOUT, |busy| !busy.is_empty());
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, HashMap<PathBuf, Option<Change>>> {
        self.busy.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does all that is to be done to a file.
    fn work(&self, path: &PathBuf) {
        while let Some(change) = self.next(path) {
            let written = match &change.content {
                Content::Pid(_, pid) => change.file.write(*pid),
                Content::None => {
                    change.file.remove();
                    Ok(())
                }
            };
            if let Err(error) = written {
                change.report(&error);
            }
        }
        self.is_done.notify_all();
    }

    fn next(&self, path: &PathBuf) -> Option<Change> {
        let mut busy = self.lock();
        let next = busy.get_mut(path).and_then(Option::take);
        if next.is_none() {
            busy.remove(path);
        }
        next
    }
}

impl Change {
    fn report(&self, error: &io::Error) {
        if let Content::Pid(who, _) = &self.content {
            let (app, id) = (&*who.spec.name, who.pm_id);
            warn!(app, id, "cannot write {who}'s pid file {}: {error}", self.file.path.display());
        }
    }
}
