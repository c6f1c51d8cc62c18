//! Why an instance is stopped, why a run ended and why a reload was aborted.
//!
//! - [`StopKind`]: the step that the machine takes at the moment. It decides whether the instance drains and how the
//!   stop is logged, and a later stop replaces it. It is not kept with the run; `instance.stopping` and
//!   `instance.draining` have it as `stop`.
//! - [`ExitReason`]: why a run ended. It is recorded with the run, and logs, `describe`, `jlist` and the termination
//!   message show it. It has data (a path, a size) and includes what the run reported itself (`CannotListen`).
//! - [`ReloadAbortReason`]: why a reload was aborted. It is about an application, not about a run.
//!
//! The word of an exit reason ([`ExitReason::word`]) is the same everywhere: `reason` in log records, events, exit
//! records and metrics, the name of `cause` in `instance.exited`, and the name of the stop that leads to it. Several
//! kinds of stops may have one exit reason (`command`, `config`), so `stop` has more words than `reason`.
//!
//! A new restart reason is an `ExitReason` with its word, a `StopKind` with its answers below, and the `Input` that
//! triggers it. An event that announces it gets its word in `Notice::reason` (`events/level.rs`), which lists only the
//! events that have a reason.

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

/// The kind of a stop: what it is a part of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StopKind {
    /// The shutdown of procrun.
    Shutdown,
    /// The application is no longer in the file, or has fewer instances there.
    Removed,
    /// The configuration of the application has changed.
    #[serde(rename = "config")]
    Changed,
    /// The command `stop`.
    #[serde(rename = "stop")]
    Stopped,
    /// The command `delete`.
    #[serde(rename = "delete")]
    Deleted,
    /// The command `scale`, to fewer instances.
    #[serde(rename = "scale")]
    ScaledDown,
    /// The command `restart`.
    #[serde(rename = "restart")]
    Restarted,
    /// Watched files have changed.
    #[serde(rename = "watch")]
    FilesChanged,
    /// The schedule of the application (`cron_restart`).
    #[serde(rename = "cron")]
    Schedule,
    /// The instance exceeds its memory limit, or is the largest when the memory of the container is short.
    Memory(MemoryExcess),
    /// A reload in which the predecessor must end before its successor starts.
    Reloaded,
    /// A reload in which the successor of the instance is ready.
    Replaced,
    /// An aborted reload: the instance is a successor.
    ReloadAborted,
    /// The health probe or the heartbeat of the instance has failed.
    #[serde(rename = "health")]
    Unhealthy,
    /// The end of a drain: no connections are left.
    Drained,
    /// The end of a drain: its time is over.
    NotDrained,
}

impl StopKind {
    /// Whether the instance drains: others serve in its place, so it may finish its connections.
    pub(super) fn drains(self) -> bool {
        match self {
            Self::Removed | Self::ScaledDown | Self::Replaced | Self::ReloadAborted => true,
            Self::Shutdown
            | Self::Changed
            | Self::Stopped
            | Self::Deleted
            | Self::FilesChanged
            | Self::Restarted
            | Self::Schedule
            | Self::Memory(_)
            | Self::Reloaded
            | Self::Unhealthy
            | Self::Drained
            | Self::NotDrained => false,
        }
    }

    /// Whether another event has reported why the instance stops, so that its own stop is a detail.
    pub(super) fn is_reported(self) -> bool {
        match self {
            Self::Shutdown | Self::Memory(_) | Self::Drained => true,
            Self::Removed
            | Self::Changed
            | Self::Stopped
            | Self::Deleted
            | Self::ScaledDown
            | Self::Restarted
            | Self::FilesChanged
            | Self::Schedule
            | Self::Reloaded
            | Self::Replaced
            | Self::ReloadAborted
            | Self::Unhealthy
            | Self::NotDrained => false,
        }
    }

    /// The exit reason of a run that this stop ends. `None`: the run keeps the reason that was
    /// recorded before the stop, or its exit status is enough.
    pub(super) fn exit_reason(self) -> Option<ExitReason> {
        match self {
            Self::Memory(excess) => Some(ExitReason::Memory(excess)),
            Self::Stopped => Some(ExitReason::Command(CommandKind::Stop)),
            Self::Deleted => Some(ExitReason::Command(CommandKind::Delete)),
            Self::ScaledDown => Some(ExitReason::Command(CommandKind::Scale)),
            Self::Restarted => Some(ExitReason::Command(CommandKind::Restart)),
            Self::Schedule => Some(ExitReason::Schedule),
            Self::Changed | Self::Removed => Some(ExitReason::Configuration),
            Self::ReloadAborted => Some(ExitReason::ReloadAborted),
            // The failure, the changed path and the reason of a reload are recorded before the stop.
            Self::Unhealthy
            | Self::FilesChanged
            | Self::Reloaded
            | Self::Replaced
            | Self::Drained
            | Self::NotDrained
            // A shutdown has no exit reason: the exit status is enough.
            | Self::Shutdown => None,
        }
    }
}

