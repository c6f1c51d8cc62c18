//! The desk: where people's operations come in, and from which each gets exactly one answer.
//!
//! What an operation has set going is not followed by hand: after each step the desk looks at the
//! instances it waits for. Whatever happens to those, crash, kill, removal or the end of all, has
//! an answer, so no operation can hang.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Count, Operation, Reply, Ticket, Time,
    event::{Effect, InstanceId, Run},
    events::{EventData, Notice},
    instance::{AfterStop, Instance, Status, StepOutcome},
    job::Job,
    notice::{StopReason, Why},
    reason::{Command, Reason},
    reload::Goal,
    root::{Machine, Phase},
};

/// The most instances of one application.
const MAX_INSTANCES: u32 = 1000;

/// What an operation waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Awaits {
    /// A run later than this one has begun; with `wait_ready` it has said so, or is late.
    Begin(u64),
    /// This run and its tree are gone.
    End(Run),
    /// It is forgotten.
    Gone,
}

#[derive(Debug, Default)]
struct Pending {
    instances: BTreeMap<InstanceId, Awaits>,
    /// The applications that have a job of it, by name.
    jobs: BTreeSet<String>,
    /// The applications whose news concern it.
    apps: BTreeSet<String>,
    /// What has gone wrong.
    failures: Vec<String>,
}

/// The operations that have no last answer yet.
#[derive(Debug, Default)]
pub(super) struct PendingOperations(BTreeMap<Ticket, Pending>);

impl PendingOperations {
    #[cfg(debug_assertions)]
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// An application's job is over; with an error if it was not done.
    pub(super) fn job_over(&mut self, ticket: Ticket, app: &str, failure: Option<String>) {
        if let Some(pending) = self.0.get_mut(&ticket) {
            pending.jobs.remove(app);
            pending.failures.extend(failure);
        }
    }

    pub(super) fn awaits(&mut self, ticket: Ticket, id: InstanceId, what: Awaits) {
        if let Some(pending) = self.0.get_mut(&ticket) {
            pending.instances.insert(id, what);
        }
    }

    pub(super) fn job(&mut self, ticket: Ticket, app: &str) {
        if let Some(pending) = self.0.get_mut(&ticket) {
            pending.jobs.insert(app.to_owned());
            pending.apps.insert(app.to_owned());
        }
    }

    pub(super) fn fail(&mut self, ticket: Ticket, why: String) {
        if let Some(pending) = self.0.get_mut(&ticket) {
            pending.failures.push(why);
        }
    }
}

/// The numbers that are meant of each application.
type Places = BTreeMap<String, BTreeSet<u32>>;

