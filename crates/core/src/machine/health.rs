//! What is known of the health of a run.

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

use super::{fault::Uncaught, listening::ListenState, serde_form::millis, time::Time};
use crate::spec::{HumanDuration, Probe};

/// What is asked of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProbeKind {
    /// Whether it is well (`[apps.health]`).
    Liveness,
    /// Whether it can do its work just now (`[apps.readiness]`).
    Readiness,
}

impl ProbeKind {
    pub(super) const ALL: [Self; 2] = [Self::Liveness, Self::Readiness];
}

/// Why a run is unhealthy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HealthFailure {
    /// It failed `[apps.health]`.
    Probe {
        /// Failures in a row, at least 1.
        failures: u32,
        /// The result of the last probe.
        output: String,
    },
    /// Its last heartbeat is this long ago, longer than `heartbeat`.
    #[serde(rename = "heartbeat_missing_ms")]
    HeartbeatMissing(#[serde(with = "millis")] Duration),
    /// It has sent no heartbeat, this long after its start.
    #[serde(rename = "no_heartbeat_ms")]
    NoHeartbeat(#[serde(with = "millis")] Duration),
    /// It reported a fault of its own (`WATCHDOG=trigger`).
    Fault,
}

impl HealthFailure {
    /// The word for it, the same in logs, commands and metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Probe { .. } => "health",
            Self::HeartbeatMissing(_) | Self::NoHeartbeat(_) | Self::Fault => "heartbeat",
        }
    }
}

impl fmt::Display for HealthFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Probe { failures: 1, output } => write!(f, "failed its health probe: {output}"),
            Self::Probe { failures, output } => {
                write!(f, "failed {failures} health probes in a row: {output}")
            }
            Self::HeartbeatMissing(time) => write!(f, "sent no heartbeat for {}", HumanDuration(*time)),
            Self::NoHeartbeat(time) => {
                write!(f, "sent no heartbeat within {} of its start", HumanDuration(*time))
            }
            Self::Fault => f.write_str("reported a fault of its own (WATCHDOG=trigger)"),
        }
    }
}

/// Where the present run stands with one question.
#[derive(Debug, Default)]
pub(super) struct ProbeState {
    /// All timers but the last one armed are stale, also those of earlier runs.
    pub(super) epoch: u64,
    /// It has been asked and has not answered.
    pub(super) is_running: bool,
    /// It has succeeded once.
    pub(super) passed: bool,
    /// Failures in a row that count.
    pub(super) failures: u32,
    /// What the last answer was, if it was a failure.
    pub(super) output: Option<String>,
}

impl ProbeState {
    pub(super) fn begin(&mut self) {
        *self = Self { epoch: self.epoch, ..Self::default() };
    }

    pub(super) fn is_passing(&self, probe: &Probe) -> bool {
        self.passed && self.failures < probe.retries
    }
}

/// What is known of the present run's health.
#[derive(Debug, Default)]
pub(super) struct HealthState {
    pub(super) liveness: ProbeState,
    pub(super) readiness: ProbeState,
    /// When it last said that its loop turns.
    pub(super) last_heartbeat: Option<Time>,
    /// When that is looked at next.
    pub(super) heartbeat_check_at: Time,
    pub(super) heartbeat_epoch: u64,
    /// It said itself how often it will say so.
    pub(super) announced_interval: Option<Duration>,
    /// When it was last seen well.
    pub(super) last_healthy: Option<Time>,
    /// It says that it is about to end.
    pub(super) is_stopping: bool,
    /// What it says of itself.
    pub(super) status: Option<String>,
    /// Whether it could not listen.
    pub(super) listening: ListenState,
    /// The error that ends it.
    pub(super) uncaught: Option<Uncaught>,
}

impl HealthState {
    /// A new run begins: nothing is known of it. The epochs go on.
    pub(super) fn begin(&mut self) {
        let Self { mut liveness, mut readiness, mut listening, heartbeat_epoch, .. } = std::mem::take(self);
        liveness.begin();
        readiness.begin();
        listening.begin();
        *self = Self { liveness, readiness, heartbeat_epoch, listening, ..Self::default() };
    }

    pub(super) fn of(&mut self, kind: ProbeKind) -> &mut ProbeState {
        match kind {
            ProbeKind::Liveness => &mut self.liveness,
            ProbeKind::Readiness => &mut self.readiness,
        }
    }
}
