//! The reloads in progress, and the jobs that wait for their end.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

use super::{
    events::{EventData, Notice},
    ids::InstanceId,
    job::{Job, ResolvedUpdate},
    operation::Ticket,
    reason::{ExitReason, ReloadAbortReason},
    time::Time,
};
use crate::spec::AppSpec;

/// The state of an application after a reload.
#[derive(Debug, Clone)]
pub(super) struct Goal {
    /// The spec of the file.
    pub(super) file: Arc<AppSpec>,
    /// The same, with the number of instances that the application was scaled to.
    pub(super) spec: Arc<AppSpec>,
    /// The number of instances; `None`: unchanged.
    pub(super) count: Option<u32>,
}

#[derive(Debug)]
pub(super) struct Reload {
    pub(super) goal: Goal,
    /// The exit reason of predecessors.
    pub(super) reason: ExitReason,
    /// Whether successors run beside their predecessors.
    pub(super) rolling: bool,
    pub(super) started_at: Time,
    /// The numbers of the instances that are not being replaced yet.
    pub(super) remaining: VecDeque<u32>,
    /// The instances that must become ready: successors, or restarted instances if the reload is not rolling.
    pub(super) starting: BTreeSet<InstanceId>,
    /// The instances that must end: predecessors, and failed successors.
    pub(super) stopping: BTreeSet<InstanceId>,
    /// The instances that have become ready.
    pub(super) replaced: BTreeSet<InstanceId>,
    pub(super) total: u32,
    pub(super) aborted: Option<Notice>,
    pub(super) tickets: Vec<Ticket>,
}

impl Reload {
    pub(super) fn abort_notice(&self, reason: ReloadAbortReason) -> Notice {
        let data = EventData::ReloadAborted {
            reason,
            replaced: u32::try_from(self.replaced.len()).unwrap_or(u32::MAX),
            total: self.total,
            rolling: self.rolling,
        };
        Notice::of_app(&self.goal.spec.name, data)
    }
}

/// The reloads in progress, and the jobs that wait for their end, by application.
#[derive(Debug, Default)]
pub(super) struct Reloads {
    pub(super) active: BTreeMap<String, Reload>,
    pub(super) queued: BTreeMap<String, VecDeque<Job>>,
}

impl Reloads {
    /// Whether a reload of an application runs successors beside their predecessors.
    pub(super) fn is_rolling(&self, app: &str) -> bool {
        self.active.get(app).is_some_and(|reload| reload.rolling)
    }

    pub(super) fn is_active(&self, app: &str) -> bool {
        self.active.contains_key(app)
    }

    pub(super) fn is_idle(&self) -> bool {
        self.active.is_empty()
    }

    /// The spec that a running reload leads to, and the last queued one.
    pub(super) fn goals(&self, app: &str) -> (Option<Arc<AppSpec>>, Option<Arc<AppSpec>>) {
        let active = self.active.get(app).filter(|reload| reload.aborted.is_none());
        let queued = self.queued.get(app).and_then(|jobs| {
            jobs.iter().rev().find_map(|job| match job {
                Job::Update(update) => Some(update.file.clone()),
                Job::Reload { .. } | Job::Restart { .. } | Job::Scale { .. } => None,
            })
        });
        (active.map(|reload| reload.goal.file.clone()), queued)
    }

    /// Whether the reload of an application is aborted; `None`: there is no reload.
    pub(super) fn is_aborted(&self, app: &str) -> Option<bool> {
        self.active.get(app).map(|reload| reload.aborted.is_some())
    }

    /// Lets operations wait for the change that is already queued or in progress.
    pub(super) fn join(&mut self, app: &str, tickets: Vec<Ticket>) {
        let queued = self.queued.get_mut(app).and_then(|jobs| {
            jobs.iter_mut().rev().find_map(|job| match job {
                Job::Update(update) => Some(&mut update.tickets),
                Job::Reload { .. } | Job::Restart { .. } | Job::Scale { .. } => None,
            })
        });
        let active = self.active.get_mut(app).map(|reload| &mut reload.tickets);
        if let Some(others) = queued.or(active) {
            others.extend(tickets);
        }
    }

    /// Merges the queued updates into this one, which replaces them.
    pub(super) fn merge_queued(&mut self, app: &str, mut update: ResolvedUpdate) -> ResolvedUpdate {
        let Some(jobs) = self.queued.get_mut(app) else { return update };
        for job in std::mem::take(jobs) {
            match job {
                Job::Update(ResolvedUpdate {
                    file: _,
                    cpus: _,
                    scope,
                    selected,
                    reruns_tasks,
                    sets_count,
                    tickets,
                }) => {
                    update.scope = update.scope.max(scope);
                    update.selected.extend(selected);
                    update.reruns_tasks |= reruns_tasks;
                    update.sets_count |= sets_count;
                    update.tickets.extend(tickets);
                }
                Job::Reload { .. } | Job::Restart { .. } | Job::Scale { .. } => jobs.push_back(job),
            }
        }
        update
    }
}
