//! Reloads: an application is replaced while it serves, a few processes at a time.
//!
//! For each place in the list a *successor* is started beside the instance that is there, its
//! *predecessor*: an instance of its own with the same number and the same `pm_id`. When it is
//! ready it has the place, and the predecessor ends. When it fails it is forgotten, the reload is
//! given up, and nothing else is touched. What cannot overlap ends first and starts then.
//!
//! One application has one reload at a time. What would get in its way waits in a queue.

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
    reason::{ExitReason, ReloadAbortReason, StopReason},
    reloads::{Goal, Reload},
    root::Machine,
    subject::Generation,
    time::Time,
};
use crate::spec::AppSpec;

impl Machine {
    /// Drops what waits for the end of an application's reload.
    pub(super) fn unqueue(&mut self, app: &str, is_dropped: impl Fn(&Job) -> bool) {
        let Some(jobs) = self.reloads.waiting.get_mut(app) else { return };
        let (dropped, kept): (VecDeque<Job>, VecDeque<Job>) =
            std::mem::take(jobs).into_iter().partition(is_dropped);
        *jobs = kept;
        for job in dropped {
            for ticket in job.tickets() {
                let why = format!("{app} was stopped or removed before {} had its turn", job.name());
                self.pending_operations.job_over(*ticket, app, Some(why));
            }
        }
    }

    /// These numbers are stopped on request: pending jobs do not start them again.
    pub(super) fn drop_queued_starts(&mut self, app: &str, numbers: &BTreeSet<u32>) {
        self.unqueue(app, |job| matches!(job, Job::Reload { .. } | Job::Restart { .. }));
        for job in self.reloads.waiting.get_mut(app).into_iter().flatten() {
            let why = format!("{app} was stopped or removed before {} had its turn", job.name());
            match job {
                Job::Read(version) if !version.selected.is_disjoint(numbers) => {
                    version.selected.retain(|number| !numbers.contains(number));
                    for ticket in &version.tickets {
                        self.pending_operations.fail(*ticket, why.clone());
                    }
                }
                Job::Read(_) | Job::Reload { .. } | Job::Restart { .. } | Job::Scale { .. } => {}
            }
        }
    }

    /// Puts a job in the queue of an application that is being reloaded.
    pub(super) fn queue(&mut self, app: &str, job: Job, out: &mut Vec<Effect>) {
        out.push(Notice::of_app(app, EventData::ReloadQueued { job: job.name().into() }).into());
        let jobs = self.reloads.waiting.entry(app.to_owned()).or_default();
        let same = jobs.iter_mut().find_map(|job| match job {
            Job::Reload { numbers, reason: _, tickets } => Some((numbers, tickets)),
            Job::Read(_) | Job::Restart { .. } | Job::Scale { .. } => None,
        });
        match (job, same) {
            // One reload is as good as two: it runs after both were asked for.
            (Job::Reload { numbers, reason: _, tickets }, Some((all, others))) => {
                all.extend(numbers);
                others.extend(tickets);
            }
            (job, _) => jobs.push_back(job),
        }
    }

