//! What comes when the process of an instance has ended: its tree, its restart policy, its end.

use std::time::Duration;

use super::{
    Instance,
    state::{AfterStop, State, Step, StepOutcome},
};
use crate::{
    machine::{
        effect::Effect,
        ending::{Ending, FailureKind, FollowUp, SpawnFailure},
        events::EventData,
        history::{PastRun, SPAWN_RETRY},
        ids::Run,
        readiness::{GateOutcome, ReadinessFailure},
        reason::{ExitReason, reason},
        subject::Generation,
        time::Time,
    },
    spec::{ExitCode, Signal},
};

/// What is left of an ended worker gets this whatever the stop signal was: jobs in the background of a
/// shell ignore SIGINT and SIGQUIT (POSIX, "Asynchronous Lists").
const LEFTOVER_SIGNAL: Signal = Signal::TERM;

impl Instance {
    pub(in crate::machine) fn spawn_failed(
        &mut self,
        step: &mut Step<'_>,
        failure: SpawnFailure,
    ) -> StepOutcome {
        match &mut self.lifecycle.state {
            State::Launching { stop, signals, .. } => {
                let (stop, signals) = (stop.take(), std::mem::take(signals));
                if let Some(stop) = stop {
                    return self.follow(step, stop.then, failure.code);
                }
                if !signals.is_empty() {
                    let signals = signals.into_iter().collect();
                    step.report(self.subject(), EventData::SignalsLost { signals });
                }
                self.ended(step, Ending::SpawnFailed(failure), Duration::ZERO, false)
            }
            State::Stopped
            | State::WaitingForDependencies(_)
            | State::Online { .. }
            | State::Draining { .. }
            | State::Stopping { .. }
            | State::BackingOff
            | State::Errored => StepOutcome::Nothing,
        }
    }

    /// The main process has been reaped.
    pub(in crate::machine) fn exited(
        &mut self,
        step: &mut Step<'_>,
        ending: Ending,
        leftovers: bool,
    ) -> StepOutcome {
        let leftovers = leftovers && self.spec.stop.treekill;
        match &mut self.lifecycle.state {
            State::Launching { since, stop, .. } => {
                let uptime = step.now.since(*since);
                match stop.take() {
                    Some(stop) => self.stopped(step, &ending, uptime, stop.then),
                    None => self.ended(step, ending, uptime, leftovers),
                }
            }
            State::Online { since, .. } => {
                let uptime = step.now.since(*since);
                self.ended(step, ending, uptime, leftovers)
            }
            State::Draining { run, since, then, .. } => {
                let (run, since, then) = (*run, *since, *then);
                self.lifecycle.state = State::Stopping { run, ended: false, since, kills: 0, then };
                self.arm_kill(step);
                self.exited(step, ending, leftovers)
            }
            State::Stopping { ended: ended @ false, since, then, run, .. } => {
                let (began, uptime) = (*since, step.now.since(*since));
                let (run, then) = (Run { instance: self.id, number: *run }, *then);
                *ended = leftovers;
                match then {
                    AfterStop::Recover => self.recover(step, &ending, began, leftovers.then_some(run)),
                    AfterStop::Follow(_)
                    | AfterStop::Restart
                    | AfterStop::StayStopped
                    | AfterStop::Remove
                        if leftovers =>
                    {
                        self.say_ended(step, &ending, uptime, FollowUp::Leftovers);
                        self.sweep(step, run);
                        StepOutcome::Nothing
                    }
                    AfterStop::Follow(_)
                    | AfterStop::Restart
                    | AfterStop::StayStopped
                    | AfterStop::Remove => self.stopped(step, &ending, uptime, then),
                }
            }
            State::Stopping { ended: true, .. }
            | State::Stopped
            | State::WaitingForDependencies(_)
            | State::BackingOff
            | State::Errored => StepOutcome::Nothing,
        }
    }

    /// The last process of the tree is gone.
    pub(in crate::machine) fn tree_gone(&mut self, step: &mut Step<'_>) -> StepOutcome {
        match &self.lifecycle.state {
            State::Stopping { ended: true, then, .. } => {
                let then = *then;
                self.follow(step, then, 0)
            }
            State::Stopping { ended: false, .. }
            | State::Launching { .. }
            | State::Online { .. }
            | State::Draining { .. }
            | State::Stopped
            | State::WaitingForDependencies(_)
            | State::BackingOff
            | State::Errored => StepOutcome::Nothing,
        }
    }

