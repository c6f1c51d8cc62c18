//! The readiness gate: a new run must pass it before it counts as ready.

use super::{Instance, state::Step};
use crate::machine::readiness::{GateOutcome, GateStage, ReadyWhen};

impl Instance {
    /// Extends the gate: the present run must show this from now on.
    pub(in crate::machine) fn extend_gate(&mut self, step: &mut Step<'_>, requirement: ReadyWhen) {
        self.gate.stage = Some(GateStage::CurrentRun(requirement));
        self.arm_gate(step, requirement);
    }

    pub(super) fn arm_gate(&mut self, step: &mut Step<'_>, requirement: ReadyWhen) {
        let time = match requirement {
            ReadyWhen::Shown(_) => self.spec.reload.listen_timeout,
            ReadyWhen::Uptime => self.spec.restart.min_uptime,
        };
        self.arm(step, time);
    }

    /// Passes the gate if the present run has shown what it must.
    pub(super) fn check_gate(&mut self) {
        if self.gate.is_satisfied() {
            // Its timer is stale.
            self.lifecycle.epoch += 1;
            self.gate.settle(|| GateOutcome::Passed);
        }
    }
}
