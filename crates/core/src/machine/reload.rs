//! Reloads: the instances of an application are replaced without downtime, a few at a time.
//!
//! For each slot a *successor* is started beside the present instance, its *predecessor*: an instance of its own with
//! the same number and the same `pm_id`. When it is ready it takes the slot, and the predecessor ends. When it fails it
//! is removed, the reload is aborted, and no other instance is affected. Instances that cannot overlap stop first and
//! start then.
//!
//! An application has one reload at a time. Other changes of it wait in a queue.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::Arc,
};

use super::{
    effect::Effect,
    events::{EventData, Notice},
    ids::InstanceId,
    instance::{AfterStop, Instance, StepOutcome},
    job::Job,
    operation::Ticket,
    readiness::{GateOutcome, Readiness, ReadinessFailure, ReadyWhen},
    reason::{ExitReason, ReloadAbortReason, StopKind},
    reloads::{Goal, Reload},
    root::Machine,
    subject::Generation,
    time::Time,
};
use crate::spec::AppSpec;

impl Machine {
    /// Drops queued jobs.
    pub(super) fn drop_queued(&mut self, app: &str, is_dropped: impl Fn(&Job) -> bool) {
        let Some(jobs) = self.reloads.queued.get_mut(app) else { return };
        let (dropped, kept): (VecDeque<Job>, VecDeque<Job>) =
            std::mem::take(jobs).into_iter().partition(is_dropped);
        *jobs = kept;
        for job in dropped {
            for ticket in job.tickets() {
                let error = format!("{app} was stopped or removed before {} began", job.name());
                self.pending_operations.finish_job(*ticket, app, Some(error));
            }
        }
    }

    /// A client stops these numbers: queued jobs must not start them again.
    pub(super) fn drop_queued_starts(&mut self, app: &str, numbers: &BTreeSet<u32>) {
        self.drop_queued(app, |job| matches!(job, Job::Reload { .. } | Job::Restart { .. }));
        for job in self.reloads.queued.get_mut(app).into_iter().flatten() {
            let error = format!("{app} was stopped or removed before {} began", job.name());
            match job {
                Job::Update(update) if !update.selected.is_disjoint(numbers) => {
                    update.selected.retain(|number| !numbers.contains(number));
                    for ticket in &update.tickets {
                        self.pending_operations.fail(*ticket, error.clone());
                    }
                }
                Job::Update(_) | Job::Reload { .. } | Job::Restart { .. } | Job::Scale { .. } => {}
            }
        }
    }

    /// Queues a job behind the reload of its application.
    pub(super) fn enqueue(&mut self, app: &str, job: Job, out: &mut Vec<Effect>) {
        out.push(Notice::of_app(app, EventData::ReloadQueued { job: job.name().into() }).into());
        let jobs = self.reloads.queued.entry(app.to_owned()).or_default();
        let same = jobs.iter_mut().find_map(|job| match job {
            Job::Reload { numbers, reason: _, tickets } => Some((numbers, tickets)),
            Job::Update(_) | Job::Restart { .. } | Job::Scale { .. } => None,
        });
        match (job, same) {
            // One reload after both requests is enough.
            (Job::Reload { numbers, reason: _, tickets }, Some((all, others))) => {
                all.extend(numbers);
                others.extend(tickets);
            }
            (job, _) => jobs.push_back(job),
        }
    }

    /// Begins to reload these numbers of an application that is not being reloaded.
    pub(super) fn begin_reload(
        &mut self,
        now: Time,
        goal: Goal,
        numbers: Vec<u32>,
        reason: ExitReason,
        tickets: Vec<Ticket>,
        out: &mut Vec<Effect>,
    ) {
        let app = goal.spec.name.clone();
        let rolling = goal.spec.can_overlap() && self.can_roll(&self.staying(&app));
        let total = u32::try_from(numbers.len()).unwrap_or(u32::MAX);
        let reload = Reload {
            goal,
            reason,
            rolling,
            started_at: now,
            remaining: numbers.into(),
            starting: BTreeSet::new(),
            stopping: BTreeSet::new(),
            replaced: BTreeSet::new(),
            total,
            aborted: None,
            tickets,
        };
        out.push(Notice::of_app(&app, EventData::ReloadStarted { total, rolling }).into());
        self.reloads.active.insert(app.clone(), reload);
        self.advance(now, &app, out);
    }

