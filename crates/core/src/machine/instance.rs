//! An instance: a numbered copy of an application, with at most one process at a time.
//!
//! Its status is in PM2's words. A step returns what only the root can decide as a [`StepOutcome`].

mod dependencies;
mod ending;
mod gate;
mod health_checks;
mod lifecycle;
mod listening;
mod state;
mod stop;

use std::sync::Arc;

pub use self::state::Status;
pub(super) use self::state::{AfterStop, Obstacle, StartDependencies, Step, StepOutcome, Stop};
use self::state::{Lifecycle, State};
use super::{
    health::HealthState,
    history::History,
    ids::{InstanceId, Run},
    readiness::ReadinessGate,
    reason::ExitReason,
    subject::{Generation, Subject},
    time::Time,
};
use crate::spec::{AppSpec, ProgramKind, Signal};

#[derive(Debug)]
pub(super) struct Instance {
    pub(super) id: InstanceId,
    /// PM2's `pm_id`. In a reload the successor has the same.
    pub(super) pm_id: u32,
    pub(super) generation: Generation,
    /// 0 for the first instance of its application (PM2's `NODE_APP_INSTANCE`).
    pub(super) number: u32,
    pub(super) spec: Arc<AppSpec>,
    /// The kind of its last program, known when that was started.
    pub(super) kind: Option<ProgramKind>,
    pub(super) lifecycle: Lifecycle,
    pub(super) gate: ReadinessGate,
    pub(super) health: HealthState,
    pub(super) history: History,
    /// Why the present run ends, if more is known than its exit status.
    pub(super) reason: Option<ExitReason>,
}

impl Instance {
    pub(super) fn new(id: InstanceId, pm_id: u32, number: u32, spec: Arc<AppSpec>, now: Time) -> Self {
        Self {
            id,
            pm_id,
            generation: Generation::Current,
            number,
            spec,
            kind: None,
            lifecycle: Lifecycle::default(),
            gate: ReadinessGate::default(),
            health: HealthState::default(),
            history: History::new(now),
            reason: None,
        }
    }

    pub(super) fn subject(&self) -> Subject {
        Subject { id: self.id, pm_id: self.pm_id, generation: self.generation, spec: self.spec.clone() }
    }

    pub(super) fn status(&self) -> Status {
        match &self.lifecycle.state {
            State::Stopped => Status::Stopped,
            State::WaitingForDependencies(wait) if wait.is_blocked() => Status::Stopped,
            State::WaitingForDependencies(_) => Status::WaitingForDependencies,
            State::Launching { .. } => Status::Launching,
            // PM2's status until the process has sent `ready`.
            State::Online { .. } if self.spec.reload.wait_ready && self.gate.stage.is_some() => {
                Status::Launching
            }
            // The process runs but does not serve.
            State::Online { .. } if self.cannot_listen() => Status::Launching,
            State::Online { .. } if self.history.address_was_in_use && self.gate.stage.is_some() => {
                Status::Launching
            }
            State::Online { .. } => Status::Online,
            State::Draining { .. } | State::Stopping { .. } => Status::Stopping,
            State::BackingOff => Status::BackingOff,
            State::Errored => Status::Errored,
        }
    }

    /// Whether a start of it is complete once its program has been executed: with `wait_ready` only when it is online.
    pub(super) fn counts_as_started(&self) -> bool {
        !self.spec.reload.wait_ready || self.status() == Status::Online
    }

    /// Whether it has a process, or starts one by itself.
    pub(super) fn is_alive(&self) -> bool {
        match &self.lifecycle.state {
            State::Stopped | State::Errored => false,
            State::WaitingForDependencies(wait) => !wait.is_blocked(),
            State::Launching { .. }
            | State::Online { .. }
            | State::Draining { .. }
            | State::Stopping { .. }
            | State::BackingOff => true,
        }
    }

    /// Whether it has its slot: it is neither a successor nor a predecessor.
    pub(super) fn is_current(&self) -> bool {
        self.generation == Generation::Current
    }

