//! The thread: waits for the kernel, for orders and for the end of bursts.

#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    os::fd::AsFd,
    sync::Arc,
    time::{Duration, Instant},
};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::{
    Change, News, WatchShared, Watched,
    debouncer::Debouncer,
    kernel::{InotifyUnavailable, Kernel},
    polling::PollingScan,
    roots::Roots,
    tree::Tree,
};
use crate::{
    spec::Polling,
    sys::{
        inotify::{Flags, Noticed},
        process::trim_memory,
    },
};

/// Reads of the kernel's queue before the bursts are checked again.
const READS: u32 = 64;

/// One application.
struct App {
    watched: Arc<Watched>,
    sight: Backend,
    burst: Debouncer,
}

/// How its changes are seen.
enum Backend {
    /// The kernel reports changes.
    Told(Box<Tree>),
    /// By looking.
    PollingScan(PollingScan),
}

impl Backend {
    /// The amount of watched directories or files, as text.
    fn describe(&self) -> String {
        match self {
            Self::Told(tree) => format!("{} directories", tree.directories()),
            Self::PollingScan(looking) => format!("{} files, by looking", looking.files()),
        }
    }
}

struct WatchThread<'a> {
    shared_state: &'a WatchShared,
    /// Opened when an application needs it.
    kernel: Option<Kernel>,
    apps: BTreeMap<u32, App>,
    next: u32,
}

/// Watches until there is nothing more to watch.
pub(super) fn watch(shared_state: &WatchShared) {
    let mut eye = WatchThread { shared_state, kernel: None, apps: BTreeMap::new(), next: 0 };
    loop {
        let orders = shared_state.take_orders();
        match orders {
            Some(orders) if orders.is_empty() => return,
            Some(orders) => {
                eye.apply_config(orders);
                // The first scan is over; its memory is returned.
                trim_memory();
            }
            None => {}
        }
        eye.listen();
        eye.look();
        eye.tell();
        eye.wait();
    }
}

