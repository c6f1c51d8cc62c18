//! The root of the supervision tree: which instances exist, and whether procrun ends.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{
    change_backoff::WatchChanges,
    effect::Effect,
    events::{EventData, Notice},
    ids::{InstanceId, Run, Timer, TimerKind},
    input::Input,
    instance::{Instance, Step, StepOutcome},
    memory::OomGuard,
    operation::Reply,
    pending_operations::PendingOperations,
    reason::StopKind,
    reloads::Reloads,
    shutdown_budget::Shutdown,
    subject::Generation,
    time::Time,
};
use crate::spec::{AppSpec, ExitCode, OnErrored, Plan, Signal};

/// The state machine: the applications of a plan and their instances.
#[derive(Debug)]
pub struct Machine {
    /// The current plan, with the numbers of instances of the file.
    pub(super) plan: Plan,
    /// The number of instances that a command has scaled an application to, by name.
    pub(super) scaled: BTreeMap<String, u32>,
    pub(super) instances: BTreeMap<InstanceId, Instance>,
    pub(super) reloads: Reloads,
    pub(super) pending_operations: PendingOperations,
    pub(super) watch_changes: WatchChanges,
    /// The instances that wait for dependencies, or are blocked by them.
    pub(super) waiting_instances: BTreeSet<InstanceId>,
    pub(super) shutdown: Shutdown,
    pub(super) oom_guard: OomGuard,
    pub(super) phase: Phase,
    /// A command has stopped instances, and none has ended by itself since: procrun does not end because nothing runs.
    pub(super) is_idle_by_request: bool,
    /// Counts the failures for good, so that the first one gives the exit code.
    pub(super) failure_count: u64,
    next_id: u32,
    next_pm_id: u32,
    runs: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Nothing has been started yet.
    NotBooted,
    Running,
    /// A shutdown was requested, and everything serves on for `pre_stop_delay`.
    Closing {
        requested_at: Time,
        signal: Signal,
    },
    Stopping {
        /// When it was requested; `None`: an `errored` application has caused it.
        requested_at: Option<Time>,
        is_killing: bool,
        code: ExitCode,
    },
    Ended,
}

