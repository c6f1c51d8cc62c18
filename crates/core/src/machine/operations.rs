//! Operations: a request of a client is carried out, or queued behind a reload.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    effect::Effect,
    ids::InstanceId,
    instance::{AfterStop, Status, StepOutcome},
    job::Job,
    operation::{Action, Count, Operation, Reply, Ticket},
    pending_operations::Awaited,
    reason::{CommandKind, ExitReason, ReloadAbortReason, StopKind},
    reloads::Goal,
    root::{Machine, Phase},
    time::Time,
};
use crate::spec::validate::MAX_INSTANCES;

/// The numbers of the selected instances, by application.
type SlotNumbers = BTreeMap<String, BTreeSet<u32>>;

impl Machine {
    /// Begins an operation.
    pub(super) fn operate(&mut self, now: Time, ticket: Ticket, operation: Operation, out: &mut Vec<Effect>) {
        let refusal = match self.phase {
            Phase::Running => None,
            Phase::NotBooted => Some("nothing has been started yet: try again in a moment"),
            Phase::Closing { .. } | Phase::Stopping { .. } | Phase::Ended => {
                Some("everything is being stopped")
            }
        };
        if let Some(error) = refusal {
            out.push(Effect::Reply(ticket, Reply::Failed(error.to_owned())));
            return;
        }
        self.pending_operations.begin(ticket);
        self.is_idle_by_request |= matches!(
            operation,
            Operation::Act(Action::Stop | Action::Delete, _) | Operation::Scale { count: Count::To(0), .. }
        );
        match operation {
            Operation::Act(Action::Start, ids) => self.for_each(ticket, &ids, |machine, id| {
                let awaited = machine.start_requested(now, id, out);
                if let Some(awaited) = awaited {
                    machine.pending_operations.await_instance(ticket, id, awaited);
                }
            }),
            Operation::Act(Action::Stop, ids) => {
                for (app, numbers) in self.slots(ticket, &ids) {
                    self.stop(now, &app, &numbers, ticket, out);
                }
            }
            Operation::Act(Action::Restart, ids) => {
                for (app, numbers) in self.slots(ticket, &ids) {
                    if self.reloads.is_active(&app) {
                        self.pending_operations.add_job(ticket, &app);
                        self.enqueue(&app, Job::Restart { numbers, ticket }, out);
                    } else {
                        self.restart_numbers(now, &app, &numbers, ticket, out);
                    }
                }
            }
            Operation::Act(Action::Reload, ids) => {
                for (app, numbers) in self.slots(ticket, &ids) {
                    self.pending_operations.add_job(ticket, &app);
                    if self.reloads.is_active(&app) {
                        let reason = ExitReason::Command(CommandKind::Reload);
                        self.enqueue(&app, Job::Reload { numbers, reason, tickets: vec![ticket] }, out);
                    } else {
                        let reason = ExitReason::Command(CommandKind::Reload);
                        self.reload_numbers(now, &app, &numbers, reason, vec![ticket], out);
                    }
                }
            }
            Operation::Scale { app, count } => {
                if self.reloads.is_active(&app) {
                    self.pending_operations.add_job(ticket, &app);
                    self.enqueue(&app, Job::Scale { count, ticket }, out);
                } else {
                    self.scale(now, &app, count, ticket, out);
                }
            }
            Operation::UpdateApps { apps, cpus, scope } => {
                // All jobs are added before the first one can complete.
                for update in &apps {
                    self.pending_operations.add_job(ticket, &update.app.name);
                }
                for update in apps {
                    self.update_app(now, update, cpus, scope, ticket, out);
                }
            }
            Operation::Apply { plan, cpus } => self.apply(now, plan, cpus, Some(ticket), out),
            Operation::Act(Action::Delete, ids) => {
                for (app, numbers) in self.slots(ticket, &ids) {
                    self.delete(now, &app, &numbers, ticket, out);
                }
            }
            Operation::Act(Action::Reset, ids) => self.for_each(ticket, &ids, |machine, id| {
                machine.instances.entry(id).and_modify(|instance| instance.history.reset(now));
            }),
            Operation::Act(Action::Signal(signal), ids) => self.for_each(ticket, &ids, |machine, id| {
                let Some(instance) = machine.instances.get_mut(&id) else { return };
                if !instance.forward(signal, out) {
                    let error = format!("{} is not running, {signal} was not sent", instance.subject());
                    machine.pending_operations.fail(ticket, error);
                }
            }),
        }
    }

