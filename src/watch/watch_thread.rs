//! The watch thread: waits for events of the kernel, a new configuration and the end of bursts.

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
    change::Change,
    debouncer::Debouncer,
    event::WatchEvent,
    polling::PollingScan,
    roots::Roots,
    shared::WatchShared,
    shared_inotify::{InotifyUnavailable, SharedInotify},
    tree::Tree,
    watched::Watched,
};
use crate::{
    spec::Polling,
    sys::{
        inotify::{Flags, InotifyEvent},
        process::trim_memory,
    },
};

/// Maximum number of reads of the kernel's queue before bursts are checked again.
const MAX_READS: u32 = 64;

/// The watch state of one application.
struct App {
    watched: Arc<Watched>,
    backend: Backend,
    burst: Debouncer,
}

/// How changes are detected.
enum Backend {
    /// inotify reports changes.
    Inotify(Box<Tree>),
    /// The files are polled.
    Polling(PollingScan),
}

impl Backend {
    /// The number of watched directories or polled files, for messages.
    fn describe(&self) -> String {
        match self {
            Self::Inotify(tree) => format!("{} directories", tree.directories()),
            Self::Polling(scan) => format!("{} files, by polling", scan.files()),
        }
    }
}

struct WatchThread<'a> {
    shared_state: &'a WatchShared,
    /// Opened when an application needs it.
    inotify: Option<SharedInotify>,
    apps: BTreeMap<u32, App>,
    next: u32,
}

/// Watches until no application watches any more.
pub(super) fn watch(shared_state: &WatchShared) {
    let mut thread = WatchThread { shared_state, inotify: None, apps: BTreeMap::new(), next: 0 };
    loop {
        let config = shared_state.take_new_config();
        match config {
            Some(config) if config.is_empty() => return,
            Some(config) => {
                thread.apply_config(config);
                // The first scan is over; its memory is returned to the kernel.
                trim_memory();
            }
            None => {}
        }
        thread.read_events();
        thread.poll_files();
        thread.report_bursts();
        thread.wait();
    }
}

