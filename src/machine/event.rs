//! What can happen, what is to be done, and what is worth saying: the machine's vocabulary.

use std::{fmt, sync::Arc, time::Duration};

use super::Time;
use crate::spec::{AppSpec, ExitCode, Plan, Signal};

/// PM2's `pm_id`: one place in the process list. It outlives the processes that run in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InstanceId(pub u32);

/// One process of one instance. A later process of the same instance has a larger number, so
/// that news of an earlier one cannot be mistaken for its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Run {
    /// Whose process.
    pub instance: InstanceId,
    /// Counts all runs of this runtime.
    pub number: u64,
}

/// A timer. It means something only as long as the instance's epoch is the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timer {
    /// Whose timer.
    pub instance: InstanceId,
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
    /// Trying again cannot help as long as nobody changes something.
    pub permanent: bool,
}

impl Ending {
    /// The code that a shell or container reports: the exit code, or 128 + the signal.
    pub fn code(&self) -> ExitCode {
        match self {
            Self::Exited(code) => *code,
            Self::Signaled { signal, .. } => signal.exit_code(),
            Self::SpawnFailed(failure) => failure.code,
        }
    }

    /// The word for this kind of ending, the same in logs, commands and metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Exited(_) => "exit",
            Self::Signaled { .. } => "signal",
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
            Self::SpawnFailed(failure) => write!(f, "spawn-failed, {}", failure.message),
        }
    }
}

/// Something that has happened.
#[derive(Debug, Clone)]
pub enum Event {
    /// The runtime is ready: start what is to be started.
    Boot,
    /// A run's program is being executed.
    Started(Run),
    /// A run never began.
    SpawnFailed(Run, SpawnFailure),
    /// A run gives a sign that it can do its work.
    Ready(Run, Sign),
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
    /// Everything is to stop.
    Stop(StopRequest),
    /// A signal for each worker.
    Forward(Signal),
    /// The applications are to be these from now on.
    Apply {
        /// The new plan; `instances` are resolved with `cpus`.
        plan: Plan,
        /// How many CPUs there are for `instances = "max"`, at least 1.
        cpus: u32,
    },
}

/// A sign that a worker can do its work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sign {
    /// It listens on a socket of its cluster.
    Listening,
    /// It has sent the message `ready` (PM2's `wait_ready`).
    Message,
}

/// Which signs the present run has given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Readiness {
    /// [`Sign::Listening`].
    pub listening: bool,
    /// [`Sign::Message`].
    pub message: bool,
}

/// Why everything is to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StopRequest {
    /// The signal that the workers get unless they have a `kill_signal`.
    pub signal: Signal,
}

/// Something to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Start the program of this instance. Answered by [`Event::Started`] or
    /// [`Event::SpawnFailed`].
    Spawn(Run),
    /// Send a signal to the main process.
    Signal(Run, Signal),
    /// The run is about to be asked to end: others of its cluster get its connections.
    Retire(Run),
    /// Ask the run to finish the connections it has. Answered by [`Event::Drained`].
    Drain(Run),
    /// Ask the run to end by a message; by this signal if it has no channel.
    Shutdown(Run, Signal),
    /// Send a signal to what is left of the tree of a run whose main process has ended, and watch
    /// for its end. Answered by [`Event::TreeGone`].
    SweepTree(Run, Signal),
    /// SIGKILL to everything that belongs to the run's tree.
    KillTree(Run),
    /// Wake the machine at this time.
    Arm(Timer, Time),
    /// The instance is gone for ever: release what belongs to it.
    Forget(InstanceId),
    /// Worth saying.
    Say(Notice),
    /// All is done: end with this code.
    End(ExitCode),
}

/// Whom a notice is about. It names the instance even when that is already forgotten.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// Its id.
    pub id: InstanceId,
    /// What it runs.
    pub spec: Arc<AppSpec>,
}

/// Worth saying, to people and to programs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// The main process of an instance has ended.
    Ended {
        /// Whose.
        who: Subject,
        /// How.
        ending: Ending,
        /// How long it was up.
        uptime: Duration,
        /// What follows.
        next: Next,
    },
    /// An instance has given a sign that it can do its work, for the first time in this run.
    Ready {
        /// Which.
        who: Subject,
        /// What sign.
        sign: Sign,
        /// How long after its start.
        after: Duration,
    },
    /// An instance is asked to finish its connections before it is asked to end.
    Draining {
        /// Which.
        who: Subject,
        /// How long it may take.
        within: Duration,
        /// Why.
        cause: StopCause,
    },
    /// An instance is asked to end.
    Stopping {
        /// Which.
        who: Subject,
        /// With what.
        signal: Signal,
        /// Why.
        cause: StopCause,
    },
    /// Processes of an ended worker are still there and are asked to end.
    Leftovers {
        /// Whose.
        who: Subject,
        /// With what.
        signal: Signal,
    },
    /// An instance did not end in time: SIGKILL to its whole tree.
    Killing {
        /// Which.
        who: Subject,
        /// How long it was given.
        waited: Duration,
    },
    /// Not even SIGKILL ended it (a process in uninterruptible sleep).
    Unkillable {
        /// Which.
        who: Subject,
    },
    /// Everything stops.
    ShuttingDown {
        /// How many instances have a process.
        alive: usize,
    },
    /// Asked to stop again: no more waiting.
    KillingAll,
    /// An `errored` application ends the container (`on_errored = "exit"`).
    Escalated {
        /// Which.
        who: Subject,
        /// The code procrun will exit with.
        code: ExitCode,
    },
}

/// Why an instance is asked to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopCause {
    /// Everything stops.
    Shutdown,
    /// Its application is no longer in the file, or has fewer instances.
    Removed,
    /// Its application reads otherwise now.
    Changed,
    /// It has finished its connections.
    Drained,
    /// It has had its time to finish its connections.
    NotDrained,
}

impl StopCause {
    /// Whether others take its place: then it may finish the connections that it has.
    pub(super) fn drains(self) -> bool {
        match self {
            Self::Removed => true,
            Self::Shutdown | Self::Changed | Self::Drained | Self::NotDrained => false,
        }
    }
}

/// What follows the end of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// It runs again after this wait.
    Restart(Duration),
    /// It stays ended, as it was asked to.
    Stay,
    /// It stays ended: its own exit is final.
    Final,
    /// Too many unstable runs.
    Errored {
        /// So many.
        unstable: u32,
    },
    /// What is left of its tree has to end before anything follows.
    Sweep,
}

/// The instances that one application is to have: number and spec.
pub(super) type Wanted = (u32, Arc<AppSpec>);