    /// The process has ended by itself.
    pub(super) fn ended(
        &mut self,
        step: &mut Step<'_>,
        ending: Ending,
        uptime: Duration,
        leftovers: bool,
    ) -> StepOutcome {
        let code = ending.code();
        // Whatever was to be done about it.
        self.reason = self.reported_reason(&ending);
        self.history.address_was_in_use =
            matches!(&self.reason, Some(ExitReason::CannotListen(failure)) if failure.is_in_use);
        let (next, then) = if self.generation == Generation::Successor {
            // Its predecessor is still there.
            (FollowUp::Stopped, AfterStop::Remove)
        } else if self.is_last_run() {
            (FollowUp::Stopped, AfterStop::StayStopped)
        } else {
            let next = self.decide(&ending, uptime);
            (next, AfterStop::Follow(next))
        };
        let run = self.run();
        self.say_ended(step, &ending, uptime, next);
        // Also of one that was ready: a reload that goes on would spread what does not last.
        if self.is_complete_by(&ending) {
            self.gate.close(|| GateOutcome::Passed);
        } else if self.gate.stage.take().is_some() || uptime < self.spec.restart.min_uptime {
            self.gate.outcome = Some(GateOutcome::Failed(ReadinessFailure::Ended { ending, uptime }));
        }
        match run {
            Some(run) if leftovers => {
                self.lifecycle.state =
                    State::Stopping { run: run.number, ended: true, since: step.now, kills: 0, then };
                self.sweep(step, run);
                self.arm_kill(step);
                at_once(next, code)
            }
            _ => self.follow(step, then, code),
        }
    }

    /// Whether this ending is the end of a task, and not a failure.
    pub(super) fn is_complete_by(&self, ending: &Ending) -> bool {
        self.spec.order.oneshot && self.is_current() && *ending == Ending::Exited(0)
    }

    /// The process has ended as it was asked to.
    pub(super) fn stopped(
        &mut self,
        step: &mut Step<'_>,
        ending: &Ending,
        uptime: Duration,
        then: AfterStop,
    ) -> StepOutcome {
        let next = match &then {
            AfterStop::Follow(next) => *next,
            AfterStop::Restart | AfterStop::Recover => FollowUp::Restart(Duration::ZERO),
            AfterStop::StayStopped | AfterStop::Remove => FollowUp::Stopped,
        };
        self.say_ended(step, ending, uptime, next);
        self.follow(step, then, 0)
    }

    /// The process of one that was sick has ended; `left` is a run that has left something behind.
    pub(super) fn recover(
        &mut self,
        step: &mut Step<'_>,
        ending: &Ending,
        began: Time,
        left: Option<Run>,
    ) -> StepOutcome {
        let well_for = self.was_well_for(began);
        let next = if self.spec.restart.autorestart {
            self.history.next_restart(
                &self.spec.restart,
                well_for < self.spec.restart.min_uptime,
                well_for,
                Duration::ZERO,
            )
        } else {
            FollowUp::Final
        };
        // However politely it went.
        let code = ending.code().max(1);
        // What comes next is said here or never: that it is errored, for one.
        self.say_ended(step, ending, step.now.since(began), next);
        let Some(run) = left else {
            return self.follow(step, AfterStop::Follow(next), code);
        };
        self.sweep(step, run);
        if let State::Stopping { then, .. } = &mut self.lifecycle.state {
            *then = AfterStop::Follow(next);
        }
        at_once(next, code)
    }

    pub(super) fn say_ended(
        &mut self,
        step: &mut Step<'_>,
        ending: &Ending,
        uptime: Duration,
        next: FollowUp,
    ) {
        let cause = self.reason.take();
        self.history.record.ended(PastRun {
            ending: ending.clone(),
            reason: cause.clone(),
            uptime,
            at: step.now,
        });
        let reason = reason(ending, cause.as_ref()).into();
        step.report(
            self.subject(),
            EventData::Exited { reason, ending: ending.clone(), cause, uptime, next },
        );
    }

    pub(super) fn sweep(&mut self, step: &mut Step<'_>, run: Run) {
        step.report(self.subject(), EventData::Leftovers {});
        step.out.push(Effect::StopLeftovers(run, LEFTOVER_SIGNAL));
    }

