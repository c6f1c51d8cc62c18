//! How an application is replaced while it serves.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How an application is replaced while it serves, and when a new process of it counts as ready.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReloadPolicy {
    /// A process is ready when it has sent the message `ready` (`wait_ready`).
    pub wait_ready: bool,
    /// How long a new process may take to be ready (`listen_timeout`; PM2 takes it for ready then,
    /// after 3 s).
    pub listen_timeout: Duration,
    /// How many processes are replaced at a time (`max_parallel`), at least 1.
    pub max_parallel: u32,
}

impl Default for ReloadPolicy {
    fn default() -> Self {
        Self { wait_ready: false, listen_timeout: Duration::from_secs(60), max_parallel: 1 }
    }
}
