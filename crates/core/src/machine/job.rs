//! Jobs: changes of an application that wait for the end of its reload.
//!
//! The queue and its order are in `reloads` and `reload`.

use std::{collections::BTreeSet, sync::Arc};

use super::{
    operation::{Count, RestartScope, Ticket},
    reason::ExitReason,
};
use crate::spec::AppSpec;

/// An [`AppUpdate`](super::AppUpdate) of an existing application, with instance numbers in place of ids.
#[derive(Debug)]
pub(super) struct ResolvedUpdate {
    pub(super) file: Arc<AppSpec>,
    /// The number of CPUs for `instances = "max"`, at least 1.
    pub(super) cpus: u32,
    pub(super) scope: RestartScope,
    /// The numbers of the instances that restart even if nothing has changed.
    pub(super) selected: BTreeSet<u32>,
    /// A task whose work has changed runs again without being selected.
    pub(super) reruns_tasks: bool,
    /// The number of instances in the spec replaces the one that the application was scaled to.
    pub(super) sets_count: bool,
    pub(super) tickets: Vec<Ticket>,
}

impl ResolvedUpdate {
    /// The update after the ecosystem file was read again.
    pub(super) fn from_file(file: Arc<AppSpec>, cpus: u32) -> Self {
        let scope = RestartScope::Changed;
        let (selected, tickets) = (BTreeSet::new(), Vec::new());
        Self { file, cpus, scope, selected, reruns_tasks: true, sets_count: false, tickets }
    }

    /// Whether it requests something even if the spec has not changed.
    pub(super) fn has_requests(&self) -> bool {
        self.sets_count || !self.selected.is_empty()
    }
}

/// A change that waits for the end of a reload.
#[derive(Debug)]
pub(super) enum Job {
    /// A new spec.
    Update(ResolvedUpdate),
    /// Reload these numbers.
    Reload { numbers: BTreeSet<u32>, reason: ExitReason, tickets: Vec<Ticket> },
    /// Restart these numbers.
    Restart { numbers: BTreeSet<u32>, ticket: Ticket },
    /// Change the number of instances.
    Scale { count: Count, ticket: Ticket },
}

impl Job {
    /// The job's name in messages.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Update(update) if update.tickets.is_empty() => "the change of the file",
            Self::Update(_) => "the change",
            Self::Reload { .. } => "another reload",
            Self::Restart { .. } => "a restart",
            Self::Scale { .. } => "the new number of instances",
        }
    }

    /// The operations that wait for it.
    pub(super) fn tickets(&self) -> &[Ticket] {
        match self {
            Self::Update(ResolvedUpdate { tickets, .. }) | Self::Reload { tickets, .. } => tickets,
            Self::Restart { ticket, .. } | Self::Scale { ticket, .. } => std::slice::from_ref(ticket),
        }
    }
}
