//! What is to be done: the outputs of the machine.

use super::{
    ending::StopMethod,
    events::Notice,
    health::ProbeKind,
    ids::{InstanceId, Run, Timer},
    operation::{Reply, Ticket},
    time::Time,
};
use crate::spec::{ExitCode, Signal, StopSignalScope};

/// Something to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Start the program of this instance. Answered by [`Input::Started`](super::Input::Started) or
    /// [`Input::SpawnFailed`](super::Input::SpawnFailed).
    Spawn(Run),
    /// The run is to end before its program is executed: nothing of it is needed any more. Answered by
    /// [`Input::SpawnFailed`](super::Input::SpawnFailed), or by [`Input::Started`](super::Input::Started) if its program is executed already.
    AbandonStart(Run),
    /// Ask a run how it is. Answered by [`Input::Probed`](super::Input::Probed), unless the run ends before.
    Probe(Run, ProbeKind),
    /// Send a signal to the main process.
    Signal(Run, Signal),
    /// The run is about to be asked to end: others of its cluster get its connections.
    Retire(Run),
    /// Ask the run to finish the connections it has. Answered by [`Input::Drained`](super::Input::Drained).
    Drain(Run),
    /// Ask the run to end. What gets a signal for that is given the time to see it: SIGCONT follows.
    RequestStop(Run, StopMethod, StopSignalScope),
    /// Send a signal to what is left of the tree of a run whose main process has ended, and watch
    /// for its end. Answered by [`Input::TreeGone`](super::Input::TreeGone).
    StopLeftovers(Run, Signal),
    /// SIGKILL to everything that belongs to the run's tree.
    KillTree(Run),
    /// Wake the machine at this time.
    ArmTimer(Timer, Time),
    /// The run has taken the place of its predecessor's: what names one process names it now.
    Promote(Run),
    /// The instance is gone for ever: release what belongs to it.
    Remove(InstanceId),
    /// Something has happened.
    Report {
        /// What.
        notice: Notice,
        /// The operations of which it is a step.
        tickets: Vec<Ticket>,
    },
    /// An answer to a request.
    Reply(Ticket, Reply),
    /// All is done: end with this code.
    Exit(ExitCode),
}

impl From<Notice> for Effect {
    fn from(notice: Notice) -> Self {
        Self::Report { notice, tickets: Vec::new() }
    }
}