impl WatchThread<'_> {
    /// Applies a new configuration: other applications, or other settings of them.
    fn apply_config(&mut self, config: Vec<Arc<Watched>>) {
        let is_removed = |app: &App| !config.contains(&app.watched);
        let removed: Vec<u32> =
            self.apps.iter().filter(|(_, app)| is_removed(app)).map(|(number, _)| *number).collect();
        for number in removed {
            self.apps.remove(&number);
            if let Some(inotify) = &mut self.inotify {
                inotify.remove_app(number);
            }
        }
        for watched in config {
            if self.apps.values().all(|app| app.watched != watched) {
                self.next += 1;
                let start = now();
                self.report_missing(&watched);
                let backend = self.start_watching(self.next, &watched);
                let (app, what, took) = (watched.name.clone(), backend.describe(), now() - start);
                self.shared_state.report(WatchEvent::Watching { app, what, took });
                self.apps.insert(self.next, App { watched, backend, burst: Debouncer::default() });
            }
        }
    }

    /// Reports paths that do not exist, because a typing error has no other effect.
    fn report_missing(&self, watched: &Watched) {
        for path in Roots::of(&watched.spec).starts() {
            if let Err(error) = path.metadata() {
                let shown = watched.describe(&Change::Path(path.to_owned()));
                let (app, why) = (watched.name.clone(), error.to_string());
                self.shared_state.report(WatchEvent::Missing { app, path: shown, why });
            }
        }
    }

    /// Begins to watch an application, by inotify if possible.
    fn start_watching(&mut self, number: u32, watched: &Arc<Watched>) -> Backend {
        if watched.spec.polling == Polling::Always {
            return Backend::Polling(PollingScan::new(watched.clone()));
        }
        match self.tree(number, watched) {
            Ok(tree) => Backend::Inotify(Box::new(tree)),
            Err(unavailable) => self.start_polling(number, watched, &unavailable),
        }
    }

    fn tree(&mut self, number: u32, watched: &Arc<Watched>) -> Result<Tree, InotifyUnavailable> {
        if self.inotify.is_none() {
            self.inotify = Some(SharedInotify::new().map_err(InotifyUnavailable::LimitReached)?);
        }
        let inotify = self.inotify.as_mut().expect("just opened");
        Tree::new(number, watched.clone(), inotify)
    }

    /// Polls an application for which inotify cannot report changes: ends its watches and reports the reason.
    fn start_polling(
        &mut self,
        number: u32,
        watched: &Arc<Watched>,
        unavailable: &InotifyUnavailable,
    ) -> Backend {
        if let Some(inotify) = &mut self.inotify {
            inotify.remove_app(number);
        }
        let why = match unavailable {
            InotifyUnavailable::LimitReached(error) => format!(
                "inotify has no capacity for its directories ({error}); raise the sysctl fs.inotify.max_user_watches or max_user_instances, or ignore more with `ignore_watch`"
            ),
            InotifyUnavailable::Remote(path) => format!(
                "{} is on a file system without events for changes by other machines",
                watched.describe(&Change::Path(path.clone()))
            ),
        };
        let interval = watched.spec.interval;
        self.shared_state.report(WatchEvent::Polling { app: watched.name.clone(), why, interval });
        Backend::Polling(PollingScan::new(watched.clone()))
    }

    /// Reads and handles the events of the kernel.
    fn read_events(&mut self) {
        for _ in 0..MAX_READS {
            let Some(inotify) = &mut self.inotify else { return };
            let events = inotify.queue.read().unwrap_or_default();
            if events.is_empty() {
                return;
            }
            for event in events {
                self.handle_event(&event);
            }
            self.update_trees();
        }
    }

    fn handle_event(&mut self, event: &InotifyEvent) {
        let Some(inotify) = &mut self.inotify else { return };
        if event.mask.contains(Flags::IN_Q_OVERFLOW) {
            let now = now();
            for app in self.apps.values_mut() {
                if let Backend::Inotify(tree) = &mut app.backend {
                    tree.stale = true;
                    app.burst.add(now, Change::Overflow);
                }
            }
            return;
        }
        let interested: Vec<_> = inotify.users(event.watch).collect();
        let mut inotify_failed = Vec::new();
        for (number, interest) in interested {
            let Some(App { backend: Backend::Inotify(tree), burst, .. }) = self.apps.get_mut(&number) else {
                continue;
            };
            let mut changes = Vec::new();
            if let Err(unavailable) = tree.handle_event(inotify, interest, event, &mut changes) {
                inotify_failed.push((number, unavailable));
            }
            add(burst, changes);
        }
        if event.mask.contains(Flags::IN_IGNORED) {
            inotify.watch_ended(event.watch);
        }
        self.replace_inotify(inotify_failed);
    }

    /// Traces the changed paths again, and scans trees that are out of date.
    fn update_trees(&mut self) {
        let Some(inotify) = &mut self.inotify else { return };
        let mut inotify_failed = Vec::new();
        for (number, app) in &mut self.apps {
            let Backend::Inotify(tree) = &mut app.backend else { continue };
            let mut changes = Vec::new();
            let mut result = tree.trace_dirty(inotify, Some(&mut changes));
            add(&mut app.burst, changes);
            if result.is_ok() && tree.stale {
                inotify.remove_app(*number);
                result = Tree::new(*number, app.watched.clone(), inotify).map(|new| **tree = new);
            }
            if let Err(unavailable) = result {
                inotify_failed.push((*number, unavailable));
            }
        }
        self.replace_inotify(inotify_failed);
    }

    fn replace_inotify(&mut self, inotify_failed: Vec<(u32, InotifyUnavailable)>) {
        for (number, unavailable) in inotify_failed {
            let Some(watched) = self.apps.get(&number).map(|app| app.watched.clone()) else { continue };
            let backend = self.start_polling(number, &watched, &unavailable);
            if let Some(app) = self.apps.get_mut(&number) {
                app.backend = backend;
                // Changes in the meantime are unknown.
                app.burst.add(now(), Change::Overflow);
            }
        }
    }

    /// Polls the files of the applications that are due.
    fn poll_files(&mut self) {
        for app in self.apps.values_mut() {
            if let Backend::Polling(scan) = &mut app.backend {
                add(&mut app.burst, scan.scan_if_due());
            }
        }
    }

    /// Reports the bursts that have ended.
    fn report_bursts(&mut self) {
        for app in self.apps.values_mut() {
            let watched = &app.watched;
            let Some(changes) = app.burst.take(now(), watched.spec.delay) else { continue };
            // Editors create temporary files; a file that still exists is a better example.
            let exists =
                |change: &&Change| matches!(change, Change::Path(path) if path.symlink_metadata().is_ok());
            let Some(change) = changes.iter().find(exists).or(changes.first()) else { continue };
            self.shared_state
                .report(WatchEvent::Changed { app: watched.name.clone(), path: watched.describe(change) });
        }
    }

    /// Waits for an event, a new configuration, the end of a burst, or the next scan.
    fn wait(&self) {
        let due = self.apps.values().filter_map(|app| {
            let scan = match &app.backend {
                Backend::Inotify(_) => None,
                Backend::Polling(scan) => Some(scan.next),
            };
            scan.into_iter().chain(app.burst.due(app.watched.spec.delay)).min()
        });
        let timeout =
            due.min().map_or(PollTimeout::NONE, |due| milliseconds(due.saturating_duration_since(now())));
        let mut waiting = vec![PollFd::new(self.shared_state.wake_fd.as_fd(), PollFlags::POLLIN)];
        if let Some(inotify) = &self.inotify {
            waiting.push(PollFd::new(inotify.queue.as_fd(), PollFlags::POLLIN));
        }
        // An interrupted wait only causes one more loop iteration.
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

/// Rounded up: a wait that ends too early would cause one more loop iteration.
fn milliseconds(wait: Duration) -> PollTimeout {
    let milliseconds = wait.as_nanos().div_ceil(1_000_000);
    PollTimeout::from(u16::try_from(milliseconds).unwrap_or(u16::MAX))
}

#[expect(clippy::disallowed_methods, reason = "the watcher's own thread has its own clock")]
fn now() -> Instant {
    Instant::now()
}
