//! What can happen and what is to be done: the machine's vocabulary.

use std::{fmt, mem};

use serde::{Deserialize, Serialize};

use super::{
    Operation, ProbeKind, Reply, Shortage, Ticket, Time, Word,
    events::{Notice, signal_name},
};
use crate::spec::{ByteSize, ExitCode, Plan, ProgramKind, Signal, StopSignalScope};

/// One instance. It outlives the processes that run in it, but not a reload: its successor there is
/// another instance with the same `pm_id`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InstanceId(pub u32);

impl InstanceId {
    /// Whose timers are those of the whole.
    pub(super) const NOBODY: Self = Self(u32::MAX);
}

/// One process of one instance. A later process of the same instance has a larger number, so
/// that news of an earlier one cannot be mistaken for its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Run {
    /// Whose process.
    pub instance: InstanceId,
    /// Counts all runs of this runtime.
    pub number: u64,
}

/// What a timer is for. Each has its own epochs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Wait {
    /// For the state to go on.
    State,
    /// For the next question.
    Probe(ProbeKind),
    /// For a sign that its loop turns.
    Heartbeat,
    /// For another try of one that could not listen.
    Listening,
}

/// A timer. It means something only as long as the instance's epoch is the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timer {
    /// Whose timer.
    pub instance: InstanceId,
    /// What for.
    pub wait: Wait,
    /// When it was armed, in the instance's own count.
    pub epoch: u64,
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

/// Something that has happened.
#[derive(Debug, Clone)]
pub enum Event {
    /// The runtime is ready: start what is to be started.
    Boot,
    /// A run's program is being executed, what it is, and its process id.
    Started(Run, ProgramKind, i32),
    /// A run never began.
    SpawnFailed(Run, SpawnFailure),
    /// A run gives a sign that it can do its work.
    Ready(Run, Sign),
    /// A run has answered [`Effect::Probe`]; an error is what went wrong, for people.
    Probed {
        /// Which run.
        run: Run,
        /// What was asked.
        kind: ProbeKind,
        /// The answer.
        result: Result<(), String>,
    },
    /// A run says something of itself.
    Notified(Run, Word),
    /// A run has finished what [`Effect::Drain`] asked it to finish.
    Drained(Run),
    /// A run's main process has been reaped.
    Exited {
        /// Which run.
        run: Run,
        /// How.
        ending: Ending,
        /// Whether processes of its tree are left.
        leftovers: bool,
    },
    /// The last process of the tree of a run whose main process had ended is gone.
    TreeGone(Run),
    /// A timer has run out.
    TimerFired(Timer),
    /// Files that an application watches have changed.
    FilesChanged {
        /// The application's name.
        app: String,
        /// One of them, for people.
        path: String,
    },
    /// It is time for this application by its schedule (`cron_restart`).
    Due {
        /// Its name.
        app: String,
    },
    /// A run has more memory than it may have (`max_memory_restart`). Comes again as long as that is so.
    MemoryExceeded {
        /// Which.
        run: Run,
        /// Bytes of its tree.
        used: u64,
        /// Bytes that it may have.
        limit: u64,
    },
    /// The container's memory is short (`oom_guard`). Comes again as long as that is so.
    MemoryShort {
        /// How much there is.
        shortage: Shortage,
        /// Bytes of the trees of all runs, the largest first.
        sizes: Vec<(Run, u64)>,
    },
    /// Everything is to stop.
    Stop(StopRequest),
    /// A signal for each worker.
    Forward(Signal),
    /// An application has another name from now on. There must be no
    /// [obstacle](super::Machine::rename_obstacle).
    Rename {
        /// Its name until now.
        from: String,
        /// Its new name.
        to: String,
    },
    /// Somebody asks for something. Answered by [`Effect::Reply`].
    Operate(Ticket, Operation),
    /// The applications are to be these from now on.
    Apply {
        /// The new plan; `instances` are resolved with `cpus`.
        plan: Plan,
        /// How many CPUs there are for `instances = "max"`, at least 1.
        cpus: u32,
    },
}