impl WatchThread<'_> {
    /// Watches other applications, or others things of them.
    fn apply_config(&mut self, orders: Vec<Arc<Watched>>) {
        let is_gone = |app: &App| !orders.contains(&app.watched);
        let gone: Vec<u32> =
            self.apps.iter().filter(|(_, app)| is_gone(app)).map(|(number, _)| *number).collect();
        for number in gone {
            self.apps.remove(&number);
            if let Some(kernel) = &mut self.kernel {
                kernel.forget_app(number);
            }
        }
        for watched in orders {
            if self.apps.values().all(|app| app.watched != watched) {
                self.next += 1;
                let start = now();
                self.miss(&watched);
                let sight = self.sight(self.next, &watched);
                let (app, what, took) = (watched.name.clone(), sight.describe(), now() - start);
                self.shared_state.tell(News::Watching { app, what, took });
                self.apps.insert(self.next, App { watched, sight, burst: Debouncer::default() });
            }
        }
    }

    /// Reports paths that do not exist: a typing error would otherwise never be noticed.
    fn miss(&self, watched: &Watched) {
        for path in Roots::of(&watched.spec).starts() {
            if let Err(error) = path.metadata() {
                let shown = watched.describe(&Change::Path(path.to_owned()));
                let (app, why) = (watched.name.clone(), error.to_string());
                self.shared_state.tell(News::Missing { app, path: shown, why });
            }
        }
    }

    /// Begins to watch an application, the better way if that is possible.
    fn sight(&mut self, number: u32, watched: &Arc<Watched>) -> Backend {
        if watched.spec.polling == Polling::Always {
            return Backend::PollingScan(PollingScan::new(watched.clone()));
        }
        match self.tree(number, watched) {
            Ok(tree) => Backend::Told(Box::new(tree)),
            Err(deaf) => self.go_looking(number, watched, &deaf),
        }
    }

    fn tree(&mut self, number: u32, watched: &Arc<Watched>) -> Result<Tree, InotifyUnavailable> {
        if self.kernel.is_none() {
            self.kernel = Some(Kernel::new().map_err(InotifyUnavailable::NoRoom)?);
        }
        let kernel = self.kernel.as_mut().expect("just opened");
        Tree::new(number, watched.clone(), kernel)
    }

    /// The kernel cannot report changes for this application: gives its watches back, logs it, and polls.
    fn go_looking(&mut self, number: u32, watched: &Arc<Watched>, deaf: &InotifyUnavailable) -> Backend {
        if let Some(kernel) = &mut self.kernel {
            kernel.forget_app(number);
        }
        let why = match deaf {
            InotifyUnavailable::NoRoom(error) => format!(
                "inotify has no room for its directories ({error}); raise the sysctl fs.inotify.max_user_watches or max_user_instances, or ignore more with `ignore_watch`"
            ),
            InotifyUnavailable::Elsewhere(path) => format!(
                "{} is on a file system that others can change unseen",
                watched.describe(&Change::Path(path.clone()))
            ),
        };
        let interval = watched.spec.interval;
        self.shared_state.tell(News::Polling { app: watched.name.clone(), why, interval });
        Backend::PollingScan(PollingScan::new(watched.clone()))
    }

    /// Handles the events of the kernel.
    fn listen(&mut self) {
        for _ in 0..READS {
            let Some(kernel) = &mut self.kernel else { return };
            let noticed = kernel.inotify.read().unwrap_or_default();
            if noticed.is_empty() {
                return;
            }
            for one in noticed {
                self.noticed(&one);
            }
            self.settle();
        }
    }

    fn noticed(&mut self, noticed: &Noticed) {
        let Some(kernel) = &mut self.kernel else { return };
        if noticed.what.contains(Flags::IN_Q_OVERFLOW) {
            let now = now();
            for app in self.apps.values_mut() {
                if let Backend::Told(tree) = &mut app.sight {
                    tree.stale = true;
                    app.burst.add(now, Change::Many);
                }
            }
            return;
        }
        let interested: Vec<_> = kernel.of(noticed.watch).collect();
        let mut inotify_failed = Vec::new();
        for (number, interest) in interested {
            let Some(App { sight: Backend::Told(tree), burst, .. }) = self.apps.get_mut(&number) else {
                continue;
            };
            let mut changes = Vec::new();
            if let Err(deaf) = tree.noticed(kernel, interest, noticed, &mut changes) {
                inotify_failed.push((number, deaf));
            }
            add(burst, changes);
        }
        if noticed.what.contains(Flags::IN_IGNORED) {
            kernel.ended(noticed.watch);
        }
        self.inotify_failed(inotify_failed);
    }

    /// Traces the paths again on whose way something has changed, and scans trees that are out of date.
    fn settle(&mut self) {
        let Some(kernel) = &mut self.kernel else { return };
        let mut inotify_failed = Vec::new();
        for (number, app) in &mut self.apps {
            let Backend::Told(tree) = &mut app.sight else { continue };
            let mut changes = Vec::new();
            let mut result = tree.settle(kernel, Some(&mut changes));
            add(&mut app.burst, changes);
            if result.is_ok() && tree.stale {
                kernel.forget_app(*number);
                result = Tree::new(*number, app.watched.clone(), kernel).map(|new| **tree = new);
            }
            if let Err(deaf) = result {
                inotify_failed.push((*number, deaf));
            }
        }
        self.inotify_failed(inotify_failed);
    }

    fn inotify_failed(&mut self, inotify_failed: Vec<(u32, InotifyUnavailable)>) {
        for (number, deaf) in inotify_failed {
            let Some(watched) = self.apps.get(&number).map(|app| app.watched.clone()) else { continue };
            let sight = self.go_looking(number, &watched, &deaf);
            if let Some(app) = self.apps.get_mut(&number) {
                app.sight = sight;
                // What has happened in between is unknown.
                app.burst.add(now(), Change::Many);
            }
        }
    }

    /// Polls the files of the applications whose time has come.
    fn look(&mut self) {
        for app in self.apps.values_mut() {
            if let Backend::PollingScan(looking) = &mut app.sight {
                add(&mut app.burst, looking.again());
            }
        }
    }

    /// Reports the bursts that are over.
    fn tell(&mut self) {
        for app in self.apps.values_mut() {
            let watched = &app.watched;
            let Some(changes) = app.burst.take(now(), watched.spec.delay) else { continue };
            // Editors create files for a moment; a file that still exists is a better example.
            let is_there =
                |change: &&Change| matches!(change, Change::Path(path) if path.symlink_metadata().is_ok());
            let Some(change) = changes.iter().find(is_there).or(changes.first()) else { continue };
            self.shared_state
                .tell(News::Changed { app: watched.name.clone(), path: watched.describe(change) });
        }
    }

    /// Waits until there is something to do.
    fn wait(&self) {
        let due = self.apps.values().filter_map(|app| {
            let looking = match &app.sight {
                Backend::Told(_) => None,
                Backend::PollingScan(looking) => Some(looking.next),
            };
            looking.into_iter().chain(app.burst.due(app.watched.spec.delay)).min()
        });
        let timeout =
            due.min().map_or(PollTimeout::NONE, |due| milliseconds(due.saturating_duration_since(now())));
        let mut waiting = vec![PollFd::new(self.shared_state.wake_fd.as_fd(), PollFlags::POLLIN)];
        if let Some(kernel) = &self.kernel {
            waiting.push(PollFd::new(kernel.inotify.as_fd(), PollFlags::POLLIN));
        }
        // An interrupted wait causes one more check.
        let _ = poll(&mut waiting, timeout);
        let _ = self.shared_state.wake_fd.read();
    }
}

fn add(burst: &mut Debouncer, changes: Vec<Change>) {
    if !changes.is_empty() {
        let now = now();
        for change in changes {
            burst.add(now, change);
        }
    }
}

/// Rounded up: a wait that ends too early would be one more turn.
fn milliseconds(wait: Duration) -> PollTimeout {
    let milliseconds = wait.as_nanos().div_ceil(1_000_000);
    PollTimeout::from(u16::try_from(milliseconds).unwrap_or(u16::MAX))
}

#[expect(clippy::disallowed_methods, reason = "the watcher's own thread has its own clock")]
fn now() -> Instant {
    Instant::now()
}
