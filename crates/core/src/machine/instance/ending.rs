//! What comes when the process of an instance has ended: its tree, its restart policy, its end.

use std::time::Duration;

use super::{
    Instance,
    state::{AfterStop, State, Step, StepOutcome},
};
use crate::{
    machine::{
        backoff::Progress,
        effect::Effect,
        ending::{Ending, FailureKind, Next, SpawnFailure},
        events::EventData,
        history::RestartHistory,
        ids::Run,
        readiness::{Outcome, ReadinessFailure},
        reason::{Reason, reason},
        subject::Generation,
        time::Time,
    },
    spec::{Backoff, ExitCode, Signal},
};

/// The least wait before another try to start what could not be started.
const SPAWN_RETRY: Duration = Duration::from_millis(100);

/// The delays between tries to start during a shortage of the system.
const START_RETRY: Backoff = Backoff::Exponential { initial: SPAWN_RETRY, first_at_once: false };

/// What is left of an ended worker gets this whatever the stop signal was: jobs in the background of a
/// shell ignore SIGINT and SIGQUIT (POSIX, "Asynchronous Lists").
const LEFTOVER_SIGNAL: Signal = Signal::TERM;

impl Instance {
    pub(in crate::machine) fn spawn_failed(
        &mut self,
        step: &mut Step<'_>,
        failure: SpawnFailure,
    ) -> StepOutcome {
        match &mut self.state {
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
            | State::DependencyWait(_)
            | State::Online { .. }
            | State::Draining { .. }
            | State::Stopping { .. }
            | State::Waiting
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
        match &mut self.state {
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
                self.state = State::Stopping { run, ended: false, since, kills: 0, then };
                self.arm_kill(step);
                self.exited(step, ending, leftovers)
            }
            State::Stopping { ended: ended @ false, since, then, run, .. } => {
                let (began, uptime) = (*since, step.now.since(*since));
                let (run, then) = (Run { instance: self.id, number: *run }, *then);
                *ended = leftovers;
                match then {
                    AfterStop::Recover => self.recover(step, &ending, began, leftovers.then_some(run)),
                    AfterStop::Follow(_) | AfterStop::Restart | AfterStop::Stay | AfterStop::Remove
                        if leftovers =>
                    {
                        self.say_ended(step, &ending, uptime, Next::Sweep);
                        self.sweep(step, run);
                        StepOutcome::Nothing
                    }
                    AfterStop::Follow(_) | AfterStop::Restart | AfterStop::Stay | AfterStop::Remove => {
                        self.stopped(step, &ending, uptime, then)
                    }
                }
            }
            State::Stopping { ended: true, .. }
            | State::Stopped
            | State::DependencyWait(_)
            | State::Waiting
            | State::Errored => StepOutcome::Nothing,
        }
    }

