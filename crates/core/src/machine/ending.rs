//! The end of a run: how it is requested, how the run ended, and what follows.

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

use super::serde_form::signal_name;
use crate::spec::{ByteSize, ExitCode, Signal};

/// What asks a run to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StopMethod {
    /// This signal.
    Signal(#[serde(with = "signal_name")] Signal),
    /// The message `shutdown`; this signal if the run has no channel that takes it.
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

/// How a run ended. Never flattened into one number before the last moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// It exited with this code.
    Exited(ExitCode),
    /// A signal ended it.
    Signaled {
        /// Which.
        signal: Signal,
        /// Whether a core file was written.
        core_dumped: bool,
    },
    /// The kernel has killed it, or a process below it, because memory was short.
    OutOfMemory {
        /// What it exited with, if it was one below it.
        exited: Option<ExitCode>,
        /// The container's limit in bytes, if it has one.
        limit: Option<u64>,
    },
    /// It never began.
    SpawnFailed(SpawnFailure),
}

/// Why a run never began.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpawnFailure {
    /// What a shell would exit with: 127 when the program is not there, 126 when it cannot be
    /// executed.
    pub code: ExitCode,
    /// What, where and why, for people.
    pub message: String,
    /// What it says about the next try.
    pub kind: FailureKind,
}

/// What a failed start says about the next try.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailureKind {
    /// Fails until a file or the configuration changes: the program is missing, the user is unknown.
    Permanent,
    /// The application's own trouble, which may pass: its port is taken. Counts as an unstable run.
    Transient,
    /// The system lacks memory, processes or file descriptors at the moment. The application is not to
    /// blame: the start is tried again with a growing delay and does not count against `max_restarts`.
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

    /// The word for this kind of ending, the same in logs, commands and metrics.
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
            Self::Exited(code) => write!(f, "exit {code}"),
            Self::Signaled { signal, core_dumped: false } => write!(f, "signal {signal}"),
            Self::Signaled { signal, core_dumped: true } => write!(f, "signal {signal} (core dumped)"),
            Self::OutOfMemory { exited, limit } => {
                match exited {
                    None => write!(f, "signal {}, the kernel's out-of-memory killer", Signal::KILL)?,
                    Some(code) => {
                        write!(
                            f,
                            "exit {code}, a process of it was killed by the kernel's out-of-memory killer"
                        )?;
                    }
                }
                match limit {
                    Some(limit) => write!(f, " (memory limit {})", ByteSize(*limit)),
                    None => f.write_str(" (the machine's memory)"),
                }
            }
            Self::SpawnFailed(failure) => write!(f, "spawn-failed, {}", failure.message),
        }
    }
}

/// What follows the end of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FollowUp {
    /// It runs again after this wait.
    Restart(Duration),
    /// It stays ended, as it was asked to.
    Stopped,
    /// It stays ended: its own exit is final.
    Final,
    /// Too many unstable runs.
    Errored {
        /// The number of runs.
        unstable_runs: u32,
    },
    /// What is left of its tree has to end before anything follows.
    Leftovers,
}
