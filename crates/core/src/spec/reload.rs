//! How a reload replaces workers, and when they are ready.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How a reload replaces workers, and when a worker is ready.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReloadPolicy {
    /// A worker is ready when it has sent the message `ready` (`wait_ready`).
    pub wait_ready: bool,
    /// The time in which a new worker must become ready (`listen_timeout`). In PM2 it is ready after this time,
    /// by default 3 s.
    pub listen_timeout: Duration,
    /// The number of workers that are replaced at the same time (`max_parallel`), at least 1.
    pub max_parallel: u32,
}

impl Default for ReloadPolicy {
    fn default() -> Self {
        Self { wait_ready: false, listen_timeout: Duration::from_secs(60), max_parallel: 1 }
    }
}
