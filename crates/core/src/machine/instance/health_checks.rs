//! Health and readiness of a run: when it is probed, and what probe results, heartbeats and its own reports mean.
//!
//! A run that fails `[apps.health]` or misses its heartbeat is *unhealthy*: it is stopped, and restarts as after a
//! crash at the time when it was last healthy. A run that fails `[apps.readiness]` is not ready, and keeps running.
//! Only an online instance is probed. The supervisor sends the probes ([`Effect::Probe`]).

use std::time::Duration;

use super::{
    Instance,
    state::{AfterStop, State, Step, StepOutcome, Stop},
};
use crate::{
    machine::{
        effect::Effect,
        ending::Ending,
        events::EventData,
        health::{HealthFailure, ProbeKind},
        ids::{Run, Timer, TimerKind},
        notify::NotifyMessage,
        readiness::ReadinessFailure,
        reason::{ExitReason, StopKind},
        subject::Generation,
        time::Time,
    },
    spec::Probe,
};

/// The delay of the first probe and the interval until the first success: dependent instances may wait for it.
const STARTUP_INTERVAL: Duration = Duration::from_millis(500);

/// A heartbeat check that comes this much too late has no effect: procrun itself did not run (a frozen container, an
/// overloaded machine).
const HEARTBEAT_SLACK: Duration = Duration::from_secs(1);

impl Instance {
    pub(in crate::machine) fn probe(&self, kind: ProbeKind) -> Option<&Probe> {
        match kind {
            ProbeKind::Liveness => self.spec.health.liveness.as_deref(),
            ProbeKind::Readiness => self.spec.health.readiness.as_deref(),
        }
    }

    /// Whether it can serve, as far as its probes and reports show.
    pub(in crate::machine) fn is_ready(&self) -> bool {
        if !self.is_online() || self.health.is_stopping || self.cannot_listen() {
            return false;
        }
        let waits = self.spec.reload.wait_ready;
        if waits && !self.gate.shown.message {
            return false;
        }
        match (self.probe(ProbeKind::Readiness), self.probe(ProbeKind::Liveness)) {
            (Some(probe), _) => self.health.readiness.is_passing(probe),
            (None, Some(_)) => self.health.liveness.passed,
            (None, None) => waits || !self.spec.is_cluster() || self.gate.shown.listening,
        }
    }

    /// Whether its present run passes `[apps.health]`; false without that probe.
    pub(in crate::machine) fn is_healthy(&self) -> bool {
        let is_passing = |probe: &Probe| self.health.liveness.is_passing(probe);
        self.is_online() && self.probe(ProbeKind::Liveness).is_some_and(is_passing)
    }

    /// The run's own status text.
    pub(in crate::machine) fn status_text(&self) -> Option<&str> {
        self.health.status.as_deref()
    }

    /// The run's last failure to listen or to pass a probe, if it has not succeeded since.
    pub(in crate::machine) fn last_failure(&self) -> Option<String> {
        let listening = self.health.listening.failure().map(ToString::to_string);
        listening
            .or_else(|| self.health.liveness.output.clone())
            .or_else(|| self.health.readiness.output.clone())
    }

    /// Whether the present run has reported an uncaught error.
    pub(in crate::machine) fn has_uncaught_error(&self) -> bool {
        self.health.uncaught.is_some()
    }

    /// Why the present run has ended, if it has reported that.
    pub(in crate::machine) fn reported_reason(&mut self, ending: &Ending) -> Option<ExitReason> {
        match ending {
            Ending::Exited(_) => {
                let listening = self.health.listening.take_failure().map(ExitReason::CannotListen);
                listening.or_else(|| self.health.uncaught.take().map(ExitReason::from))
            }
            Ending::Signaled { .. } | Ending::OutOfMemory { .. } | Ending::SpawnFailed(_) => None,
        }
    }

    /// How long the run that was started then was healthy.
    pub(in crate::machine) fn healthy_time(&self, since: Time) -> Duration {
        self.health.last_healthy.map_or(Duration::ZERO, |at| at.since(since))
    }

