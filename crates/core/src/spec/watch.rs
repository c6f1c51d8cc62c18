//! Which files an application is restarted for.

use std::{path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};

/// What is watched for one application (`watch`, `ignore_watch`, `watch_delay`, `watch_options`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WatchSpec {
    /// Files and directories, absolute; `*`, `?`, `[...]`, `{a,b}` and `**` where no file has that
    /// name. Not empty.
    pub paths: Vec<PathBuf>,
    /// What does not count, in the language of .gitignore; relative to the application's `cwd`.
    pub ignore: Vec<String>,
    /// The application reloads or restarts when no file has changed for this time (`watch_delay`).
    pub delay: Duration,
    /// Watch what symbolic links lead to (`followSymlinks`).
    pub follow_links: bool,
    /// How many directories deep below `paths` (`depth`); 0 is their own entries only.
    pub depth: Option<u32>,
    /// Whether to poll the files (`usePolling`).
    pub polling: Polling,
    /// The interval of polling (`interval`), at least 10 ms.
    pub interval: Duration,
}

/// Whether to poll the files instead of waiting for events of the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Polling {
    /// Where the kernel does not tell, or has no room left.
    #[default]
    IfNeeded,
    /// In any case.
    Always,
    /// Only if the kernel has no room left.
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
