//! What can happen: the inputs of the machine.

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

/// Something that has happened.
#[derive(Debug, Clone)]
pub enum Input {
    /// The runtime is ready: start what is to be started.
    Boot,
    /// A run's program is being executed, what it is, and its process id.
    Started(Run, ProgramKind, i32),
    /// A run never began.
    SpawnFailed(Run, SpawnFailure),
    /// A run gives a sign that it can do its work.
    Ready(Run, ReadinessSource),
    /// A run has answered [`Effect::Probe`](super::Effect::Probe); an error is what went wrong, for people.
    Probed {
        /// Which run.
        run: Run,
        /// What was asked.
        kind: ProbeKind,
        /// The answer.
        result: Result<(), String>,
    },
    /// A run says something of itself.
    Notified(Run, NotifyMessage),
    /// A run has finished what [`Effect::Drain`](super::Effect::Drain) asked it to finish.
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
    ScheduleDue {
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
        shortage: MemoryShortage,
        /// Bytes of the trees of all runs, the largest first.
        sizes: Vec<(Run, u64)>,
    },
    /// Everything is to stop.
    Shutdown(ShutdownRequest),
    /// A signal for each worker.
    ForwardSignal(Signal),
    /// An application has another name from now on. There must be no
    /// [obstacle](super::Machine::rename_obstacle).
    Rename {
        /// Its name until now.
        from: String,
        /// Its new name.
        to: String,
    },
    /// A request of a client. Answered by [`Effect::Reply`](super::Effect::Reply).
    Operate(Ticket, Operation),
    /// The applications are to be these from now on.
    Apply {
        /// The new plan; `instances` are resolved with `cpus`.
        plan: Plan,
        /// How many CPUs there are for `instances = "max"`, at least 1.
        cpus: u32,
    },
}

/// Why everything is to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShutdownRequest {
    /// The signal that the workers get unless they have a `kill_signal`.
    pub signal: Signal,
}
