//! Reports that files of an application have changed, once for a burst.
//!
//! It is a separate thread, which exists only while an application watches: a file system may not answer for a
//! while, or ever (a hung NFS server), and PID 1 must not wait for it. In the thread, inotify reports changes of
//! directories (`tree`), or the files are polled (`polling`) where inotify cannot report changes or has reached
//! its limit. It makes no decision about processes: the machine does.
//!
//! Pure parts: `glob` and `ignore` (which files do not count), `debouncer` (a burst → one change).

mod debouncer;
mod glob;
mod ignore;
mod kernel;
mod known_files;
mod listing;
mod own_files;
mod polling;
mod roots;
mod slab;
mod trace;
mod tree;
mod watch_thread;

use std::{
    io,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use nix::sys::eventfd::{EfdFlags, EventFd};
use tokio::sync::Notify;

use self::{ignore::Ignore, own_files::OwnFiles};
use crate::{
    shown::printable,
    spec::{AppSpec, Plan, WatchSpec},
    sys::threads,
};

/// Stack of the thread: a walk does not recurse.
const STACK: usize = 256 * 1024;

/// Watches the files of a plan's applications. It costs nothing while no application watches.
#[derive(Debug, Default)]
pub struct Watcher {
    shared_state: Option<Arc<WatchShared>>,
}

/// A report of the watch thread.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WatchEvent {
    /// Files of an application have changed.
    Changed {
        /// The name of the application.
        app: String,
        /// One of the changed files, for messages: relative to the application's `cwd` if it is below it, and
        /// without control characters.
        path: String,
    },
    /// The files of an application are watched from now on.
    Watching {
        /// The name of the application.
        app: String,
        /// The number of watched directories or polled files, as text.
        what: String,
        /// The time that the first scan took.
        took: Duration,
    },
    /// A path of `watch` does not exist, or cannot be read. It is watched as soon as it can be.
    Missing {
        /// The application's name.
        app: String,
        /// The path, for messages.
        path: String,
        /// The error of the kernel.
        why: String,
    },
    /// The files of an application are polled from now on.
    Polling {
        /// The name of the application.
        app: String,
        /// Why inotify cannot report changes, and a remedy.
        why: String,
        /// The minimum interval between two scans.
        interval: Duration,
    },
}

/// The state that the supervisor and the watch thread share.
#[derive(Debug)]
struct WatchShared {
    mailbox: Mutex<Mailbox>,
    /// Wakes the watch thread.
    wake_fd: EventFd,
    /// Wakes the supervisor.
    supervisor_wake: Notify,
}

#[derive(Debug, Default)]
struct Mailbox {
    /// A new configuration for the thread; an empty one ends it.
    new_config: Option<Vec<Arc<Watched>>>,
    /// The last configuration that the thread has read, for a thread that restarts after a panic.
    current: Vec<Arc<Watched>>,
    /// Reports: for each application at most one change, and the result of each configuration.
    events: Vec<WatchEvent>,
    /// Whether no application watches any more, which ends the thread.
    is_over: bool,
}

/// An application that watches, and everything that its watching depends on.
#[derive(Debug, PartialEq, Eq)]
struct Watched {
    name: String,
    cwd: PathBuf,
    /// The script, which may be outside of the watched directories.
    script: PathBuf,
    spec: WatchSpec,
    own: Arc<OwnFiles>,
}

/// A changed path, or a loss of events.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Change {
    /// A file or directory, absolute.
    Path(PathBuf),
    /// A file whose name is not known was removed.
    Removed,
    /// The kernel's queue has overflowed.
    Overflow,
}

impl Watcher {
    /// Watches the files of this plan from now on. Applications whose settings have not changed keep their
    /// watches.
    ///
    /// # Errors
    /// The error of eventfd(2) or clone(2); then nothing is watched.
    pub fn follow(&mut self, plan: &Plan) -> io::Result<()> {
        let watched = all_watched(plan);
        if self.shared_state.is_none() && !watched.is_empty() {
            self.shared_state = Some(start()?);
        }
        let Some(shared_state) = &self.shared_state else { return Ok(()) };
        let is_over = watched.is_empty();
        let mut mailbox = shared_state.mailbox();
        (mailbox.new_config, mailbox.is_over) = (Some(watched), is_over);
        drop(mailbox);
        shared_state.wake();
        if is_over {
            self.shared_state = None;
        }
        Ok(())
    }

