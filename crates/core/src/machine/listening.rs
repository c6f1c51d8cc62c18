//! The state of a run that could not listen.

use super::{fault::ListenFailure, time::Time};

/// The failure of the present run to listen.
#[derive(Debug, Default)]
pub(in crate::machine) struct ListenState {
    /// The run could not listen, and has not listened since.
    pub(super) failure: Option<ListenFailure>,
    /// When the failure is tolerated: the run keeps running without that server. `None`: it must listen.
    pub(super) tolerated_at: Option<Time>,
    pub(super) is_tolerated: bool,
    pub(super) is_timer_armed: bool,
    pub(super) epoch: u64,
}

impl ListenState {
    /// A new run begins.
    pub(in crate::machine) fn begin(&mut self) {
        *self = Self { epoch: self.epoch, ..Self::default() };
    }

    /// Whether it could not listen, has not listened since, and the failure is not tolerated.
    pub(in crate::machine) fn has_failed(&self) -> bool {
        self.failure.is_some() && !self.is_tolerated
    }

    pub(in crate::machine) fn failure(&self) -> Option<&ListenFailure> {
        self.failure.as_ref()
    }

    /// The failure as the reason of an exit now.
    pub(in crate::machine) fn take_failure(&mut self) -> Option<ListenFailure> {
        let is_tolerated = self.is_tolerated;
        self.failure.take().filter(|_| !is_tolerated)
    }
}
