//! The root of the supervision tree: which instances there are, and whether the container lives on.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{
    change_throttle::WatchChanges,
    effect::Effect,
    events::{EventData, Notice},
    ids::{InstanceId, Run, Timer, TimerKind},
    input::Input,
    instance::{Instance, Step, StepOutcome},
    memory::OomGuard,
    operation::Reply,
    pending_operations::PendingOperations,
    reason::StopReason,
    reloads::Reloads,
    shutdown_budget::Shutdown,
    subject::Generation,
    time::Time,
};
use crate::spec::{AppSpec, ExitCode, OnErrored, Plan, Signal};

/// The supervision tree: the applications of a plan, their instances, and the fate of the whole.
#[derive(Debug)]
pub struct Machine {
    /// As the file says it.
    pub(super) plan: Plan,
    /// The requested number of instances of an application, whatever the file says.
    pub(super) scaled: BTreeMap<String, u32>,
    pub(super) instances: BTreeMap<InstanceId, Instance>,
    pub(super) reloads: Reloads,
    pub(super) pending_operations: PendingOperations,
    pub(super) changes: WatchChanges,
    /// Who waits for others, or cannot start because of them.
    pub(super) waiting: BTreeSet<InstanceId>,
    pub(super) shutdown: Shutdown,
    pub(super) guard: OomGuard,
    pub(super) phase: Phase,
    /// A request has ended instances, and nothing has ended by itself since: procrun does
    /// not end because of it.
    pub(super) held: bool,
    /// Counts the instances that failed for good.
    pub(super) failures: u64,
    next_id: u32,
    next_pm_id: u32,
    runs: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Nothing has been started yet.
    NotBooted,
    Running,
    /// Asked to stop, everything still serves for `pre_stop_delay`.
    Closing {
        asked: Time,
        signal: Signal,
    },
    Stopping {
        /// The time of the request; none yet, if an `errored` application began it.
        asked: Option<Time>,
        killed: bool,
        code: ExitCode,
    },
    Ended,
}

impl Machine {
    /// A tree for `plan` in which nothing runs yet: [`Input::Boot`] starts it. `cpus` is what
    /// `instances = "max"` means, at least 1.
    pub fn new(plan: Plan, cpus: u32) -> Self {
        let mut machine = Self {
            scaled: BTreeMap::new(),
            instances: BTreeMap::new(),
            reloads: Reloads::default(),
            pending_operations: PendingOperations::default(),
            changes: WatchChanges::default(),
            waiting: BTreeSet::new(),
            shutdown: Shutdown::default(),
            guard: OomGuard::default(),
            phase: Phase::NotBooted,
            held: false,
            failures: 0,
            next_id: 0,
            next_pm_id: 0,
            runs: 0,
            plan,
        };
        machine.populate(cpus);
        machine
    }

    fn populate(&mut self, cpus: u32) {
        for app in self.plan.apps.clone() {
            for number in 0..app.instances.resolve(cpus) {
                self.add(number, app.clone(), Time::ZERO);
            }
        }
    }

