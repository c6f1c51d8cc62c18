//! Memory of workers: what was exceeded, what is done about it, and how often in a row.

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

use super::{backoff, ids::Run, serde_form::millis, time::Time};
use crate::spec::ByteSize;

/// The initial delay of the backoff, from one start of the instance to the next.
const INITIAL_DELAY: Duration = Duration::from_secs(1);

/// Too much memory, for which procrun has ended a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MemoryExcess {
    /// It had more memory than it may have. All in bytes.
    OverLimit {
        /// What its processes had.
        #[serde(rename = "used_bytes")]
        used: u64,
        /// What they may have.
        #[serde(rename = "limit_bytes")]
        limit: u64,
    },
    /// It was the largest when the container's memory was short. All in bytes.
    ContainerShort {
        /// What its processes had.
        #[serde(rename = "size_bytes")]
        size: u64,
        /// What the container had that cannot be had back.
        #[serde(rename = "used_bytes")]
        used: u64,
        /// What the container may have.
        #[serde(rename = "limit_bytes")]
        limit: u64,
    },
}

impl fmt::Display for MemoryExcess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OverLimit { used, limit } => {
                write!(f, "memory: it had {}, its limit is {}", ByteSize(*used), ByteSize(*limit))
            }
            Self::ContainerShort { size, used, limit } => write!(
                f,
                "memory: it had {} when the container had {} of {}",
                ByteSize(*size),
                ByteSize(*used),
                ByteSize(*limit)
            ),
        }
    }
}

/// What is done about a worker that has more memory than it may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MemoryAction {
    /// A successor takes its place while it serves.
    Replace,
    /// It ends, and starts when it is gone.
    Restart,
    /// It was so often in a row that it is left alone for a while.
    Postpone {
        /// How often.
        times: u32,
        /// For how long.
        #[serde(rename = "wait_ms", with = "millis")]
        wait: Duration,
    },
    /// It was left alone and went on growing: it ends, and does not start at once.
    RestartLater {
        /// How often in a row.
        times: u32,
        /// How long after its end it starts.
        #[serde(rename = "wait_ms", with = "millis")]
        wait: Duration,
    },
}

/// The container's memory when it is short. All in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryShortage {
    /// What cannot be had back.
    pub used: u64,
    /// From here on it is short.
    pub threshold: u64,
    /// What it may have.
    pub limit: u64,
}

/// How often something was done about memory in a row.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct MemoryBackoff {
    pub(super) in_a_row: u32,
    pub(super) last_restart: Time,
    /// The run that was told that it is left alone; 0 is none.
    pub(super) reported_run: u64,
}

impl MemoryBackoff {
    /// The least time between the last restart, or a start, and the next restart; `elapsed` of it has passed.
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

/// What is done when the container's memory is short.
#[derive(Debug, Default)]
pub(super) struct OomGuard {
    pub(super) backoff: MemoryBackoff,
    /// Who is on its way out.
    pub(super) stopping: Option<Run>,
    /// The time of the last report that no restart would help.
    pub(super) reported_at: Option<Time>,
}
