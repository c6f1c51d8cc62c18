//! The end of a run: leftovers, restart policy, and what follows.

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
        history::{MIN_START_RETRY, PastRun},
        ids::Run,
        readiness::{GateOutcome, ReadinessFailure},
        reason::{ExitReason, reason},
        subject::Generation,
        time::Time,
    },
    spec::{ExitCode, Signal},
};

/// The signal for leftovers, whatever the stop signal of the worker was: background jobs of a shell ignore SIGINT and
/// SIGQUIT (POSIX, "Asynchronous Lists").
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
                    return self.follow_up(step, stop.then, failure.code);
                }
                if !signals.is_empty() {
                    let signals = signals.into_iter().collect();
                    step.report(self.subject(), EventData::SignalsLost { signals });
                }
                self.handle_exit(step, Ending::SpawnFailed(failure), Duration::ZERO, false)
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
                    Some(stop) => self.finish_stop(step, &ending, uptime, stop.then),
                    None => self.handle_exit(step, ending, uptime, leftovers),
                }
            }
            State::Online { since, .. } => {
                let uptime = step.now.since(*since);
                self.handle_exit(step, ending, uptime, leftovers)
            }
            State::Draining { run, since, then, .. } => {
                let (run, since, then) = (*run, *since, *then);
                self.lifecycle.state = State::Stopping { run, main_exited: false, since, kills: 0, then };
                self.arm_kill(step);
                self.exited(step, ending, leftovers)
            }
            State::Stopping { main_exited: main_exited @ false, since, then, run, .. } => {
                let (started_at, uptime) = (*since, step.now.since(*since));
                let (run, then) = (Run { instance: self.id, number: *run }, *then);
                *main_exited = leftovers;
                match then {
                    AfterStop::Recover => self.recover(step, &ending, started_at, leftovers.then_some(run)),
                    AfterStop::Follow(_)
                    | AfterStop::Restart
                    | AfterStop::StayStopped
                    | AfterStop::Remove
                        if leftovers =>
                    {
                        self.report_exit(step, &ending, uptime, FollowUp::Leftovers);
                        self.stop_leftovers(step, run);
                        StepOutcome::Nothing
                    }
                    AfterStop::Follow(_)
                    | AfterStop::Restart
                    | AfterStop::StayStopped
                    | AfterStop::Remove => self.finish_stop(step, &ending, uptime, then),
                }
            }
            State::Stopping { main_exited: true, .. }
            | State::Stopped
            | State::WaitingForDependencies(_)
            | State::BackingOff
            | State::Errored => StepOutcome::Nothing,
        }
    }

    /// The last leftover has ended.
    pub(in crate::machine) fn tree_gone(&mut self, step: &mut Step<'_>) -> StepOutcome {
        match &self.lifecycle.state {
            State::Stopping { main_exited: true, then, .. } => {
                let then = *then;
                self.follow_up(step, then, 0)
            }
            State::Stopping { main_exited: false, .. }
            | State::Launching { .. }
            | State::Online { .. }
            | State::Draining { .. }
            | State::Stopped
            | State::WaitingForDependencies(_)
            | State::BackingOff
            | State::Errored => StepOutcome::Nothing,
        }
    }

    /// The main process has ended by itself.
    pub(super) fn handle_exit(
        &mut self,
        step: &mut Step<'_>,
        ending: Ending,
        uptime: Duration,
        leftovers: bool,
    ) -> StepOutcome {
        let code = ending.code();
        // What the run reported replaces the reason of a stop that has not begun.
        self.reason = self.reported_reason(&ending);
        self.history.address_was_in_use =
            matches!(&self.reason, Some(ExitReason::CannotListen(failure)) if failure.is_in_use);
        let (next, then) = if self.generation == Generation::Successor {
            // Its predecessor still serves.
            (FollowUp::Stopped, AfterStop::Remove)
        } else if self.is_last_run() {
            (FollowUp::Stopped, AfterStop::StayStopped)
        } else {
            let next = self.choose_follow_up(&ending, uptime);
            (next, AfterStop::Follow(next))
        };
        let run = self.run();
        self.report_exit(step, &ending, uptime, next);
        // This concerns also a run that was ready: a reload that continued would spread a version that does not last.
        if self.is_complete_by(&ending) {
            self.gate.settle(|| GateOutcome::Passed);
        } else if self.gate.stage.take().is_some() || uptime < self.spec.restart.min_uptime {
            self.gate.outcome = Some(GateOutcome::Failed(ReadinessFailure::Ended { ending, uptime }));
        }
        match run {
            Some(run) if leftovers => {
                self.lifecycle.state =
                    State::Stopping { run: run.number, main_exited: true, since: step.now, kills: 0, then };
                self.stop_leftovers(step, run);
                self.arm_kill(step);
                immediate_outcome(next, code)
            }
            _ => self.follow_up(step, then, code),
        }
    }

    /// Whether this ending completes a task.
    pub(super) fn is_complete_by(&self, ending: &Ending) -> bool {
        self.spec.order.oneshot && self.is_current() && *ending == Ending::Exited(0)
    }

    /// The main process has ended after a stop request.
    pub(super) fn finish_stop(
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
        self.report_exit(step, ending, uptime, next);
        self.follow_up(step, then, 0)
    }

    /// The main process of an unhealthy instance has ended; `left` is its run if there are leftovers.
    pub(super) fn recover(
        &mut self,
        step: &mut Step<'_>,
        ending: &Ending,
        started_at: Time,
        left: Option<Run>,
    ) -> StepOutcome {
        let healthy_time = self.healthy_time(started_at);
        let next = if self.spec.restart.autorestart {
            self.history.next_restart(
                &self.spec.restart,
                healthy_time < self.spec.restart.min_uptime,
                healthy_time,
                Duration::ZERO,
            )
        } else {
            FollowUp::Final
        };
        // An unhealthy run has failed, also if it exited with 0.
        let code = ending.code().max(1);
        // The exit is reported once, with what follows, for example that the instance is errored.
        self.report_exit(step, ending, step.now.since(started_at), next);
        let Some(run) = left else {
            return self.follow_up(step, AfterStop::Follow(next), code);
        };
        self.stop_leftovers(step, run);
        if let State::Stopping { then, .. } = &mut self.lifecycle.state {
            *then = AfterStop::Follow(next);
        }
        immediate_outcome(next, code)
    }

    pub(super) fn report_exit(
        &mut self,
        step: &mut Step<'_>,
        ending: &Ending,
        uptime: Duration,
        next: FollowUp,
    ) {
        let cause = self.reason.take();
        self.history.record.add(PastRun {
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

    pub(super) fn stop_leftovers(&mut self, step: &mut Step<'_>, run: Run) {
        step.report(self.subject(), EventData::Leftovers {});
        step.out.push(Effect::StopLeftovers(run, LEFTOVER_SIGNAL));
    }

    /// Nothing of the last run is left: carries out what follows.
    pub(super) fn follow_up(&mut self, step: &mut Step<'_>, then: AfterStop, code: ExitCode) -> StepOutcome {
        self.lifecycle.epoch += 1;
        self.lifecycle.is_stopped_by_request |= matches!(then, AfterStop::StayStopped);
        match then {
            AfterStop::Restart | AfterStop::Recover | AfterStop::Follow(FollowUp::Restart(_)) => {}
            AfterStop::StayStopped | AfterStop::Remove | AfterStop::Follow(_) => {
                self.gate.settle(|| GateOutcome::Failed(ReadinessFailure::PredecessorAlive));
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
            // The process was not started, or its exit counts for nothing.
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

    /// What follows an exit, by PM2's rules (`min_uptime`, `max_restarts`, `stop_exit_codes`).
    pub(super) fn choose_follow_up(&mut self, ending: &Ending, uptime: Duration) -> FollowUp {
        let policy = &self.spec.restart;
        let (is_final, is_unstable, min_delay) = match ending {
            // Like a start that failed because its port is in use: an immediate retry would fail again.
            Ending::Exited(code) if self.history.address_was_in_use => {
                (policy.stop_exit_codes.contains(code), true, MIN_START_RETRY)
            }
            Ending::Exited(code) => {
                (policy.stop_exit_codes.contains(code), uptime < policy.min_uptime, Duration::ZERO)
            }
            Ending::Signaled { .. } | Ending::OutOfMemory { .. } => {
                (false, uptime < policy.min_uptime, Duration::ZERO)
            }
            // Unstable whatever `min_uptime` is, and never tried again without a delay: such a start fails at once, and
            // the supervisor would do nothing else.
            Ending::SpawnFailed(failure) => match failure.kind {
                FailureKind::Permanent if self.lifecycle.executed == 0 => {
                    return FollowUp::Errored { unstable_runs: 1 };
                }
                FailureKind::Permanent | FailureKind::Transient => (false, true, MIN_START_RETRY),
                // The restart policy does not apply: the run that it allowed has not begun.
                FailureKind::Shortage => return self.history.next_attempt(&self.spec.restart),
            },
        };
        if self.spec.order.oneshot {
            if *ending == Ending::Exited(0) && self.history.changed_during == self.lifecycle.attempted {
                return FollowUp::Restart(Duration::ZERO);
            }
            if *ending == Ending::Exited(0) {
                self.history.completed = self.lifecycle.attempted;
                return FollowUp::Final;
            }
            if !policy.autorestart || is_final {
                return FollowUp::Errored { unstable_runs: self.history.unstable_runs + 1 };
            }
            // A task that ends with an error has failed, however long it ran.
            return self.history.next_restart(&self.spec.restart, true, uptime, min_delay);
        }
        // The success of an application that ends the container is final.
        let has_succeeded = policy.ends_on_success && *ending == Ending::Exited(0);
        if !policy.autorestart || is_final || has_succeeded {
            return FollowUp::Final;
        }
        self.history.next_restart(&self.spec.restart, is_unstable, uptime, min_delay)
    }
}

/// What the root must know at the exit of the main process, while there are leftovers: the exit code is not kept.
fn immediate_outcome(next: FollowUp, code: ExitCode) -> StepOutcome {
    match next {
        FollowUp::Final => StepOutcome::Ended(code),
        FollowUp::Errored { .. } => StepOutcome::Errored(code),
        FollowUp::Restart(_) | FollowUp::Stopped | FollowUp::Leftovers => StepOutcome::Nothing,
    }
}
