//! One inotify instance for all applications, and which application uses which watch.
//!
//! A directory that two applications watch, or one application for two reasons, is one watch of the kernel. The
//! watch ends with its last user.

use std::{collections::BTreeSet, io, path::Path};

use nix::libc;

use crate::sys::inotify::{Flags, Inotify, WatchId};

/// The reason why an application uses the watch of a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Interest {
    /// The directory with this number in the application's tree.
    Node(u32),
    /// A directory on the path with this number.
    Path(u32),
}

/// Why inotify cannot report the changes of a tree.
#[derive(Debug)]
pub(super) enum InotifyUnavailable {
    /// The limit of watches or instances is reached.
    LimitReached(io::Error),
    /// Other machines change the files of this file system, without events of this kernel.
    Remote(std::path::PathBuf),
}

/// The inotify instance, and the users of each watch.
#[derive(Debug)]
pub(super) struct SharedInotify {
    pub(super) queue: Inotify,
    users: BTreeSet<(WatchId, u32, Interest)>,
}

impl SharedInotify {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self { queue: Inotify::new()?, users: BTreeSet::new() })
    }

    /// Adds a directory. `None`: it does not exist, or cannot be read.
    pub(super) fn add(&self, directory: &Path, what: Flags) -> Result<Option<WatchId>, InotifyUnavailable> {
        match self.queue.add(directory, what) {
            Ok(watch) => Ok(Some(watch)),
            Err(error) if matches!(error.raw_os_error(), Some(libc::ENOSPC | libc::ENOMEM)) => {
                Err(InotifyUnavailable::LimitReached(error))
            }
            Err(_) => Ok(None),
        }
    }

    /// Adds a user of a watch. False: it was one already.
    pub(super) fn add_user(&mut self, watch: WatchId, app: u32, interest: Interest) -> bool {
        self.users.insert((watch, app, interest))
    }

    /// Whether the directory is in the application's tree already.
    pub(super) fn is_node(&self, watch: WatchId, app: u32) -> bool {
        let all = (watch, app, Interest::Node(0))..=(watch, app, Interest::Node(u32::MAX));
        self.users.range(all).next().is_some()
    }

    /// Removes a user of a watch; the watch ends with the last one.
    pub(super) fn remove_user(&mut self, watch: WatchId, app: u32, interest: Interest) {
        if self.users.remove(&(watch, app, interest)) && self.users(watch).next().is_none() {
            self.queue.remove(watch);
        }
    }

    /// Removes an application from the users of all watches.
    pub(super) fn remove_app(&mut self, app: u32) {
        let uses_of_app: Vec<_> = self.users.iter().filter(|(_, user, _)| *user == app).copied().collect();
        for (watch, app, interest) in uses_of_app {
            self.remove_user(watch, app, interest);
        }
    }

    /// Removes all users of a watch that the kernel has ended, because its directory was removed.
    pub(super) fn watch_ended(&mut self, watch: WatchId) {
        let all: Vec<_> = self.users(watch).collect();
        for (app, interest) in all {
            self.users.remove(&(watch, app, interest));
        }
    }

    /// The users of a directory's watch.
    pub(super) fn users(&self, watch: WatchId) -> impl Iterator<Item = (u32, Interest)> + '_ {
        self.users
            .range((watch, 0, Interest::Node(0))..=(watch, u32::MAX, Interest::Path(u32::MAX)))
            .map(|(_, app, interest)| (*app, *interest))
    }
}
