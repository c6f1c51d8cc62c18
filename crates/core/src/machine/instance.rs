//! One instance: a place in the process list in which one process at a time runs.
//!
//! The states are PM2's words. What only the root can decide is handed up as a [`StepOutcome`].

mod dependencies;
mod ending;
mod gate;
mod health_checks;
mod lifecycle;
mod listening;
mod state;
mod stop;

use std::{sync::Arc, time::Duration};

use self::state::State;
pub use self::state::Status;
pub(super) use self::state::{AfterStop, Obstacle, Step, StepOutcome, Stop, Wakes};
use super::{
    backoff::Progress,
    health::HealthState,
    history::Record,
    ids::{InstanceId, Run},
    listening::Listening,
    readiness::{Outcome, Readiness, ReadinessGate},
    reason::Reason,
    subject::{Generation, Subject},
    time::Time,
};
use crate::spec::{AppSpec, ExitCode, ProgramKind, Signal};

#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own; no two exclude each other")]
pub(super) struct Instance {
    pub(super) id: InstanceId,
    /// What people call it by (PM2's `pm_id`); its successor is called the same.
    pub(super) pm_id: u32,
    pub(super) generation: Generation,
    /// 0 for the first instance of its application (PM2's `NODE_APP_INSTANCE`).
    pub(super) number: u32,
    pub(super) spec: Arc<AppSpec>,
    /// What runs its last program, as its start has found it.
    pub(super) kind: Option<ProgramKind>,
    pub(super) state: State,
    /// What the present run has said of itself.
    pub(super) readiness: Readiness,
    /// Whether the present run is well.
    pub(super) vitals: HealthState,
    /// Whether the present run could not listen.
    pub(super) listening: Listening,
    /// Unstable runs in a row.
    pub(super) unstable: u32,
    /// The last run ended because another process listened on its address.
    pub(super) address_was_in_use: bool,
    pub(super) backoff: Progress,
    /// The number of the last run that was tried; 0 is none.
    pub(super) tried: u64,
    /// The number of the last run whose program has been executed; 0 is none.
    pub(super) begun: u64,
    /// Whether any run of it has listened.
    pub(super) has_listened: bool,
    pub(super) record: Record,
    /// Why its present run ends, beyond its exit status and the request of a client.
    pub(super) reason: Option<Reason>,
    /// What the present run or the next one has to show.
    pub(super) trial: Option<ReadinessGate>,
    /// Somebody has stopped it, and it is to stay so.
    pub(super) is_put_away: bool,
    /// The number of the last run that has done its task (`oneshot`); 0 is none.
    pub(super) completed: u64,
    /// The number of the last run during which its work has changed (`oneshot`); 0 is none.
    pub(super) outdated: u64,
    /// Everything stops: SIGKILL comes no later than this, whatever its `kill_timeout` says, and its
    /// present run is its last one.
    pub(super) kill_limit: Option<Time>,
    /// How long its process is given from the stop signal to SIGKILL, and until when that is.
    pub(super) patience: (Duration, Time),
    /// How the last trial ended; the root takes it after each step.
    pub(super) outcome: Option<Outcome>,
    /// When it failed for good, in the root's count of failures, and with which code.
    pub(super) failure: Option<(u64, ExitCode)>,
    /// It failed because it was given up, and not by an exit that is final.
    pub(super) gave_up: bool,
    /// Counts armed timers; all but the last one armed are stale.
    pub(super) epoch: u64,
}

impl Instance {
    pub(super) fn new(id: InstanceId, pm_id: u32, number: u32, spec: Arc<AppSpec>, now: Time) -> Self {
        Self {
            id,
            pm_id,
            generation: Generation::Settled,
            number,
            spec,
            kind: None,
            state: State::Stopped,
            readiness: Readiness::default(),
            vitals: HealthState::default(),
            listening: Listening::default(),
            unstable: 0,
            address_was_in_use: false,
            backoff: Progress::default(),
            tried: 0,
            begun: 0,
            has_listened: false,
            record: Record::new(now),
            reason: None,
            trial: None,
            is_put_away: false,
            completed: 0,
            outdated: 0,
            kill_limit: None,
            patience: (Duration::ZERO, Time::ZERO),
            outcome: None,
            failure: None,
            gave_up: false,
            epoch: 0,
        }
    }

    pub(super) fn subject(&self) -> Subject {
        Subject { id: self.id, pm_id: self.pm_id, generation: self.generation, spec: self.spec.clone() }
    }

    pub(super) fn status(&self) -> Status {
        match &self.state {
            State::Stopped => Status::Stopped,
            State::DependencyWait(turn) if turn.is_blocked() => Status::Stopped,
            State::DependencyWait(_) => Status::Waiting,
            State::Launching { .. } => Status::Launching,
            // PM2's word for one that has yet to send its `ready`.
            State::Online { .. } if self.spec.reload.wait_ready && self.trial.is_some() => Status::Launching,
            // The process runs but does not do its work.
            State::Online { .. } if self.cannot_listen() => Status::Launching,
            State::Online { .. } if self.address_was_in_use && self.trial.is_some() => Status::Launching,
            State::Online { .. } => Status::Online,
            State::Draining { .. } | State::Stopping { .. } => Status::Stopping,
            State::Waiting => Status::WaitingRestart,
            State::Errored => Status::Errored,
        }
    }

