//! The readiness gate: a new run must pass it before it counts as ready.

use super::{Instance, state::Step};
use crate::machine::readiness::{Outcome, ReadinessGate, ReadyWhen};

impl Instance {
    /// Its next run has to show this.
    pub(in crate::machine) fn try_next(&mut self, gate: ReadyWhen) {
        self.trial = Some(ReadinessGate::Ahead(gate));
    }

    /// Its present run has to show this, from now on.
    pub(in crate::machine) fn try_again(&mut self, step: &mut Step<'_>, gate: ReadyWhen) {
        self.trial = Some(ReadinessGate::Running(gate));
        self.arm_trial(step, gate);
    }

    pub(in crate::machine) fn arm_trial(&mut self, step: &mut Step<'_>, gate: ReadyWhen) {
        let time = match gate {
            ReadyWhen::Signs(_) => self.spec.reload.listen_timeout,
            ReadyWhen::Uptime => self.spec.restart.min_uptime,
        };
        self.arm(step, time);
    }

    /// The present trial is over, if there is one.
    pub(in crate::machine) fn end_trial(&mut self, outcome: impl FnOnce() -> Outcome) {
        if self.trial.take().is_some() {
            self.outcome = Some(outcome());
        }
    }

    /// Whether it has shown by now what it has to.
    pub(in crate::machine) fn look_at_trial(&mut self) {
        let passes = match self.trial {
            Some(ReadinessGate::Running(ReadyWhen::Signs(wanted))) => wanted.lacks(self.readiness).is_none(),
            Some(ReadinessGate::Running(ReadyWhen::Uptime)) => self.readiness.listening,
            Some(ReadinessGate::Ahead(_)) | None => false,
        };
        if passes {
            // Its timer is stale.
            self.epoch += 1;
            self.end_trial(|| Outcome::Passed);
        }
    }
}
