//! The files that hold the process ids of instances while they run (`pid_file`).
//!
//! A helper thread writes and removes them: their file system may not answer. Changes of one file are made in their
//! order; of several changes that wait for a file only the last one is made.
//!
//! A script may read the file right after a command. So the last answer to a command comes after the changes of
//! pid files that it has led to, unless a file system takes longer than [`WAIT_LIMIT`].

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
use tokio::{
    sync::Notify,
    time::{Instant, timeout_at},
};

use super::{
    clock,
    event_queue::EventSender,
    helper_threads::HelperThreads,
    job_queues::{Job, Purpose},
};
use crate::{
    machine::{
        Subject,
        events::{EventData, Notice},
    },
    sys::{
        file_rights::{FileOwner, FileRights},
        reap::Pid,
    },
};

/// How long the answer to a command, or the end of procrun, waits for a pid file.
const WAIT_LIMIT: Duration = Duration::from_secs(1);
/// Interval in which the end of procrun adds a thread for files that wait behind one that does not answer.
const GROW_INTERVAL: Duration = Duration::from_millis(50);

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

    /// Removes the file, if it exists.
    fn remove(&self) {
        let _rights = self.rights();
        let _ = fs::remove_file(&self.path);
    }

    fn rights(&self) -> FileRights {
        FileRights::on(&self.path, self.owner.as_ref())
    }
}

/// The pid files that are being written and removed.
#[derive(Debug, Clone)]
pub(super) struct PidFiles(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    event_sender: EventSender,
    /// The files that a thread changes or will change.
    busy: Mutex<HashMap<PathBuf, Busy>>,
    /// Wakes the end of procrun, which waits for all files.
    is_done: Condvar,
    /// Wakes answers that wait.
    file_done: Notify,
}

/// A file that is being written or removed.
#[derive(Debug)]
struct Busy {
    since: Instant,
    /// The next change.
    next: Option<Change>,
}

/// A change of a file.
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
    /// Failures are reported there.
    pub(super) fn new(event_sender: EventSender) -> Self {
        let (busy, is_done, file_done) = Default::default();
        Self(Arc::new(Shared { event_sender, busy, is_done, file_done }))
    }

    /// Has the id of a process written.
    pub(super) fn write(&self, helpers: &HelperThreads, file: &PidFile, subject: &Subject, pid: Pid) {
        self.submit(
            helpers,
            &subject.spec.name,
            Change { file: file.clone(), content: Content::Pid(subject.clone(), pid) },
        );
    }

    /// Has the file removed.
    pub(super) fn remove(&self, helpers: &HelperThreads, file: &PidFile, app: &str) {
        self.submit(helpers, app, Change { file: file.clone(), content: Content::None });
    }

    fn submit(&self, helpers: &HelperThreads, app: &str, change: Change) {
        let path = change.file.path.clone();
        if let Some(busy) = self.0.lock().get_mut(&path) {
            busy.next = Some(change);
            return;
        }
        self.0.lock().insert(path.clone(), Busy { since: clock::now(), next: Some(change) });
        let (shared, file) = (Arc::clone(&self.0), path.clone());
        let job = Job::new(Purpose::File, move || shared.work(&file)).for_app(app);
        if let Err(error) = helpers.submit(job) {
            // The other files have their threads.
            let refused = self.0.lock().remove(&path).and_then(|busy| busy.next);
            if let Some(change) = refused {
                self.0.event_sender.report_failure(&change, &error);
            }
        }
    }

    /// Waits until the present changes are made, for each file at most [`WAIT_LIMIT`] from its beginning. `None`:
    /// there is no change.
    pub(super) fn settled(&self) -> Option<impl Future<Output = ()> + use<>> {
        let requested = clock::now();
        self.0.deadline(requested)?;
        let shared = Arc::clone(&self.0);
        Some(async move {
            loop {
                // Before the check, so that no end is missed.
                let done = shared.file_done.notified();
                let Some(deadline) = shared.deadline(requested) else { return };
                // The end of a late change is not waited for.
                let _ = timeout_at(deadline, done).await;
            }
        })
    }

    /// Waits until all files are written or removed, up to a time limit.
    pub(super) fn finish(&self, helpers: &HelperThreads) {
        let deadline = clock::now() + WAIT_LIMIT;
        let mut busy = self.0.lock();
        while !busy.is_empty() && clock::now() < deadline {
            if let Some(at) = helpers.next() {
                // Not only when the others have been busy for long: there is little time.
                helpers.grow(at);
            }
            let waited = self.0.is_done.wait_timeout(busy, GROW_INTERVAL);
            busy = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, HashMap<PathBuf, Busy>> {
        self.busy.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Until when the files are waited for that were busy at this time.
    fn deadline(&self, requested: Instant) -> Option<Instant> {
        let now = clock::now();
        let busy = self.lock();
        let deadlines =
            busy.values().filter(|busy| busy.since <= requested).map(|busy| busy.since + WAIT_LIMIT);
        deadlines.filter(|deadline| *deadline > now).max()
    }

    /// Makes all changes of a file.
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
                self.event_sender.report_failure(&change, &error);
            }
        }
        self.is_done.notify_all();
        self.file_done.notify_waiters();
    }

    fn next(&self, path: &PathBuf) -> Option<Change> {
        let mut busy = self.lock();
        let next = busy.get_mut(path).and_then(|busy| busy.next.take());
        if next.is_none() {
            busy.remove(path);
        }
        next
    }
}

impl EventSender {
    fn report_failure(&self, change: &Change, error: &io::Error) {
        if let Content::Pid(subject, _) = &change.content {
            let (path, error) = (change.file.path.display().to_string(), error.to_string());
            self.send(Notice::of(subject.clone(), EventData::PidFileFailed { path, error }));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;
    use crate::supervisor::event_queue::event_queue;

    #[test]
    fn a_change_that_is_refused_leaves_the_changes_of_other_files() {
        let (event_sender, _reports) = event_queue();
        let (files, helpers) = (PidFiles::new(event_sender), HelperThreads::default());
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str| PidFile { path: dir.path().join(name), owner: None };
        let (waits, refused) = (file("waits"), file("refused"));
        fs::write(&waits.path, "1").unwrap();
        let (release, hang) = mpsc::channel::<()>();
        let (begun, has_begun) = mpsc::channel();
        let hangs = move || {
            begun.send(()).unwrap();
            let _ = hang.recv();
        };
        helpers.submit(Job::new(Purpose::File, hangs)).unwrap();
        has_begun.recv().unwrap();
        files.remove(&helpers, &waits, "app");
        while helpers.submit(Job::new(Purpose::File, || ())).is_ok() {}
        files.remove(&helpers, &refused, "app");
        assert!(!files.0.lock().contains_key(&refused.path));
        drop(release);
        let mut busy = files.0.lock();
        while !busy.is_empty() {
            busy = files.0.is_done.wait(busy).unwrap();
        }
        drop(busy);
        assert!(!waits.path.exists(), "it is still removed");
    }
}
