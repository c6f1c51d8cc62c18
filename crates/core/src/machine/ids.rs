//! Identifiers of instances, runs and timers.

use super::health::ProbeKind;

/// Identifies an instance. A restart keeps it. In a reload the successor is another instance with the same `pm_id`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InstanceId(pub u32);

impl InstanceId {
    /// The owner of the timers that belong to no instance.
    pub(super) const ROOT: Self = Self(u32::MAX);
}

/// A run: one process of an instance. A later run of the same instance has a larger number, so that an input about an
/// earlier run is recognised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Run {
    /// The instance.
    pub instance: InstanceId,
    /// Counts the runs of all instances, from 1.
    pub number: u64,
}

/// What a timer is for. Each kind has its own epochs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TimerKind {
    /// The next step of the state: a restart, the end of a grace period and others.
    State,
    /// The next probe.
    Probe(ProbeKind),
    /// The next check of the heartbeat.
    Heartbeat,
    /// The check whether an instance that could not listen keeps running.
    Listening,
}

/// A timer. It has an effect only while the epoch of its instance and kind is the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timer {
    /// The owner.
    pub instance: InstanceId,
    /// What it is for.
    pub kind: TimerKind,
    /// Counts the timers of this kind that the owner has armed.
    pub epoch: u64,
}
