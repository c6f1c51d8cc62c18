//! The stop of an instance: drain, stop signal or message, SIGKILL.

use std::time::Duration;

use super::{
    Instance,
    state::{AfterStop, StartDependencies, State, Step, StepOutcome, Stop},
};
use crate::{
    machine::{
        effect::Effect, ending::StopMethod, events::EventData, ids::Run, reason::StopKind, time::Time,
    },
    spec::Signal,
};

/// The time after SIGKILL until it is sent again, or a process counts as unkillable.
const KILL_RETRY: Duration = Duration::from_secs(1);

impl Instance {
    /// Stops it. `stop.then` replaces what was to follow before.
    pub(in crate::machine) fn stop(&mut self, step: &mut Step<'_>, stop: Stop) -> StepOutcome {
        match (stop.kind, stop.kind.exit_reason()) {
            (StopKind::Shutdown, _) => self.reason = None,
            // A successor that failed by itself keeps its own reason.
            (StopKind::ReloadAborted, Some(reason)) => {
                self.reason.get_or_insert(reason);
            }
            (_, Some(reason)) => self.reason = Some(reason),
            (_, None) => {}
        }
        match &mut self.lifecycle.state {
            State::Online { run, since } => {
                let (number, since) = (*run, *since);
                let run = Run { instance: self.id, number };
                if self.spec.is_cluster() {
                    step.out.push(Effect::Retire(run));
                }
                // A worker that has never listened has no connections.
                match self.spec.stop.drain.filter(|_| stop.kind.drains() && self.gate.shown.listening) {
                    Some(within) => {
                        let Stop { signal, kind, then } = stop;
                        self.lifecycle.state = State::Draining { run: number, since, signal, then };
                        step.report(self.subject(), EventData::Draining { stop: kind, timeout: within });
                        step.out.push(Effect::Drain(run));
                        self.arm(step, within);
                    }
                    None => self.request_stop(step, number, since, stop),
                }
                StepOutcome::Nothing
            }
            State::Draining { run, since, then, .. } => {
                let (run, since) = (*run, *since);
                if stop.kind.drains() {
                    *then = stop.then;
                } else {
                    self.request_stop(step, run, since, stop);
                }
                StepOutcome::Nothing
            }
            State::Launching { run, stop: pending, .. } => {
                if pending.replace(stop).is_none() {
                    let run = Run { instance: self.id, number: *run };
                    step.out.push(Effect::CancelStart(run));
                }
                StepOutcome::Nothing
            }
            State::Stopping { then, .. } => {
                *then = stop.then;
                StepOutcome::Nothing
            }
            State::Stopped | State::WaitingForDependencies(_) | State::Errored
                if matches!(stop.then, AfterStop::Restart) =>
            {
                self.history.forget_unstable_runs();
                self.start_in_order(step, StartDependencies::NeverStarted);
                StepOutcome::Nothing
            }
            State::Stopped | State::WaitingForDependencies(_) | State::BackingOff | State::Errored => {
                self.follow_up(step, stop.then, 0)
            }
        }
    }

    /// The worker has finished its connections, or the time for that is over.
    pub(in crate::machine) fn drained(&mut self, step: &mut Step<'_>, kind: StopKind) {
        match self.lifecycle.state {
            State::Draining { run, since, signal, then } => {
                self.request_stop(step, run, since, Stop { signal, kind, then });
            }
            State::Stopped
            | State::WaitingForDependencies(_)
            | State::Launching { .. }
            | State::Online { .. }
            | State::Stopping { .. }
            | State::BackingOff
            | State::Errored => {}
        }
    }

    pub(super) fn request_stop(&mut self, step: &mut Step<'_>, number: u64, since: Time, stop: Stop) {
        let Stop { signal, kind, then } = stop;
        let run = Run { instance: self.id, number };
        self.lifecycle.state = State::Stopping { run: number, main_exited: false, since, kills: 0, then };
        let request =
            if self.stops_by_message() { StopMethod::Message(signal) } else { StopMethod::Signal(signal) };
        step.report(self.subject(), EventData::Stopping { stop: kind, request });
        step.out.push(Effect::RequestStop(run, request, self.spec.stop.effective_signal_scope()));
        self.arm_kill(step);
    }

    /// Starts the grace period.
    pub(super) fn arm_kill(&mut self, step: &mut Step<'_>) {
        let mut time = self.spec.stop.kill_timeout;
        if let Some(limit) = self.lifecycle.kill_limit {
            time = time.min(limit.since(step.now));
        }
        self.lifecycle.grace = (time, step.now + time);
        self.arm(step, time);
    }

    /// Whether its present run is the last one, because of a shutdown.
    pub(in crate::machine) fn is_last_run(&self) -> bool {
        self.lifecycle.kill_limit.is_some()
    }

    /// Limits the grace period: SIGKILL comes no later than this.
    pub(in crate::machine) fn limit_grace_period(&mut self, step: &mut Step<'_>, limit: Time) {
        self.lifecycle.kill_limit = Some(limit);
        let (given, until) = self.lifecycle.grace;
        if matches!(self.lifecycle.state, State::Stopping { kills: 0, .. }) && until > limit {
            let left = limit.since(step.now);
            self.lifecycle.grace = (given.saturating_sub(until.since(limit)), limit);
            self.arm(step, left);
        }
    }

    /// Sends SIGKILL to the process tree, at once.
    pub(in crate::machine) fn kill(&mut self, step: &mut Step<'_>) {
        let Some(run) = self.run() else { return };
        let State::Stopping { kills, main_exited, .. } = &mut self.lifecycle.state else { return };
        *kills += 1;
        if self.spec.stop.treekill {
            step.out.push(Effect::KillTree(run));
        } else if !*main_exited {
            step.out.push(Effect::Signal(run, Signal::KILL));
        }
        self.arm(step, KILL_RETRY);
    }
}