    /// Replaces the next instances, and finishes a reload that is done.
    fn advance(&mut self, now: Time, app: &str, out: &mut Vec<Effect>) {
        while let Some(reload) = self.reloads.active.get_mut(app) {
            // Ending instances count too: this bounds the number of additional processes.
            let busy = reload.starting.len() + reload.stopping.len();
            let limit = reload.goal.spec.reload.max_parallel.max(1) as usize;
            match reload.remaining.front().copied() {
                Some(number) if busy < limit => {
                    reload.remaining.pop_front();
                    self.replace_instance(now, app, number, out);
                }
                None if busy == 0 => return self.finish_reload(now, app, out),
                Some(_) | None => return,
            }
        }
    }

    /// Begins to replace one instance.
    fn replace_instance(&mut self, now: Time, app: &str, number: u32, out: &mut Vec<Effect>) {
        let Some(reload) = self.reloads.active.get(app) else { return };
        let (rolling, spec, reason) = (reload.rolling, reload.goal.spec.clone(), reload.reason.clone());
        // It may have been removed by a scale meanwhile.
        let Some(id) = self.current(app, number).filter(|id| self.instances[id].is_staying()) else { return };
        let gate = self.gate_for(now, id, &spec);
        let starting = if rolling {
            let successor = self.add_with_pm_id(self.instances[&id].pm_id, number, spec.clone(), now);
            self.with_instance(successor, now, out, |instance, step| {
                instance.generation = Generation::Successor;
                instance.gate.expect_of_next(gate);
                instance.start(step);
                StepOutcome::Nothing
            });
            successor
        } else {
            id
        };
        if let Some(reload) = self.reloads.active.get_mut(app) {
            reload.starting.insert(starting);
        }
        if !rolling {
            self.with_instance(id, now, out, |instance, _| {
                instance.spec = spec;
                instance.reason.get_or_insert(reason);
                instance.gate.expect_of_next(gate);
                StepOutcome::Nothing
            });
            self.stop_instance(now, id, StopKind::Reloaded, AfterStop::Restart, out);
        }
    }

    /// What the successor of this instance must show: what the instance itself has shown.
    fn gate_for(&self, now: Time, id: InstanceId, spec: &Arc<AppSpec>) -> ReadyWhen {
        let (message, probe) = (spec.reload.wait_ready, spec.health.gate().is_some());
        let required = Readiness { message, probe, listening: false };
        if message {
            return ReadyWhen::Shown(required);
        }
        if !spec.can_overlap() {
            return if probe { ReadyWhen::Shown(required) } else { ReadyWhen::Uptime };
        }
        let instance = &self.instances[&id];
        let is_stable = instance
            .started_at()
            .is_some_and(|at| instance.is_online() && now.since(at) >= instance.spec.restart.min_uptime);
        let of_app =
            |other: &&Instance| other.spec.name == spec.name && other.generation != Generation::Successor;
        // A process that was just started may be about to listen as its siblings do.
        let listens = instance.gate.has_listened
            || !is_stable && self.instances.values().filter(of_app).any(|other| other.gate.has_listened);
        if listens || probe {
            ReadyWhen::Shown(Readiness { listening: listens, ..required })
        } else {
            ReadyWhen::Uptime
        }
    }

