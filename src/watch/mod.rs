//! Reports that files of an application have changed, once for a burst.
//!
//! It is a separate thread, which exists only while an application watches: a file system may not answer for a
//! while, or ever (a hung NFS server), and PID 1 must not wait for it. In the thread, inotify reports changes of
//! directories (`tree`), or the files are polled (`polling`) where inotify cannot report changes or has reached
//! its limit. It makes no decision about processes: the machine does.
//!
//! Pure parts: `glob` and `ignore` (which files do not count), `debouncer` (a burst → one change).

mod change;
mod debouncer;
mod event;
mod glob;
mod ignore;
mod known_files;
mod listing;
mod own_files;
mod polling;
mod roots;
mod shared;
mod shared_inotify;
mod slab;
mod trace;
mod tree;
mod watch_thread;
mod watched;

use std::{
    io,
    sync::{Arc, Mutex},
};

use nix::sys::eventfd::{EfdFlags, EventFd};
use tokio::sync::Notify;

pub use self::event::WatchEvent;
use self::{shared::WatchShared, watched::all_watched};
use crate::{spec::Plan, sys::threads};

/// Stack of the thread: a walk does not recurse.
const STACK: usize = 256 * 1024;

/// Watches the files of a plan's applications. It costs nothing while no application watches.
#[derive(Debug, Default)]
pub struct Watcher {
    shared_state: Option<Arc<WatchShared>>,
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
