//! What a new process has to show before it counts as ready.

use super::{ReadinessFailure, event::Readiness};

/// What a run has to show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ReadyWhen {
    /// These signs, within `listen_timeout`.
    Signs(Readiness),
    /// That it lives for `min_uptime`, or listens before.
    Uptime,
}

/// Where a trial stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ReadinessGate {
    /// The next run is to pass it.
    Ahead(ReadyWhen),
    /// The present one is.
    Running(ReadyWhen),
}

/// How a trial ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It is ready.
    Passed,
    /// It is not.
    Failed(ReadinessFailure),
}