    /// The program of the present run is being executed: arms the timers of probes and heartbeat.
    pub(in crate::machine) fn begin_probes(&mut self, step: &mut Step<'_>) {
        for kind in ProbeKind::ALL {
            if let Some(interval) = self.probe(kind).map(|probe| probe.interval) {
                self.arm_probe(step, kind, interval.min(STARTUP_INTERVAL));
            }
        }
        if let Some(heartbeat) = self.spec.health.heartbeat {
            // A worker without a first heartbeat may still be loading its modules.
            self.arm_heartbeat(step, step.now + heartbeat.max(Probe::START_PERIOD));
        }
    }

    pub(in crate::machine) fn arm_probe(&mut self, step: &mut Step<'_>, kind: ProbeKind, wait: Duration) {
        let probe_state = self.health.of(kind);
        probe_state.epoch += 1;
        let timer = Timer { instance: self.id, kind: TimerKind::Probe(kind), epoch: probe_state.epoch };
        step.out.push(Effect::ArmTimer(timer, step.now + wait));
    }

    pub(in crate::machine) fn arm_heartbeat(&mut self, step: &mut Step<'_>, at: Time) {
        self.health.heartbeat_epoch += 1;
        self.health.heartbeat_check_at = at;
        let timer =
            Timer { instance: self.id, kind: TimerKind::Heartbeat, epoch: self.health.heartbeat_epoch };
        step.out.push(Effect::ArmTimer(timer, at));
    }

    /// The next probe is due.
    pub(in crate::machine) fn probe_due(&mut self, step: &mut Step<'_>, kind: ProbeKind, epoch: u64) {
        let State::Online { run, .. } = self.lifecycle.state else { return };
        let run = Run { instance: self.id, number: run };
        let probe_state = self.health.of(kind);
        if epoch == probe_state.epoch && !probe_state.is_running {
            probe_state.is_running = true;
            step.out.push(Effect::Probe(run, kind));
        }
    }

    /// A probe has a result.
    pub(in crate::machine) fn probed(
        &mut self,
        step: &mut Step<'_>,
        kind: ProbeKind,
        result: Result<(), String>,
    ) -> StepOutcome {
        let State::Online { since, .. } = self.lifecycle.state else { return StepOutcome::Nothing };
        let Some(probe) = self.probe(kind) else { return StepOutcome::Nothing };
        let (interval, retries, start_period) = (probe.interval, probe.retries, probe.start_period);
        let is_in_start_period = step.now.since(since) < start_period;
        let probe_state = self.health.of(kind);
        if !std::mem::replace(&mut probe_state.is_running, false) {
            return StepOutcome::Nothing;
        }
        match result {
            Ok(()) => {
                let has_changed = !probe_state.passed || probe_state.failures >= retries;
                (probe_state.passed, probe_state.failures, probe_state.output) = (true, 0, None);
                if kind == ProbeKind::Liveness {
                    self.health.last_healthy = Some(step.now);
                }
                if kind == ProbeKind::Readiness || self.spec.health.readiness.is_none() {
                    self.gate.shown.probe = true;
                }
                if has_changed {
                    let after = step.now.since(since);
                    step.report(self.subject(), EventData::Healthy { probe: kind, after });
                }
                self.arm_probe(step, kind, interval);
                self.check_gate();
                StepOutcome::Nothing
            }
            Err(output) => {
                let is_excused = !probe_state.passed && is_in_start_period;
                let wait = if is_excused { interval.min(STARTUP_INTERVAL) } else { interval };
                if !is_excused {
                    probe_state.failures = probe_state.failures.saturating_add(1);
                }
                let failures = probe_state.failures;
                probe_state.output = Some(output.clone());
                if failures != retries {
                    let data = EventData::ProbeFailed { probe: kind, failures, retries, output };
                    step.report(self.subject(), data);
                    self.arm_probe(step, kind, wait);
                    return StepOutcome::Nothing;
                }
                match kind {
                    ProbeKind::Liveness => {
                        self.become_unhealthy(step, HealthFailure::Probe { failures, output })
                    }
                    ProbeKind::Readiness => {
                        step.report(self.subject(), EventData::ReadinessLost { output });
                        self.arm_probe(step, kind, wait);
                        StepOutcome::Nothing
                    }
                }
            }
        }
    }

