//! What is known of a run that could not listen.

use super::{fault::ListenFailure, time::Time};

/// Whether the present run could not listen.
#[derive(Debug, Default)]
pub(in crate::machine) struct ListenState {
    /// It could not, and has not listened since.
    pub(super) failure: Option<ListenFailure>,
    /// When it counts as one that goes on without that server; `None`: only when it listens.
    pub(super) tolerated_at: Option<Time>,
    pub(super) is_tolerated: bool,
    pub(super) is_timer_armed: bool,
    pub(super) epoch: u64,
}

impl ListenState {
    /// A new run has not shown anything yet.
    pub(in crate::machine) fn begin(&mut self) {
        *self = Self { epoch: self.epoch, ..Self::default() };
    }

    /// It could not listen, has not listened since, and does not go on without that.
    pub(in crate::machine) fn has_failed(&self) -> bool {
        self.failure.is_some() && !self.is_tolerated
    }

    pub(in crate::machine) fn failure(&self) -> Option<&ListenFailure> {
        self.failure.as_ref()
    }

    /// The failure that explains why the run ends now.
    pub(in crate::machine) fn take_failure(&mut self) -> Option<ListenFailure> {
        let is_tolerated = self.is_tolerated;
        self.failure.take().filter(|_| !is_tolerated)
    }
}