    /// Waits for reports. Cancel-safe; waits forever while no application watches.
    pub async fn events(&self) -> Vec<WatchEvent> {
        let Some(shared_state) = &self.shared_state else { return std::future::pending().await };
        loop {
            let events = std::mem::take(&mut shared_state.mailbox().events);
            if !events.is_empty() {
                return events;
            }
            shared_state.supervisor_wake.notified().await;
        }
    }
}

fn start() -> io::Result<Arc<WatchShared>> {
    let wake_fd = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?;
    let shared_state =
        Arc::new(WatchShared { mailbox: Mutex::default(), wake_fd, supervisor_wake: Notify::new() });
    let (for_thread, shared) = (shared_state.clone(), shared_state.clone());
    let mut is_first = true;
    let is_over = move || shared.mailbox().is_over;
    threads::spawn("watch", Some(STACK), is_over, move || {
        if !std::mem::take(&mut is_first) {
            for_thread.restore_config();
        }
        watch_thread::watch(&for_thread);
    })?;
    Ok(shared_state)
}

impl WatchShared {
    fn mailbox(&self) -> MutexGuard<'_, Mailbox> {
        // It is consistent at every moment: no operation under the lock can panic.
        self.mailbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next configuration, if there is a new one.
    fn take_new_config(&self) -> Option<Vec<Arc<Watched>>> {
        let mut mailbox = self.mailbox();
        let new_config = mailbox.new_config.take()?;
        mailbox.current.clone_from(&new_config);
        Some(new_config)
    }

    /// Restores the last configuration, unless there is a new one.
    fn restore_config(&self) {
        let mut mailbox = self.mailbox();
        let current = mailbox.current.clone();
        mailbox.new_config.get_or_insert(current);
    }

    fn wake(&self) {
        // Full only if it was written and not read.
        let _ = self.wake_fd.write(1);
    }

    fn report(&self, event: WatchEvent) {
        let mut mailbox = self.mailbox();
        let is_known = |known: &WatchEvent| match (known, &event) {
            (WatchEvent::Changed { app: known, .. }, WatchEvent::Changed { app, .. }) => known == app,
            _ => *known == event,
        };
        if !mailbox.events.iter().any(is_known) {
            mailbox.events.push(event);
        }
        drop(mailbox);
        self.supervisor_wake.notify_one();
    }
}

impl Watched {
    fn ignore(&self) -> Ignore {
        Ignore::new(&self.spec.ignore, &self.cwd, Some(self.script.clone()), self.own.clone())
    }

    /// A change for messages.
    fn describe(&self, change: &Change) -> String {
        match change {
            Change::Path(path) => {
                let shown = path.strip_prefix(&self.cwd).ok().filter(|path| !path.as_os_str().is_empty());
                let text = shown.unwrap_or(path).to_string_lossy();
                printable(&text).into_owned()
            }
            Change::Removed => "a file was removed".to_owned(),
            Change::Overflow => "very many files".to_owned(),
        }
    }
}

fn all_watched(plan: &Plan) -> Vec<Arc<Watched>> {
    if plan.apps.iter().all(|app| app.watch.is_none()) {
        return Vec::new();
    }
    let own = Arc::new(OwnFiles::of(plan));
    let watched = |app: &AppSpec| {
        let spec = WatchSpec::clone(app.watch.as_ref()?);
        let (cwd, script) = (app.exec.cwd.clone(), app.exec.cwd.join(&app.exec.script));
        Some(Arc::new(Watched { name: app.name.clone(), cwd, script, spec, own: own.clone() }))
    };
    plan.apps.iter().filter_map(|app| watched(app)).collect()
}