    /// Nothing of the last run is left: goes on to what was to come.
    pub(super) fn follow(&mut self, step: &mut Step<'_>, then: AfterStop, code: ExitCode) -> StepOutcome {
        self.lifecycle.epoch += 1;
        self.lifecycle.is_stopped_by_request |= matches!(then, AfterStop::StayStopped);
        match then {
            AfterStop::Restart | AfterStop::Recover | AfterStop::Follow(FollowUp::Restart(_)) => {}
            AfterStop::StayStopped | AfterStop::Remove | AfterStop::Follow(_) => {
                self.gate.close(|| GateOutcome::Failed(ReadinessFailure::PredecessorAlive));
            }
        }
        match then {
            AfterStop::StayStopped | AfterStop::Follow(FollowUp::Stopped | FollowUp::Leftovers) => {
                self.lifecycle.state = State::Stopped;
                StepOutcome::Nothing
            }
            AfterStop::Remove => {
                self.lifecycle.state = State::Stopped;
                StepOutcome::Removed
            }
            AfterStop::Restart => {
                self.history.forget_unstable_runs();
                self.launch(step);
                StepOutcome::Nothing
            }
            // Its process had not begun, or has been forgotten: nothing is known against it.
            AfterStop::Recover | AfterStop::Follow(FollowUp::Restart(Duration::ZERO)) => {
                self.launch(step);
                StepOutcome::Nothing
            }
            AfterStop::Follow(FollowUp::Restart(wait)) => {
                self.lifecycle.state = State::BackingOff;
                self.arm(step, wait);
                StepOutcome::Nothing
            }
            AfterStop::Follow(FollowUp::Final) => {
                self.lifecycle.state = State::Stopped;
                StepOutcome::Ended(code)
            }
            AfterStop::Follow(FollowUp::Errored { .. }) => {
                self.lifecycle.state = State::Errored;
                StepOutcome::Errored(code)
            }
        }
    }

    /// Run again, and when? PM2's rules (`min_uptime`, `max_restarts`, `stop_exit_codes`).
    pub(super) fn decide(&mut self, ending: &Ending, uptime: Duration) -> FollowUp {
        let policy = &self.spec.restart;
        let (is_final, is_unstable, least_wait) = match ending {
            // Like a start that failed because its port is in use: an immediate retry would fail again.
            Ending::Exited(code) if self.history.address_was_in_use => {
                (policy.stop_exit_codes.contains(code), true, SPAWN_RETRY)
            }
            Ending::Exited(code) => {
                (policy.stop_exit_codes.contains(code), uptime < policy.min_uptime, Duration::ZERO)
            }
            Ending::Signaled { .. } | Ending::OutOfMemory { .. } => {
                (false, uptime < policy.min_uptime, Duration::ZERO)
            }
            // Unstable whatever `min_uptime` says, and never tried again at once: the answer
            // comes at once, too, and the supervisor would do nothing else.
            Ending::SpawnFailed(failure) => match failure.kind {
                FailureKind::Permanent if self.lifecycle.executed == 0 => {
                    return FollowUp::Errored { unstable_runs: 1 };
                }
                FailureKind::Permanent | FailureKind::Transient => (false, true, SPAWN_RETRY),
                // Whatever the restart policy says: the run that it allowed has not begun.
                FailureKind::Shortage => return self.history.next_attempt(&self.spec.restart),
            },
        };
        if self.spec.order.oneshot {
            if *ending == Ending::Exited(0) && self.history.outdated == self.lifecycle.attempted {
                return FollowUp::Restart(Duration::ZERO);
            }
            if *ending == Ending::Exited(0) {
                self.history.completed = self.lifecycle.attempted;
                return FollowUp::Final;
            }
            if !policy.autorestart || is_final {
                return FollowUp::Errored { unstable_runs: self.history.unstable_runs + 1 };
            }
            // It has failed, however long that took.
            return self.history.next_restart(&self.spec.restart, true, uptime, least_wait);
        }
        // A success is what an application that ends the container has to reach.
        let has_succeeded = policy.ends_on_success && *ending == Ending::Exited(0);
        if !policy.autorestart || is_final || has_succeeded {
            return FollowUp::Final;
        }
        self.history.next_restart(&self.spec.restart, is_unstable, uptime, least_wait)
    }
}

/// What the root has to know as soon as the process has ended, with its tree still there: later nobody
/// knows its code any more.
fn at_once(next: FollowUp, code: ExitCode) -> StepOutcome {
    match next {
        FollowUp::Final => StepOutcome::Ended(code),
        FollowUp::Errored { .. } => StepOutcome::Errored(code),
        FollowUp::Restart(_) | FollowUp::Stopped | FollowUp::Leftovers => StepOutcome::Nothing,
    }
}
