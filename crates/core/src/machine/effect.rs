//! The outputs of the machine: what is to be done.

use super::{
    ending::StopMethod,
    events::Notice,
    health::ProbeKind,
    ids::{InstanceId, Run, Timer},
    operation::{Reply, Ticket},
    time::Time,
};
use crate::spec::{ExitCode, Signal, StopSignalScope};

/// An output of the machine, which the supervisor carries out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Start the program of an instance. Answered by [`Input::Started`](super::Input::Started) or
    /// [`Input::SpawnFailed`](super::Input::SpawnFailed).
    Spawn(Run),
    /// Cancel a start whose program is not executed yet. Answered by
    /// [`Input::SpawnFailed`](super::Input::SpawnFailed), or by [`Input::Started`](super::Input::Started) if the program
    /// is executed already.
    CancelStart(Run),
    /// Probe a run. Answered by [`Input::Probed`](super::Input::Probed), unless the run ends before.
    Probe(Run, ProbeKind),
    /// Send a signal to the main process.
    Signal(Run, Signal),
    /// The run is about to be stopped: the other workers of its cluster get new connections.
    Retire(Run),
    /// Let the run finish its connections. Answered by [`Input::Drained`](super::Input::Drained).
    Drain(Run),
    /// Request that the run ends. SIGCONT follows a signal, so that a stopped process receives it.
    RequestStop(Run, StopMethod, StopSignalScope),
    /// Send a signal to the leftovers of a run, and watch for their end. Answered by
    /// [`Input::TreeGone`](super::Input::TreeGone).
    StopLeftovers(Run, Signal),
    /// Send SIGKILL to the process tree of the run.
    KillTree(Run),
    /// Give [`Input::TimerFired`](super::Input::TimerFired) at this time.
    ArmTimer(Timer, Time),
    /// The run has taken the place of its predecessor: what names one process, such as a pid file, names this one.
    Promote(Run),
    /// The instance has left the list: release what belongs to it.
    Remove(InstanceId),
    /// Report an event.
    Report {
        /// The event, without its number and time.
        notice: Notice,
        /// The operations of which it is a step.
        tickets: Vec<Ticket>,
    },
    /// Answer an operation.
    Reply(Ticket, Reply),
    /// Everything has ended: end procrun with this code.
    Exit(ExitCode),
}

impl From<Notice> for Effect {
    fn from(notice: Notice) -> Self {
        Self::Report { notice, tickets: Vec::new() }
    }
}
