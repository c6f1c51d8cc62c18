//! Requests for an application that arrive while it is being reloaded, and wait for the end of the reload.
//!
//! It says what is wanted and by whom. When its turn comes is decided in `reload`.

use std::{collections::BTreeSet, sync::Arc};

use super::{
    operation::{Count, RestartScope, Ticket},
    reason::ExitReason,
};
use crate::spec::AppSpec;

/// A new version of an application, and what restarts for it.
#[derive(Debug)]
pub(super) struct ResolvedUpdate {
    pub(super) file: Arc<AppSpec>,
    /// What `instances = "max"` means.
    pub(super) cpus: u32,
    pub(super) scope: RestartScope,
    /// The instances that restart even if nothing has changed.
    pub(super) selected: BTreeSet<u32>,
    /// A task whose work has changed runs again without being selected.
    pub(super) reruns_tasks: bool,
    /// The number of the spec replaces the scaled one.
    pub(super) sets_count: bool,
    pub(super) tickets: Vec<Ticket>,
}

impl ResolvedUpdate {
    /// As the file says, which was read again.
    pub(super) fn from_file(file: Arc<AppSpec>, cpus: u32) -> Self {
        let scope = RestartScope::Changed;
        let (selected, tickets) = (BTreeSet::new(), Vec::new());
        Self { file, cpus, scope, selected, reruns_tasks: true, sets_count: false, tickets }
    }

    /// Whether something is to be done for it although the application reads like this already.
    pub(super) fn has_requests(&self) -> bool {
        self.sets_count || !self.selected.is_empty()
    }
}

/// What waits until a reload is over.
#[derive(Debug)]
pub(super) enum Job {
    /// It is to read otherwise.
    Update(ResolvedUpdate),
    /// A request to reload these numbers.
    Reload { numbers: BTreeSet<u32>, reason: ExitReason, tickets: Vec<Ticket> },
    /// A request to restart these numbers.
    Restart { numbers: BTreeSet<u32>, ticket: Ticket },
    /// A request for another number of instances.
    Scale { count: Count, ticket: Ticket },
}

impl Job {
    /// What the people who wait read.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Update(update) if update.tickets.is_empty() => "what the file says now",
            Self::Update(_) => "the change",
            Self::Reload { .. } => "another reload",
            Self::Restart { .. } => "a restart",
            Self::Scale { .. } => "the new number of instances",
        }
    }

    /// Who waits for it.
    pub(super) fn tickets(&self) -> &[Ticket] {
        match self {
            Self::Update(ResolvedUpdate { tickets, .. }) | Self::Reload { tickets, .. } => tickets,
            Self::Restart { ticket, .. } | Self::Scale { ticket, .. } => std::slice::from_ref(ticket),
        }
    }
}
