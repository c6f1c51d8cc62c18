//! When an application runs again.

use std::{collections::BTreeSet, time::Duration};

use serde::{Deserialize, Serialize};

use super::ExitCode;

/// When an application runs again after its process has ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestartPolicy {
    /// Run again at all (`autorestart`).
    pub autorestart: bool,
    /// Exits with these codes are final (`stop_exit_codes`).
    pub stop_exit_codes: BTreeSet<ExitCode>,
    /// How long to wait before running again.
    pub backoff: Backoff,
    /// A run that ends before this is unstable (`min_uptime`).
    pub min_uptime: Duration,
    /// The number of unstable runs in a row after which the application is `errored` (`max_restarts`), at least
    /// 1.
    pub max_restarts: u32,
    /// What an `errored` application means for the others.
    pub on_errored: OnErrored,
    /// The application is what the container runs for: when it has ended with code 0, the others stop in
    /// order and procrun exits (`ends_container`).
    #[serde(default)]
    pub ends_on_success: bool,
}

/// How long to wait before running again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Backoff {
    /// The same wait each time (`restart_delay`).
    Fixed(Duration),
    /// Waits that grow by half each time, up to 15 s; 30 s up set them back to the beginning.
    Exponential {
        /// The first wait (`exp_backoff_restart_delay`), more than 0.
        initial: Duration,
        /// The very first retry comes at once; the wait begins with the second.
        first_at_once: bool,
    },
}

impl Backoff {
    /// procrun's default: one retry at once, then from 100 ms.
    pub const DEFAULT: Self = Self::Exponential { initial: Duration::from_millis(100), first_at_once: true };
}

/// What the failure of an application means for the others, once it has ended for good (`on_errored`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum OnErrored {
    /// The others go on.
    Continue,
    /// Everything stops in order and procrun exits with this application's code.
    Exit,
}

impl Default for RestartPolicy {
    fn default() -> Self {
        Self {
            autorestart: true,
            stop_exit_codes: BTreeSet::new(),
            backoff: Backoff::DEFAULT,
            min_uptime: Duration::from_secs(1),
            max_restarts: 16,
            on_errored: OnErrored::Continue,
            ends_on_success: false,
        }
    }
}