    /// Whether it has its slot and keeps it.
    pub(super) fn is_staying(&self) -> bool {
        self.is_current() && !self.is_being_removed()
    }

    /// Whether its process runs and is not being stopped.
    pub(super) fn is_online(&self) -> bool {
        matches!(self.lifecycle.state, State::Online { .. })
    }

    /// Whether it runs or has run, and was not stopped by a request.
    pub(super) fn should_run(&self) -> bool {
        let is_to_stay = |then: &AfterStop| matches!(then, AfterStop::StayStopped | AfterStop::Remove);
        match &self.lifecycle.state {
            State::Stopped | State::Errored => {
                self.lifecycle.attempted > 0 && !self.lifecycle.is_stopped_by_request
            }
            State::Launching { stop, .. } => !stop.is_some_and(|stop| is_to_stay(&stop.then)),
            State::Draining { then, .. } | State::Stopping { then, .. } => !is_to_stay(then),
            State::Online { .. } | State::BackingOff | State::WaitingForDependencies(_) => true,
        }
    }

    /// Whether it is a task (`oneshot`) whose process runs and is not being stopped.
    pub(super) fn is_running_task(&self) -> bool {
        match &self.lifecycle.state {
            State::Launching { stop: None, .. } | State::Online { .. } => self.spec.order.oneshot,
            State::Launching { stop: Some(_), .. }
            | State::Draining { .. }
            | State::Stopping { .. }
            | State::Stopped
            | State::WaitingForDependencies(_)
            | State::BackingOff
            | State::Errored => false,
        }
    }

    /// When its process was started, if it has one.
    pub(super) fn started_at(&self) -> Option<Time> {
        match self.lifecycle.state {
            State::Launching { since, .. }
            | State::Online { since, .. }
            | State::Draining { since, .. }
            | State::Stopping { since, main_exited: false, .. } => Some(since),
            State::Stopping { main_exited: true, .. }
            | State::Stopped
            | State::WaitingForDependencies(_)
            | State::BackingOff
            | State::Errored => None,
        }
    }

    /// The stop signal of its process.
    pub(super) fn stop_signal(&self) -> Signal {
        self.spec.stop_signal(self.kind.unwrap_or_default())
    }

    /// Whether its process is stopped by a message (`shutdown_with_message`).
    pub(super) fn stops_by_message(&self) -> bool {
        self.spec.stop.with_message
            && self.spec.has_channel()
            && self.kind.is_some_and(ProgramKind::may_take_messages)
    }

    /// The run that has a process or is being started.
    pub(super) fn run(&self) -> Option<Run> {
        let number = match self.lifecycle.state {
            State::Launching { run, .. }
            | State::Online { run, .. }
            | State::Draining { run, .. }
            | State::Stopping { run, .. } => run,
            State::Stopped | State::WaitingForDependencies(_) | State::BackingOff | State::Errored => {
                return None;
            }
        };
        Some(Run { instance: self.id, number })
    }

    /// Whether it leaves the list as soon as its process tree is gone.
    pub(super) fn is_being_removed(&self) -> bool {
        match &self.lifecycle.state {
            State::Draining { then, .. } | State::Stopping { then, .. } => matches!(then, AfterStop::Remove),
            State::Launching { stop, .. } => stop.is_some_and(|stop| matches!(stop.then, AfterStop::Remove)),
            State::Stopped
            | State::WaitingForDependencies(_)
            | State::Online { .. }
            | State::BackingOff
            | State::Errored => false,
        }
    }

    /// The run whose main process can get a signal.
    pub(super) fn main_process(&self) -> Option<Run> {
        match self.lifecycle.state {
            State::Online { .. } | State::Draining { .. } | State::Stopping { main_exited: false, .. } => {
                self.run()
            }
            State::Stopping { main_exited: true, .. }
            | State::Launching { .. }
            | State::Stopped
            | State::WaitingForDependencies(_)
            | State::BackingOff
            | State::Errored => None,
        }
    }
}
