//! A run that could not listen: either it does not serve, or it keeps running without that server.

use std::time::Duration;

use super::{Instance, state::Step};
use crate::machine::{
    effect::Effect,
    events::EventData,
    fault::ListenFailure,
    ids::{Timer, TimerKind},
    listening::ListenState,
    time::Time,
};

/// An application that handles a failed listen and does not try again within this time (or within its `listen_timeout`
/// if that is shorter) keeps running without that server.
const RETRY_WINDOW: Duration = Duration::from_secs(5);

impl Instance {
    /// Whether its present run could not listen, has not listened since, and does not keep running without that server.
    pub(in crate::machine) fn cannot_listen(&self) -> bool {
        self.health.listening.has_failed()
    }

    /// The present run listens: clears its earlier failure to listen.
    pub(in crate::machine) fn clear_listen_failure(&mut self) {
        let ListenState { failure, tolerated_at, is_tolerated, .. } = &mut self.health.listening;
        (*failure, *tolerated_at, *is_tolerated) = (None, None, false);
    }

    /// The present run could not listen. An application that handles the error and does not try again serves without
    /// that server: the port of its metrics, for example.
    pub(in crate::machine) fn listen_failed(
        &mut self,
        step: &mut Step<'_>,
        failure: ListenFailure,
        is_handled: bool,
    ) {
        let at = step.now + self.spec.reload.listen_timeout.min(RETRY_WINDOW);
        self.health.listening.failure = Some(failure);
        self.health.listening.tolerated_at = is_handled.then_some(at);
        self.health.listening.is_tolerated &= is_handled;
        // An application that tries again and again must not fill the list of timers.
        if is_handled && !self.health.listening.is_timer_armed {
            self.arm_listen_timer(step, at);
        }
    }

    pub(super) fn arm_listen_timer(&mut self, step: &mut Step<'_>, at: Time) {
        self.health.listening.epoch += 1;
        self.health.listening.is_timer_armed = true;
        let timer =
            Timer { instance: self.id, kind: TimerKind::Listening, epoch: self.health.listening.epoch };
        step.out.push(Effect::ArmTimer(timer, at));
    }

    /// Checks whether it keeps running without the server that could not listen.
    pub(in crate::machine) fn listen_timer_fired(&mut self, step: &mut Step<'_>, epoch: u64) {
        if epoch != self.health.listening.epoch || !self.is_online() {
            return;
        }
        self.health.listening.is_timer_armed = false;
        let Some(at) = self.health.listening.tolerated_at else { return };
        if at > step.now {
            // It has tried again since.
            self.arm_listen_timer(step, at);
        } else if !self.health.listening.is_tolerated {
            self.health.listening.is_tolerated = true;
            let address =
                self.health.listening.failure().map_or_else(String::new, |failure| failure.address.clone());
            step.report(self.subject(), EventData::WithoutListener { address });
        }
    }

    /// Whether an exit of its present run would be a failure of which it has not reported the reason.
    pub(in crate::machine) fn is_unexplained(&self) -> bool {
        self.is_online() && !self.cannot_listen() && !self.gate.shown.listening && !self.has_uncaught_error()
    }
}
