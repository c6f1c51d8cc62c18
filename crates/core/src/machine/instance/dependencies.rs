//! How an instance waits for its turn: it starts when others are what it depends on.
//!
//! Only a start from rest waits. An instance that restarts after a crash, a restart or a reload does not, and
//! what becomes of the others while it runs is not looked at.

use super::{
    Instance,
    state::{DependencyWait, Obstacle, StartDependencies, State, Status, Step},
};
use crate::{
    machine::{
        events::EventData,
        readiness::{GateOutcome, ReadinessFailure},
    },
    spec::Condition,
};

impl Instance {
    /// Starts it at once, or as soon as others are what it depends on. A successor does not wait: its
    /// predecessor has.
    pub(super) fn take_turn(&mut self, step: &mut Step<'_>, wakes: StartDependencies) {
        if self.spec.order.depends_on.is_empty() || !self.is_current() {
            self.launch(step);
            return;
        }
        self.history.forget_failure();
        self.lifecycle.is_stopped_by_request = false;
        self.lifecycle.state = State::WaitingForDependencies(DependencyWait {
            wakes,
            is_said: false,
            is_late: false,
            is_late_said: false,
            obstacle: None,
        });
        self.arm(step, self.spec.reload.listen_timeout);
    }

    /// Its wait for others, if it is at it.
    pub(in crate::machine) fn turn(&self) -> Option<&DependencyWait> {
        match &self.lifecycle.state {
            State::WaitingForDependencies(turn) => Some(turn),
            State::Stopped
            | State::Launching { .. }
            | State::Online { .. }
            | State::Draining { .. }
            | State::Stopping { .. }
            | State::BackingOff
            | State::Errored => None,
        }
    }

    pub(super) fn turn_mut(&mut self) -> Option<&mut DependencyWait> {
        match &mut self.lifecycle.state {
            State::WaitingForDependencies(turn) => Some(turn),
            State::Stopped
            | State::Launching { .. }
            | State::Online { .. }
            | State::Draining { .. }
            | State::Stopping { .. }
            | State::BackingOff
            | State::Errored => None,
        }
    }

    /// Whom it depends on has been started.
    pub(in crate::machine) fn has_woken(&mut self) {
        if let Some(turn) = self.turn_mut() {
            turn.wakes = StartDependencies::Started;
        }
    }

    /// All that it waits for is so.
    pub(in crate::machine) fn turn_has_come(&mut self, step: &mut Step<'_>) {
        if self.turn().is_some() {
            self.launch(step);
        }
    }

    /// It waits for this, which may come to pass.
    pub(in crate::machine) fn waits_for(&mut self, step: &mut Step<'_>, what: impl FnOnce() -> String) {
        let (who, waited) = (self.subject(), self.spec.reload.listen_timeout);
        let Some(turn) = self.turn_mut() else { return };
        let was_blocked = turn.obstacle.take().is_some();
        if !std::mem::replace(&mut turn.is_said, true) {
            step.report(who, EventData::Waiting { dependency: what(), waited: None });
        } else if turn.is_late && !std::mem::replace(&mut turn.is_late_said, true) {
            step.report(who, EventData::Waiting { dependency: what(), waited: Some(waited) });
        }
        if was_blocked {
            turn.is_late = false;
            self.history.failure = None;
            self.arm(step, self.spec.reload.listen_timeout);
        }
    }

    /// It cannot start as things stand. Whether that is news.
    pub(in crate::machine) fn is_in_the_way(&mut self, step: &mut Step<'_>, obstacle: Obstacle) -> bool {
        let who = self.subject();
        let Some(turn) = self.turn_mut() else { return false };
        if turn.is_blocked() {
            turn.obstacle = Some(obstacle);
            return false;
        }
        step.report(who, EventData::Blocked { obstacle: obstacle.what.clone() });
        turn.obstacle = Some(obstacle);
        // Its timer is stale.
        self.lifecycle.epoch += 1;
        self.gate.close(|| GateOutcome::Failed(ReadinessFailure::WaitsForDependencies));
        true
    }