    /// The slots of the selected instances. An instance that has left the list meanwhile is an error of the operation,
    /// which continues with the others.
    fn slots(&mut self, ticket: Ticket, ids: &[InstanceId]) -> SlotNumbers {
        let mut slots = SlotNumbers::new();
        for id in ids {
            match self.instances.get(id) {
                Some(instance) => {
                    slots.entry(instance.spec.name.clone()).or_default().insert(instance.number);
                }
                None => {
                    self.pending_operations
                        .fail(ticket, "an instance has left the list meanwhile".to_owned());
                }
            }
        }
        slots
    }

    fn current_of(&self, app: &str, numbers: &BTreeSet<u32>) -> Vec<InstanceId> {
        numbers.iter().filter_map(|number| self.current(app, *number)).collect()
    }

    /// Does something to each selected instance.
    fn for_each(&mut self, ticket: Ticket, ids: &[InstanceId], mut act: impl FnMut(&mut Self, InstanceId)) {
        for (app, numbers) in self.slots(ticket, ids) {
            for id in self.current_of(&app, &numbers) {
                act(self, id);
            }
        }
    }

    /// Starts an instance, unless it runs. Returns what the operation must wait for.
    pub(super) fn start_requested(
        &mut self,
        now: Time,
        id: InstanceId,
        out: &mut Vec<Effect>,
    ) -> Option<Awaited> {
        let instance = self.instances.get(&id)?;
        let awaited = match instance.status() {
            Status::Online => return None,
            // Its present run is the requested one.
            Status::Launching if instance.lifecycle.executed == instance.lifecycle.attempted => {
                return Awaited::of(instance);
            }
            Status::Launching => Awaited::Start(instance.lifecycle.executed),
            // An instance that is being removed does not start again, and is found gone.
            Status::Stopping if instance.is_being_removed() => {
                return Some(Awaited::Start(instance.lifecycle.attempted));
            }
            Status::Stopping
            | Status::Stopped
            | Status::WaitingForDependencies
            | Status::BackingOff
            | Status::Errored => Awaited::Start(instance.lifecycle.attempted),
        };
        self.with_instance(id, now, out, |instance, step| {
            instance.start_on_request(step);
            StepOutcome::Nothing
        });
        Some(awaited)
    }

    /// Restarts these numbers of an application that is not being reloaded.
    pub(super) fn restart_numbers(
        &mut self,
        now: Time,
        app: &str,
        numbers: &BTreeSet<u32>,
        ticket: Ticket,
        out: &mut Vec<Effect>,
    ) {
        for id in self.current_of(app, numbers) {
            let instance = &self.instances[&id];
            self.pending_operations.await_instance(ticket, id, Awaited::Start(instance.lifecycle.attempted));
            if !instance.is_being_removed() {
                self.stop_instance(now, id, StopKind::Restarted, AfterStop::Restart, out);
            }
        }
    }

    /// Reloads these numbers of an application that is not being reloaded.
    pub(super) fn reload_numbers(
        &mut self,
        now: Time,
        app: &str,
        numbers: &BTreeSet<u32>,
        reason: ExitReason,
        tickets: Vec<Ticket>,
        out: &mut Vec<Effect>,
    ) {
        let Some(file) = self.planned(app) else {
            for ticket in tickets {
                self.pending_operations.finish_job(
                    ticket,
                    app,
                    Some(format!("{app} has left the list meanwhile")),
                );
            }
            return;
        };
        let numbers: Vec<u32> = self
            .staying(app)
            .iter()
            .map(|id| self.instances[id].number)
            .filter(|number| numbers.contains(number))
            .collect();
        // A reload replaces the code and keeps the number of instances.
        let (spec, _) = self.as_scaled(&file, 1);
        self.begin_reload(now, Goal { file, spec, count: None }, numbers, reason, tickets, out);
    }

