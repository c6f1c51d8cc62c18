//! What instances, their runs and timers are called.

use super::health::ProbeKind;

/// One instance. It outlives the processes that run in it, but not a reload: its successor there is
/// another instance with the same `pm_id`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InstanceId(pub u32);

impl InstanceId {
    /// Whose timers are those of the whole.
    pub(super) const ROOT: Self = Self(u32::MAX);
}

/// One process of one instance. A later process of the same instance has a larger number, so
/// that news of an earlier one cannot be mistaken for its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Run {
    /// Whose process.
    pub instance: InstanceId,
    /// Counts all runs of this runtime.
    pub number: u64,
}

/// What a timer is for. Each has its own epochs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TimerKind {
    /// For the state to go on.
    State,
    /// For the next question.
    Probe(ProbeKind),
    /// For a sign that its loop turns.
    Heartbeat,
    /// For another try of one that could not listen.
    Listening,
}

/// A timer. It means something only as long as the instance's epoch is the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timer {
    /// Whose timer.
    pub instance: InstanceId,
    /// What for.
    pub kind: TimerKind,
    /// When it was armed, in the instance's own count.
    pub epoch: u64,
}
