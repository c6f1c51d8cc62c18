//! One instance: a place in the process list in which one process at a time runs.
//!
//! The states are PM2's words. What only the root can decide is handed up as a [`StepOutcome`].

mod ending;
mod listening;
mod stop;
mod turn;

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use self::listening::Listening;
pub(super) use self::turn::{DependencyWait, Obstacle, Wakes};
use super::{
    Time,
    backoff::Progress,
    event::{Effect, InstanceId, Readiness, Run, Sign, Timer, Wait},
    events::{EventData, Notice},
    health::HealthState,
    notice::{Generation, Next, ReadinessFailure, StopReason, Subject},
    readiness_gate::{Outcome, ReadinessGate, ReadyWhen},
    reason::Reason,
    record::Record,
};
use crate::spec::{AppSpec, ExitCode, ProgramKind, Signal};

/// How many times a tree is sent SIGKILL: whatever it forked during the first is met by the second.
const KILLS: u8 = 2;

/// PM2's words for the state of an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Its process is being made.
    Launching,
    /// Its process runs.
    Online,
    /// Its process, or what is left of its tree, is to end.
    Stopping,
    /// No process, and none to come.
    Stopped,
    /// No process until others are what it waits for.
    Waiting,
    /// No process until a wait is over.
    WaitingRestart,
    /// No process: too many unstable runs.
    Errored,
}

#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own; no two exclude each other")]
pub(super) struct Instance {
    pub(super) id: InstanceId,
    /// What people call it by (PM2's `pm_id`); its successor is called the same.
    pub(super) pm_id: u32,
    pub(super) generation: Generation,
    /// 0 for the first instance of its application (PM2's `NODE_APP_INSTANCE`).
    pub(super) number: u32,
    pub(super) spec: Arc<AppSpec>,
    /// What runs its last program, as its start has found it.
    pub(super) kind: Option<ProgramKind>,
    pub(super) state: State,
    /// What the present run has said of itself.
    pub(super) readiness: Readiness,
    /// Whether the present run is well.
    pub(super) vitals: HealthState,
    /// Whether the present run could not listen.
    pub(super) listening: Listening,
    /// Unstable runs in a row.
    unstable: u32,
    /// The last run ended because another process listened on its address.
    address_was_in_use: bool,
    backoff: Progress,
    /// The number of the last run that was tried; 0 is none.
    pub(super) tried: u64,
    /// The number of the last run whose program has been executed; 0 is none.
    pub(super) begun: u64,
    /// Whether any run of it has listened.
    pub(super) has_listened: bool,
    pub(super) record: Record,
    /// Why its present run ends, beyond its exit status and the request of a client.
    pub(super) reason: Option<Reason>,
    /// What the present run or the next one has to show.
    pub(super) trial: Option<ReadinessGate>,
    /// Somebody has stopped it, and it is to stay so.
    is_put_away: bool,
    /// The number of the last run that has done its task (`oneshot`); 0 is none.
    completed: u64,
    /// The number of the last run during which its work has changed (`oneshot`); 0 is none.
    outdated: u64,
    /// Everything stops: SIGKILL comes no later than this, whatever its `kill_timeout` says, and its
    /// present run is its last one.
    kill_limit: Option<Time>,
    /// How long its process is given from the stop signal to SIGKILL, and until when that is.
    patience: (Duration, Time),
    /// How the last trial ended; the root takes it after each step.
    pub(super) outcome: Option<Outcome>,
    /// When it failed for good, in the root's count of failures, and with which code.
    pub(super) failure: Option<(u64, ExitCode)>,
    /// It failed because it was given up, and not by an exit that is final.
    pub(super) gave_up: bool,
    /// Counts armed timers; all but the last one armed are stale.
    epoch: u64,
}

#[derive(Debug)]
pub(super) enum State {
    Stopped,
    /// It starts when others are what it waits for.
    DependencyWait(DependencyWait),
    Launching {
        run: u64,
        since: Time,
        stop: Option<Stop>,
        /// For its process, which gets them as soon as it executes its program.
        signals: BTreeSet<Signal>,
    },
    Online {
        run: u64,
        since: Time,
    },
    /// It finishes its connections before it is asked to end.
    Draining {
        run: u64,
        since: Time,
        signal: Signal,
        then: AfterStop,
    },
    Stopping {
        run: u64,
        ended: bool,
        since: Time,
        kills: u8,
        then: AfterStop,
    },
    Waiting,
    Errored,
}