    /// The readiness gate of an instance has closed.
    pub(super) fn handle_gate_outcome(
        &mut self,
        now: Time,
        id: InstanceId,
        outcome: GateOutcome,
        out: &mut Vec<Effect>,
    ) {
        let Some(instance) = self.instances.get(&id) else { return };
        let (app, number, subject) = (instance.spec.name.clone(), instance.number, instance.subject());
        let (spec, readiness) = (instance.spec.clone(), instance.gate.shown);
        let Some(reload) = self.reloads.active.get_mut(&app).filter(|reload| reload.starting.contains(&id))
        else {
            match outcome {
                GateOutcome::Failed(
                    failure @ (ReadinessFailure::TimedOut { .. } | ReadinessFailure::ProbeFailed { .. }),
                ) => {
                    out.push(Notice::of(subject, EventData::NotReady { failure }).into());
                }
                GateOutcome::Failed(
                    failure @ (ReadinessFailure::Ended { .. } | ReadinessFailure::Unhealthy(_)),
                ) if self.spares_others_by_abort(&app, id) => {
                    self.abort_reload(
                        now,
                        &app,
                        ReloadAbortReason::NotReady { instance: subject.into(), failure },
                        StopKind::ReloadAborted,
                        None,
                        out,
                    );
                }
                GateOutcome::Failed(
                    ReadinessFailure::Ended { .. }
                    | ReadinessFailure::Unhealthy(_)
                    | ReadinessFailure::PredecessorAlive
                    | ReadinessFailure::WaitsForDependencies,
                )
                | GateOutcome::Passed => {}
            }
            return;
        };
        let rolling = reload.rolling;
        match outcome {
            GateOutcome::Passed => {
                let predecessor = self.current(&app, number);
                // The predecessor may have begun to listen meanwhile: then the successor must listen too.
                let gate = predecessor
                    .map_or(ReadyWhen::Uptime, |predecessor| self.gate_for(now, predecessor, &spec));
                let is_missing = match gate {
                    ReadyWhen::Shown(required) => required.missing(readiness).is_some(),
                    ReadyWhen::Uptime => false,
                };
                if rolling && is_missing {
                    self.with_instance(id, now, out, |instance, step| {
                        instance.extend_gate(step, gate);
                        StepOutcome::Nothing
                    });
                    return;
                }
                if let Some(reload) = self.reloads.active.get_mut(&app) {
                    reload.starting.remove(&id);
                    reload.replaced.insert(id);
                }
                if rolling {
                    self.promote(now, &app, id, predecessor, out);
                }
                self.advance(now, &app, out);
            }
            GateOutcome::Failed(failure) => {
                reload.starting.remove(&id);
                if rolling {
                    reload.stopping.insert(id);
                    if matches!(
                        failure,
                        ReadinessFailure::TimedOut { .. }
                            | ReadinessFailure::ProbeFailed { .. }
                            | ReadinessFailure::Unhealthy(_)
                    ) {
                        self.stop_instance(now, id, StopKind::ReloadAborted, AfterStop::Remove, out);
                    }
                }
                self.abort_reload(
                    now,
                    &app,
                    ReloadAbortReason::NotReady { instance: subject.into(), failure },
                    StopKind::ReloadAborted,
                    None,
                    out,
                );
            }
        }
    }

    /// Whether this instance has become ready in a reload that has more instances to replace: an abort spares those.
    fn spares_others_by_abort(&self, app: &str, id: InstanceId) -> bool {
        self.reloads.active.get(app).is_some_and(|reload| {
            reload.replaced.contains(&id) && !(reload.remaining.is_empty() && reload.starting.is_empty())
        })
    }

    /// A successor takes the slot of its predecessor, which ends.
    fn promote(
        &mut self,
        now: Time,
        app: &str,
        id: InstanceId,
        predecessor: Option<InstanceId>,
        out: &mut Vec<Effect>,
    ) {
        let record = predecessor.and_then(|old| self.instances.get_mut(&old)).map(|old| {
            old.generation = Generation::Predecessor;
            std::mem::take(&mut old.history.record)
        });
        if let Some(new) = self.instances.get_mut(&id) {
            new.generation = Generation::Current;
            out.extend(new.run().map(Effect::Promote));
            if let Some(record) = record {
                new.history.record = record;
                new.history.record.restarts = new.history.record.restarts.saturating_add(1);
            }
        }
        let Some(predecessor) = predecessor else { return };
        if let Some(reload) = self.reloads.active.get_mut(app) {
            reload.stopping.insert(predecessor);
            if let Some(predecessor) = self.instances.get_mut(&predecessor) {
                predecessor.reason.get_or_insert_with(|| reload.reason.clone());
            }
        }
        self.stop_instance(now, predecessor, StopKind::Replaced, AfterStop::Remove, out);
    }

    /// An instance has left the list.
    pub(super) fn instance_removed(&mut self, now: Time, app: &str, id: InstanceId, out: &mut Vec<Effect>) {
        if let Some(reload) = self.reloads.active.get_mut(app)
            && reload.starting.remove(&id) | reload.stopping.remove(&id)
        {
            self.advance(now, app, out);
        }
    }

    /// Aborts a reload, if there is one: its successors end, the other instances stay as they are. `kind` decides
    /// whether ending instances drain; with `numbers` it applies to those only, and the others drain.
    pub(super) fn abort_reload(
        &mut self,
        now: Time,
        app: &str,
        reason: ReloadAbortReason,
        kind: StopKind,
        numbers: Option<&BTreeSet<u32>>,
        out: &mut Vec<Effect>,
    ) {
        let Some(reload) = self.reloads.active.get_mut(app) else { return };
        if reload.aborted.is_none() {
            let failure = reload.abort_notice(reason);
            out.push(failure.clone().into());
            reload.aborted = Some(failure);
            reload.remaining.clear();
        }
        let starting = std::mem::take(&mut reload.starting);
        if reload.rolling {
            reload.stopping.extend(&starting);
            for id in reload.stopping.clone() {
                let number = self.instances.get(&id).map_or(0, |instance| instance.number);
                let is_selected = numbers.is_none_or(|numbers| numbers.contains(&number));
                if starting.contains(&id) || is_selected && !kind.drains() {
                    let kind = if is_selected { kind } else { StopKind::ReloadAborted };
                    self.stop_instance(now, id, kind, AfterStop::Remove, out);
                }
            }
        }
        self.advance(now, app, out);
    }

