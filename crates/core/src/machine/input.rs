//! The inputs of the machine: what can happen.

use super::{
    ending::{Ending, SpawnFailure},
    health::ProbeKind,
    ids::{Run, Timer},
    memory::MemoryShortage,
    notify::NotifyMessage,
    operation::{Operation, Ticket},
    readiness::ReadinessSource,
};
use crate::spec::{Plan, ProgramKind, Signal};

/// An input of the machine. An input about an earlier run of an instance has no effect.
#[derive(Debug, Clone)]
pub enum Input {
    /// The supervisor is ready: instances with `autostart` start.
    Boot,
    /// The program of a run is being executed: its kind, and its process id.
    Started(Run, ProgramKind, i32),
    /// A run could not be started.
    SpawnFailed(Run, SpawnFailure),
    /// A run has shown that it is ready.
    Ready(Run, ReadinessSource),
    /// The result of [`Effect::Probe`](super::Effect::Probe).
    Probed {
        /// The run that was probed.
        run: Run,
        /// The probe.
        kind: ProbeKind,
        /// Whether the probe has passed; an error is a message of one line.
        result: Result<(), String>,
    },
    /// A worker reports something about itself.
    Notified(Run, NotifyMessage),
    /// A run has finished its connections ([`Effect::Drain`](super::Effect::Drain)).
    Drained(Run),
    /// The main process of a run has been reaped.
    Exited {
        /// The run.
        run: Run,
        /// How its main process ended.
        ending: Ending,
        /// Whether other processes of its tree are alive.
        leftovers: bool,
    },
    /// The last leftover of a run has ended.
    TreeGone(Run),
    /// The time of [`Effect::ArmTimer`](super::Effect::ArmTimer) has come.
    TimerFired(Timer),
    /// Files that an application watches have changed.
    FilesChanged {
        /// The name of the application.
        app: String,
        /// The path of one of the files, for messages.
        path: String,
    },
    /// The schedule of an application is due (`cron_restart`).
    ScheduleDue {
        /// The name of the application.
        app: String,
    },
    /// A run exceeds its memory limit (`max_memory_restart`). Comes at each sample while it does.
    MemoryExceeded {
        /// The run.
        run: Run,
        /// Memory of its process tree, in bytes.
        used: u64,
        /// The run's limit, in bytes.
        limit: u64,
    },
    /// The memory of the container is short (`oom_guard`). Comes at each sample while it is.
    MemoryShort {
        /// The memory of the container.
        shortage: MemoryShortage,
        /// Memory of the process trees of all runs, in bytes, the largest first.
        sizes: Vec<(Run, u64)>,
    },
    /// A shutdown is requested.
    Shutdown(ShutdownRequest),
    /// A signal that each worker gets.
    ForwardSignal(Signal),
    /// An application gets another name. There must be no [obstacle](super::Machine::rename_obstacle).
    Rename {
        /// The application's present name.
        from: String,
        /// The application's new name.
        to: String,
    },
    /// A client requests an operation. Answered by [`Effect::Reply`](super::Effect::Reply).
    Operate(Ticket, Operation),
    /// The ecosystem file was read again: the plan is replaced.
    Apply {
        /// The new plan.
        plan: Plan,
        /// The number of CPUs for `instances = "max"`, at least 1.
        cpus: u32,
    },
}

/// A request to stop all applications and to end procrun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShutdownRequest {
    /// The stop signal of the workers that have no `kill_signal`.
    pub signal: Signal,
}
