//! One application as a whole: what the file says of it, and how many instances it has.
//!
//! How an instance is replaced while it serves is in `reload`.

use std::{collections::BTreeSet, sync::Arc};

use super::{
    effect::Effect,
    events::{EventData, Notice},
    ids::InstanceId,
    instance::{AfterStop, Instance, StepOutcome, Stop},
    job::{Job, ResolvedUpdate},
    operation::{AppUpdate, InitialState, RestartScope, Ticket},
    pending_operations::Awaited,
    reason::{Command, ExitReason, ReloadAbortReason, StopReason},
    reloads::Goal,
    root::{Machine, Phase},
    time::Time,
};
use crate::spec::{
    AppSpec, Instances, Plan,
    diff::{same_but_instances, same_work},
};

/// What is to be done to one application so that it is as it is to read.
pub(super) struct Decision {
    /// As its instances are to read.
    pub(super) spec: Arc<AppSpec>,
    /// How many there are to be.
    pub(super) count: u32,
    /// What it was scaled to is forgotten.
    pub(super) resets_scale: bool,
    /// The numbers of those that run anew.
    pub(super) restarting: BTreeSet<u32>,
    /// The tasks that run to their end, and then once more.
    pub(super) reruns: Vec<InstanceId>,
    /// One after the other.
    pub(super) one_by_one: bool,
    /// An old and a new process of it can serve side by side.
    pub(super) can_roll: bool,
}

/// Why an application cannot get another name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RenameObstacle {
    /// Another one has that name, or had it and has not ended yet.
    NameTaken,
    /// An application is being reloaded: what the reload leads to has the old name.
    Reload,
    /// Nothing has been started yet, or everything is being stopped.
    NotRunning,
}

impl Machine {
    /// The applications are to be those of the new plan.
    pub(super) fn apply(
        &mut self,
        now: Time,
        plan: Plan,
        cpus: u32,
        ticket: Option<Ticket>,
        out: &mut Vec<Effect>,
    ) {
        let tickets: Vec<Ticket> = ticket.into_iter().collect();
        // Before the first of them is done.
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
                    // Until it is as it reads now.
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

    /// A request to give an application this spec.
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

    /// An application is new in the plan.
    fn add_app(
        &mut self,
        now: Time,
        spec: &Arc<AppSpec>,
        count: u32,
        is_stopped: bool,
        out: &mut Vec<Effect>,
    ) {
        let all = self.staying(&spec.name).iter().map(|id| self.instances[id].number).collect();
        self.apply_spec(now, count, spec, &all, StopReason::Changed, out);
        self.resize(now, count, spec, is_stopped, StopReason::Removed, out);
    }

    /// Brings an application to a new version, now or after its reload.
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
        // One that has not begun yet is as good as not asked for.
        let update = self.reloads.merge_queued(&name, update);
        if reached == update.file && !is_aborted && !update.has_requests() {
            self.reloads.join(&name, update.tickets);
        } else {
            self.enqueue(&name, Job::Update(update), out);
        }
    }

