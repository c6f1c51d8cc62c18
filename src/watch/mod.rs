//! Files → "this application's files have changed", once for a burst.
//!
//! It is a separate thread, which exists only while an application watches: a file system may not answer for a
//! while, or ever (a dead NFS server), and PID 1 must not wait for it. In the thread, inotify reports changes
//! of directories (`tree`), or the files are polled (`look`) where inotify cannot report changes or has no room
//! left. It makes no decision about processes: the machine does.
//!
//! Pure parts: `glob` and `ignore` (what does not count), `burst` (many changes → one).

mod debouncer;
mod glob;
mod ignore;
mod kernel;
mod listing;
mod own_files;
mod polling;
mod roots;
mod seen;
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

/// What the thread needs: a walk does not go deep on the stack.
const STACK: usize = 256 * 1024;

/// Watches the files of a plan's applications. It costs nothing while no application watches.
#[derive(Debug, Default)]
pub struct Watcher {
    shared_state: Option<Arc<WatchShared>>,
}

/// What the watcher has to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News {
    /// Files of an application have changed.
    Changed {
        /// Its name.
        app: String,
        /// One of the changed files, for messages: relative to the application's `cwd` if it is below, and
        /// without control characters.
        path: String,
    },
    /// The files of an application are watched from now on.
    Watching {
        /// Its name.
        app: String,
        /// The number of watched directories or polled files, as text.
        what: String,
        /// How long it took to find them.
        took: Duration,
    },
    /// A path of `watch` is not there, or cannot be read. It is watched as soon as it can be.
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
        /// Its name.
        app: String,
        /// Why the kernel does not tell, and what to do about it.
        why: String,
        /// The minimum interval between two scans.
        interval: Duration,
    },
}

/// Where orders and news are handed over.
#[derive(Debug)]
struct WatchShared {
    mailbox: Mutex<Mailbox>,
    /// Wakes the thread.
    wake_fd: EventFd,
    /// Wakes the supervisor.
    told: Notify,
}

#[derive(Debug, Default)]
struct Mailbox {
    /// A new configuration for the thread; an empty one ends it.
    orders: Option<Vec<Arc<Watched>>>,
    /// The last configuration that was taken, for a thread that restarts after a panic.
    current: Vec<Arc<Watched>>,
    /// For each application at most one change, and the result of each order.
    news: Vec<News>,
    /// Nothing is to be watched any more, which ends the thread.
    is_over: bool,
}

/// One application that watches, and all that its watching depends on.
#[derive(Debug, PartialEq, Eq)]
struct Watched {
    name: String,
    cwd: PathBuf,
    /// The file that runs, wherever it is.
    script: PathBuf,
    spec: WatchSpec,
    own: Arc<OwnFiles>,
}

/// What has changed.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Change {
    /// A file or directory, absolute.
    Path(PathBuf),
    /// Something that was removed, without a name.
    Removed,
    /// More than the kernel remembers.
    Many,
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
        (mailbox.orders, mailbox.is_over) = (Some(watched), is_over);
        drop(mailbox);
        shared_state.ring();
        if is_over {
            self.shared_state = None;
        }
        Ok(())
    }

    /// Waits for news. Cancel-safe; waits forever while no application watches.
    pub async fn news(&self) -> Vec<News> {
        let Some(shared_state) = &self.shared_state else { return std::future::pending().await };
        loop {
            let news = std::mem::take(&mut shared_state.mailbox().news);
            if !news.is_empty() {
                return news;
            }
            shared_state.told.notified().await;
        }
    }
}

fn start() -> io::Result<Arc<WatchShared>> {
    let wake_fd = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?;
    let shared_state = Arc::new(WatchShared { mailbox: Mutex::default(), wake_fd, told: Notify::new() });
    let (theirs, shared) = (shared_state.clone(), shared_state.clone());
    let mut is_first = true;
    let is_over = move || shared.mailbox().is_over;
    threads::spawn("watch", Some(STACK), is_over, move || {
        if !std::mem::take(&mut is_first) {
            theirs.repeat_orders();
        }
        watch_thread::watch(&theirs);
    })?;
    Ok(shared_state)
}

impl WatchShared {
    fn mailbox(&self) -> MutexGuard<'_, Mailbox> {
        // Whole at every moment: nothing that could panic happens while it is held.
        self.mailbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next configuration, if there is a new one.
    fn take_orders(&self) -> Option<Vec<Arc<Watched>>> {
        let mut mailbox = self.mailbox();
        let orders = mailbox.orders.take()?;
        mailbox.current.clone_from(&orders);
        Some(orders)
    }

    /// Restores the last configuration, unless there is a new one.
    fn repeat_orders(&self) {
        let mut mailbox = self.mailbox();
        let current = mailbox.current.clone();
        mailbox.orders.get_or_insert(current);
    }

    fn ring(&self) {
        // Full only if it has been rung and not heard.
        let _ = self.wake_fd.write(1);
    }

    fn tell(&self, news: News) {
        let mut mailbox = self.mailbox();
        let is_known = |told: &News| match (told, &news) {
            (News::Changed { app: told, .. }, News::Changed { app, .. }) => told == app,
            _ => *told == news,
        };
        if !mailbox.news.iter().any(is_known) {
            mailbox.news.push(news);
        }
        drop(mailbox);
        self.told.notify_one();
    }
}

impl Watched {
    fn ignore(&self) -> Ignore {
        Ignore::new(&self.spec.ignore, &self.cwd, Some(self.script.clone()), self.own.clone())
    }

    /// A change as text.
    fn describe(&self, change: &Change) -> String {
        match change {
            Change::Path(path) => {
                let shown = path.strip_prefix(&self.cwd).ok().filter(|path| !path.as_os_str().is_empty());
                let text = shown.unwrap_or(path).to_string_lossy();
                printable(&text).into_owned()
            }
            Change::Removed => "a file was removed".to_owned(),
            Change::Many => "very many files".to_owned(),
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