    /// Takes in one event and appends to `out` what is to be done.
    pub fn step(&mut self, now: Time, event: Input, out: &mut Vec<Effect>) {
        if self.phase == Phase::Ended {
            if let Input::Operate(ticket, _) = event {
                out.push(Effect::Reply(ticket, Reply::Failed("procrun is about to end".to_owned())));
            }
            return;
        }
        let begin = out.len();
        match event {
            Input::Boot => self.boot(now, out),
            Input::Started(run, kind, pid) => self.with(run, now, out, |instance, step| {
                instance.started(step, kind, pid);
                StepOutcome::Nothing
            }),
            Input::SpawnFailed(run, failure) => {
                self.with(run, now, out, |instance, step| instance.spawn_failed(step, failure));
            }
            Input::Ready(run, sign) => self.with(run, now, out, |instance, step| {
                instance.ready(step, sign);
                StepOutcome::Nothing
            }),
            Input::Exited { run, ending, leftovers } => {
                self.with(run, now, out, |instance, step| instance.exited(step, ending, leftovers));
            }
            Input::Drained(run) => self.with(run, now, out, |instance, step| {
                instance.drained(step, StopReason::Drained);
                StepOutcome::Nothing
            }),
            Input::TreeGone(run) => self.with(run, now, out, Instance::tree_gone),
            Input::Probed { run, kind, result } => {
                self.with(run, now, out, |instance, step| instance.probed(step, kind, result));
            }
            Input::Notified(run, word) => {
                self.with(run, now, out, |instance, step| instance.spoke(step, word));
            }
            Input::TimerFired(Timer { instance: InstanceId::ROOT, .. }) => {
                self.changes_due(now, out);
                self.closing_due(now, out);
            }
            Input::FilesChanged { app, path } => self.files_changed(now, &app, path, out),
            Input::TimerFired(Timer { instance, kind, epoch }) => {
                self.with_instance(instance, now, out, |instance, step| match kind {
                    TimerKind::State => instance.timer_fired(step, epoch),
                    TimerKind::Probe(kind) => {
                        instance.check_due(step, kind, epoch);
                        StepOutcome::Nothing
                    }
                    TimerKind::Heartbeat => instance.beat_due(step, epoch),
                    TimerKind::Listening => {
                        instance.listening_due(step, epoch);
                        StepOutcome::Nothing
                    }
                });
            }
            Input::ScheduleDue { app } => self.due(now, &app, out),
            Input::MemoryExceeded { run, used, limit } => self.memory_exceeded(now, run, used, limit, out),
            Input::MemoryShort { shortage, sizes } => self.memory_short(now, shortage, &sizes, out),
            Input::Shutdown(request) => self.stop_requested(now, request, out),
            Input::ForwardSignal(signal) => {
                for instance in self.instances.values_mut() {
                    instance.forward(signal, out);
                }
            }
            Input::Rename { from, to } => self.rename(&from, &to),
            Input::Apply { plan, cpus } => match self.phase {
                Phase::Running => self.apply(now, plan, cpus, None, out),
                Phase::NotBooted => {
                    (self.plan, self.next_id, self.next_pm_id) = (plan, 0, 0);
                    self.instances.clear();
                    self.populate(cpus);
                }
                Phase::Closing { .. } | Phase::Stopping { .. } | Phase::Ended => {}
            },
            Input::Operate(ticket, operation) => self.operate(now, ticket, operation, out),
        }
        self.turns(now, out);
        self.next_stage(now, out);
        self.pending_operations.answer(&self.instances, begin, out);
        self.settle(out);
        #[cfg(debug_assertions)]
        self.check();
    }

    fn boot(&mut self, now: Time, out: &mut Vec<Effect>) {
        if self.phase != Phase::NotBooted {
            return;
        }
        self.phase = Phase::Running;
        for id in self.ids() {
            self.with_instance(id, now, out, |instance, step| {
                if instance.spec.autostart {
                    instance.start(step);
                }
                StepOutcome::Nothing
            });
        }
    }

    /// A new place in the list. Ids begin at 0 when the list is empty, as in PM2.
    pub(super) fn add(&mut self, number: u32, spec: Arc<AppSpec>, now: Time) -> InstanceId {
        if self.instances.is_empty() {
            self.next_pm_id = 0;
        }
        let pm_id = self.next_pm_id;
        self.next_pm_id += 1;
        self.add_called(pm_id, number, spec, now)
    }

    /// A new instance, called like this.
    pub(super) fn add_called(
        &mut self,
        pm_id: u32,
        number: u32,
        spec: Arc<AppSpec>,
        now: Time,
    ) -> InstanceId {
        let id = InstanceId(self.next_id);
        self.next_id += 1;
        self.instances.insert(id, Instance::new(id, pm_id, number, spec, now));
        id
    }

    pub(super) fn ids(&self) -> Vec<InstanceId> {
        self.instances.keys().copied().collect()
    }

