//! The restart policy.

use std::{collections::BTreeSet, time::Duration};

use serde::{Deserialize, Serialize};

use super::ExitCode;

/// When an instance restarts after the exit of its process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestartPolicy {
    /// Whether it restarts at all (`autorestart`).
    pub autorestart: bool,
    /// The exit codes after which it does not restart (`stop_exit_codes`).
    pub stop_exit_codes: BTreeSet<ExitCode>,
    /// The delay before a restart.
    pub backoff: Backoff,
    /// A shorter run is unstable (`min_uptime`).
    pub min_uptime: Duration,
    /// The number of unstable runs in a row after which it is `errored` (`max_restarts`), at least 1.
    pub max_restarts: u32,
    /// What happens to the other applications when this one is `errored`.
    pub on_errored: OnErrored,
    /// When the application has exited for good with code 0, the others stop in order and procrun exits
    /// (`ends_container`).
    #[serde(default)]
    pub ends_on_success: bool,
}

/// The delay before a restart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Backoff {
    /// The same delay each time (`restart_delay`).
    Fixed(Duration),
    /// Delays that grow by half each time, up to 15 s. An uptime of 30 s resets them.
    Exponential {
        /// The initial delay (`exp_backoff_restart_delay`), more than 0.
        initial: Duration,
        /// Whether the first restart has no delay, and the second one the initial delay.
        first_at_once: bool,
    },
}

impl Backoff {
    /// procrun's default: one restart at once, then from 100 ms.
    pub const DEFAULT: Self = Self::Exponential { initial: Duration::from_millis(100), first_at_once: true };
}

/// What happens to the other applications when one has failed for good (`on_errored`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum OnErrored {
    /// The other applications keep running.
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