impl Machine {
    /// A machine for `plan` in which nothing runs yet: [`Input::Boot`] starts it. `cpus` is the number of CPUs for
    /// `instances = "max"`, at least 1.
    pub fn new(plan: Plan, cpus: u32) -> Self {
        let mut machine = Self {
            scaled: BTreeMap::new(),
            instances: BTreeMap::new(),
            reloads: Reloads::default(),
            pending_operations: PendingOperations::default(),
            watch_changes: WatchChanges::default(),
            waiting_instances: BTreeSet::new(),
            shutdown: Shutdown::default(),
            oom_guard: OomGuard::default(),
            phase: Phase::NotBooted,
            is_idle_by_request: false,
            failure_count: 0,
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

    /// Handles one input and appends to `out` what is to be done.
    pub fn step(&mut self, now: Time, input: Input, out: &mut Vec<Effect>) {
        if self.phase == Phase::Ended {
            if let Input::Operate(ticket, _) = input {
                out.push(Effect::Reply(ticket, Reply::Failed("procrun is about to end".to_owned())));
            }
            return;
        }
        let begin = out.len();
        match input {
            Input::Boot => self.boot(now, out),
            Input::Started(run, kind, pid) => self.with_run(run, now, out, |instance, step| {
                instance.started(step, kind, pid);
                StepOutcome::Nothing
            }),
            Input::SpawnFailed(run, failure) => {
                self.with_run(run, now, out, |instance, step| instance.spawn_failed(step, failure));
            }
            Input::Ready(run, source) => self.with_run(run, now, out, |instance, step| {
                instance.ready(step, source);
                StepOutcome::Nothing
            }),
            Input::Exited { run, ending, leftovers } => {
                self.with_run(run, now, out, |instance, step| instance.exited(step, ending, leftovers));
            }
            Input::Drained(run) => self.with_run(run, now, out, |instance, step| {
                instance.drained(step, StopKind::Drained);
                StepOutcome::Nothing
            }),
            Input::TreeGone(run) => self.with_run(run, now, out, Instance::tree_gone),
            Input::Probed { run, kind, result } => {
                self.with_run(run, now, out, |instance, step| instance.probed(step, kind, result));
            }
            Input::Notified(run, message) => {
                self.with_run(run, now, out, |instance, step| instance.notified(step, message));
            }
            Input::TimerFired(Timer { instance: InstanceId::ROOT, .. }) => {
                self.delayed_changes_due(now, out);
                self.closing_timer_fired(now, out);
            }
            Input::FilesChanged { app, path } => self.files_changed(now, &app, path, out),
            Input::TimerFired(Timer { instance, kind, epoch }) => {
                self.with_instance(instance, now, out, |instance, step| match kind {
                    TimerKind::State => instance.timer_fired(step, epoch),
                    TimerKind::Probe(kind) => {
                        instance.probe_due(step, kind, epoch);
                        StepOutcome::Nothing
                    }
                    TimerKind::Heartbeat => instance.heartbeat_timer_fired(step, epoch),
                    TimerKind::Listening => {
                        instance.listen_timer_fired(step, epoch);
                        StepOutcome::Nothing
                    }
                });
            }
            Input::ScheduleDue { app } => self.schedule_due(now, &app, out),
            Input::MemoryExceeded { run, used, limit } => self.memory_exceeded(now, run, used, limit, out),
            Input::MemoryShort { shortage, sizes } => self.memory_short(now, shortage, &sizes, out),
            Input::Shutdown(request) => self.shutdown_requested(now, request, out),
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
        self.start_satisfied(now, out);
        self.next_stage(now, out);
        self.pending_operations.answer(&self.instances, begin, out);
        self.exit_if_idle(out);
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

    /// Adds an instance in a new slot. Ids begin at 0 when the list is empty, as in PM2.
    pub(super) fn add(&mut self, number: u32, spec: Arc<AppSpec>, now: Time) -> InstanceId {
        if self.instances.is_empty() {
            self.next_pm_id = 0;
        }
        let pm_id = self.next_pm_id;
        self.next_pm_id += 1;
        self.add_with_pm_id(pm_id, number, spec, now)
    }

    /// Adds an instance with this `pm_id`.
    pub(super) fn add_with_pm_id(
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

    /// Lets the instance of `run` take a step, unless `run` is an earlier one.
    fn with_run(
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
        let step_outcome = act(instance, &mut Step { now, out, runs: &mut self.runs });
        let gate_outcome = instance.gate.outcome.take();
        if instance.dependency_wait().is_some() {
            self.waiting_instances.insert(id);
        }
        self.handle_step_outcome(now, id, step_outcome, out);
        if let Some(outcome) = gate_outcome {
            self.handle_gate_outcome(now, id, outcome, out);
        }
        if step_outcome == StepOutcome::Removed
            && let Some(instance) = self.instances.remove(&id)
        {
            out.push(Effect::Remove(id));
            self.transfer_history(&instance);
            self.instance_removed(now, &instance.spec.name, id, out);
        }
    }

    /// Adds the end of a predecessor to the record, which its successor has by now.
    fn transfer_history(&mut self, gone: &Instance) {
        if gone.generation == Generation::Predecessor
            && let Some(successor) = self.current(&gone.spec.name, gone.number)
            && let Some(successor) = self.instances.get_mut(&successor)
        {
            let with_reason = gone.history.record.past_runs.iter().filter(|past| past.reason.is_some());
            with_reason.for_each(|past| successor.history.record.add(past.clone()));
        }
    }

    fn handle_step_outcome(
        &mut self,
        now: Time,
        id: InstanceId,
        step_outcome: StepOutcome,
        out: &mut Vec<Effect>,
    ) {
        let Some(instance) = self.instances.get_mut(&id) else { return };
        match step_outcome {
            StepOutcome::Nothing | StepOutcome::Removed => {}
            StepOutcome::Ended(0) => {
                self.is_idle_by_request = false;
                if self.phase == Phase::Running && self.ends_with_success(id) {
                    self.shut_down_because_of(now, id, 0, out);
                }
            }
            StepOutcome::Ended(code) => {
                self.is_idle_by_request = false;
                self.failure_count += 1;
                let (_, code) = *instance.history.failure.get_or_insert((self.failure_count, code));
                self.failed(now, id, code, out);
            }
            StepOutcome::Errored(code) => {
                self.is_idle_by_request = false;
                instance.history.has_errored = true;
                self.failure_count += 1;
                let (_, code) = *instance.history.failure.get_or_insert((self.failure_count, code.max(1)));
                self.failed(now, id, code, out);
            }
        }
    }

    /// An instance has failed for good: procrun ends if `on_errored` is `exit`.
    fn failed(&mut self, now: Time, id: InstanceId, code: ExitCode, out: &mut Vec<Effect>) {
        let ends = self.instances[&id].spec.restart.on_errored == OnErrored::Exit;
        if ends && matches!(self.phase, Phase::Running | Phase::Closing { .. }) {
            self.shut_down_because_of(now, id, code, out);
        }
    }

    /// Whether the success of this instance is the success of its application, and that ends the container.
    fn ends_with_success(&self, id: InstanceId) -> bool {
        let spec = &self.instances[&id].spec;
        let mut siblings = self.instances.values().filter(|it| it.spec.name == spec.name);
        spec.restart.ends_on_success && siblings.all(|it| !it.is_alive() && it.history.failure.is_none())
    }

    /// Stops everything because of the end of this instance.
    pub(super) fn shut_down_because_of(
        &mut self,
        now: Time,
        id: InstanceId,
        code: ExitCode,
        out: &mut Vec<Effect>,
    ) {
        let subject = self.instances[&id].subject();
        out.push(Notice::of(subject, EventData::EndedContainer { code }).into());
        self.shut_down(now, None, code, out);
    }

    /// The code of the first application that failed; 0 if none has.
    pub(super) fn first_failure(&self) -> ExitCode {
        let failures = self.instances.values().filter_map(|instance| instance.history.failure);
        failures.min().map_or(0, |(_, code)| code)
    }

    /// Ends procrun when no instance is alive and none starts by itself.
    fn exit_if_idle(&mut self, out: &mut Vec<Effect>) {
        if self.instances.values().any(Instance::is_alive) {
            return;
        }
        let code = match self.phase {
            Phase::Running if self.has_schedule() => return,
            Phase::Running if self.plan.runtime.auto_exit && !self.is_idle_by_request => self.first_failure(),
            Phase::Stopping { code, .. } => code,
            Phase::Closing { .. } => 0,
            Phase::NotBooted | Phase::Running | Phase::Ended => return,
        };
        self.phase = Phase::Ended;
        out.push(Effect::Exit(code));
    }

    /// Checks the invariants after each step of a debug build.
    #[cfg(debug_assertions)]
    fn check(&self) {
        let mut slots: Vec<_> = self
            .instances
            .values()
            .map(|instance| {
                (&instance.spec.name, instance.number, instance.generation == Generation::Current)
            })
            .collect();
        let all = slots.len();
        slots.sort_unstable();
        slots.dedup();
        assert!(slots.len() == all, "two instances of one generation have one slot");
        if self.phase == Phase::Ended {
            assert!(!self.instances.values().any(Instance::is_alive), "ended with an instance alive");
            assert!(self.pending_operations.is_empty(), "ended with an unanswered operation");
        }
        if matches!(self.phase, Phase::Stopping { .. }) {
            assert!(
                self.instances.values().all(|instance| {
                    !matches!(
                        instance.status(),
                        super::instance::Status::BackingOff | super::instance::Status::WaitingForDependencies
                    )
                }),
                "an instance waits to start during a shutdown"
            );
        } else {
            self.check_reloads();
        }
        for instance in self.instances.values().filter(|instance| instance.dependency_wait().is_some()) {
            assert!(
                self.waiting_instances.contains(&instance.id),
                "the dependencies of {} are not checked",
                instance.subject()
            );
        }
    }
}