    /// The last process of the tree is gone.
    pub(in crate::machine) fn tree_gone(&mut self, step: &mut Step<'_>) -> StepOutcome {
        match &self.state {
            State::Stopping { ended: true, then, .. } => {
                let then = *then;
                self.follow(step, then, 0)
            }
            State::Stopping { ended: false, .. }
            | State::Launching { .. }
            | State::Online { .. }
            | State::Draining { .. }
            | State::Stopped
            | State::DependencyWait(_)
            | State::Waiting
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
        self.address_was_in_use =
            matches!(&self.reason, Some(Reason::CannotListen(failure)) if failure.is_in_use);
        let (next, then) = if self.generation == Generation::Coming {
            // Its predecessor is still there.
            (Next::Stay, AfterStop::Remove)
        } else if self.is_last_run() {
            (Next::Stay, AfterStop::Stay)
        } else {
            let next = self.decide(&ending, uptime);
            (next, AfterStop::Follow(next))
        };
        let run = self.run();
        self.say_ended(step, &ending, uptime, next);
        // Also of one that was ready: a reload that goes on would spread what does not last.
        if self.is_complete_by(&ending) {
            self.end_trial(|| Outcome::Passed);
        } else if self.trial.take().is_some() || uptime < self.spec.restart.min_uptime {
            self.outcome = Some(Outcome::Failed(ReadinessFailure::Ended { ending, uptime }));
        }
        match run {
            Some(run) if leftovers => {
                self.state =
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
        self.spec.order.oneshot && self.is_settled() && *ending == Ending::Exited(0)
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
            AfterStop::Restart | AfterStop::Recover => Next::Restart(Duration::ZERO),
            AfterStop::Stay | AfterStop::Remove => Next::Stay,
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
            self.again(well_for < self.spec.restart.min_uptime, well_for, Duration::ZERO)
        } else {
            Next::Final
        };
        // However politely it went.
        let code = ending.code().max(1);
        // What comes next is said here or never: that it is errored, for one.
        self.say_ended(step, ending, step.now.since(began), next);
        let Some(run) = left else {
            return self.follow(step, AfterStop::Follow(next), code);
        };
        self.sweep(step, run);
        if let State::Stopping { then, .. } = &mut self.state {
            *then = AfterStop::Follow(next);
        }
        at_once(next, code)
    }

    pub(super) fn say_ended(&mut self, step: &mut Step<'_>, ending: &Ending, uptime: Duration, next: Next) {
        let cause = self.reason.take();
        self.record.ended(RestartHistory {
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
        step.out.push(Effect::SweepTree(run, LEFTOVER_SIGNAL));
    }

    /// Nothing of the last run is left: goes on to what was to come.
    pub(super) fn follow(&mut self, step: &mut Step<'_>, then: AfterStop, code: ExitCode) -> StepOutcome {
        self.epoch += 1;
        self.is_put_away |= matches!(then, AfterStop::Stay);
        match then {
            AfterStop::Restart | AfterStop::Recover | AfterStop::Follow(Next::Restart(_)) => {}
            AfterStop::Stay | AfterStop::Remove | AfterStop::Follow(_) => {
                self.end_trial(|| Outcome::Failed(ReadinessFailure::NoRoom));
            }
        }
        match then {
            AfterStop::Stay | AfterStop::Follow(Next::Stay | Next::Sweep) => {
                self.state = State::Stopped;
                StepOutcome::Nothing
            }
            AfterStop::Remove => {
                self.state = State::Stopped;
                StepOutcome::Removed
            }
            AfterStop::Restart => {
                self.forget_failures();
                self.launch(step);
                StepOutcome::Nothing
            }
            // Its process had not begun, or has been forgotten: nothing is known against it.
            AfterStop::Recover | AfterStop::Follow(Next::Restart(Duration::ZERO)) => {
                self.launch(step);
                StepOutcome::Nothing
            }
            AfterStop::Follow(Next::Restart(wait)) => {
                self.state = State::Waiting;
                self.arm(step, wait);
                StepOutcome::Nothing
            }
            AfterStop::Follow(Next::Final) => {
                self.state = State::Stopped;
                StepOutcome::Ended(code)
            }
            AfterStop::Follow(Next::Errored { .. }) => {
                self.state = State::Errored;
                StepOutcome::Errored(code)
            }
        }
    }

    pub(super) fn forget_failures(&mut self) {
        self.unstable = 0;
        self.backoff = Progress::default();
    }

    /// Run again, and when? PM2's rules (`min_uptime`, `max_restarts`, `stop_exit_codes`).
    pub(super) fn decide(&mut self, ending: &Ending, uptime: Duration) -> Next {
        let policy = &self.spec.restart;
        let (is_final, is_unstable, least_wait) = match ending {
            // Like a start that failed because its port is in use: an immediate retry would fail again.
            Ending::Exited(code) if self.address_was_in_use => {
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
                FailureKind::Permanent if self.begun == 0 => return Next::Errored { unstable: 1 },
                FailureKind::Permanent | FailureKind::Transient => (false, true, SPAWN_RETRY),
                // Whatever the restart policy says: the run that it allowed has not begun.
                FailureKind::Shortage => return self.retry_start(),
            },
        };
        if self.spec.order.oneshot {
            if *ending == Ending::Exited(0) && self.outdated == self.tried {
                return Next::Restart(Duration::ZERO);
            }
            if *ending == Ending::Exited(0) {
                self.completed = self.tried;
                return Next::Final;
            }
            if !policy.autorestart || is_final {
                return Next::Errored { unstable: self.unstable + 1 };
            }
            // It has failed, however long that took.
            return self.again(true, uptime, least_wait);
        }
        // A success is what an application that ends the container has to reach.
        let has_succeeded = policy.ends_on_success && *ending == Ending::Exited(0);
        if !policy.autorestart || is_final || has_succeeded {
            return Next::Final;
        }
        self.again(is_unstable, uptime, least_wait)
    }

    /// The system lacked something for the start. The delay grows also where the policy says a fixed one,
    /// because a shortage of a minute would otherwise be met by thousands of tries.
    pub(super) fn retry_start(&mut self) -> Next {
        let (delay, progress) = self.backoff.next(START_RETRY, Duration::ZERO);
        let (policy_delay, _) = self.backoff.next(self.spec.restart.backoff, Duration::ZERO);
        self.backoff = progress;
        Next::Restart(delay.max(policy_delay))
    }

    /// It is to run again after a run of this length, unless that has happened too often.
    pub(super) fn again(&mut self, is_unstable: bool, uptime: Duration, least_wait: Duration) -> Next {
        let policy = &self.spec.restart;
        self.unstable = if is_unstable { self.unstable + 1 } else { 0 };
        if self.unstable >= policy.max_restarts.max(1) {
            return Next::Errored { unstable: self.unstable };
        }
        let (wait, progress) = self.backoff.next(policy.backoff, uptime);
        self.backoff = progress;
        Next::Restart(wait.max(least_wait))
    }
}

/// What the root has to know as soon as the process has ended, with its tree still there: later nobody
/// knows its code any more.
fn at_once(next: Next, code: ExitCode) -> StepOutcome {
    match next {
        Next::Final => StepOutcome::Ended(code),
        Next::Errored { .. } => StepOutcome::Errored(code),
        Next::Restart(_) | Next::Stay | Next::Sweep => StepOutcome::Nothing,
    }
}