impl Machine {
    /// Somebody asks for something.
    pub(super) fn operate(&mut self, now: Time, ticket: Ticket, operation: Operation, out: &mut Vec<Effect>) {
        let refusal = match self.phase {
            Phase::Running => None,
            Phase::Waiting => Some("nothing has been started yet: try again in a moment"),
            Phase::Closing { .. } | Phase::Stopping { .. } | Phase::Ended => {
                Some("everything is being stopped")
            }
        };
        if let Some(why) = refusal {
            out.push(Effect::Reply(ticket, Reply::Failed(why.to_owned())));
            return;
        }
        self.pending_operations.0.insert(ticket, Pending::default());
        self.held |= matches!(
            operation,
            Operation::Stop(_) | Operation::Delete(_) | Operation::Scale { count: Count::To(0), .. }
        );
        match operation {
            Operation::Start(ids) => self.for_each(ticket, &ids, |machine, id| {
                let begun = machine.start_asked(now, id, out);
                if let Some(awaits) = begun {
                    machine.pending_operations.awaits(ticket, id, awaits);
                }
            }),
            Operation::Stop(ids) => {
                let places = self.places(ticket, &ids);
                for (app, numbers) in &places {
                    self.drop_queued_starts(app, numbers);
                    self.give_up(now, app, Why::Asked, StopReason::Asked, Some(numbers), out);
                    for id in self.settled_of(app, numbers) {
                        let instance = &self.instances[&id];
                        let (run, leaving) = (instance.run(), instance.is_leaving());
                        if let Some(run) = run {
                            self.pending_operations.awaits(ticket, id, Awaits::End(run));
                        }
                        let then = if leaving { AfterStop::Remove } else { AfterStop::Stay };
                        self.end(now, id, StopReason::Asked, then, out);
                    }
                }
            }
            Operation::Restart(ids) => {
                for (app, numbers) in self.places(ticket, &ids) {
                    if self.reloads.is_active(&app) {
                        self.pending_operations.job(ticket, &app);
                        self.queue(&app, Job::Restart { numbers, ticket }, out);
                    } else {
                        self.restart_numbers(now, &app, &numbers, ticket, out);
                    }
                }
            }
            Operation::Reload(ids) => {
                for (app, numbers) in self.places(ticket, &ids) {
                    self.pending_operations.job(ticket, &app);
                    if self.reloads.is_active(&app) {
                        let reason = Reason::Command(Command::Reload);
                        self.queue(&app, Job::Reload { numbers, reason, tickets: vec![ticket] }, out);
                    } else {
                        let reason = Reason::Command(Command::Reload);
                        self.reload_numbers(now, &app, &numbers, reason, vec![ticket], out);
                    }
                }
            }
            Operation::Scale { app, count } => {
                if self.reloads.is_active(&app) {
                    self.pending_operations.job(ticket, &app);
                    self.queue(&app, Job::Scale { count, ticket }, out);
                } else {
                    self.scale(now, &app, count, ticket, out);
                }
            }
            Operation::Become { apps, cpus, manner } => {
                // Before the first of them is done.
                for wanted in &apps {
                    self.pending_operations.job(ticket, &wanted.app.name);
                }
                for wanted in apps {
                    self.wanted(now, wanted, cpus, manner, ticket, out);
                }
            }
            Operation::Apply { plan, cpus } => self.apply(now, plan, cpus, Some(ticket), out),
            Operation::Delete(ids) => {
                for (app, numbers) in self.places(ticket, &ids) {
                    self.delete(now, &app, &numbers, ticket, out);
                }
            }
            Operation::Reset(ids) => self.for_each(ticket, &ids, |machine, id| {
                machine.instances.entry(id).and_modify(|instance| instance.reset(now));
            }),
            Operation::Signal(ids, signal) => self.for_each(ticket, &ids, |machine, id| {
                let Some(instance) = machine.instances.get_mut(&id) else { return };
                if !instance.forward(signal, out) {
                    let why = format!("{} has no process that could get {signal}", instance.subject());
                    machine.pending_operations.fail(ticket, why);
                }
            }),
        }
    }

    /// The places in the list that are meant. Who has left it meanwhile is an error of the
    /// operation, which goes on with the others.
    fn places(&mut self, ticket: Ticket, ids: &[InstanceId]) -> Places {
        let mut places = Places::new();
        for id in ids {
            match self.instances.get(id) {
                Some(instance) => {
                    places.entry(instance.spec.name.clone()).or_default().insert(instance.number);
                }
                None => {
                    self.pending_operations
                        .fail(ticket, "an instance has left the list meanwhile".to_owned());
                }
            }
        }
        places
    }

    fn settled_of(&self, app: &str, numbers: &BTreeSet<u32>) -> Vec<InstanceId> {
        numbers.iter().filter_map(|number| self.settled(app, *number)).collect()
    }

    /// Does something to each instance that is meant.
    fn for_each(&mut self, ticket: Ticket, ids: &[InstanceId], mut act: impl FnMut(&mut Self, InstanceId)) {
        for (app, numbers) in self.places(ticket, ids) {
            for id in self.settled_of(&app, &numbers) {
                act(self, id);
            }
        }
    }

