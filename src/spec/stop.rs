//! How an application is ended.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Signal;

/// How an application is ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StopPolicy {
    /// The signal that asks it to end (`kill_signal`). `None`: the one procrun itself got, or for
    /// a stop that no signal caused, SIGINT for Node as PM2 does and SIGTERM for all others.
    pub kill_signal: Option<Signal>,
    /// Ask a Node application by the message `shutdown` instead of the signal
    /// (`shutdown_with_message`).
    pub with_message: bool,
    /// How long a cluster's worker that others replace may finish its connections before it is
    /// asked to end (`drain`); `None` is not at all.
    pub drain: Option<Duration>,
    /// How long it may take until SIGKILL (`kill_timeout`).
    pub kill_timeout: Duration,
    /// Whether what is left of its process tree is ended too (`treekill`).
    pub treekill: bool,
}

impl Default for StopPolicy {
    fn default() -> Self {
        Self {
            kill_signal: None,
            with_message: false,
            drain: Some(Duration::from_secs(10)),
            kill_timeout: Duration::from_secs(8),
            treekill: true,
        }
    }
}
