//! What the watch thread reports.

use std::time::Duration;

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
