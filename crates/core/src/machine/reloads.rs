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

/// What an application is to be when a reload is over.
#[derive(Debug, Clone)]
pub(super) struct Goal {
    /// As the file says it.
    pub(super) file: Arc<AppSpec>,
    /// The same, with the number of instances it was scaled to.
    pub(super) spec: Arc<AppSpec>,
    /// How many instances; `None` is as many as there are.
    pub(super) count: Option<u32>,
}

#[derive(Debug)]
pub(super) struct Reload {
    pub(super) goal: Goal,
    /// Why predecessors end.
    pub(super) reason: ExitReason,
    /// Old and new serve side by side.
    pub(super) rolling: bool,
    pub(super) started_at: Time,
    /// The numbers whose turn has not come.
    pub(super) remaining: VecDeque<u32>,
    /// Who is to be ready: successors, or in a reload that does not roll those that run anew.
    pub(super) starting: BTreeSet<InstanceId>,
    /// Who is to end: predecessors, and successors that failed.
    pub(super) stopping: BTreeSet<InstanceId>,
    /// Who has taken the place that it was to take.
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

/// The reloads that are under way, and what waits for their end, by application.
#[derive(Debug, Default)]
pub(super) struct Reloads {
    pub(super) active: BTreeMap<String, Reload>,
    pub(super) queued: BTreeMap<String, VecDeque<Job>>,
}

impl Reloads {
    /// Whether old and new processes of an application stand side by side, or are about to.
    pub(super) fn is_rolling(&self, app: &str) -> bool {
        self.active.get(app).is_some_and(|reload| reload.rolling)
    }

    pub(super) fn is_active(&self, app: &str) -> bool {
        self.active.contains_key(app)
    }

    pub(super) fn is_idle(&self) -> bool {
        self.active.is_empty()
    }

    /// What an application is on its way to, and what it is to be after that.
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

    /// Whether an application's reload is given up; `None` if there is none.
    pub(super) fn is_aborted(&self, app: &str) -> Option<bool> {
        self.active.get(app).map(|reload| reload.aborted.is_some())
    }

    /// A request for the change that is already in progress waits for it, too.
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

    /// This version with what was asked for of those that wait: it comes in their place.
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