    /// Begins to reload these numbers of an application that is not being reloaded.
    pub(super) fn reload(
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
            began: now,
            todo: numbers.into(),
            coming: BTreeSet::new(),
            leaving: BTreeSet::new(),
            replaced: BTreeSet::new(),
            total,
            given_up: None,
            tickets,
        };
        out.push(Notice::of_app(&app, EventData::ReloadStarted { total, rolling }).into());
        self.reloads.active.insert(app.clone(), reload);
        self.advance(now, &app, out);
    }

    /// Begins what may begin, and ends what is done.
    fn advance(&mut self, now: Time, app: &str, out: &mut Vec<Effect>) {
        while let Some(reload) = self.reloads.active.get_mut(app) {
            // Who leaves counts: there are never more processes than that many too many.
            let busy = reload.coming.len() + reload.leaving.len();
            let limit = reload.goal.spec.reload.max_parallel.max(1) as usize;
            match reload.todo.front().copied() {
                Some(number) if busy < limit => {
                    reload.todo.pop_front();
                    self.replace(now, app, number, out);
                }
                None if busy == 0 => return self.finish(now, app, out),
                Some(_) | None => return,
            }
        }
    }

    /// Begins to replace one instance.
    fn replace(&mut self, now: Time, app: &str, number: u32, out: &mut Vec<Effect>) {
        let Some(reload) = self.reloads.active.get(app) else { return };
        let (rolling, spec, reason) = (reload.rolling, reload.goal.spec.clone(), reload.reason.clone());
        // It may have been scaled away while its turn had not come.
        let Some(id) = self.current(app, number).filter(|id| self.instances[id].is_staying()) else { return };
        let gate = self.gate(now, id, &spec);
        let coming = if rolling {
            let successor = self.add_called(self.instances[&id].pm_id, number, spec.clone(), now);
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
            reload.coming.insert(coming);
        }
        if !rolling {
            self.with_instance(id, now, out, |instance, _| {
                instance.spec = spec;
                instance.reason.get_or_insert(reason);
                instance.gate.expect_of_next(gate);
                StepOutcome::Nothing
            });
            self.end(now, id, StopReason::Reloaded, AfterStop::Restart, out);
        }
    }

    /// What the successor of this instance has to show: what the instance itself has shown.
    fn gate(&self, now: Time, id: InstanceId, spec: &Arc<AppSpec>) -> ReadyWhen {
        let (message, probe) = (spec.reload.wait_ready, spec.health.gate().is_some());
        let wanted = Readiness { message, probe, listening: false };
        if message {
            return ReadyWhen::Signs(wanted);
        }
        if !spec.can_overlap() {
            return if probe { ReadyWhen::Signs(wanted) } else { ReadyWhen::Uptime };
        }
        let instance = &self.instances[&id];
        let is_grown = instance
            .started_at()
            .is_some_and(|at| instance.is_online() && now.since(at) >= instance.spec.restart.min_uptime);
        let of_app =
            |other: &&Instance| other.spec.name == spec.name && other.generation != Generation::Successor;
        // Who has just begun may be about to listen as its siblings do.
        let listens = instance.gate.has_listened
            || !is_grown && self.instances.values().filter(of_app).any(|other| other.gate.has_listened);
        if listens || probe {
            ReadyWhen::Signs(Readiness { listening: listens, ..wanted })
        } else {
            ReadyWhen::Uptime
        }
    }

    /// The trial of an instance is over.
    pub(super) fn tried(&mut self, now: Time, id: InstanceId, outcome: GateOutcome, out: &mut Vec<Effect>) {
        let Some(instance) = self.instances.get(&id) else { return };
        let (app, number, who) = (instance.spec.name.clone(), instance.number, instance.subject());
        let (spec, readiness) = (instance.spec.clone(), instance.gate.signs);
        let Some(reload) = self.reloads.active.get_mut(&app).filter(|reload| reload.coming.contains(&id))
        else {
            match outcome {
                GateOutcome::Failed(
                    failure @ (ReadinessFailure::TimedOut { .. } | ReadinessFailure::ProbeFailed { .. }),
                ) => {
                    out.push(Notice::of(who, EventData::NotReady { failure }).into());
                }
                GateOutcome::Failed(
                    failure @ (ReadinessFailure::Ended { .. } | ReadinessFailure::Unhealthy(_)),
                ) if self.spares_by_giving_up(&app, id) => {
                    self.give_up(
                        now,
                        &app,
                        ReloadAbortReason::NotReady { instance: who.into(), failure },
                        StopReason::ReloadAborted,
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
                // It may have begun to listen meanwhile: then so must this one.
                let gate =
                    predecessor.map_or(ReadyWhen::Uptime, |predecessor| self.gate(now, predecessor, &spec));
                let lacks = match gate {
                    ReadyWhen::Signs(wanted) => wanted.lacks(readiness).is_some(),
                    ReadyWhen::Uptime => false,
                };
                if rolling && lacks {
                    self.with_instance(id, now, out, |instance, step| {
                        instance.extend_gate(step, gate);
                        StepOutcome::Nothing
                    });
                    return;
                }
                if let Some(reload) = self.reloads.active.get_mut(&app) {
                    reload.coming.remove(&id);
                    reload.replaced.insert(id);
                }
                if rolling {
                    self.promote(now, &app, id, predecessor, out);
                }
                self.advance(now, &app, out);
            }
            GateOutcome::Failed(failure) => {
                reload.coming.remove(&id);
                if rolling {
                    reload.leaving.insert(id);
                    if matches!(
                        failure,
                        ReadinessFailure::TimedOut { .. }
                            | ReadinessFailure::ProbeFailed { .. }
                            | ReadinessFailure::Unhealthy(_)
                    ) {
                        self.end(now, id, StopReason::ReloadAborted, AfterStop::Remove, out);
                    }
                }
                self.give_up(
                    now,
                    &app,
                    ReloadAbortReason::NotReady { instance: who.into(), failure },
                    StopReason::ReloadAborted,
                    None,
                    out,
                );
            }
        }
    }

    /// Whether this one was ready for a moment only, and there are others that its reload has not
    /// replaced.
    fn spares_by_giving_up(&self, app: &str, id: InstanceId) -> bool {
        self.reloads.active.get(app).is_some_and(|reload| {
            reload.replaced.contains(&id) && !(reload.todo.is_empty() && reload.coming.is_empty())
        })
    }

    /// A successor takes the place of its predecessor, which ends.
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
            reload.leaving.insert(predecessor);
            if let Some(predecessor) = self.instances.get_mut(&predecessor) {
                predecessor.reason.get_or_insert_with(|| reload.reason.clone());
            }
        }
        self.end(now, predecessor, StopReason::Replaced, AfterStop::Remove, out);
    }

    /// An instance has been forgotten.
    pub(super) fn is_gone(&mut self, now: Time, app: &str, id: InstanceId, out: &mut Vec<Effect>) {
        if let Some(reload) = self.reloads.active.get_mut(app)
            && reload.coming.remove(&id) | reload.leaving.remove(&id)
        {
            self.advance(now, app, out);
        }
    }

    /// Ends a reload before it is done, if there is one: who is coming ends, the others stay as
    /// they are. `cause` says whether who ends may finish its connections; with `numbers` it is about
    /// those alone, and all others may.
    pub(super) fn give_up(
        &mut self,
        now: Time,
        app: &str,
        why: ReloadAbortReason,
        cause: StopReason,
        numbers: Option<&BTreeSet<u32>>,
        out: &mut Vec<Effect>,
    ) {
        let Some(reload) = self.reloads.active.get_mut(app) else { return };
        if reload.given_up.is_none() {
            let failure = reload.failure(why);
            out.push(failure.clone().into());
            reload.given_up = Some(failure);
            reload.todo.clear();
        }
        let coming = std::mem::take(&mut reload.coming);
        if reload.rolling {
            reload.leaving.extend(&coming);
            for id in reload.leaving.clone() {
                let number = self.instances.get(&id).map_or(0, |instance| instance.number);
                let is_meant = numbers.is_none_or(|numbers| numbers.contains(&number));
                if coming.contains(&id) || is_meant && !cause.drains() {
                    let cause = if is_meant { cause } else { StopReason::ReloadAborted };
                    self.end(now, id, cause, AfterStop::Remove, out);
                }
            }
        }
        self.advance(now, app, out);
    }

    /// A reload is over, and nobody comes or leaves any more.
    fn finish(&mut self, now: Time, app: &str, out: &mut Vec<Effect>) {
        let Some(reload) = self.reloads.active.remove(app) else { return };
        let Reload { goal, began, total, given_up, tickets, .. } = reload;
        let failure = given_up.map(|failure| failure.to_string());
        if failure.is_none() {
            if let Some(count) = goal.count {
                self.set_plan(goal.file);
                self.converge(now, count, &goal.spec, &BTreeSet::new(), StopReason::Changed, out);
                self.resize(now, count, &goal.spec, false, StopReason::Removed, out);
            }
            let data = EventData::ReloadCompleted { total, took: now.since(began) };
            out.push(Notice::of_app(app, data).into());
        }
        if failure.is_none() && goal.count.is_some() {
            self.over(&tickets, app);
        }
        for ticket in tickets {
            self.pending_operations.job_over(ticket, app, failure.clone());
        }
        while !self.reloads.is_active(app)
            && let Some(job) = self.reloads.waiting.get_mut(app).and_then(VecDeque::pop_front)
        {
            self.run_job(now, app, job, out);
        }
        if !self.reloads.is_active(app) {
            self.reloads.waiting.remove(app);
        }
    }

    fn run_job(&mut self, now: Time, app: &str, job: Job, out: &mut Vec<Effect>) {
        match job {
            Job::Read(version) => self.apply_version(now, version, out),
            Job::Reload { numbers, reason, tickets } => {
                self.reload_numbers(now, app, &numbers, reason, tickets, out);
            }
            Job::Restart { numbers, ticket } => {
                self.pending_operations.job_over(ticket, app, None);
                self.restart_numbers(now, app, &numbers, ticket, out);
            }
            Job::Scale { count, ticket } => {
                self.pending_operations.job_over(ticket, app, None);
                self.scale(now, app, count, ticket, out);
            }
        }
    }

    /// Everything stops: no reload goes on.
    pub(super) fn end_reloads(&mut self, out: &mut Vec<Effect>) {
        for (app, reload) in std::mem::take(&mut self.reloads.active) {
            let failure = reload.given_up.clone().unwrap_or_else(|| {
                let failure = reload.failure(ReloadAbortReason::Shutdown);
                out.push(failure.clone().into());
                failure
            });
            for ticket in reload.tickets {
                self.pending_operations.job_over(ticket, &app, Some(failure.to_string()));
            }
        }
        for (app, jobs) in std::mem::take(&mut self.reloads.waiting) {
            for ticket in jobs.iter().flat_map(Job::tickets) {
                self.pending_operations.job_over(*ticket, &app, Some(format!("{app}: everything stops")));
            }
        }
    }

    /// The slow truth about reloads.
    #[cfg(debug_assertions)]
    pub(super) fn check_reloads(&self) {
        for (app, reload) in &self.reloads.active {
            let limit = reload.goal.spec.reload.max_parallel.max(1) as usize;
            assert!(reload.coming.len() <= limit, "{app}: too many at a time");
            assert!(!reload.coming.is_empty() || !reload.leaving.is_empty(), "{app}: nothing moves it on");
            assert!(reload.given_up.is_none() || reload.coming.is_empty(), "{app}: given up and coming");
            let mut all = reload.coming.iter().chain(&reload.leaving);
            assert!(all.all(|id| self.instances.contains_key(id)), "{app}: waits for nobody");
        }
        for instance in self.instances.values().filter(|instance| !instance.is_current()) {
            let reload = self.reloads.active.get(&instance.spec.name);
            let is_known = reload
                .is_some_and(|it| it.coming.contains(&instance.id) || it.leaving.contains(&instance.id));
            assert!(is_known, "no reload knows {}", instance.subject());
        }
        assert!(
            self.reloads.waiting.iter().all(|(app, jobs)| jobs.is_empty() || self.reloads.is_active(app)),
            "something waits for nothing"
        );
    }
}