    /// Starts an instance, unless it runs and is to go on. Says what to wait for.
    pub(super) fn start_asked(&mut self, now: Time, id: InstanceId, out: &mut Vec<Effect>) -> Option<Awaits> {
        let instance = self.instances.get(&id)?;
        let awaits = match instance.status() {
            Status::Online => return None,
            // Its present run is the one.
            Status::Launching if instance.begun == instance.tried => return Awaits::of(instance),
            Status::Launching => Awaits::Begin(instance.begun),
            // Who is being removed does not begin again, and is found gone.
            Status::Stopping if instance.is_leaving() => return Some(Awaits::Begin(instance.tried)),
            Status::Stopping
            | Status::Stopped
            | Status::Waiting
            | Status::WaitingRestart
            | Status::Errored => Awaits::Begin(instance.tried),
        };
        self.with_instance(id, now, out, |instance, step| {
            instance.revive(step);
            StepOutcome::Nothing
        });
        Some(awaits)
    }

    /// Lets these numbers of an application that is not being reloaded run anew.
    pub(super) fn restart_numbers(
        &mut self,
        now: Time,
        app: &str,
        numbers: &BTreeSet<u32>,
        ticket: Ticket,
        out: &mut Vec<Effect>,
    ) {
        for id in self.settled_of(app, numbers) {
            let instance = &self.instances[&id];
            self.pending_operations.awaits(ticket, id, Awaits::Begin(instance.tried));
            if !instance.is_leaving() {
                self.end(now, id, StopReason::Restarted, AfterStop::Restart, out);
            }
        }
    }

    /// Reloads these numbers of an application that is not being reloaded.
    pub(super) fn reload_numbers(
        &mut self,
        now: Time,
        app: &str,
        numbers: &BTreeSet<u32>,
        reason: Reason,
        tickets: Vec<Ticket>,
        out: &mut Vec<Effect>,
    ) {
        let Some(file) = self.planned(app) else {
            for ticket in tickets {
                self.pending_operations.job_over(
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
        // What is to change is the code: how many there are does not.
        let (spec, _) = self.as_scaled(&file, 1);
        self.reload(now, Goal { file, spec, count: None }, numbers, reason, tickets, out);
    }

    /// Lets an application that is not being reloaded have another number of instances. That
    /// sticks until the file says another one.
    pub(super) fn scale(
        &mut self,
        now: Time,
        app: &str,
        count: Count,
        ticket: Ticket,
        out: &mut Vec<Effect>,
    ) {
        let Some(file) = self.planned(app) else {
            self.pending_operations.fail(ticket, format!("there is no application `{app}`"));
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
            self.pending_operations.awaits(ticket, *id, Awaits::Gone);
        }
        // Those that stay go on with what they run: after a reload that was given up that may not
        // be what the plan says.
        self.resize(now, count, &spec, false, StopReason::ScaledDown, out);
        for id in self.staying(app) {
            if !before.contains(&id)
                && let Some(awaits) = self.start_asked(now, id, out)
            {
                self.pending_operations.awaits(ticket, id, awaits);
            }
        }
    }

    /// Removes these numbers from the list. An application that has none left is forgotten until a
    /// file names it again.
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
            self.unqueue(app, |_| true);
        }
        self.drop_queued_starts(app, numbers);
        self.give_up(now, app, Why::Asked, StopReason::Deleted, Some(numbers), out);
        for id in self.settled_of(app, numbers) {
            self.pending_operations.awaits(ticket, id, Awaits::Gone);
            self.end(now, id, StopReason::Deleted, AfterStop::Remove, out);
        }
        let left = self.staying(app).len();
        if left == 0 {
            self.plan.apps.retain(|planned| planned.name != app);
            self.scaled.remove(app);
        } else {
            self.scaled.insert(app.to_owned(), u32::try_from(left).unwrap_or(MAX_INSTANCES));
        }
    }

    /// Tells those who asked what has happened since `begin`, and who is done.
    pub(super) fn answer(&mut self, begin: usize, out: &mut Vec<Effect>) {
        if self.pending_operations.0.is_empty() {
            return;
        }
        for effect in &mut out[begin..] {
            let Effect::Report { notice, tickets } = effect else { continue };
            for (ticket, pending) in &mut self.pending_operations.0 {
                if pending.concerns(notice) {
                    tickets.push(*ticket);
                    pending.note(notice);
                }
            }
        }
        let instances = &self.instances;
        self.pending_operations.0.retain(|ticket, pending| {
            let Pending { instances: waiting, jobs, failures, .. } = pending;
            waiting.retain(|id, awaits| match awaits.look_at(instances.get(id)) {
                None => true,
                Some(Ok(())) => false,
                Some(Err(why)) => {
                    failures.push(why);
                    false
                }
            });
            if !waiting.is_empty() || !jobs.is_empty() {
                return true;
            }
            let reply = if failures.is_empty() { Reply::Done } else { Reply::Failed(failures.join("\n")) };
            out.push(Effect::Reply(*ticket, reply));
            false
        });
    }
}

impl Pending {
    fn concerns(&self, notice: &Notice) -> bool {
        let subject = &notice.subject;
        subject.instance.is_some_and(|id| self.instances.contains_key(&id))
            || subject.app.as_ref().is_some_and(|app| self.apps.contains(app))
    }

