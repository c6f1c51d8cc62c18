//! The files whose changes restart an application.

use std::{path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};

/// The watched files of one application (`watch`, `ignore_watch`, `watch_delay`, `watch_options`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WatchSpec {
    /// Files and directories, absolute; `*`, `?`, `[...]`, `{a,b}` and `**` where no file has that
    /// name. Not empty.
    pub paths: Vec<PathBuf>,
    /// Files that are ignored: patterns as in .gitignore, relative to the application's `cwd`.
    pub ignore: Vec<String>,
    /// The application reloads or restarts when no file has changed for this time (`watch_delay`).
    pub delay: Duration,
    /// Whether to follow symbolic links (`followSymlinks`).
    pub follow_links: bool,
    /// The number of directory levels below `paths` (`depth`); 0: their own entries only.
    pub depth: Option<u32>,
    /// Whether to poll the files (`usePolling`).
    pub polling: Polling,
    /// The interval of polling (`interval`), at least 10 ms.
    pub interval: Duration,
}

/// Whether to poll the files instead of waiting for events of the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Polling {
    /// If the kernel sends no events, or has no inotify watches left.
    #[default]
    IfNeeded,
    /// Always.
    Always,
    /// Only if the kernel has no inotify watches left.
    Avoided,
}

impl WatchSpec {
    /// The default delay.
    pub const DELAY: Duration = Duration::from_millis(100);
    /// The default interval of polling.
    pub const INTERVAL: Duration = Duration::from_secs(1);
}

impl Default for WatchSpec {
    fn default() -> Self {
        Self {
            paths: Vec::new(),
            ignore: Vec::new(),
            delay: Self::DELAY,
            follow_links: true,
            depth: None,
            polling: Polling::IfNeeded,
            interval: Self::INTERVAL,
        }
    }
}