    /// It has waited so long that its operation gets an answer.
    pub(super) fn turn_is_late(&mut self) {
        if let Some(turn) = self.turn_mut().filter(|turn| !turn.is_blocked()) {
            turn.is_late = true;
            self.gate.close(|| GateOutcome::Failed(ReadinessFailure::WaitsForDependencies));
        }
    }

    /// Whether it has waited for longer than anybody who has asked for it waits.
    pub(in crate::machine) fn is_late(&self) -> bool {
        self.turn().is_some_and(|turn| turn.is_late)
    }

    /// Why it cannot start as things stand.
    pub(in crate::machine) fn obstacle(&self) -> Option<&Obstacle> {
        self.turn().and_then(|turn| turn.obstacle.as_ref())
    }

    /// Whether its task is done.
    pub(in crate::machine) fn is_complete(&self) -> bool {
        self.history.completed > 0
            && self.history.completed == self.lifecycle.attempted
            && matches!(self.lifecycle.state, State::Stopped)
    }

    /// Whether an operation waits for it.
    pub(in crate::machine) fn fulfils(&self, condition: Condition) -> bool {
        match condition {
            Condition::Started => match &self.lifecycle.state {
                State::Online { .. } => true,
                // It runs for a while, and again.
                State::BackingOff => self.lifecycle.executed > 0,
                // It has done what it had to do.
                State::Stopped => {
                    self.lifecycle.executed > 0
                        && !self.lifecycle.is_stopped_by_request
                        && self.history.failure.is_none()
                }
                State::WaitingForDependencies(_)
                | State::Launching { .. }
                | State::Draining { .. }
                | State::Stopping { .. }
                | State::Errored => false,
            },
            Condition::Ready => self.is_ready(),
            Condition::Healthy => self.is_healthy(),
            Condition::Completed => self.is_complete(),
        }
    }

    /// What stands in the way of who waits for this one, which will not run by itself.
    pub(in crate::machine) fn as_obstacle(&self) -> Obstacle {
        let what = match (self.status(), self.obstacle()) {
            (_, Some(_)) => "is not started either",
            (Status::Errored, None) => "is errored",
            (_, None) if self.lifecycle.attempted == 0 => "is not started",
            (_, None) if self.lifecycle.is_stopped_by_request => "was stopped",
            (_, None) => "has ended",
        };
        let is_failure =
            self.obstacle().map_or(!self.lifecycle.is_stopped_by_request, |obstacle| obstacle.is_failure);
        Obstacle { what: format!("{} {what}", self.subject()), is_failure }
    }

    /// Whether it is one of those that are started with who depends on it.
    pub(in crate::machine) fn is_woken_by(&self, wakes: StartDependencies) -> bool {
        let rests =
            matches!(self.lifecycle.state, State::Stopped | State::Errored) || self.obstacle().is_some();
        match wakes {
            StartDependencies::Started => false,
            StartDependencies::NeverStarted => {
                rests && self.lifecycle.attempted == 0 && !self.lifecycle.is_stopped_by_request
            }
            StartDependencies::All => rests,
        }
    }

    /// Starts it because an operation waits for it.
    pub(in crate::machine) fn wake(&mut self, step: &mut Step<'_>, wakes: StartDependencies) {
        if self.is_woken_by(wakes) {
            self.take_turn(step, wakes);
        }
    }

    /// Whether it is asked to end in its turn, when those that need it are gone: the others end at once
    /// when everything stops.
    pub(in crate::machine) fn has_a_turn_to_end(&self) -> bool {
        match &self.lifecycle.state {
            State::Online { .. } | State::Launching { stop: None, .. } => self.is_current(),
            State::Launching { stop: Some(_), .. }
            | State::Stopped
            | State::WaitingForDependencies(_)
            | State::Draining { .. }
            | State::Stopping { .. }
            | State::BackingOff
            | State::Errored => false,
        }
    }
}