    fn note(&mut self, notice: &Notice) {
        if let EventData::Unkillable {} = notice.data
            && notice.subject.instance.is_some_and(|id| self.instances.contains_key(&id))
        {
            self.failures.push(notice.to_string());
        }
    }
}

impl Awaits {
    /// What is to come of an instance by itself, if anything is.
    pub(super) fn of(instance: &Instance) -> Option<Self> {
        if instance.is_leaving() {
            return Some(Self::Gone);
        }
        match instance.status() {
            Status::Launching if instance.begun < instance.tried => Some(Self::Begin(instance.begun)),
            // It runs, and has to say that it is ready.
            Status::Launching => Some(Self::Begin(instance.begun.saturating_sub(1))),
            Status::Stopping if instance.is_wanted() => Some(Self::Begin(instance.tried)),
            Status::Waiting => Some(Self::Begin(instance.tried)),
            Status::Online
            | Status::Stopping
            | Status::Stopped
            | Status::WaitingRestart
            | Status::Errored => None,
        }
    }

    /// Whether it has come to pass, or cannot any more.
    fn look_at(self, instance: Option<&Instance>) -> Option<Result<(), String>> {
        let fail = |instance: &Instance, what: &str| Some(Err(format!("{} {what}", instance.subject())));
        match (self, instance) {
            (Self::Begin(_), None) => Some(Err("an instance was removed before it could start".to_owned())),
            (Self::End(_) | Self::Gone, None) => Some(Ok(())),
            (Self::Begin(run), Some(instance)) if instance.begun > run && instance.is_up() => Some(Ok(())),
            (Self::Begin(_), Some(instance)) if instance.is_late() => {
                fail(instance, "still waits for others and starts as soon as they are there")
            }
            (Self::Begin(_), Some(instance)) => match (instance.status(), instance.obstacle()) {
                (_, Some(obstacle)) => fail(instance, &format!("is not started: {}", obstacle.what)),
                (Status::Stopped | Status::Errored | Status::WaitingRestart, None) => {
                    let ending = instance.record.endings.last().map(|past| past.ending.to_string());
                    let ending = ending.unwrap_or_else(|| "it was stopped before".to_owned());
                    fail(instance, &format!("did not start: {ending}"))
                }
                (Status::Waiting | Status::Launching | Status::Online | Status::Stopping, None) => None,
            },
            (Self::End(run), Some(instance)) => (instance.run() != Some(run)).then_some(Ok(())),
            (Self::Gone, Some(instance)) if instance.is_leaving() => None,
            (Self::Gone, Some(instance)) => fail(instance, "was asked for again before it was gone"),
        }
    }
}
