//! Applications: their configuration and their number of instances.
//!
//! `reload` has the replacement of instances without downtime.

use std::{collections::BTreeSet, sync::Arc};

use super::{
    effect::Effect,
    events::{EventData, Notice},
    ids::InstanceId,
    instance::{AfterStop, Instance, StepOutcome, Stop},
    job::{Job, ResolvedUpdate},
    operation::{AppUpdate, InitialState, RestartScope, Ticket},
    pending_operations::Awaited,
    reason::{CommandKind, ExitReason, ReloadAbortReason, StopKind},
    reloads::Goal,
    root::{Machine, Phase},
    time::Time,
};
use crate::spec::{
    AppSpec, Instances, Plan,
    diff::{same_but_instances, same_work},
};

/// What is to be done so that an application has its new configuration.
pub(super) struct Decision {
    /// The new spec of its instances.
    pub(super) spec: Arc<AppSpec>,
    /// The new number of instances.
    pub(super) count: u32,
    /// An earlier `scale` is forgotten.
    pub(super) resets_scale: bool,
    /// The numbers of the instances that restart.
    pub(super) restarting: BTreeSet<u32>,
    /// The tasks that run to their end, and then once more.
    pub(super) reruns: Vec<InstanceId>,
    /// The instances restart one after the other, by a reload.
    pub(super) one_by_one: bool,
    /// A reload can replace them without downtime.
    pub(super) can_roll: bool,
}

/// Why an application cannot get another name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RenameObstacle {
    /// Another application has that name, or had it and still has instances.
    NameTaken,
    /// An application is being reloaded: the goal of the reload has the old name.
    Reload,
    /// Nothing has been started yet, or procrun is shutting down.
    NotRunning,
}

impl Machine {
    /// Replaces the plan.
    pub(super) fn apply(
        &mut self,
        now: Time,
        plan: Plan,
        cpus: u32,
        ticket: Option<Ticket>,
        out: &mut Vec<Effect>,
    ) {
        let tickets: Vec<Ticket> = ticket.into_iter().collect();
        // All jobs are added before the first one can complete.
        for (ticket, app) in tickets.iter().flat_map(|ticket| plan.apps.iter().map(move |app| (ticket, app)))
        {
            self.pending_operations.add_job(*ticket, &app.name);
        }
        let old = std::mem::replace(&mut self.plan, plan);
        let of = |plan: &Plan, name: &str| plan.apps.iter().find(|app| app.name == name).cloned();
        for gone in old.apps.iter().filter(|app| of(&self.plan, &app.name).is_none()).collect::<Vec<_>>() {
            self.remove_app(now, &gone.name, &tickets, out);
        }
        for file in self.plan.apps.clone() {
            match of(&old, &file.name) {
                None => {
                    self.add_app(now, &file, file.instances.resolve(cpus), false, out);
                    self.await_app(&tickets, &file.name);
                }
                Some(was) => {
                    // The plan has the old spec until the update is applied.
                    self.set_plan(was.clone());
                    let tickets = tickets.clone();
                    self.update_or_queue(
                        now,
                        &was,
                        ResolvedUpdate { tickets, ..ResolvedUpdate::from_file(file, cpus) },
                        out,
                    );
                }
            }
        }
    }

    /// A client adds or changes an application.
    pub(super) fn update_app(
        &mut self,
        now: Time,
        update: AppUpdate,
        cpus: u32,
        scope: RestartScope,
        ticket: Ticket,
        out: &mut Vec<Effect>,
    ) {
        let Some(was) = self.planned(&update.app.name) else {
            let AppUpdate { app: file, initial_state, .. } = update;
            let is_empty = initial_state == InitialState::ScaledToZero;
            let count = if is_empty { 0 } else { file.instances.resolve(cpus) };
            self.plan.apps.push(file.clone());
            if is_empty {
                self.scaled.insert(file.name.clone(), 0);
            }
            self.add_app(now, &file, count, initial_state == InitialState::Stopped, out);
            self.await_app(&[ticket], &file.name);
            return;
        };
        let update = self.resolve_update(update, cpus, scope, vec![ticket]);
        self.update_or_queue(now, &was, update, out);
    }

    /// Starts an application that is new in the plan.
    fn add_app(
        &mut self,
        now: Time,
        spec: &Arc<AppSpec>,
        count: u32,
        is_stopped: bool,
        out: &mut Vec<Effect>,
    ) {
        let all = self.staying(&spec.name).iter().map(|id| self.instances[id].number).collect();
        self.apply_spec(now, count, spec, &all, StopKind::Changed, out);
        self.resize(now, count, spec, is_stopped, StopKind::Removed, out);
    }