    /// Lets an application that is not being reloaded be like this.
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
                RestartScope::Reload => ExitReason::Command(Command::Reload),
                RestartScope::Restart => ExitReason::Command(Command::Restart),
            };
            let goal = Goal { file, spec, count: Some(count) };
            return self.begin_reload(now, goal, numbers, reason, tickets, out);
        }
        let is_new = was != file;
        self.set_plan(file);
        if is_new || sets_count || !restarting.is_empty() {
            let cause =
                if scope == RestartScope::Restart { StopReason::Restarted } else { StopReason::Changed };
            self.apply_spec(now, count, &spec, &restarting, cause, out);
            self.resize(now, count, &spec, false, StopReason::Removed, out);
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

    /// What is to be done so that an application that is not being reloaded is like this.
    pub(super) fn decide(&self, was: &Arc<AppSpec>, update: &ResolvedUpdate) -> Decision {
        let ResolvedUpdate { file, cpus, scope, selected, reruns_tasks, sets_count, tickets: _ } = update;
        // The file says another number: that is the last word.
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
        // A task is not interrupted by a change: it runs again as it reads now.
        let runs_again = |it: &&Instance| it.is_running_task() && *reruns_tasks && is_changed_task(it);
        let reruns =
            kept().filter(runs_again).filter(|it| !restarting.contains(&it.number)).map(|it| it.id).collect();
        let can_roll = spec.can_overlap() && self.can_roll(&staying);
        let must_roll = !is_same && can_roll;
        let one_by_one = match scope {
            RestartScope::Restart => must_roll,
            // A single one does not wait for others, and its failure affects no others.
            RestartScope::Changed => must_roll || restarting.len() > 1 && kept().any(Instance::is_online),
            RestartScope::Reload => !restarting.is_empty(),
        };
        Decision { spec, count, resets_scale, restarting, reruns, one_by_one, can_roll }
    }

    /// What is asked for one application that is there.
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

    /// The lowest numbers that these instances leave free, as many as are missing.
    pub(super) fn missing(&self, kept: &[InstanceId], count: u32) -> Vec<u32> {
        let taken = self.numbers(kept);
        let missing = (count as usize).saturating_sub(taken.len());
        (0..).filter(|number| !taken.contains(number)).take(missing).collect()
    }

    /// What was asked for an application is on its way: done when each instance that should run does, and each
    /// is to go is gone.
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

    /// Gives this spec to the remaining instances of an application, the first ones of this number. Those of
    /// these numbers run anew.
    pub(super) fn apply_spec(
        &mut self,
        now: Time,
        count: u32,
        spec: &Arc<AppSpec>,
        restarting: &BTreeSet<u32>,
        cause: StopReason,
        out: &mut Vec<Effect>,
    ) {
        for id in self.staying(&spec.name).iter().take(count as usize) {
            self.with_instance(*id, now, out, |instance, step| {
                let stop = stop(instance, cause, AfterStop::Restart);
                let restarts = restarting.contains(&instance.number);
                if !instance.is_alive() {
                    // What it waits for now counts.
                    instance.spec = spec.clone();
                }
                let step_outcome = if restarts { instance.stop(step, stop) } else { StepOutcome::Nothing };
                instance.spec = spec.clone();
                step_outcome
            });
        }
    }

    /// Adds or removes instances up to this number. The oldest ones stay as they are; new ones are of
    /// this spec, and start with `autostart` unless they are to rest.
    pub(super) fn resize(
        &mut self,
        now: Time,
        count: u32,
        spec: &Arc<AppSpec>,
        is_stopped: bool,
        cause: StopReason,
        out: &mut Vec<Effect>,
    ) {
        let staying = self.staying(&spec.name);
        for id in staying.iter().skip(count as usize) {
            self.stop_instance(now, *id, cause, AfterStop::Remove, out);
        }
        let kept = &staying[..staying.len().min(count as usize)];
        for number in self.missing(kept, count) {
            self.fill_slot(now, number, spec, is_stopped, out);
        }
    }

    /// Gives a place that nobody stays in to a new instance, or back to the one that leaves it.
    fn fill_slot(
        &mut self,
        now: Time,
        number: u32,
        spec: &Arc<AppSpec>,
        is_stopped: bool,
        out: &mut Vec<Effect>,
    ) {
        if let Some(leaving) = self.current(&spec.name, number) {
            // What it has begun to finish it may finish.
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
        self.abort_reload(now, name, ReloadAbortReason::Removed, StopReason::ReloadAborted, None, out);
        self.scaled.remove(name);
        for id in self.staying(name) {
            for ticket in tickets {
                self.pending_operations.await_instance(*ticket, id, Awaited::Removal);
            }
            self.stop_instance(now, id, StopReason::Removed, AfterStop::Remove, out);
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

    /// Gives an application another name, also where others depend on it.
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

    /// Asks one instance to end.
    pub(super) fn stop_instance(
        &mut self,
        now: Time,
        id: InstanceId,
        cause: StopReason,
        then: AfterStop,
        out: &mut Vec<Effect>,
    ) {
        self.with_instance(id, now, out, |instance, step| {
            let stop = stop(instance, cause, then);
            instance.stop(step, stop)
        });
    }

    /// An application as the file says it, with as many instances as it was scaled to.
    pub(super) fn as_scaled(&self, file: &Arc<AppSpec>, cpus: u32) -> (Arc<AppSpec>, u32) {
        match self.scaled.get(&file.name) {
            None => (file.clone(), file.instances.resolve(cpus)),
            Some(&count) => {
                let spec = AppSpec { instances: Instances::Count(count), ..AppSpec::clone(file) };
                (Arc::new(spec), count)
            }
        }
    }

    /// What the plan says of an application.
    pub(super) fn planned(&self, name: &str) -> Option<Arc<AppSpec>> {
        self.plan.apps.iter().find(|app| app.name == name).cloned()
    }

    /// The plan says this of an application that it knows.
    pub(super) fn set_plan(&mut self, file: Arc<AppSpec>) {
        if let Some(app) = self.plan.apps.iter_mut().find(|app| app.name == file.name) {
            *app = file;
        }
    }

    /// The instances of an application that are to stay in the list, the oldest place first. A scale to
    /// fewer ends the last ones.
    pub(super) fn staying(&self, name: &str) -> Vec<InstanceId> {
        let of_app = |instance: &&Instance| instance.is_staying() && instance.spec.name == name;
        let mut staying: Vec<&Instance> = self.instances.values().filter(of_app).collect();
        staying.sort_unstable_by_key(|instance| instance.pm_id);
        staying.into_iter().map(|instance| instance.id).collect()
    }

    /// The instance that has a place in the list, also when it is about to leave it.
    pub(super) fn current(&self, name: &str, number: u32) -> Option<InstanceId> {
        let is_it = |instance: &&Instance| {
            instance.is_current() && instance.number == number && instance.spec.name == name
        };
        self.instances.values().find(is_it).map(|instance| instance.id)
    }

    /// Whether there is something that serves and must not stop before its successor does.
    pub(super) fn can_roll(&self, staying: &[InstanceId]) -> bool {
        let instances = || staying.iter().map(|id| &self.instances[id]);
        instances().all(|instance| instance.spec.can_overlap()) && instances().any(Instance::is_online)
    }
}

fn stop(instance: &Instance, cause: StopReason, then: AfterStop) -> Stop {
    Stop { signal: instance.stop_signal(), cause, then }
}
