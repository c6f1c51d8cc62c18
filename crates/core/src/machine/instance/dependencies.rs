//! The wait of an instance for its dependencies before it starts.
//!
//! Only a start of a stopped instance waits. A restart after a crash, by a command or in a reload does not, and a
//! dependency that ends later does not affect a running instance.

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
    /// Starts it, as soon as its dependencies are satisfied. A successor does not wait: its predecessor has.
    pub(super) fn start_in_order(&mut self, step: &mut Step<'_>, starts: StartDependencies) {
        if self.spec.order.depends_on.is_empty() || !self.is_current() {
            self.launch(step);
            return;
        }
        self.history.forget_failure();
        self.lifecycle.is_stopped_by_request = false;
        self.lifecycle.state = State::WaitingForDependencies(DependencyWait {
            starts,
            is_reported: false,
            is_late: false,
            is_late_reported: false,
            obstacle: None,
        });
        self.arm(step, self.spec.reload.listen_timeout);
    }

    /// The instance's wait for its dependencies, if it waits.
    pub(in crate::machine) fn dependency_wait(&self) -> Option<&DependencyWait> {
        match &self.lifecycle.state {
            State::WaitingForDependencies(wait) => Some(wait),
            State::Stopped
            | State::Launching { .. }
            | State::Online { .. }
            | State::Draining { .. }
            | State::Stopping { .. }
            | State::BackingOff
            | State::Errored => None,
        }
    }

    pub(super) fn dependency_wait_mut(&mut self) -> Option<&mut DependencyWait> {
        match &mut self.lifecycle.state {
            State::WaitingForDependencies(wait) => Some(wait),
            State::Stopped
            | State::Launching { .. }
            | State::Online { .. }
            | State::Draining { .. }
            | State::Stopping { .. }
            | State::BackingOff
            | State::Errored => None,
        }
    }

    /// The instance's dependencies have been started.
    pub(in crate::machine) fn dependencies_started(&mut self) {
        if let Some(wait) = self.dependency_wait_mut() {
            wait.starts = StartDependencies::Started;
        }
    }

    /// The instance's dependencies are satisfied: it starts.
    pub(in crate::machine) fn dependencies_satisfied(&mut self, step: &mut Step<'_>) {
        if self.dependency_wait().is_some() {
            self.launch(step);
        }
    }

    /// The instance waits for these dependencies, which may still be satisfied. Reports the wait, once at its begin and
    /// once when it is late.
    pub(in crate::machine) fn report_wait(
        &mut self,
        step: &mut Step<'_>,
        dependencies: impl FnOnce() -> String,
    ) {
        let (subject, waited) = (self.subject(), self.spec.reload.listen_timeout);
        let Some(wait) = self.dependency_wait_mut() else { return };
        let was_blocked = wait.obstacle.take().is_some();
        if !std::mem::replace(&mut wait.is_reported, true) {
            step.report(subject, EventData::Waiting { dependency: dependencies(), waited: None });
        } else if wait.is_late && !std::mem::replace(&mut wait.is_late_reported, true) {
            step.report(subject, EventData::Waiting { dependency: dependencies(), waited: Some(waited) });
        }
        if was_blocked {
            wait.is_late = false;
            self.history.failure = None;
            self.arm(step, self.spec.reload.listen_timeout);
        }
    }

    /// The instance cannot start because of this obstacle. True: it was not blocked before.
    pub(in crate::machine) fn block(&mut self, step: &mut Step<'_>, obstacle: Obstacle) -> bool {
        let subject = self.subject();
        let Some(wait) = self.dependency_wait_mut() else { return false };
        if wait.is_blocked() {
            wait.obstacle = Some(obstacle);
            return false;
        }
        step.report(subject, EventData::Blocked { obstacle: obstacle.message.clone() });
        wait.obstacle = Some(obstacle);
        // Its timer is stale.
        self.lifecycle.epoch += 1;
        self.gate.settle(|| GateOutcome::Failed(ReadinessFailure::WaitsForDependencies));
        true
    }

    /// The instance has waited for `listen_timeout`: the operation that waits for it gets an answer.
    pub(super) fn wait_timed_out(&mut self) {
        if let Some(wait) = self.dependency_wait_mut().filter(|wait| !wait.is_blocked()) {
            wait.is_late = true;
            self.gate.settle(|| GateOutcome::Failed(ReadinessFailure::WaitsForDependencies));
        }
    }

    /// Whether it has waited for longer than an operation waits for it.
    pub(in crate::machine) fn is_late(&self) -> bool {
        self.dependency_wait().is_some_and(|wait| wait.is_late)
    }

    /// Why it cannot start at the moment.
    pub(in crate::machine) fn obstacle(&self) -> Option<&Obstacle> {
        self.dependency_wait().and_then(|wait| wait.obstacle.as_ref())
    }

    /// Whether its task has completed.
    pub(in crate::machine) fn is_complete(&self) -> bool {
        self.history.completed > 0
            && self.history.completed == self.lifecycle.attempted
            && matches!(self.lifecycle.state, State::Stopped)
    }

    /// Whether it meets this condition of a dependent instance.
    pub(in crate::machine) fn satisfies(&self, condition: Condition) -> bool {
        match condition {
            Condition::Started => match &self.lifecycle.state {
                State::Online { .. } => true,
                // It runs again and again.
                State::BackingOff => self.lifecycle.executed > 0,
                // Its work is done.
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

    /// Itself as the obstacle of a dependent instance: it does not run, and does not start by itself.
    pub(in crate::machine) fn as_obstacle(&self) -> Obstacle {
        let message = match (self.status(), self.obstacle()) {
            (_, Some(_)) => "is not started either",
            (Status::Errored, None) => "is errored",
            (_, None) if self.lifecycle.attempted == 0 => "is not started",
            (_, None) if self.lifecycle.is_stopped_by_request => "was stopped",
            (_, None) => "has ended",
        };
        let is_failure =
            self.obstacle().map_or(!self.lifecycle.is_stopped_by_request, |obstacle| obstacle.is_failure);
        Obstacle { message: format!("{} {message}", self.subject()), is_failure }
    }

    /// Whether the start of a dependent instance starts it too.
    pub(in crate::machine) fn starts_with(&self, starts: StartDependencies) -> bool {
        let is_down =
            matches!(self.lifecycle.state, State::Stopped | State::Errored) || self.obstacle().is_some();
        match starts {
            StartDependencies::Started => false,
            StartDependencies::NeverStarted => {
                is_down && self.lifecycle.attempted == 0 && !self.lifecycle.is_stopped_by_request
            }
            StartDependencies::All => is_down,
        }
    }

    /// Starts it because a dependent instance waits for it.
    pub(in crate::machine) fn start_as_dependency(&mut self, step: &mut Step<'_>, starts: StartDependencies) {
        if self.starts_with(starts) {
            self.start_in_order(step, starts);
        }
    }

    /// Whether it stops in the order of the shutdown, after the instances that depend on it. Other instances stop at
    /// the begin of the shutdown.
    pub(in crate::machine) fn stops_in_order(&self) -> bool {
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