    /// Applies an update, or queues it behind the reload of its application.
    fn update_or_queue(
        &mut self,
        now: Time,
        was: &Arc<AppSpec>,
        update: ResolvedUpdate,
        out: &mut Vec<Effect>,
    ) {
        let name = update.file.name.clone();
        let Some(is_aborted) = self.reloads.is_aborted(&name) else {
            return self.apply_update(now, update, out);
        };
        let (reached, queued) = self.reloads.goals(&name);
        let reached = reached.unwrap_or_else(|| was.clone());
        let has_requests = is_aborted || update.has_requests();
        if *queued.as_ref().unwrap_or(&reached) == update.file && !has_requests {
            if *was != update.file {
                out.push(Notice::of_app(&name, EventData::ReloadUnderWay {}).into());
            }
            self.reloads.join(&name, update.tickets);
            return;
        }
        // The update replaces the queued ones, which have not begun.
        let update = self.reloads.merge_queued(&name, update);
        if reached == update.file && !is_aborted && !update.has_requests() {
            self.reloads.join(&name, update.tickets);
        } else {
            self.enqueue(&name, Job::Update(update), out);
        }
    }

    /// Applies an update to an application that is not being reloaded.
    pub(super) fn apply_update(&mut self, now: Time, update: ResolvedUpdate, out: &mut Vec<Effect>) {
        let name = update.file.name.clone();
        let Some(was) = self.planned(&name) else {
            for ticket in update.tickets {
                self.pending_operations.finish_job(
                    ticket,
                    &name,
                    Some(format!("{name} has left the list meanwhile")),
                );
            }
            return;
        };
        let Decision { spec, count, resets_scale, restarting, reruns, one_by_one, can_roll: _ } =
            self.decide(&was, &update);
        let ResolvedUpdate { file, cpus: _, scope, selected, reruns_tasks: _, sets_count, tickets } = update;
        if resets_scale {
            self.scaled.remove(&name);
        }
        if one_by_one {
            let numbers = restarting.into_iter().collect();
            let reason = match scope {
                RestartScope::Changed => ExitReason::Configuration,
                RestartScope::Reload => ExitReason::Command(CommandKind::Reload),
                RestartScope::Restart => ExitReason::Command(CommandKind::Restart),
            };
            let goal = Goal { file, spec, count: Some(count) };
            return self.begin_reload(now, goal, numbers, reason, tickets, out);
        }
        let is_new = was != file;
        self.set_plan(file);
        if is_new || sets_count || !restarting.is_empty() {
            let kind = if scope == RestartScope::Restart { StopKind::Restarted } else { StopKind::Changed };
            self.apply_spec(now, count, &spec, &restarting, kind, out);
            self.resize(now, count, &spec, false, StopKind::Removed, out);
        }
        for id in reruns {
            self.with_instance(id, now, out, |instance, step| {
                instance.rerun_task(step);
                StepOutcome::Nothing
            });
        }
        if scope == RestartScope::Changed {
            for id in self.staying(&name) {
                if selected.contains(&self.instances[&id].number) {
                    self.start_requested(now, id, out);
                }
            }
        }
        self.await_app(&tickets, &name);
    }

    /// Decides what an update of an application that is not being reloaded changes.
    pub(super) fn decide(&self, was: &Arc<AppSpec>, update: &ResolvedUpdate) -> Decision {
        let ResolvedUpdate { file, cpus, scope, selected, reruns_tasks, sets_count, tickets: _ } = update;
        // Another number in the file overrides an earlier `scale`.
        let resets_scale = *sets_count || was.instances != file.instances;
        let (spec, count) = if resets_scale {
            (file.clone(), file.instances.resolve(*cpus))
        } else {
            self.as_scaled(file, *cpus)
        };
        let staying = self.staying(&file.name);
        let is_same = staying.iter().all(|id| same_but_instances(&self.instances[id].spec, &spec));
        let is_changed_task = |instance: &Instance| !same_work(&instance.spec, &spec);
        let restarts = |instance: &&Instance| match scope {
            _ if instance.is_running_task() && !selected.contains(&instance.number) => false,
            _ if instance.is_complete() && !selected.contains(&instance.number) => {
                *reruns_tasks && spec.autostart && is_changed_task(instance)
            }
            RestartScope::Changed => !is_same && (instance.is_alive() || spec.autostart),
            RestartScope::Reload | RestartScope::Restart => {
                selected.contains(&instance.number) || !is_same && instance.is_alive()
            }
        };
        let kept = || staying.iter().take(count as usize).map(|id| &self.instances[id]);
        let restarting: BTreeSet<u32> = kept().filter(restarts).map(|instance| instance.number).collect();
        // A change does not interrupt a task: it runs once more with its new spec.
        let runs_again = |it: &&Instance| it.is_running_task() && *reruns_tasks && is_changed_task(it);
        let reruns =
            kept().filter(runs_again).filter(|it| !restarting.contains(&it.number)).map(|it| it.id).collect();
        let can_roll = spec.can_overlap() && self.can_roll(&staying);
        let must_roll = !is_same && can_roll;
        let one_by_one = match scope {
            RestartScope::Restart => must_roll,
            // A single instance has no others to wait for, and its failure affects no others.
            RestartScope::Changed => must_roll || restarting.len() > 1 && kept().any(Instance::is_online),
            RestartScope::Reload => !restarting.is_empty(),
        };
        Decision { spec, count, resets_scale, restarting, reruns, one_by_one, can_roll }
    }

