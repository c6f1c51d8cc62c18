//! The health of a run: probes, heartbeat and what the worker reports.

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

use super::{fault::Uncaught, listening::ListenState, serde_form::millis, time::Time};
use crate::spec::{HumanDuration, Probe};

/// The kind of a probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProbeKind {
    /// Whether the worker still works (`[apps.health]`).
    Liveness,
    /// Whether the worker can serve (`[apps.readiness]`).
    Readiness,
}

impl ProbeKind {
    pub(super) const ALL: [Self; 2] = [Self::Liveness, Self::Readiness];
}

/// Why a run is unhealthy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HealthFailure {
    /// The run failed `[apps.health]`.
    Probe {
        /// Failures in a row, at least 1.
        failures: u32,
        /// The result of the last probe.
        output: String,
    },
    /// The run's last heartbeat is this long ago, longer than `heartbeat`.
    #[serde(rename = "heartbeat_missing_ms")]
    HeartbeatMissing(#[serde(with = "millis")] Duration),
    /// The run has sent no heartbeat, this long after its start.
    #[serde(rename = "no_heartbeat_ms")]
    NoHeartbeat(#[serde(with = "millis")] Duration),
    /// The run reported a fault of its own (`WATCHDOG=trigger`).
    Fault,
}

impl HealthFailure {
    /// The stable word for it; users filter logs by it.
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

/// The state of one probe of the present run.
#[derive(Debug, Default)]
pub(super) struct ProbeState {
    /// All timers but the last one armed are stale, also those of earlier runs.
    pub(super) epoch: u64,
    /// A probe has begun and has no result yet.
    pub(super) is_running: bool,
    /// The run has passed the probe once.
    pub(super) passed: bool,
    /// Failures in a row, without those of the start period.
    pub(super) failures: u32,
    /// The result of the last probe, if it failed.
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

/// The health of the present run.
#[derive(Debug, Default)]
pub(super) struct HealthState {
    pub(super) liveness: ProbeState,
    pub(super) readiness: ProbeState,
    /// When the last heartbeat arrived.
    pub(super) last_heartbeat: Option<Time>,
    /// When the heartbeat is checked next.
    pub(super) heartbeat_check_at: Time,
    pub(super) heartbeat_epoch: u64,
    /// The interval of the heartbeat that the worker has announced; zero: none.
    pub(super) announced_interval: Option<Duration>,
    /// When it last passed its health probe or sent a heartbeat.
    pub(super) last_healthy: Option<Time>,
    /// The run has reported that it is about to end.
    pub(super) is_stopping: bool,
    /// The run's own status text.
    pub(super) status: Option<String>,
    /// The run's failure to listen.
    pub(super) listening: ListenState,
    /// The uncaught error that ends it.
    pub(super) uncaught: Option<Uncaught>,
}

impl HealthState {
    /// A new run begins: nothing is known about it. The epochs continue.
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
