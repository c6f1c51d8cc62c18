//! Starts of an instance, and its timers.

use std::{collections::BTreeSet, time::Duration};

use super::{
    Instance,
    state::{AfterStop, StartDependencies, State, Step, StepOutcome},
};
use crate::{
    machine::{
        effect::Effect,
        ending::FollowUp,
        events::EventData,
        ids::{Run, Timer, TimerKind},
        readiness::{GateOutcome, GateStage, Readiness, ReadinessFailure, ReadinessSource, ReadyWhen},
        reason::StopKind,
    },
    spec::{ProgramKind, Signal},
};

/// How many times a tree gets SIGKILL: the second reaches processes that were forked during the first.
const MAX_KILLS: u8 = 2;

impl Instance {
    /// Starts it on request, also if it is being stopped.
    pub(in crate::machine) fn start_on_request(&mut self, step: &mut Step<'_>) {
        match &mut self.lifecycle.state {
            State::Stopped | State::Errored | State::WaitingForDependencies(_) => {
                self.start_in_order(step, StartDependencies::All);
            }
            State::BackingOff => self.launch(step),
            State::Draining { then, .. } | State::Stopping { then, .. } => *then = AfterStop::Restart,
            State::Launching { stop: Some(stop), .. } => stop.then = AfterStop::Restart,
            State::Launching { stop: None, .. } | State::Online { .. } => {}
        }
    }

    /// Starts it if it has no process, as soon as its dependencies are satisfied; ends a backoff delay.
    pub(in crate::machine) fn start(&mut self, step: &mut Step<'_>) {
        match self.lifecycle.state {
            State::Stopped | State::Errored => self.start_in_order(step, StartDependencies::NeverStarted),
            State::BackingOff => self.launch(step),
            State::WaitingForDependencies(_)
            | State::Launching { .. }
            | State::Online { .. }
            | State::Draining { .. }
            | State::Stopping { .. } => {}
        }
    }

    pub(in crate::machine) fn launch(&mut self, step: &mut Step<'_>) {
        *step.runs += 1;
        self.lifecycle.epoch += 1;
        self.history.forget_failure();
        self.reason = None;
        self.lifecycle.is_stopped_by_request = false;
        let is_restart = match self.lifecycle.state {
            State::Stopped | State::Errored | State::WaitingForDependencies(_) => false,
            State::Launching { .. }
            | State::Online { .. }
            | State::Draining { .. }
            | State::Stopping { .. }
            | State::BackingOff => true,
        };
        if is_restart {
            self.history.record.restarts = self.history.record.restarts.saturating_add(1);
        }
        self.lifecycle.attempted = *step.runs;
        let (wait_ready, address_was_in_use) = (self.spec.reload.wait_ready, self.history.address_was_in_use);
        self.gate.begin(|| {
            let message = Readiness { message: true, ..Readiness::default() };
            let gate = wait_ready.then_some(ReadyWhen::Shown(message));
            // Another process may still use the address: the instance is not online before it has listened or lived for
            // `min_uptime`.
            gate.or_else(|| address_was_in_use.then_some(ReadyWhen::Uptime))
        });
        self.lifecycle.state =
            State::Launching { run: *step.runs, since: step.now, stop: None, signals: BTreeSet::new() };
        self.health.begin();
        step.out.push(Effect::Spawn(Run { instance: self.id, number: *step.runs }));
    }

    pub(in crate::machine) fn started(&mut self, step: &mut Step<'_>, kind: ProgramKind, pid: i32) {
        let signal_before = self.stop_signal();
        match &mut self.lifecycle.state {
            State::Launching { run, since, stop, signals } => {
                self.lifecycle.executed = *run;
                self.kind = Some(kind);
                let (mut stop, signals) = (stop.take(), std::mem::take(signals));
                let process = Run { instance: self.id, number: *run };
                // The stop request came before the kind of the program was known.
                if let Some(stop) = stop.as_mut().filter(|stop| stop.signal == signal_before) {
                    stop.signal = self.spec.stop_signal(kind);
                }
                self.lifecycle.state = State::Online { run: *run, since: *since };
                let is_online = self.counts_as_started();
                let data = if is_online { EventData::Online { pid } } else { EventData::Launching { pid } };
                step.report(self.subject(), data);
                step.out.extend(signals.into_iter().map(|signal| Effect::Signal(process, signal)));
                if let Some(GateStage::CurrentRun(gate)) = self.gate.stage {
                    self.arm_gate(step, gate);
                }
                self.begin_probes(step);
                if let Some(stop) = stop {
                    let outcome = self.stop(step, stop);
                    debug_assert_eq!(
                        outcome,
                        StepOutcome::Nothing,
                        "an online instance does not end at once"
                    );
                }
            }
            State::Stopped
            | State::WaitingForDependencies(_)
            | State::Online { .. }
            | State::Draining { .. }
            | State::Stopping { .. }
            | State::BackingOff
            | State::Errored => {}
        }
    }