    /// Resolves the instances of an update to numbers.
    pub(super) fn resolve_update(
        &self,
        update: AppUpdate,
        cpus: u32,
        scope: RestartScope,
        tickets: Vec<Ticket>,
    ) -> ResolvedUpdate {
        let AppUpdate { app: file, selected, sets_count, reruns_tasks, initial_state: _ } = update;
        let of_app = |id: &InstanceId| self.instances.get(id).filter(|it| it.spec.name == file.name);
        let selected = selected.iter().filter_map(of_app).map(|instance| instance.number).collect();
        ResolvedUpdate { file, cpus, scope, selected, reruns_tasks, sets_count, tickets }
    }

    /// The numbers of these instances.
    pub(super) fn numbers(&self, ids: &[InstanceId]) -> BTreeSet<u32> {
        ids.iter().map(|id| self.instances[id].number).collect()
    }

    /// The lowest free numbers, as many as are missing for `count` instances.
    pub(super) fn missing(&self, kept: &[InstanceId], count: u32) -> Vec<u32> {
        let taken = self.numbers(kept);
        let missing = (count as usize).saturating_sub(taken.len());
        (0..).filter(|number| !taken.contains(number)).take(missing).collect()
    }

    /// Lets operations wait for the instances of an application: until each one that starts runs, and each one that
    /// leaves is gone.
    pub(super) fn await_app(&mut self, tickets: &[Ticket], app: &str) {
        for ticket in tickets {
            self.pending_operations.finish_job(*ticket, app, None);
            for instance in self.instances.values().filter(|it| it.is_current() && it.spec.name == app) {
                if let Some(awaited) = Awaited::of(instance) {
                    self.pending_operations.await_instance(*ticket, instance.id, awaited);
                }
            }
        }
    }

    /// Gives this spec to the first `count` remaining instances of an application, and restarts those of the numbers in
    /// `restarting`.
    pub(super) fn apply_spec(
        &mut self,
        now: Time,
        count: u32,
        spec: &Arc<AppSpec>,
        restarting: &BTreeSet<u32>,
        kind: StopKind,
        out: &mut Vec<Effect>,
    ) {
        for id in self.staying(&spec.name).iter().take(count as usize) {
            self.with_instance(*id, now, out, |instance, step| {
                let stop = stop(instance, kind, AfterStop::Restart);
                let restarts = restarting.contains(&instance.number);
                if !instance.is_alive() {
                    // The new dependencies count for a start now.
                    instance.spec = spec.clone();
                }
                let step_outcome = if restarts { instance.stop(step, stop) } else { StepOutcome::Nothing };
                instance.spec = spec.clone();
                step_outcome
            });
        }
    }

    /// Adds or removes instances until there are `count`. The oldest ones stay as they are; new ones have this spec,
    /// and start with `autostart` unless `is_stopped`.
    pub(super) fn resize(
        &mut self,
        now: Time,
        count: u32,
        spec: &Arc<AppSpec>,
        is_stopped: bool,
        kind: StopKind,
        out: &mut Vec<Effect>,
    ) {
        let staying = self.staying(&spec.name);
        for id in staying.iter().skip(count as usize) {
            self.stop_instance(now, *id, kind, AfterStop::Remove, out);
        }
        let kept = &staying[..staying.len().min(count as usize)];
        for number in self.missing(kept, count) {
            self.fill_slot(now, number, spec, is_stopped, out);
        }
    }

    /// Fills a free slot with a new instance, or with the one that is leaving it.
    fn fill_slot(
        &mut self,
        now: Time,
        number: u32,
        spec: &Arc<AppSpec>,
        is_stopped: bool,
        out: &mut Vec<Effect>,
    ) {
        if let Some(leaving) = self.current(&spec.name, number) {
            // Its stop or drain continues, and a start follows.
            self.with_instance(leaving, now, out, |instance, step| {
                instance.spec = spec.clone();
                instance.start_on_request(step);
                StepOutcome::Nothing
            });
            return;
        }
        let id = self.add(number, spec.clone(), now);
        self.with_instance(id, now, out, |instance, step| {
            if instance.spec.autostart && !is_stopped {
                instance.start(step);
            }
            StepOutcome::Nothing
        });
    }

