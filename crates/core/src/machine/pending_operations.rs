//! Tracks the operations of clients until each has been answered exactly once.
//!
//! After every step it checks again what each operation waits for. Every state of an instance progresses by an input or
//! a timer, or is terminal, so no operation can hang.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    effect::Effect,
    ending::Ending,
    events::{EventData, Notice},
    ids::{InstanceId, Run},
    instance::{Instance, Status},
    operation::{Reply, Ticket},
};

/// What an operation waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Awaited {
    /// A run after this one: its program is executed, and with `wait_ready` it has sent `ready` or is late.
    Start(u64),
    /// The end of this run and its process tree.
    Exit(Run),
    /// The removal of the instance from the list.
    Removal,
}

impl Awaited {
    /// What an instance is about to do by itself, if anything.
    pub(super) fn of(instance: &Instance) -> Option<Self> {
        if instance.is_being_removed() {
            return Some(Self::Removal);
        }
        match instance.status() {
            Status::Launching if instance.lifecycle.executed < instance.lifecycle.attempted => {
                Some(Self::Start(instance.lifecycle.executed))
            }
            // Its process runs and has not sent `ready` yet.
            Status::Launching => Some(Self::Start(instance.lifecycle.executed.saturating_sub(1))),
            Status::Stopping if instance.should_run() => Some(Self::Start(instance.lifecycle.attempted)),
            Status::WaitingForDependencies => Some(Self::Start(instance.lifecycle.attempted)),
            Status::Online | Status::Stopping | Status::Stopped | Status::BackingOff | Status::Errored => {
                None
            }
        }
    }

    /// Whether it has happened, or cannot happen any more; `None`: not yet.
    pub(super) fn check(self, instance: Option<&Instance>) -> Option<Result<(), String>> {
        let fail =
            |instance: &Instance, message: &str| Some(Err(format!("{} {message}", instance.subject())));
        match (self, instance) {
            (Self::Start(_), None) => Some(Err("an instance was removed before it could start".to_owned())),
            (Self::Exit(_) | Self::Removal, None) => Some(Ok(())),
            (Self::Start(run), Some(instance))
                if instance.lifecycle.executed > run && instance.counts_as_started() =>
            {
                Some(Ok(()))
            }
            (Self::Start(_), Some(instance)) if instance.is_late() => {
                fail(instance, "still waits for its dependencies, and starts when they are ready")
            }
            (Self::Start(_), Some(instance)) => match (instance.status(), instance.obstacle()) {
                (_, Some(obstacle)) => fail(instance, &format!("is not started: {}", obstacle.message)),
                (Status::Stopped | Status::Errored | Status::BackingOff, None) => {
                    let past = instance.history.record.past_runs.last();
                    fail(
                        instance,
                        &match past.map(|past| &past.ending) {
                            Some(ending @ Ending::SpawnFailed(_)) => ending.to_string(),
                            Some(ending) => format!("did not start: exited with {ending}"),
                            None => "did not start: it was stopped before".to_owned(),
                        },
                    )
                }
                (
                    Status::WaitingForDependencies | Status::Launching | Status::Online | Status::Stopping,
                    None,
                ) => None,
            },
            (Self::Exit(run), Some(instance)) => (instance.run() != Some(run)).then_some(Ok(())),
            (Self::Removal, Some(instance)) if instance.is_being_removed() => None,
            (Self::Removal, Some(instance)) => fail(instance, "was added again before it was removed"),
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Pending {
    pub(super) instances: BTreeMap<InstanceId, Awaited>,
    /// The applications that have an unfinished job of it, by name.
    pub(super) jobs: BTreeSet<String>,
    /// The applications whose events concern it.
    pub(super) apps: BTreeSet<String>,
    /// The errors so far.
    pub(super) failures: Vec<String>,
}

impl Pending {
    pub(super) fn concerns(&self, notice: &Notice) -> bool {
        let subject = &notice.subject;
        subject.instance.is_some_and(|id| self.instances.contains_key(&id))
            || subject.app.as_ref().is_some_and(|app| self.apps.contains(app))
    }

    pub(super) fn record_failure(&mut self, notice: &Notice) {
        if let EventData::Unkillable {} = notice.data
            && notice.subject.instance.is_some_and(|id| self.instances.contains_key(&id))
        {
            self.failures.push(notice.to_string());
        }
    }
}

/// The operations that have no final answer yet.
#[derive(Debug, Default)]
pub(super) struct PendingOperations(BTreeMap<Ticket, Pending>);

impl PendingOperations {
    #[cfg(debug_assertions)]
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn begin(&mut self, ticket: Ticket) {
        self.0.insert(ticket, Pending::default());
    }

    /// Adds the tickets of the operations that an event concerns, and answers each operation that is done.
    pub(super) fn answer(
        &mut self,
        instances: &BTreeMap<InstanceId, Instance>,
        begin: usize,
        out: &mut Vec<Effect>,
    ) {
        if self.0.is_empty() {
            return;
        }
        for effect in &mut out[begin..] {
            let Effect::Report { notice, tickets } = effect else { continue };
            for (ticket, pending) in &mut self.0 {
                if pending.concerns(notice) {
                    tickets.push(*ticket);
                    pending.record_failure(notice);
                }
            }
        }
        self.0.retain(|ticket, pending| {
            let Pending { instances: waiting, jobs, failures, .. } = pending;
            waiting.retain(|id, awaited| match awaited.check(instances.get(id)) {
                None => true,
                Some(Ok(())) => false,
                Some(Err(error)) => {
                    failures.push(error);
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

    /// The job of an application is over; `failure` is why it was not done.
    pub(super) fn finish_job(&mut self, ticket: Ticket, app: &str, failure: Option<String>) {
        if let Some(pending) = self.0.get_mut(&ticket) {
            pending.jobs.remove(app);
            pending.failures.extend(failure);
        }
    }

    pub(super) fn await_instance(&mut self, ticket: Ticket, id: InstanceId, awaited: Awaited) {
        if let Some(pending) = self.0.get_mut(&ticket) {
            pending.instances.insert(id, awaited);
        }
    }

    pub(super) fn add_job(&mut self, ticket: Ticket, app: &str) {
        if let Some(pending) = self.0.get_mut(&ticket) {
            pending.jobs.insert(app.to_owned());
            pending.apps.insert(app.to_owned());
        }
    }

    pub(super) fn fail(&mut self, ticket: Ticket, error: String) {
        if let Some(pending) = self.0.get_mut(&ticket) {
            pending.failures.push(error);
        }
    }
}