    /// Lets the instance of `run` take a step, unless the news is of an earlier run.
    fn with(
        &mut self,
        run: Run,
        now: Time,
        out: &mut Vec<Effect>,
        act: impl FnOnce(&mut Instance, &mut Step<'_>) -> StepOutcome,
    ) {
        if self.instances.get(&run.instance).and_then(Instance::run) == Some(run) {
            self.with_instance(run.instance, now, out, act);
        }
    }

    pub(super) fn with_instance(
        &mut self,
        id: InstanceId,
        now: Time,
        out: &mut Vec<Effect>,
        act: impl FnOnce(&mut Instance, &mut Step<'_>) -> StepOutcome,
    ) {
        let Some(instance) = self.instances.get_mut(&id) else { return };
        let verdict = act(instance, &mut Step { now, out, runs: &mut self.runs });
        let outcome = instance.gate.outcome.take();
        if instance.turn().is_some() {
            self.waiting.insert(id);
        }
        self.judge(now, id, verdict, out);
        if let Some(outcome) = outcome {
            self.tried(now, id, outcome, out);
        }
        if verdict == StepOutcome::Removed
            && let Some(instance) = self.instances.remove(&id)
        {
            out.push(Effect::Remove(id));
            self.transfer_history(&instance);
            self.is_gone(now, &instance.spec.name, id, out);
        }
    }

    /// Why a predecessor had to go is a part of the record that its successor already has.
    fn transfer_history(&mut self, gone: &Instance) {
        if gone.generation == Generation::Predecessor
            && let Some(heir) = self.current(&gone.spec.name, gone.number)
            && let Some(heir) = self.instances.get_mut(&heir)
        {
            let with_reason = gone.history.record.past_runs.iter().filter(|past| past.reason.is_some());
            with_reason.for_each(|past| heir.history.record.ended(past.clone()));
        }
    }

    fn judge(&mut self, now: Time, id: InstanceId, verdict: StepOutcome, out: &mut Vec<Effect>) {
        let Some(instance) = self.instances.get_mut(&id) else { return };
        match verdict {
            StepOutcome::Nothing | StepOutcome::Removed => {}
            StepOutcome::Ended(0) => {
                self.held = false;
                if self.phase == Phase::Running && self.ends_with_success(id) {
                    self.end_because_of(now, id, 0, out);
                }
            }
            StepOutcome::Ended(code) => {
                self.held = false;
                self.failures += 1;
                let (_, code) = *instance.history.failure.get_or_insert((self.failures, code));
                self.failed(now, id, code, out);
            }
            StepOutcome::Errored(code) => {
                self.held = false;
                instance.history.has_errored = true;
                self.failures += 1;
                let (_, code) = *instance.history.failure.get_or_insert((self.failures, code.max(1)));
                self.failed(now, id, code, out);
            }
        }
    }

    /// An instance has failed for good: the container ends if the application says so.
    fn failed(&mut self, now: Time, id: InstanceId, code: ExitCode, out: &mut Vec<Effect>) {
        let ends = self.instances[&id].spec.restart.on_errored == OnErrored::Exit;
        if ends && matches!(self.phase, Phase::Running | Phase::Closing { .. }) {
            self.end_because_of(now, id, code, out);
        }
    }

    /// Whether the success of this instance is the success of its application, and that ends the container.
    fn ends_with_success(&self, id: InstanceId) -> bool {
        let spec = &self.instances[&id].spec;
        let mut siblings = self.instances.values().filter(|it| it.spec.name == spec.name);
        spec.restart.ends_on_success && siblings.all(|it| !it.is_alive() && it.history.failure.is_none())
    }

    /// Stops everything because this instance has ended.
    pub(super) fn end_because_of(
        &mut self,
        now: Time,
        id: InstanceId,
        code: ExitCode,
        out: &mut Vec<Effect>,
    ) {
        let who = self.instances[&id].subject();
        out.push(Notice::of(who, EventData::EndedContainer { code }).into());
        self.shut_down(now, None, code, out);
    }

    /// The code of the first application that failed; 0 if none has.
    pub(super) fn first_failure(&self) -> ExitCode {
        let failures = self.instances.values().filter_map(|instance| instance.history.failure);
        failures.min().map_or(0, |(_, code)| code)
    }

    /// Ends the whole when nothing is alive any more.
    fn settle(&mut self, out: &mut Vec<Effect>) {
        if self.instances.values().any(Instance::is_alive) {
            return;
        }
        let code = match self.phase {
            Phase::Running if self.has_schedule() => return,
            Phase::Running if self.plan.runtime.auto_exit && !self.held => self.first_failure(),
            Phase::Stopping { code, .. } => code,
            Phase::Closing { .. } => 0,
            Phase::NotBooted | Phase::Running | Phase::Ended => return,
        };
        self.phase = Phase::Ended;
        out.push(Effect::Exit(code));
    }

    /// The slow truth, recomputed after each step of a debug build.
    #[cfg(debug_assertions)]
    fn check(&self) {
        let mut places: Vec<_> = self
            .instances
            .values()
            .map(|instance| {
                (&instance.spec.name, instance.number, instance.generation == Generation::Current)
            })
            .collect();
        let all = places.len();
        places.sort_unstable();
        places.dedup();
        assert!(places.len() == all, "two instances of one generation have one place");
        if self.phase == Phase::Ended {
            assert!(!self.instances.values().any(Instance::is_alive), "ended with something alive");
            assert!(self.pending_operations.is_empty(), "ended without an answer");
        }
        if matches!(self.phase, Phase::Stopping { .. }) {
            assert!(
                self.instances.values().all(|instance| {
                    !matches!(
                        instance.status(),
                        super::instance::Status::BackingOff | super::instance::Status::WaitingForDependencies
                    )
                }),
                "something waits to start during a stop"
            );
        } else {
            self.check_reloads();
        }
        for instance in self.instances.values().filter(|instance| instance.turn().is_some()) {
            assert!(
                self.waiting.contains(&instance.id),
                "nobody looks whether it is time for {}",
                instance.subject()
            );
        }
    }
}