/// A wish to end the instance.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stop {
    pub(super) signal: Signal,
    pub(super) cause: StopReason,
    pub(super) then: AfterStop,
}

/// What comes when the tree is gone.
#[derive(Debug, Clone, Copy)]
pub(super) enum AfterStop {
    /// The process ended by itself: whatever its ending leads to.
    Follow(Next),
    /// Stay stopped.
    Stay,
    /// Run again, with a clean record.
    Restart,
    /// Run again as after a crash: it was sick.
    Recover,
    /// Be forgotten.
    Remove,
}

/// What the root has to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub(super) enum StepOutcome {
    /// Nothing.
    Nothing,
    /// It has ended by itself and for good.
    Ended(ExitCode),
    /// It has given up.
    Errored(ExitCode),
    /// It may be forgotten.
    Removed,
}

/// What a step works with.
pub(super) struct Step<'a> {
    pub(super) now: Time,
    pub(super) out: &'a mut Vec<Effect>,
    pub(super) runs: &'a mut u64,
}

impl Instance {
    pub(super) fn new(id: InstanceId, pm_id: u32, number: u32, spec: Arc<AppSpec>, now: Time) -> Self {
        Self {
            id,
            pm_id,
            generation: Generation::Settled,
            number,
            spec,
            kind: None,
            state: State::Stopped,
            readiness: Readiness::default(),
            vitals: HealthState::default(),
            listening: Listening::default(),
            unstable: 0,
            address_was_in_use: false,
            backoff: Progress::default(),
            tried: 0,
            begun: 0,
            has_listened: false,
            record: Record::new(now),
            reason: None,
            trial: None,
            is_put_away: false,
            completed: 0,
            outdated: 0,
            kill_limit: None,
            patience: (Duration::ZERO, Time::ZERO),
            outcome: None,
            failure: None,
            gave_up: false,
            epoch: 0,
        }
    }

    pub(super) fn subject(&self) -> Subject {
        Subject { id: self.id, pm_id: self.pm_id, generation: self.generation, spec: self.spec.clone() }
    }

    pub(super) fn status(&self) -> Status {
        match &self.state {
            State::Stopped => Status::Stopped,
            State::DependencyWait(turn) if turn.is_blocked() => Status::Stopped,
            State::DependencyWait(_) => Status::Waiting,
            State::Launching { .. } => Status::Launching,
            // PM2's word for one that has yet to send its `ready`.
            State::Online { .. } if self.spec.reload.wait_ready && self.trial.is_some() => Status::Launching,
            // The process runs but does not do its work.
            State::Online { .. } if self.cannot_listen() => Status::Launching,
            State::Online { .. } if self.address_was_in_use && self.trial.is_some() => Status::Launching,
            State::Online { .. } => Status::Online,
            State::Draining { .. } | State::Stopping { .. } => Status::Stopping,
            State::Waiting => Status::WaitingRestart,
            State::Errored => Status::Errored,
        }
    }

    /// Whether a run that has begun has nothing to show any more; that it has ended since is no matter
    /// where nothing had to be shown.
    pub(super) fn is_up(&self) -> bool {
        !self.spec.reload.wait_ready || self.status() == Status::Online
    }

    /// Whether it has a process or will have one by itself.
    pub(super) fn is_alive(&self) -> bool {
        match &self.state {
            State::Stopped | State::Errored => false,
            State::DependencyWait(turn) => !turn.is_blocked(),
            State::Launching { .. }
            | State::Online { .. }
            | State::Draining { .. }
            | State::Stopping { .. }
            | State::Waiting => true,
        }
    }

    /// Whether it is the one of its place.
    pub(super) fn is_settled(&self) -> bool {
        self.generation == Generation::Settled
    }

    /// Whether it is the one of its place, and is to stay it.
    pub(super) fn is_staying(&self) -> bool {
        self.is_settled() && !self.is_leaving()
    }

    /// Whether its process runs and is to go on.
    pub(super) fn is_online(&self) -> bool {
        matches!(self.state, State::Online { .. })
    }