    /// An application is no longer in the file.
    fn remove_app(&mut self, now: Time, name: &str, tickets: &[Ticket], out: &mut Vec<Effect>) {
        self.drop_queued(name, |_| true);
        self.abort_reload(now, name, ReloadAbortReason::Removed, StopKind::ReloadAborted, None, out);
        self.scaled.remove(name);
        for id in self.staying(name) {
            for ticket in tickets {
                self.pending_operations.await_instance(*ticket, id, Awaited::Removal);
            }
            self.stop_instance(now, id, StopKind::Removed, AfterStop::Remove, out);
        }
    }

    /// Why an application cannot get this name; `None`: it can.
    pub fn rename_obstacle(&self, to: &str) -> Option<RenameObstacle> {
        let is_planned = self.pending_plan().apps.iter().any(|app| app.name == to);
        if self.phase != Phase::Running {
            Some(RenameObstacle::NotRunning)
        } else if is_planned || self.instances.values().any(|instance| instance.spec.name == to) {
            Some(RenameObstacle::NameTaken)
        } else if !self.reloads.is_idle() {
            Some(RenameObstacle::Reload)
        } else {
            None
        }
    }

    /// Renames an application, also in the dependencies of others.
    pub(super) fn rename(&mut self, from: &str, to: &str) {
        let specs = self.instances.values_mut().map(|instance| &mut instance.spec);
        for spec in specs.chain(&mut self.plan.apps) {
            *spec = spec.with_renamed(from, to);
        }
        if let Some(count) = self.scaled.remove(from) {
            self.scaled.insert(to.to_owned(), count);
        }
        self.watch_changes.rename(from, to);
    }

    /// Stops one instance.
    pub(super) fn stop_instance(
        &mut self,
        now: Time,
        id: InstanceId,
        kind: StopKind,
        then: AfterStop,
        out: &mut Vec<Effect>,
    ) {
        self.with_instance(id, now, out, |instance, step| {
            let stop = stop(instance, kind, then);
            instance.stop(step, stop)
        });
    }

    /// The spec of the file, with the number of instances that the application was scaled to.
    pub(super) fn as_scaled(&self, file: &Arc<AppSpec>, cpus: u32) -> (Arc<AppSpec>, u32) {
        match self.scaled.get(&file.name) {
            None => (file.clone(), file.instances.resolve(cpus)),
            Some(&count) => {
                let spec = AppSpec { instances: Instances::Count(count), ..AppSpec::clone(file) };
                (Arc::new(spec), count)
            }
        }
    }

    /// The spec of an application in the plan.
    pub(super) fn planned(&self, name: &str) -> Option<Arc<AppSpec>> {
        self.plan.apps.iter().find(|app| app.name == name).cloned()
    }

    /// Replaces the spec of an application in the plan.
    pub(super) fn set_plan(&mut self, file: Arc<AppSpec>) {
        if let Some(app) = self.plan.apps.iter_mut().find(|app| app.name == file.name) {
            *app = file;
        }
    }

    /// The instances of an application that stay in the list, the oldest slot first. A scale to fewer ends the last
    /// ones.
    pub(super) fn staying(&self, name: &str) -> Vec<InstanceId> {
        let of_app = |instance: &&Instance| instance.is_staying() && instance.spec.name == name;
        let mut staying: Vec<&Instance> = self.instances.values().filter(of_app).collect();
        staying.sort_unstable_by_key(|instance| instance.pm_id);
        staying.into_iter().map(|instance| instance.id).collect()
    }

    /// The instance that has this slot, also if it is leaving it.
    pub(super) fn current(&self, name: &str, number: u32) -> Option<InstanceId> {
        let is_it = |instance: &&Instance| {
            instance.is_current() && instance.number == number && instance.spec.name == name
        };
        self.instances.values().find(is_it).map(|instance| instance.id)
    }

    /// Whether instances serve and can overlap with their successors.
    pub(super) fn can_roll(&self, staying: &[InstanceId]) -> bool {
        let instances = || staying.iter().map(|id| &self.instances[id]);
        instances().all(|instance| instance.spec.can_overlap()) && instances().any(Instance::is_online)
    }
}

fn stop(instance: &Instance, kind: StopKind, then: AfterStop) -> Stop {
    Stop { signal: instance.stop_signal(), kind, then }
}
