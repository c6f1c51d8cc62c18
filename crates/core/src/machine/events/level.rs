//! The level of an event, and the fields of its log record besides the message.

use super::{EventData, Notice, RuntimePart, SignalUse};
use crate::{
    machine::{ending::FollowUp, readiness::ReadinessSource, reason::ReloadAbortReason},
    spec::{ExitCode, Signal},
};

/// The level of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Details for troubleshooting.
    Debug,
    /// Normal operation.
    Info,
    /// A problem that may need attention.
    Warn,
    /// A failure.
    Error,
}

fn outage(part: RuntimePart, is_tried_again: bool) -> Level {
    match part {
        RuntimePart::Signals
        | RuntimePart::IpcChannels
        | RuntimePart::NotifySockets
        | RuntimePart::Watching => Level::Error,
        RuntimePart::ControlSocket if is_tried_again => Level::Error,
        // Some containers have no directory for it.
        RuntimePart::ControlSocket
        | RuntimePart::RealTimeSignals
        | RuntimePart::Schedules
        | RuntimePart::DrainScript
        | RuntimePart::HeartbeatScript
        | RuntimePart::RunCgroups
        | RuntimePart::TerminationMessage => Level::Warn,
    }
}

impl Notice {
    /// The event's level.
    pub fn level(&self) -> Level {
        match &self.data {
            EventData::Ready { source: ReadinessSource::Message, awaited: true, .. }
            | EventData::EndedContainer { code: 0 } => Level::Info,
            EventData::ProbeFailed { .. }
            | EventData::Ready { .. }
            | EventData::SignalReceived {
                signal: Signal::WINCH | Signal::CONT,
                action: SignalUse::Forward,
                ..
            } => Level::Debug,
            EventData::Stopping { stop, .. } if stop.is_reported() => Level::Debug,
            EventData::Exited { ending, next, .. } => match next {
                FollowUp::Errored { .. } => Level::Error,
                FollowUp::Final if ending.code() != 0 => Level::Warn,
                FollowUp::Final | FollowUp::Restart(_) | FollowUp::Stopped | FollowUp::Leftovers => {
                    Level::Info
                }
            },
            EventData::Outage { part, retry, .. } => outage(*part, retry.is_some()),
            EventData::ReloadAborted { reason: ReloadAbortReason::NotReady { .. }, .. }
            | EventData::ChannelClosed { .. }
            | EventData::AcceptFailed { .. }
            | EventData::Blocked { .. }
            | EventData::Unkillable {}
            | EventData::EndedContainer { .. }
            | EventData::MemoryElsewhere { .. }
            | EventData::ConfigRejected { .. } => Level::Error,
            EventData::Waiting { waited: Some(_), .. }
            | EventData::ReloadAborted { .. }
            | EventData::ReadinessLost { .. }
            | EventData::ListenFailed { .. }
            | EventData::PortShared { .. }
            | EventData::SocketRefused {}
            | EventData::ProtocolViolated { .. }
            | EventData::PidFileFailed { .. }
            | EventData::PathMissing { .. }
            | EventData::WatchPolling { .. }
            | EventData::ConfigWarning { .. }
            | EventData::RestartRequired {}
            | EventData::ClockSet { .. }
            | EventData::Unhealthy { .. }
            | EventData::NotReady { .. }
            | EventData::Killing { .. }
            | EventData::AppKept { .. }
            | EventData::WithoutListener { .. }
            | EventData::SignalsLost { .. }
            | EventData::ChangesThrottled { .. }
            | EventData::MemoryExceeded { .. }
            | EventData::OomGuardStop { .. }
            | EventData::KillingAll {} => Level::Warn,
            EventData::Waiting { waited: None, .. }
            | EventData::Online { .. }
            | EventData::Launching { .. }
            | EventData::ChannelMissing { .. }
            | EventData::SocketOpened { .. }
            | EventData::StartDelayed { .. }
            | EventData::WebListening { .. }
            | EventData::ZoneFound { .. }
            | EventData::Recovered { .. }
            | EventData::Healthy { .. }
            | EventData::Draining { .. }
            | EventData::Stopping { .. }
            | EventData::Leftovers {}
            | EventData::RerunPending {}
            | EventData::Skipped { .. }
            | EventData::ReloadStarted { .. }
            | EventData::ReloadCompleted { .. }
            | EventData::ReloadQueued { .. }
            | EventData::ReloadUnderWay {}
            | EventData::ScheduleDue { .. }
            | EventData::FilesChanged { .. }
            | EventData::CommandReceived { .. }
            | EventData::AppChanged { .. }
            | EventData::ConfigApplied { .. }
            | EventData::SignalReceived { .. }
            | EventData::Closing { .. }
            | EventData::ShuttingDown { .. }
            | EventData::Exiting { .. } => Level::Info,
        }
    }

    /// The word of the exit reason that the event announces or reports, for its log record.
    pub fn reason(&self) -> Option<&str> {
        match &self.data {
            EventData::Exited { reason, .. } => Some(reason),
            EventData::Unhealthy { failure } => Some(failure.reason()),
            EventData::Blocked { .. } => Some("dependency"),
            EventData::FilesChanged { .. } | EventData::ChangesThrottled { .. } => Some("watch"),
            EventData::ScheduleDue { .. } => Some("cron"),
            EventData::Stopping { stop, .. } | EventData::Draining { stop, .. } => {
                stop.exit_reason().map(|reason| reason.word())
            }
            EventData::MemoryExceeded { .. }
            | EventData::OomGuardStop { .. }
            | EventData::MemoryElsewhere { .. } => Some("memory"),
            _ => None,
        }
    }

    /// The exit code that it reports.
    pub fn code(&self) -> Option<ExitCode> {
        match &self.data {
            EventData::Exited { ending, .. } => Some(ending.code()),
            _ => None,
        }
    }

    /// The process id that it reports.
    pub fn pid(&self) -> Option<i32> {
        match &self.data {
            EventData::Online { pid } | EventData::Launching { pid } => Some(*pid),
            _ => None,
        }
    }
}