    pub(in crate::machine) fn ready(&mut self, step: &mut Step<'_>, source: ReadinessSource) {
        match self.lifecycle.state {
            State::Online { since, .. } => {
                let given = match source {
                    ReadinessSource::Listening => &mut self.gate.shown.listening,
                    ReadinessSource::Message => &mut self.gate.shown.message,
                    ReadinessSource::Probe => &mut self.gate.shown.probe,
                };
                if !std::mem::replace(given, true) {
                    let after = step.now.since(since);
                    let awaited = source == ReadinessSource::Message && self.spec.reload.wait_ready;
                    step.report(self.subject(), EventData::Ready { source, awaited, after });
                }
                if source == ReadinessSource::Listening {
                    self.gate.has_listened = true;
                    self.clear_listen_failure();
                }
                self.check_gate();
            }
            State::Launching { .. }
            | State::Stopped
            | State::WaitingForDependencies(_)
            | State::Draining { .. }
            | State::Stopping { .. }
            | State::BackingOff
            | State::Errored => {}
        }
    }

    pub(in crate::machine) fn timer_fired(&mut self, step: &mut Step<'_>, epoch: u64) -> StepOutcome {
        if epoch != self.lifecycle.epoch {
            return StepOutcome::Nothing;
        }
        match &mut self.lifecycle.state {
            State::BackingOff => {
                self.launch(step);
                StepOutcome::Nothing
            }
            State::WaitingForDependencies(_) => {
                self.wait_timed_out();
                StepOutcome::Nothing
            }
            State::Online { .. } => {
                let waited = self.spec.reload.listen_timeout;
                match self.gate.stage {
                    Some(GateStage::CurrentRun(ReadyWhen::Uptime)) => {
                        self.gate.settle(|| GateOutcome::Passed);
                    }
                    Some(GateStage::CurrentRun(ReadyWhen::Shown(required))) => {
                        let failure = match required.missing(self.gate.shown) {
                            Some(ReadinessSource::Probe) | None => {
                                let output = self
                                    .last_failure()
                                    .unwrap_or_else(|| "its probe has not ended".to_owned());
                                ReadinessFailure::ProbeFailed { waited, output }
                            }
                            Some(source) => ReadinessFailure::TimedOut { source, waited },
                        };
                        self.gate.settle(|| GateOutcome::Failed(failure));
                    }
                    Some(GateStage::NextRun(_)) | None => {}
                }
                StepOutcome::Nothing
            }
            State::Draining { .. } => {
                self.drained(step, StopKind::NotDrained);
                StepOutcome::Nothing
            }
            State::Stopping { kills: 0, .. } => {
                step.report(self.subject(), EventData::Killing { waited: self.lifecycle.grace.0 });
                self.kill(step);
                StepOutcome::Nothing
            }
            State::Stopping { kills: 1..MAX_KILLS, .. } => {
                self.kill(step);
                StepOutcome::Nothing
            }
            State::Stopping { then, .. } => {
                let then = *then;
                step.report(self.subject(), EventData::Unkillable {});
                // An instance never has two processes: it cannot restart.
                let then = match then {
                    AfterStop::Follow(_) | AfterStop::Restart | AfterStop::Recover => {
                        AfterStop::Follow(FollowUp::Errored { unstable_runs: self.history.unstable_runs })
                    }
                    AfterStop::StayStopped => AfterStop::StayStopped,
                    AfterStop::Remove => AfterStop::Remove,
                };
                self.follow_up(step, then, Signal::KILL.exit_code())
            }
            State::Launching { .. } | State::Stopped | State::Errored => StepOutcome::Nothing,
        }
    }

    pub(in crate::machine) fn arm(&mut self, step: &mut Step<'_>, wait: Duration) {
        self.lifecycle.epoch += 1;
        let timer = Timer { instance: self.id, kind: TimerKind::State, epoch: self.lifecycle.epoch };
        step.out.push(Effect::ArmTimer(timer, step.now + wait));
    }

    /// A running task was changed: it runs again when it has ended.
    pub(in crate::machine) fn rerun_task(&mut self, step: &mut Step<'_>) {
        self.history.changed_during = self.lifecycle.attempted;
        step.report(self.subject(), EventData::RerunPending {});
    }

    /// Sends a signal to its main process; if that is being started, later. False: it has none.
    pub(in crate::machine) fn forward(&mut self, signal: Signal, out: &mut Vec<Effect>) -> bool {
        if let State::Launching { signals, .. } = &mut self.lifecycle.state {
            signals.insert(signal);
            return true;
        }
        let run = self.main_process();
        out.extend(run.map(|run| Effect::Signal(run, signal)));
        run.is_some()
    }
}
