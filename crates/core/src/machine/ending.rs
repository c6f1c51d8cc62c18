//! The end of a run: how it is requested, how the run ended, and what follows.

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

use super::serde_form::signal_name;
use crate::spec::{ByteSize, ExitCode, Signal};

/// How a worker is requested to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StopMethod {
    /// By this signal.
    Signal(#[serde(with = "signal_name")] Signal),
    /// By the message `shutdown`; by this signal if the worker has no IPC channel.
    Message(#[serde(with = "signal_name")] Signal),
}

/// `SIGTERM`, `the message shutdown`.
impl fmt::Display for StopMethod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Signal(signal) => signal.fmt(f),
            Self::Message(_) => f.write_str("the message `shutdown`"),
        }
    }
}

/// How a run ended. It becomes one number only for the exit code of procrun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// The run exited with this code.
    Exited(ExitCode),
    /// A signal ended it.
    Signaled {
        /// The signal.
        signal: Signal,
        /// Whether a core file was written.
        core_dumped: bool,
    },
    /// The kernel has killed it, or another process of its tree, because memory was short.
    OutOfMemory {
        /// The run's own exit code, if the kernel has killed another process of the tree.
        exited: Option<ExitCode>,
        /// The container's limit in bytes, if it has one.
        limit: Option<u64>,
    },
    /// The run could not be started.
    SpawnFailed(SpawnFailure),
}

/// Why a run could not be started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpawnFailure {
    /// The exit code of a shell in this case: 127 if the program does not exist, 126 if it cannot be executed.
    pub code: ExitCode,
    /// What failed, where and why, for messages.
    pub message: String,
    /// Whether another attempt can succeed.
    pub kind: FailureKind,
}

/// Whether another attempt can succeed after a failed start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailureKind {
    /// Fails until a file or the configuration changes: the program is missing, the user is unknown.
    Permanent,
    /// A failure of the application that may pass: its port is in use. Counts as an unstable run.
    Transient,
    /// The system lacks memory, processes or file descriptors at the moment. The start is tried again with a growing
    /// delay and does not count against `max_restarts`.
    Shortage,
}

impl Ending {
    /// The code that a shell or container reports: the exit code, or 128 + the signal.
    pub fn code(&self) -> ExitCode {
        match self {
            Self::Exited(code) => *code,
            Self::Signaled { signal, .. } => signal.exit_code(),
            Self::OutOfMemory { exited, .. } => exited.unwrap_or(Signal::KILL.exit_code()),
            Self::SpawnFailed(failure) => failure.code,
        }
    }

    /// The words between an instance and this ending in a message. A failed start is a clause of its own.
    pub fn prefix(&self) -> &'static str {
        match self {
            Self::SpawnFailed(_) => "",
            Self::Exited(_) | Self::Signaled { .. } | Self::OutOfMemory { .. } => "exited: ",
        }
    }

    /// The stable word for it; users filter logs by it.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Exited(_) => "exit",
            Self::Signaled { .. } => "signal",
            Self::OutOfMemory { .. } => "oom",
            Self::SpawnFailed(_) => "spawn-failed",
        }
    }
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exited(code) => write!(f, "code {code}"),
            Self::Signaled { signal, core_dumped: false } => write!(f, "signal {signal}"),
            Self::Signaled { signal, core_dumped: true } => write!(f, "signal {signal} (core dumped)"),
            Self::OutOfMemory { exited, limit } => {
                match exited {
                    None => write!(f, "signal {}, the kernel's out-of-memory killer", Signal::KILL)?,
                    Some(code) => {
                        write!(
                            f,
                            "code {code}, the kernel's out-of-memory killer has killed one of its processes"
                        )?;
                    }
                }
                match limit {
                    Some(limit) => write!(f, " (memory limit {})", ByteSize(*limit)),
                    None => f.write_str(" (the machine's memory)"),
                }
            }
            Self::SpawnFailed(failure) => write!(f, "could not start: {}", failure.message),
        }
    }
}

/// What follows the end of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FollowUp {
    /// The instance restarts after this delay.
    Restart(Duration),
    /// The instance stays stopped, as requested.
    Stopped,
    /// The instance stays stopped: its own exit is final.
    Final,
    /// The instance is errored after too many unstable runs.
    Errored {
        /// The number of unstable runs in a row.
        unstable_runs: u32,
    },
    /// The run's leftovers must end before anything follows.
    Leftovers,
}
