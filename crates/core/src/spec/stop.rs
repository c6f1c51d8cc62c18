//! How processes stop.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Signal;

/// How the processes of an application stop.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StopPolicy {
    /// The stop signal (`kill_signal`). `None`: the signal that procrun itself got; for a stop without a
    /// signal, SIGINT for Node as in PM2, and SIGTERM for other programs.
    pub kill_signal: Option<Signal>,
    /// The processes of a worker that get the stop signal (`stop_signal_scope`).
    #[serde(default)]
    pub signal_scope: StopSignalScope,
    /// Whether a Node application gets the message `shutdown` instead of the signal
    /// (`shutdown_with_message`).
    pub with_message: bool,
    /// The time in which a replaced worker of a cluster may finish its connections before it gets the stop signal
    /// (`drain`); `None`: it does not drain.
    pub drain: Option<Duration>,
    /// The grace period between stop signal and SIGKILL (`kill_timeout`).
    pub kill_timeout: Duration,
    /// Whether a stop ends the whole process tree (`treekill`).
    pub treekill: bool,
}

impl StopPolicy {
    /// The scope that applies: without `treekill`, descendants get no signal, unless the configuration sets a
    /// scope.
    pub fn effective_signal_scope(&self) -> StopSignalScope {
        match self.signal_scope {
            StopSignalScope::Auto if !self.treekill => StopSignalScope::Main,
            scope @ (StopSignalScope::Auto
            | StopSignalScope::Main
            | StopSignalScope::Group
            | StopSignalScope::Tree) => scope,
        }
    }
}

impl Default for StopPolicy {
    fn default() -> Self {
        Self {
            kill_signal: None,
            signal_scope: StopSignalScope::default(),
            with_message: false,
            drain: Some(Duration::from_secs(10)),
            kill_timeout: Duration::from_secs(8),
            treekill: true,
        }
    }
}

/// The processes of a worker that get the stop signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum StopSignalScope {
    /// The main process; if it is a shell or a package runner, also its foreground children.
    #[default]
    Auto,
    /// Only the main process.
    Main,
    /// The process group of the main process.
    Group,
    /// Every process of the tree.
    Tree,
}

impl StopSignalScope {
    /// The value of the key.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Main => "main",
            Self::Group => "group",
            Self::Tree => "tree",
        }
    }
}