/// `restarting`, after the name of the instance and a colon.
impl Display for StopKind {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Shutdown => "stopping with procrun",
            Self::Removed | Self::ScaledDown | Self::Deleted => "removing",
            Self::Schedule => "restarting on schedule",
            Self::Memory(_) => "memory limit exceeded",
            Self::Changed => "configuration changed",
            Self::Stopped => "stopping",
            Self::Restarted | Self::Reloaded | Self::FilesChanged => "restarting",
            Self::Unhealthy => "unhealthy",
            Self::Replaced => "replaced",
            Self::ReloadAborted => "reload aborted",
            Self::Drained => "no connections left",
            Self::NotDrained => "connections still open",
        })
    }
}

/// Why a reload was aborted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReloadAbortReason {
    /// A successor is not ready.
    NotReady {
        /// The successor.
        instance: EventSubject,
        /// Why it is not ready.
        failure: ReadinessFailure,
    },
    /// A client has stopped the application or some of its instances.
    Stopped,
    /// The memory of the container is short.
    MemoryShort,
    /// The application is no longer in the file.
    Removed,
    /// The shutdown of procrun.
    Shutdown,
}

impl Display for ReloadAbortReason {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotReady { instance, failure } => write!(f, "{instance} {failure}"),
            Self::MemoryShort => f.write_str("the container's memory is short"),
            Self::Stopped => f.write_str("the app was stopped"),
            Self::Removed => f.write_str("the app is no longer in the file"),
            Self::Shutdown => f.write_str("procrun is stopping"),
        }
    }
}

/// Why a run ended, where more is known than its exit status: the decision of procrun, or what the run reported.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ExitReason {
    /// The run exceeded its memory limit, or was the largest when the memory of the container was short.
    Memory(MemoryExcess),
    /// The health probe or the heartbeat of the run failed.
    #[serde(rename = "health")]
    Unhealthy(HealthFailure),
    /// A command of a client.
    Command(CommandKind),
    /// Watched files have changed; the path of one of them.
    #[serde(rename = "watch")]
    FilesChanged(String),
    /// The schedule of the application (`cron_restart`).
    #[serde(rename = "cron")]
    Schedule,
    /// The configuration of the application has changed, or the application is no longer in the file.
    #[serde(rename = "config")]
    Configuration,
    /// The run was a successor in a reload that was aborted.
    #[serde(rename = "reload")]
    ReloadAborted,
    /// The run could not listen, and exited.
    CannotListen(ListenFailure),
    /// The run left a rejected promise without a handler.
    UnhandledRejection,
    /// The run did not catch an error in JavaScript.
    UncaughtException,
}

impl From<Uncaught> for ExitReason {
    fn from(uncaught: Uncaught) -> Self {
        match uncaught {
            Uncaught::Rejection => Self::UnhandledRejection,
            Uncaught::Exception => Self::UncaughtException,
        }
    }
}

/// The command that ends a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CommandKind {
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
    /// The stable word for the reason; users filter logs by it.
    pub(super) fn word(&self) -> &'static str {
        match self {
            Self::Memory(_) => "memory",
            Self::Unhealthy(failure) => failure.reason(),
            Self::Command(_) => "command",
            Self::FilesChanged(_) => "watch",
            Self::Schedule => "cron",
            Self::Configuration => "config",
            Self::ReloadAborted => "reload",
            Self::CannotListen(ListenFailure { is_in_use: true, .. }) => "address-in-use",
            Self::CannotListen(_) => "cannot-listen",
            Self::UnhandledRejection => "unhandled-rejection",
            Self::UncaughtException => "uncaught-exception",
        }
    }
}

impl Display for ExitReason {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory(excess) => excess.fmt(f),
            Self::Unhealthy(failure) => failure.fmt(f),
            Self::Command(command) => write!(f, "command: {command}"),
            Self::FilesChanged(path) => write!(f, "watch: {path} changed"),
            Self::Schedule => f.write_str("cron_restart"),
            Self::Configuration => f.write_str("changed configuration"),
            Self::ReloadAborted => f.write_str("aborted reload"),
            Self::CannotListen(failure) => failure.fmt(f),
            Self::UnhandledRejection => f.write_str("unhandled promise rejection"),
            Self::UncaughtException => f.write_str("uncaught exception"),
        }
    }
}

impl Display for CommandKind {
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

/// The word for why a run ended, the same in logs, events, the output of commands and metrics.
pub fn reason(ending: &Ending, reason: Option<&ExitReason>) -> &'static str {
    match (ending, reason) {
        // The kernel has killed it before the stop of procrun could.
        (Ending::OutOfMemory { .. }, _) | (_, None) => ending.reason(),
        (_, Some(reason)) => reason.word(),
    }
}