impl Event {
    /// The run that says something of itself.
    pub fn speaker(&self) -> Option<Run> {
        match self {
            Self::Ready(run, _) | Self::Notified(run, _) | Self::Drained(run) => Some(*run),
            Self::Boot
            | Self::Started(..)
            | Self::SpawnFailed(..)
            | Self::Probed { .. }
            | Self::Exited { .. }
            | Self::TreeGone(_)
            | Self::TimerFired(_)
            | Self::FilesChanged { .. }
            | Self::Due { .. }
            | Self::MemoryExceeded { .. }
            | Self::MemoryShort { .. }
            | Self::Stop(_)
            | Self::Forward(_)
            | Self::Operate(..)
            | Self::Apply { .. }
            | Self::Rename { .. } => None,
        }
    }

    /// Whether an earlier message of the same run is obsolete after this one: only the last message of a kind
    /// counts.
    pub fn supersedes(&self, earlier: &Self) -> bool {
        match (self, earlier) {
            (Self::Ready(run, sign), Self::Ready(other, earlier)) => (run, sign) == (other, earlier),
            (Self::Notified(run, word), Self::Notified(other, earlier)) => {
                run == other && mem::discriminant(word) == mem::discriminant(earlier)
            }
            (Self::Drained(run), Self::Drained(other)) => run == other,
            _ => false,
        }
    }
}

/// A sign that a worker can do its work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sign {
    /// It listens on a socket of its cluster.
    Listening,
    /// It has sent the message `ready` (PM2's `wait_ready`), or `READY=1`.
    Message,
    /// It has passed `[apps.readiness]`, or without one `[apps.health]`.
    Probe,
}

/// Which signs the present run has given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Readiness {
    /// [`Sign::Listening`].
    pub listening: bool,
    /// [`Sign::Message`].
    pub message: bool,
    /// [`Sign::Probe`].
    pub probe: bool,
}

impl Readiness {
    /// The first sign that is wanted here and not given there.
    pub(super) fn lacks(self, given: Self) -> Option<Sign> {
        let Self { listening, message, probe } = self;
        [
            (message && !given.message, Sign::Message),
            (listening && !given.listening, Sign::Listening),
            (probe && !given.probe, Sign::Probe),
        ]
        .into_iter()
        .find_map(|(is_missing, sign)| is_missing.then_some(sign))
    }
}

/// Why everything is to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StopRequest {
    /// The signal that the workers get unless they have a `kill_signal`.
    pub signal: Signal,
}

/// What asks a run to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EndRequest {
    /// This signal.
    Signal(#[serde(with = "signal_name")] Signal),
    /// The message `shutdown`; this signal if the run has no channel that takes it.
    Message(#[serde(with = "signal_name")] Signal),
}

/// `SIGTERM`, `the message shutdown`.
impl fmt::Display for EndRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Signal(signal) => signal.fmt(f),
            Self::Message(_) => f.write_str("the message `shutdown`"),
        }
    }
}

/// Something to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Start the program of this instance. Answered by [`Event::Started`] or
    /// [`Event::SpawnFailed`].
    Spawn(Run),
    /// The run is to end before its program is executed: nothing of it is needed any more. Answered by
    /// [`Event::SpawnFailed`], or by [`Event::Started`] if its program is executed already.
    AbandonStart(Run),
    /// Ask a run how it is. Answered by [`Event::Probed`], unless the run ends before.
    Probe(Run, ProbeKind),
    /// Send a signal to the main process.
    Signal(Run, Signal),
    /// The run is about to be asked to end: others of its cluster get its connections.
    Retire(Run),
    /// Ask the run to finish the connections it has. Answered by [`Event::Drained`].
    Drain(Run),
    /// Ask the run to end. What gets a signal for that is given the time to see it: SIGCONT follows.
    RequestEnd(Run, EndRequest, StopSignalScope),
    /// Send a signal to what is left of the tree of a run whose main process has ended, and watch
    /// for its end. Answered by [`Event::TreeGone`].
    SweepTree(Run, Signal),
    /// SIGKILL to everything that belongs to the run's tree.
    KillTree(Run),
    /// Wake the machine at this time.
    Arm(Timer, Time),
    /// The run has taken the place of its predecessor's: what names one process names it now.
    Promote(Run),
    /// The instance is gone for ever: release what belongs to it.
    Forget(InstanceId),
    /// Something has happened.
    Report {
        /// What.
        notice: Notice,
        /// The operations of which it is a step.
        tickets: Vec<Ticket>,
    },
    /// An answer to whoever asked.
    Reply(Ticket, Reply),
    /// All is done: end with this code.
    End(ExitCode),
}
