//! How an application is ended.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Signal;

/// How an application is ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StopPolicy {
    /// The stop signal (`kill_signal`). `None`: the signal that procrun itself got; for a stop without a
    /// signal, SIGINT for Node as in PM2, and SIGTERM for other programs.
    pub kill_signal: Option<Signal>,
    /// Which processes of a worker get that signal (`stop_signal_scope`).
    #[serde(default)]
    pub signal_scope: StopSignalScope,
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

/// Which processes of a worker get the stop signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum StopSignalScope {
    /// The main process, and through shells and package runners what they run in the foreground.
    #[default]
    Auto,
    /// The main process alone.
    Main,
    /// The process group of the main process.
    Group,
    /// Every process of the tree.
    Tree,
}

impl StopSignalScope {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Main => "main",
            Self::Group => "group",
            Self::Tree => "tree",
        }
    }
}