    /// Changes the number of instances of an application that is not being reloaded. The number holds until the file
    /// has another one.
    pub(super) fn scale(
        &mut self,
        now: Time,
        app: &str,
        count: Count,
        ticket: Ticket,
        out: &mut Vec<Effect>,
    ) {
        let Some(file) = self.planned(app) else {
            self.pending_operations.fail(ticket, format!("no app `{app}`"));
            return;
        };
        let before = self.staying(app);
        let present = u32::try_from(before.len()).unwrap_or(MAX_INSTANCES);
        let count = match count {
            Count::To(count) => count,
            Count::By(more) => present.saturating_add_signed(more).max(1),
        };
        if count > MAX_INSTANCES {
            self.pending_operations.fail(
                ticket,
                format!("{count} instances of {app} are too many: at most {MAX_INSTANCES} are possible"),
            );
            return;
        }
        self.scaled.insert(app.to_owned(), count);
        let (spec, _) = self.as_scaled(&file, 1);
        for id in before.iter().skip(count as usize) {
            self.pending_operations.await_instance(ticket, *id, Awaited::Removal);
        }
        // The remaining instances keep their specs: after an aborted reload these may differ from the plan.
        self.resize(now, count, &spec, false, StopKind::ScaledDown, out);
        for id in self.staying(app) {
            if !before.contains(&id)
                && let Some(awaited) = self.start_requested(now, id, out)
            {
                self.pending_operations.await_instance(ticket, id, awaited);
            }
        }
    }

    /// Stops these numbers. They stay in the list.
    fn stop(&mut self, now: Time, app: &str, numbers: &BTreeSet<u32>, ticket: Ticket, out: &mut Vec<Effect>) {
        self.drop_queued_starts(app, numbers);
        self.abort_reload(now, app, ReloadAbortReason::Stopped, StopKind::Stopped, Some(numbers), out);
        for id in self.current_of(app, numbers) {
            let instance = &self.instances[&id];
            let (run, is_being_removed) = (instance.run(), instance.is_being_removed());
            if let Some(run) = run {
                self.pending_operations.await_instance(ticket, id, Awaited::Exit(run));
            }
            let then = if is_being_removed { AfterStop::Remove } else { AfterStop::StayStopped };
            self.stop_instance(now, id, StopKind::Stopped, then, out);
        }
    }

    /// Removes these numbers from the list. An application without instances is forgotten until a file names it again.
    fn delete(
        &mut self,
        now: Time,
        app: &str,
        numbers: &BTreeSet<u32>,
        ticket: Ticket,
        out: &mut Vec<Effect>,
    ) {
        let is_all = self.staying(app).iter().all(|id| numbers.contains(&self.instances[id].number));
        if is_all {
            self.drop_queued(app, |_| true);
        }
        self.drop_queued_starts(app, numbers);
        self.abort_reload(now, app, ReloadAbortReason::Stopped, StopKind::Deleted, Some(numbers), out);
        for id in self.current_of(app, numbers) {
            self.pending_operations.await_instance(ticket, id, Awaited::Removal);
            self.stop_instance(now, id, StopKind::Deleted, AfterStop::Remove, out);
        }
        let left = self.staying(app).len();
        if left == 0 {
            self.plan.apps.retain(|planned| planned.name != app);
            self.scaled.remove(app);
        } else {
            self.scaled.insert(app.to_owned(), u32::try_from(left).unwrap_or(MAX_INSTANCES));
        }
    }
}
