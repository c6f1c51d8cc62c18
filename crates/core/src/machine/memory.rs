//! Memory of workers: exceeded limits, the action that follows, and the backoff of restarts.

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

use super::{backoff, ids::Run, serde_form::millis, time::Time};
use crate::spec::ByteSize;

/// The initial delay of the backoff, from a start of an instance to its next start.
const INITIAL_DELAY: Duration = Duration::from_secs(1);

/// The memory for which procrun has ended a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MemoryExcess {
    /// The run exceeded its own limit.
    OverLimit {
        /// Memory of its process tree, in bytes.
        #[serde(rename = "used_bytes")]
        used: u64,
        /// The instance's limit, in bytes.
        #[serde(rename = "limit_bytes")]
        limit: u64,
    },
    /// The run was the largest when the memory of the container was short.
    ContainerShort {
        /// Memory of its process tree, in bytes.
        #[serde(rename = "size_bytes")]
        size: u64,
        /// Memory of the container that the kernel cannot reclaim, in bytes.
        #[serde(rename = "used_bytes")]
        used: u64,
        /// The limit of the container, in bytes.
        #[serde(rename = "limit_bytes")]
        limit: u64,
    },
}

impl fmt::Display for MemoryExcess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OverLimit { used, limit } => {
                write!(f, "memory limit: {} used, limit {}", ByteSize(*used), ByteSize(*limit))
            }
            Self::ContainerShort { size, used, limit } => write!(
                f,
                "memory of the container: {} used when the container used {} of {}",
                ByteSize(*size),
                ByteSize(*used),
                ByteSize(*limit)
            ),
        }
    }
}

/// What follows when a worker exceeds its memory limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MemoryAction {
    /// A reload replaces it while it serves.
    Replace,
    /// The instance restarts.
    Restart,
    /// The instance has restarted too often in a row: it serves on, and the restart is postponed.
    Postpone {
        /// How often it exceeded its limit in a row.
        times: u32,
        /// How long it serves on.
        #[serde(rename = "wait_ms", with = "millis")]
        wait: Duration,
    },
    /// The instance kept growing while its restart was postponed: it ends now and starts later.
    RestartLater {
        /// How often it exceeded its limit in a row.
        times: u32,
        /// The time from its end to its start.
        #[serde(rename = "wait_ms", with = "millis")]
        wait: Duration,
    },
}

/// The memory of the container when it is short. All in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryShortage {
    /// Memory that the kernel cannot reclaim.
    pub used: u64,
    /// The memory is short from here on.
    pub threshold: u64,
    /// The limit of the container.
    pub limit: u64,
}

/// The backoff of restarts for memory.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct MemoryBackoff {
    pub(super) in_a_row: u32,
    pub(super) last_restart: Time,
    /// The number of the run for which a postponed restart was reported; 0: none.
    pub(super) reported_run: u64,
}

impl MemoryBackoff {
    /// The minimum time from the last restart (or a later start) to the next restart; `elapsed` of it has passed.
    pub(super) fn min_interval(&mut self, elapsed: Duration) -> Duration {
        if elapsed >= backoff::STABLE {
            self.in_a_row = 0;
        }
        backoff::delay_after(self.in_a_row, INITIAL_DELAY)
    }

    pub(super) fn count(&mut self, now: Time) -> u32 {
        (self.in_a_row, self.last_restart) = (self.in_a_row.saturating_add(1), now);
        self.in_a_row
    }
}

/// The state of the OOM guard (`oom_guard`).
#[derive(Debug, Default)]
pub(super) struct OomGuard {
    pub(super) backoff: MemoryBackoff,
    /// The run that it is stopping.
    pub(super) stopping: Option<Run>,
    /// When it last reported that no restart would help.
    pub(super) reported_at: Option<Time>,
}