    /// Whether it runs or has run, and nobody has stopped it.
    pub(super) fn is_wanted(&self) -> bool {
        let is_to_stay = |then: &AfterStop| matches!(then, AfterStop::Stay | AfterStop::Remove);
        match &self.state {
            State::Stopped | State::Errored => self.tried > 0 && !self.is_put_away,
            State::Launching { stop, .. } => !stop.is_some_and(|stop| is_to_stay(&stop.then)),
            State::Draining { then, .. } | State::Stopping { then, .. } => !is_to_stay(then),
            State::Online { .. } | State::Waiting | State::DependencyWait(_) => true,
        }
    }

    /// Whether it is a task (`oneshot`) whose process runs and is to go on.
    pub(super) fn is_at_work(&self) -> bool {
        match &self.state {
            State::Launching { stop: None, .. } | State::Online { .. } => self.spec.order.oneshot,
            State::Launching { stop: Some(_), .. }
            | State::Draining { .. }
            | State::Stopping { .. }
            | State::Stopped
            | State::DependencyWait(_)
            | State::Waiting
            | State::Errored => false,
        }
    }

    /// It is a task that has been changed while it runs: it runs again when it has ended.
    pub(super) fn run_again(&mut self, step: &mut Step<'_>) {
        self.outdated = self.tried;
        step.report(self.subject(), EventData::RerunPending {});
    }

    /// Since when its process is there.
    pub(super) fn started_at(&self) -> Option<Time> {
        match self.state {
            State::Launching { since, .. }
            | State::Online { since, .. }
            | State::Draining { since, .. }
            | State::Stopping { since, ended: false, .. } => Some(since),
            State::Stopping { ended: true, .. }
            | State::Stopped
            | State::DependencyWait(_)
            | State::Waiting
            | State::Errored => None,
        }
    }

    /// The signal that asks its process to end.
    pub(super) fn stop_signal(&self) -> Signal {
        self.spec.stop_signal(self.kind.unwrap_or_default())
    }

    /// Whether its process is asked to end by a message (`shutdown_with_message`).
    fn is_asked_by_message(&self) -> bool {
        self.spec.stop.with_message
            && self.spec.has_channel()
            && self.kind.is_some_and(ProgramKind::may_take_messages)
    }

    /// Unstable runs in a row (PM2's `unstable_restarts`).
    pub(super) fn unstable(&self) -> u32 {
        self.unstable
    }

    /// Forgets how often it was restarted.
    pub(super) fn reset(&mut self, now: Time) {
        self.unstable = 0;
        self.record.reset(now);
    }

    /// The run that has a process or is about to.
    pub(super) fn run(&self) -> Option<Run> {
        let number = match self.state {
            State::Launching { run, .. }
            | State::Online { run, .. }
            | State::Draining { run, .. }
            | State::Stopping { run, .. } => run,
            State::Stopped | State::DependencyWait(_) | State::Waiting | State::Errored => return None,
        };
        Some(Run { instance: self.id, number })
    }

    /// Whether it will be forgotten as soon as its tree is gone.
    pub(super) fn is_leaving(&self) -> bool {
        match &self.state {
            State::Draining { then, .. } | State::Stopping { then, .. } => matches!(then, AfterStop::Remove),
            State::Launching { stop, .. } => stop.is_some_and(|stop| matches!(stop.then, AfterStop::Remove)),
            State::Stopped
            | State::DependencyWait(_)
            | State::Online { .. }
            | State::Waiting
            | State::Errored => false,
        }
    }

    /// Passes a signal on to its main process, which gets it later if it is being started. False: it has none.
    pub(super) fn forward(&mut self, signal: Signal, out: &mut Vec<Effect>) -> bool {
        if let State::Launching { signals, .. } = &mut self.state {
            signals.insert(signal);
            return true;
        }
        let run = self.main_process();
        out.extend(run.map(|run| Effect::Signal(run, signal)));
        run.is_some()
    }

    /// The run whose main process is there to get a signal.
    pub(super) fn main_process(&self) -> Option<Run> {
        match self.state {
            State::Online { .. } | State::Draining { .. } | State::Stopping { ended: false, .. } => {
                self.run()
            }
            State::Stopping { ended: true, .. }
            | State::Launching { .. }
            | State::Stopped
            | State::DependencyWait(_)
            | State::Waiting
            | State::Errored => None,
        }
    }

    /// Its next run has to show this.
    pub(super) fn try_next(&mut self, gate: ReadyWhen) {
        self.trial = Some(ReadinessGate::Ahead(gate));
    }

