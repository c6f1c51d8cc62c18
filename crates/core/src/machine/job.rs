//! Requests for an application that arrive while it is being reloaded, and wait for the end of the reload.
//!
//! It says what is wanted and by whom. When its turn comes is decided in `reload`.

use std::{collections::BTreeSet, sync::Arc};

use super::{
    operation::{Count, Manner, Ticket},
    reason::Reason,
};
use crate::spec::AppSpec;

/// What an application is to read like, and what runs anew for that.
#[derive(Debug)]
pub(super) struct Version {
    pub(super) file: Arc<AppSpec>,
    /// What `instances = "max"` means.
    pub(super) cpus: u32,
    pub(super) manner: Manner,
    /// The numbers that are meant, whatever has changed.
    pub(super) meant: BTreeSet<u32>,
    /// A task whose work has changed runs again without being meant.
    pub(super) reruns_tasks: bool,
    /// What it was scaled to is forgotten.
    pub(super) counted: bool,
    pub(super) tickets: Vec<Ticket>,
}

impl Version {
    /// As the file says, which was read again.
    pub(super) fn of_file(file: Arc<AppSpec>, cpus: u32) -> Self {
        let manner = Manner::Changed;
        let (meant, tickets) = (BTreeSet::new(), Vec::new());
        Self { file, cpus, manner, meant, reruns_tasks: true, counted: false, tickets }
    }

    /// Whether something is to be done for it although the application reads like this already.
    pub(super) fn is_more(&self) -> bool {
        self.counted || !self.meant.is_empty()
    }
}

/// What waits until a reload is over.
#[derive(Debug)]
pub(super) enum Job {
    /// It is to read otherwise.
    Read(Version),
    /// A request to reload these numbers.
    Reload { numbers: BTreeSet<u32>, reason: Reason, tickets: Vec<Ticket> },
    /// A request to restart these numbers.
    Restart { numbers: BTreeSet<u32>, ticket: Ticket },
    /// A request for another number of instances.
    Scale { count: Count, ticket: Ticket },
}

impl Job {
    /// What the people who wait read.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Read(version) if version.tickets.is_empty() => "what the file says now",
            Self::Read(_) => "the change",
            Self::Reload { .. } => "another reload",
            Self::Restart { .. } => "a restart",
            Self::Scale { .. } => "the new number of instances",
        }
    }

    /// Who waits for it.
    pub(super) fn tickets(&self) -> &[Ticket] {
        match self {
            Self::Read(Version { tickets, .. }) | Self::Reload { tickets, .. } => tickets,
            Self::Restart { ticket, .. } | Self::Scale { ticket, .. } => std::slice::from_ref(ticket),
        }
    }
}