    /// A reload is over, and none of its instances is starting or ending.
    fn finish_reload(&mut self, now: Time, app: &str, out: &mut Vec<Effect>) {
        let Some(reload) = self.reloads.active.remove(app) else { return };
        let Reload { goal, started_at, total, aborted, tickets, .. } = reload;
        let failure = aborted.map(|failure| failure.to_string());
        if failure.is_none() {
            if let Some(count) = goal.count {
                self.set_plan(goal.file);
                self.apply_spec(now, count, &goal.spec, &BTreeSet::new(), StopKind::Changed, out);
                self.resize(now, count, &goal.spec, false, StopKind::Removed, out);
            }
            let data = EventData::ReloadCompleted { total, took: now.since(started_at) };
            out.push(Notice::of_app(app, data).into());
        }
        if failure.is_none() && goal.count.is_some() {
            self.await_app(&tickets, app);
        }
        for ticket in tickets {
            self.pending_operations.finish_job(ticket, app, failure.clone());
        }
        while !self.reloads.is_active(app)
            && let Some(job) = self.reloads.queued.get_mut(app).and_then(VecDeque::pop_front)
        {
            self.begin_job(now, app, job, out);
        }
        if !self.reloads.is_active(app) {
            self.reloads.queued.remove(app);
        }
    }

    fn begin_job(&mut self, now: Time, app: &str, job: Job, out: &mut Vec<Effect>) {
        match job {
            Job::Update(update) => self.apply_update(now, update, out),
            Job::Reload { numbers, reason, tickets } => {
                self.reload_numbers(now, app, &numbers, reason, tickets, out);
            }
            Job::Restart { numbers, ticket } => {
                self.pending_operations.finish_job(ticket, app, None);
                self.restart_numbers(now, app, &numbers, ticket, out);
            }
            Job::Scale { count, ticket } => {
                self.pending_operations.finish_job(ticket, app, None);
                self.scale(now, app, count, ticket, out);
            }
        }
    }

    /// Aborts all reloads, because of a shutdown.
    pub(super) fn abort_all_reloads(&mut self, out: &mut Vec<Effect>) {
        for (app, reload) in std::mem::take(&mut self.reloads.active) {
            let failure = reload.aborted.clone().unwrap_or_else(|| {
                let failure = reload.abort_notice(ReloadAbortReason::Shutdown);
                out.push(failure.clone().into());
                failure
            });
            for ticket in reload.tickets {
                self.pending_operations.finish_job(ticket, &app, Some(failure.to_string()));
            }
        }
        for (app, jobs) in std::mem::take(&mut self.reloads.queued) {
            for ticket in jobs.iter().flat_map(Job::tickets) {
                self.pending_operations.finish_job(
                    *ticket,
                    &app,
                    Some(format!("{app}: procrun is stopping")),
                );
            }
        }
    }

    /// Checks the invariants of reloads.
    #[cfg(debug_assertions)]
    pub(super) fn check_reloads(&self) {
        for (app, reload) in &self.reloads.active {
            let limit = reload.goal.spec.reload.max_parallel.max(1) as usize;
            assert!(reload.starting.len() <= limit, "{app}: more replacements at a time than max_parallel");
            assert!(
                !reload.starting.is_empty() || !reload.stopping.is_empty(),
                "{app}: a reload waits for no instance"
            );
            assert!(reload.aborted.is_none() || reload.starting.is_empty(), "{app}: aborted and starting");
            let mut all = reload.starting.iter().chain(&reload.stopping);
            assert!(
                all.all(|id| self.instances.contains_key(id)),
                "{app}: waits for an instance that is gone"
            );
        }
        for instance in self.instances.values().filter(|instance| !instance.is_current()) {
            let reload = self.reloads.active.get(&instance.spec.name);
            let is_known = reload
                .is_some_and(|it| it.starting.contains(&instance.id) || it.stopping.contains(&instance.id));
            assert!(is_known, "no reload has {}", instance.subject());
        }
        assert!(
            self.reloads.queued.iter().all(|(app, jobs)| jobs.is_empty() || self.reloads.is_active(app)),
            "a job is queued without a reload"
        );
    }
}