    /// Its present run has to show this, from now on.
    pub(super) fn try_again(&mut self, step: &mut Step<'_>, gate: ReadyWhen) {
        self.trial = Some(ReadinessGate::Running(gate));
        self.arm_trial(step, gate);
    }

    fn arm_trial(&mut self, step: &mut Step<'_>, gate: ReadyWhen) {
        let time = match gate {
            ReadyWhen::Signs(_) => self.spec.reload.listen_timeout,
            ReadyWhen::Uptime => self.spec.restart.min_uptime,
        };
        self.arm(step, time);
    }

    /// The present trial is over, if there is one.
    fn end_trial(&mut self, outcome: impl FnOnce() -> Outcome) {
        if self.trial.take().is_some() {
            self.outcome = Some(outcome());
        }
    }

    /// Starts it because somebody asks for it, also one that is about to stay ended.
    pub(super) fn revive(&mut self, step: &mut Step<'_>) {
        match &mut self.state {
            State::Stopped | State::Errored | State::DependencyWait(_) => self.take_turn(step, Wakes::All),
            State::Waiting => self.launch(step),
            State::Draining { then, .. } | State::Stopping { then, .. } => *then = AfterStop::Restart,
            State::Launching { stop: Some(stop), .. } => stop.then = AfterStop::Restart,
            State::Launching { stop: None, .. } | State::Online { .. } => {}
        }
    }

    /// Starts it if it has no process, as soon as others are what it waits for; a wait for its restart is
    /// cut short.
    pub(super) fn start(&mut self, step: &mut Step<'_>) {
        match self.state {
            State::Stopped | State::Errored => self.take_turn(step, Wakes::Fresh),
            State::Waiting => self.launch(step),
            State::DependencyWait(_)
            | State::Launching { .. }
            | State::Online { .. }
            | State::Draining { .. }
            | State::Stopping { .. } => {}
        }
    }

    fn launch(&mut self, step: &mut Step<'_>) {
        *step.runs += 1;
        self.epoch += 1;
        (self.failure, self.reason) = (None, None);
        self.gave_up = false;
        self.is_put_away = false;
        let is_restart = match self.state {
            State::Stopped | State::Errored | State::DependencyWait(_) => false,
            State::Launching { .. }
            | State::Online { .. }
            | State::Draining { .. }
            | State::Stopping { .. }
            | State::Waiting => true,
        };
        if is_restart {
            self.record.restarts = self.record.restarts.saturating_add(1);
        }
        self.tried = *step.runs;
        self.trial = match self.trial {
            Some(ReadinessGate::Ahead(gate)) => Some(ReadinessGate::Running(gate)),
            Some(ReadinessGate::Running(_)) | None => {
                let message = Readiness { message: true, ..Readiness::default() };
                let gate = self.spec.reload.wait_ready.then_some(ReadyWhen::Signs(message));
                // It may meet the same process there again: not online before it has proved otherwise.
                gate.or_else(|| self.address_was_in_use.then_some(ReadyWhen::Uptime))
                    .map(ReadinessGate::Running)
            }
        };
        self.state =
            State::Launching { run: *step.runs, since: step.now, stop: None, signals: BTreeSet::new() };
        self.readiness = Readiness::default();
        self.forget_checks();
        step.out.push(Effect::Spawn(Run { instance: self.id, number: *step.runs }));
    }

    pub(super) fn started(&mut self, step: &mut Step<'_>, kind: ProgramKind, pid: i32) {
        let signal_before = self.stop_signal();
        match &mut self.state {
            State::Launching { run, since, stop, signals } => {
                self.begun = *run;
                self.kind = Some(kind);
                let (mut stop, signals) = (stop.take(), std::mem::take(signals));
                let process = Run { instance: self.id, number: *run };
                // Whoever asked it to end could not know what it would be.
                if let Some(stop) = stop.as_mut().filter(|stop| stop.signal == signal_before) {
                    stop.signal = self.spec.stop_signal(kind);
                }
                self.state = State::Online { run: *run, since: *since };
                let is_online = self.is_up();
                let data = if is_online { EventData::Online { pid } } else { EventData::Launching { pid } };
                step.report(self.subject(), data);
                step.out.extend(signals.into_iter().map(|signal| Effect::Signal(process, signal)));
                if let Some(ReadinessGate::Running(gate)) = self.trial {
                    self.arm_trial(step, gate);
                }
                self.begin_checks(step);
                if let Some(stop) = stop {
                    let verdict = self.stop(step, stop);
                    debug_assert_eq!(
                        verdict,
                        StepOutcome::Nothing,
                        "an online instance does not end at once"
                    );
                }
            }
            State::Stopped
            | State::DependencyWait(_)
            | State::Online { .. }
            | State::Draining { .. }
            | State::Stopping { .. }
            | State::Waiting
            | State::Errored => {}
        }
    }

