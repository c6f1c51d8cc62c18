//! Why a run ended, if more is known than its exit status: procrun's own reason, or what the run reported.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Ending, Excess, HealthFailure, ListenFailure, Uncaught};

/// Why a run ended, beyond its exit status and the request of a client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// It had too much memory.
    Memory(Excess),
    /// It was not well.
    #[serde(rename = "unhealthy")]
    Sick(HealthFailure),
    /// A client requested it.
    Command(Command),
    /// Watched files have changed; one of them, for people.
    FilesChanged(String),
    /// Its schedule (`cron_restart`).
    Schedule,
    /// Its configuration has changed, or no longer has it.
    Configuration,
    /// It was a new process in a reload that is aborted.
    ReloadAborted,
    /// It exited and could not listen before.
    CannotListen(ListenFailure),
    /// An error that it did not catch ended it.
    Uncaught(Uncaught),
}

/// The command that ends a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Command {
    /// `stop`.
    Stop,
    /// `restart`.
    Restart,
    /// `reload`.
    Reload,
    /// `delete`.
    Delete,
    /// `scale`.
    Scale,
}

impl Reason {
    fn word(&self) -> &'static str {
        match self {
            Self::Memory(_) => "memory",
            Self::Sick(sickness) => sickness.reason(),
            Self::Command(_) => "command",
            Self::FilesChanged(_) => "watch",
            Self::Schedule => "cron",
            Self::Configuration => "config",
            Self::ReloadAborted => "reload",
            Self::CannotListen(ListenFailure { is_in_use: true, .. }) => "address-in-use",
            Self::CannotListen(_) => "cannot-listen",
            Self::Uncaught(Uncaught::Rejection) => "unhandled-rejection",
            Self::Uncaught(Uncaught::Exception) => "uncaught-exception",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory(excess) => excess.fmt(f),
            Self::Sick(sickness) => write!(f, "it {sickness}"),
            Self::Command(command) => write!(f, "command: {command}"),
            Self::FilesChanged(path) => write!(f, "watch: {path} changed"),
            Self::Schedule => f.write_str("cron_restart"),
            Self::Configuration => f.write_str("changed configuration"),
            Self::ReloadAborted => f.write_str("aborted reload"),
            Self::CannotListen(failure) => failure.fmt(f),
            Self::Uncaught(uncaught) => uncaught.fmt(f),
        }
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stop => "stop",
            Self::Restart => "restart",
            Self::Reload => "reload",
            Self::Delete => "delete",
            Self::Scale => "scale",
        })
    }
}

/// The word for why a run ended, the same in logs, commands and metrics.
pub fn reason(ending: &Ending, reason: Option<&Reason>) -> &'static str {
    match (ending, reason) {
        // Whatever procrun was about to do, the kernel was faster.
        (Ending::OutOfMemory { .. }, _) | (_, None) => ending.reason(),
        (_, Some(reason)) => reason.word(),
    }
}