    /// The worker has reported something about itself.
    pub(in crate::machine) fn notified(
        &mut self,
        step: &mut Step<'_>,
        message: NotifyMessage,
    ) -> StepOutcome {
        let State::Online { .. } = self.lifecycle.state else { return StepOutcome::Nothing };
        match message {
            NotifyMessage::Heartbeat => {
                self.health.last_healthy = Some(step.now);
                let is_first = self.health.last_heartbeat.replace(step.now).is_none();
                // Later heartbeats are checked when the timer fires, so a heartbeat arms no timer.
                if let Some(heartbeat) = self.heartbeat_interval().filter(|_| is_first) {
                    self.arm_heartbeat(step, step.now + heartbeat);
                }
            }
            NotifyMessage::HeartbeatInterval(time) => {
                if self.spec.health.heartbeat.is_some() {
                    self.health.announced_interval = Some(time);
                    self.health.last_heartbeat = Some(step.now);
                    // An armed timer stays in the list until it fires. A worker that announces an interval again and
                    // again must not fill that list: the armed timer stays, unless it is far too late.
                    let left = self.health.heartbeat_check_at.since(step.now);
                    if let Some(heartbeat) =
                        self.heartbeat_interval().filter(|time| *time <= left / 2 || left.is_zero())
                    {
                        self.arm_heartbeat(step, step.now + heartbeat);
                    }
                }
            }
            NotifyMessage::Fault => return self.become_unhealthy(step, HealthFailure::Fault),
            NotifyMessage::Status(text) => self.health.status = (!text.is_empty()).then_some(text),
            NotifyMessage::Stopping => self.health.is_stopping = true,
            // A program that listens elsewhere already serves, and a program that tries several ports listens in the
            // end.
            NotifyMessage::ListenFailed { failure, is_handled } if !self.gate.shown.listening => {
                self.listen_failed(step, failure, is_handled);
            }
            NotifyMessage::ListenFailed { .. } => {}
            NotifyMessage::Listening => self.clear_listen_failure(),
            NotifyMessage::Uncaught(uncaught) => self.health.uncaught = Some(uncaught),
        }
        StepOutcome::Nothing
    }

    /// The maximum time between two heartbeats, if it must send any.
    pub(in crate::machine) fn heartbeat_interval(&self) -> Option<Duration> {
        self.health.announced_interval.or(self.spec.health.heartbeat).filter(|time| !time.is_zero())
    }

    /// The check of the heartbeat is due.
    pub(in crate::machine) fn heartbeat_timer_fired(
        &mut self,
        step: &mut Step<'_>,
        epoch: u64,
    ) -> StepOutcome {
        let State::Online { since, .. } = self.lifecycle.state else { return StepOutcome::Nothing };
        if epoch != self.health.heartbeat_epoch {
            return StepOutcome::Nothing;
        }
        let Some(heartbeat) = self.heartbeat_interval() else { return StepOutcome::Nothing };
        if step.now.since(self.health.heartbeat_check_at) > HEARTBEAT_SLACK {
            self.arm_heartbeat(step, step.now + heartbeat);
            return StepOutcome::Nothing;
        }
        match self.health.last_heartbeat {
            Some(at) if step.now.since(at) < heartbeat => {
                self.arm_heartbeat(step, at + heartbeat);
                StepOutcome::Nothing
            }
            Some(at) => self.become_unhealthy(step, HealthFailure::HeartbeatMissing(step.now.since(at))),
            None => self.become_unhealthy(step, HealthFailure::NoHeartbeat(step.now.since(since))),
        }
    }

    /// Stops an unhealthy run; the instance restarts. The root aborts the reload of a successor.
    pub(in crate::machine) fn become_unhealthy(
        &mut self,
        step: &mut Step<'_>,
        failure: HealthFailure,
    ) -> StepOutcome {
        step.report(self.subject(), EventData::Unhealthy { failure: failure.clone() });
        self.gate.fail(ReadinessFailure::Unhealthy(failure.clone()));
        self.reason = Some(ExitReason::Unhealthy(failure));
        if self.generation == Generation::Successor {
            return StepOutcome::Nothing;
        }
        let signal = self.stop_signal();
        let then = if self.is_last_run() { AfterStop::StayStopped } else { AfterStop::Recover };
        self.stop(step, Stop { signal, kind: StopKind::Unhealthy, then })
    }
}