    pub(super) fn ready(&mut self, step: &mut Step<'_>, sign: Sign) {
        match self.state {
            State::Online { since, .. } => {
                let given = match sign {
                    Sign::Listening => &mut self.readiness.listening,
                    Sign::Message => &mut self.readiness.message,
                    Sign::Probe => &mut self.readiness.probe,
                };
                if !std::mem::replace(given, true) {
                    let after = step.now.since(since);
                    let awaited = sign == Sign::Message && self.spec.reload.wait_ready;
                    step.report(self.subject(), EventData::Ready { sign, awaited, after });
                }
                if sign == Sign::Listening {
                    self.has_listened = true;
                    self.listens();
                }
                self.look_at_trial();
            }
            State::Launching { .. }
            | State::Stopped
            | State::DependencyWait(_)
            | State::Draining { .. }
            | State::Stopping { .. }
            | State::Waiting
            | State::Errored => {}
        }
    }

    /// Whether it has shown by now what it has to.
    pub(super) fn look_at_trial(&mut self) {
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

    pub(super) fn timer_fired(&mut self, step: &mut Step<'_>, epoch: u64) -> StepOutcome {
        if epoch != self.epoch {
            return StepOutcome::Nothing;
        }
        match &mut self.state {
            State::Waiting => {
                self.launch(step);
                StepOutcome::Nothing
            }
            State::DependencyWait(_) => {
                self.turn_is_late();
                StepOutcome::Nothing
            }
            State::Online { .. } => {
                let waited = self.spec.reload.listen_timeout;
                match self.trial {
                    Some(ReadinessGate::Running(ReadyWhen::Uptime)) => self.end_trial(|| Outcome::Passed),
                    Some(ReadinessGate::Running(ReadyWhen::Signs(wanted))) => {
                        let setback = match wanted.lacks(self.readiness) {
                            Some(Sign::Probe) | None => {
                                let said =
                                    self.complaint().unwrap_or_else(|| "its check has not ended".to_owned());
                                ReadinessFailure::Unwell { waited, said }
                            }
                            Some(sign) => ReadinessFailure::Silent { sign, waited },
                        };
                        self.end_trial(|| Outcome::Failed(setback));
                    }
                    Some(ReadinessGate::Ahead(_)) | None => {}
                }
                StepOutcome::Nothing
            }
            State::Draining { .. } => {
                self.drained(step, StopReason::NotDrained);
                StepOutcome::Nothing
            }
            State::Stopping { kills: 0, .. } => {
                step.report(self.subject(), EventData::Killing { waited: self.patience.0 });
                self.kill(step);
                StepOutcome::Nothing
            }
            State::Stopping { kills: 1..KILLS, .. } => {
                self.kill(step);
                StepOutcome::Nothing
            }
            State::Stopping { then, .. } => {
                let then = *then;
                step.report(self.subject(), EventData::Unkillable {});
                // Never two processes for one instance: what was to run again cannot.
                let then = match then {
                    AfterStop::Follow(_) | AfterStop::Restart | AfterStop::Recover => {
                        AfterStop::Follow(Next::Errored { unstable: self.unstable })
                    }
                    AfterStop::Stay => AfterStop::Stay,
                    AfterStop::Remove => AfterStop::Remove,
                };
                self.follow(step, then, Signal::KILL.exit_code())
            }
            State::Launching { .. } | State::Stopped | State::Errored => StepOutcome::Nothing,
        }
    }

    fn arm(&mut self, step: &mut Step<'_>, wait: Duration) {
        self.epoch += 1;
        let timer = Timer { instance: self.id, wait: Wait::State, epoch: self.epoch };
        step.out.push(Effect::Arm(timer, step.now + wait));
    }
}

impl Step<'_> {
    pub(super) fn report(&mut self, subject: Subject, data: EventData) {
        self.out.push(Notice::of(subject, data).into());
    }
}