    /// Whether a run that has begun has nothing to show any more; that it has ended since is no matter
    /// where nothing had to be shown.
    pub(super) fn is_up(&self) -> bool {
        !self.spec.reload.wait_ready || self.status() == Status::Online
    }

    /// Whether it has a process or will have one by itself.
    pub(super) fn is_alive(&self) -> bool {
        match &self.state {
            State::Stopped | State::Errored => false,
            State::DependencyWait(turn) => !turn.is_blocked(),
            State::Launching { .. }
            | State::Online { .. }
            | State::Draining { .. }
            | State::Stopping { .. }
            | State::Waiting => true,
        }
    }

    /// Whether it is the one of its place.
    pub(super) fn is_settled(&self) -> bool {
        self.generation == Generation::Settled
    }

    /// Whether it is the one of its place, and is to stay it.
    pub(super) fn is_staying(&self) -> bool {
        self.is_settled() && !self.is_leaving()
    }

    /// Whether its process runs and is to go on.
    pub(super) fn is_online(&self) -> bool {
        matches!(self.state, State::Online { .. })
    }

    /// Whether it runs or has run, and nobody has stopped it.
    pub(super) fn is_wanted(&self) -> bool {
        let is_to_stay = |then: &AfterStop| matches!(then, AfterStop::Stay | AfterStop::Remove);
        match &self.state {
            State::Stopped | State::Errored => self.tried > 0 && !self.is_put_away,
            State::Launching { stop, .. } => !stop.is_some_and(|stop| is_to_stay(&stop.then)),
            State::Draining { then, .. } | State::Stopping { then, .. } => !is_to_stay(then),
            State::Online { .. } | State::Waiting | State::DependencyWait(_) => true,
        }
    }

    /// Whether it is a task (`oneshot`) whose process runs and is to go on.
    pub(super) fn is_at_work(&self) -> bool {
        match &self.state {
            State::Launching { stop: None, .. } | State::Online { .. } => self.spec.order.oneshot,
            State::Launching { stop: Some(_), .. }
            | State::Draining { .. }
            | State::Stopping { .. }
            | State::Stopped
            | State::DependencyWait(_)
            | State::Waiting
            | State::Errored => false,
        }
    }

    /// Since when its process is there.
    pub(super) fn started_at(&self) -> Option<Time> {
        match self.state {
            State::Launching { since, .. }
            | State::Online { since, .. }
            | State::Draining { since, .. }
            | State::Stopping { since, ended: false, .. } => Some(since),
            State::Stopping { ended: true, .. }
            | State::Stopped
            | State::DependencyWait(_)
            | State::Waiting
            | State::Errored => None,
        }
    }

    /// The signal that asks its process to end.
    pub(super) fn stop_signal(&self) -> Signal {
        self.spec.stop_signal(self.kind.unwrap_or_default())
    }

    /// Whether its process is asked to end by a message (`shutdown_with_message`).
    pub(super) fn is_asked_by_message(&self) -> bool {
        self.spec.stop.with_message
            && self.spec.has_channel()
            && self.kind.is_some_and(ProgramKind::may_take_messages)
    }

    /// Unstable runs in a row (PM2's `unstable_restarts`).
    pub(super) fn unstable(&self) -> u32 {
        self.unstable
    }

    /// Forgets how often it was restarted.
    pub(super) fn reset(&mut self, now: Time) {
        self.unstable = 0;
        self.record.reset(now);
    }

    /// The run that has a process or is about to.
    pub(super) fn run(&self) -> Option<Run> {
        let number = match self.state {
            State::Launching { run, .. }
            | State::Online { run, .. }
            | State::Draining { run, .. }
            | State::Stopping { run, .. } => run,
            State::Stopped | State::DependencyWait(_) | State::Waiting | State::Errored => return None,
        };
        Some(Run { instance: self.id, number })
    }

    /// Whether it will be forgotten as soon as its tree is gone.
    pub(super) fn is_leaving(&self) -> bool {
        match &self.state {
            State::Draining { then, .. } | State::Stopping { then, .. } => matches!(then, AfterStop::Remove),
            State::Launching { stop, .. } => stop.is_some_and(|stop| matches!(stop.then, AfterStop::Remove)),
            State::Stopped
            | State::DependencyWait(_)
            | State::Online { .. }
            | State::Waiting
            | State::Errored => false,
        }
    }

    /// The run whose main process is there to get a signal.
    pub(super) fn main_process(&self) -> Option<Run> {
        match self.state {
            State::Online { .. } | State::Draining { .. } | State::Stopping { ended: false, .. } => {
                self.run()
            }
            State::Stopping { ended: true, .. }
            | State::Launching { .. }
            | State::Stopped
            | State::DependencyWait(_)
            | State::Waiting
            | State::Errored => None,
        }
    }
}
