//! Reasons: why an instance is stopped or a reload aborted, and why a run ended.

use std::fmt::{self, Display, Formatter};

use serde::{Deserialize, Serialize};

use super::{
    ending::Ending,
    fault::{ListenFailure, Uncaught},
    health::HealthFailure,
    memory::MemoryExcess,
    readiness::ReadinessFailure,
    subject::EventSubject,
};

/// Why an instance is asked to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StopReason {
    /// Everything stops.
    Shutdown,
    /// Its application is no longer in the file, or has fewer instances.
    Removed,
    /// Its application reads otherwise now.
    Changed,
    /// `stop`.
    Asked,
    /// `delete`.
    Deleted,
    /// `scale` to fewer instances.
    ScaledDown,
    /// A request to restart it.
    Restarted,
    /// Watched files have changed.
    FilesChanged,
    /// It is time for it by its schedule.
    Due,
    /// It has too much memory, or is the largest when the container's is short.
    Memory(MemoryExcess),
    /// Its application is being reloaded, and its new process has to wait for its end.
    Reloaded,
    /// Its successor does its work now.
    Replaced,
    /// It was to be a successor, but the reload is given up.
    GivenUp,
    /// It is not well.
    Sick,
    /// It has finished its connections.
    Drained,
    /// It has had its time to finish its connections.
    NotDrained,
}

impl StopReason {
    /// Whether others take its place: then it may finish the connections that it has.
    pub(super) fn drains(self) -> bool {
        match self {
            Self::Removed | Self::ScaledDown | Self::Replaced | Self::GivenUp => true,
            Self::Shutdown
            | Self::Changed
            | Self::Asked
            | Self::Deleted
            | Self::FilesChanged
            | Self::Restarted
            | Self::Due
            | Self::Memory(_)
            | Self::Reloaded
            | Self::Sick
            | Self::Drained
            | Self::NotDrained => false,
        }
    }
}

/// Why a reload was aborted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReloadAbortReason {
    /// A new process is not ready.
    #[serde(rename = "not-ready")]
    ReadinessFailure {
        /// Which.
        #[serde(rename = "instance")]
        who: EventSubject,
        /// What has failed.
        #[serde(rename = "failure")]
        setback: ReadinessFailure,
    },
    /// A request to stop the application, or a part of it.
    Asked,
    /// The container's memory is short.
    MemoryShort,
    /// The application is no longer in the file.
    Removed,
    /// Everything stops.
    Shutdown,
}

impl Display for ReloadAbortReason {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::ReadinessFailure { who, setback } => write!(f, "{who} {setback}"),
            Self::MemoryShort => f.write_str("the container's memory is short"),
            Self::Asked => f.write_str("it was stopped"),
            Self::Removed => f.write_str("it is no longer in the file"),
            Self::Shutdown => f.write_str("everything stops"),
        }
    }
}

/// Why a run ended, beyond its exit status and the request of a client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ExitReason {
    /// It had too much memory.
    Memory(MemoryExcess),
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

impl ExitReason {
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

impl Display for ExitReason {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
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

impl Display for Command {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
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
pub fn reason(ending: &Ending, reason: Option<&ExitReason>) -> &'static str {
    match (ending, reason) {
        // Whatever procrun was about to do, the kernel was faster.
        (Ending::OutOfMemory { .. }, _) | (_, None) => ending.reason(),
        (_, Some(reason)) => reason.word(),
    }
}
