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

/// Why a run that was there had to be ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HealthFailure {
    /// It has failed `[apps.health]`.
    Health {
        /// The number of times in a row.
        failures: u32,
        /// What the last answer was.
        #[serde(rename = "output")]
        said: String,
    },
    /// It has said nothing of its loop for so long (`heartbeat`).
    #[serde(rename = "heartbeat_missing_ms")]
    Silent(#[serde(with = "millis")] Duration),
    /// It has never said anything of its loop, so long after its start.
    #[serde(rename = "no_heartbeat_ms")]
    NeverSpoke(#[serde(with = "millis")] Duration),
    /// It has said itself that there is a fault in it.
    Fault,
}

impl HealthFailure {
    /// The word for it, the same in logs, commands and metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Health { .. } => "health",
            Self::Silent(_) | Self::NeverSpoke(_) | Self::Fault => "heartbeat",
        }
    }
}

impl fmt::Display for HealthFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Health { failures: 1, said } => write!(f, "failed its health probe: {said}"),
            Self::Health { failures, said } => {
                write!(f, "failed {failures} health probes in a row: {said}")
            }
            Self::Silent(time) => write!(f, "sent no heartbeat for {}", HumanDuration(*time)),
            Self::NeverSpoke(time) => {
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
    pub(super) under_way: bool,
    /// It has succeeded once.
    pub(super) passed: bool,
    /// Failures in a row that count.
    pub(super) failures: u32,
    /// What the last answer was, if it was a failure.
    pub(super) said: Option<String>,
}

impl ProbeState {
    pub(super) fn begin(&mut self) {
        *self = Self { epoch: self.epoch, ..Self::default() };
    }

    pub(super) fn is_well(&self, probe: &Probe) -> bool {
        self.passed && self.failures < probe.retries
    }
}

/// What is known of the present run's health.
#[derive(Debug, Default)]
pub(super) struct HealthState {
    pub(super) liveness: ProbeState,
    pub(super) readiness: ProbeState,
    /// When it last said that its loop turns.
    pub(super) beat: Option<Time>,
    /// When that is looked at next.
    pub(super) beat_due: Time,
    pub(super) beat_epoch: u64,
    /// It said itself how often it will say so.
    pub(super) every: Option<Duration>,
    /// When it was last seen well.
    pub(super) last_well: Option<Time>,
    /// It says that it is about to end.
    pub(super) is_leaving: bool,
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
        let Self { mut liveness, mut readiness, mut listening, beat_epoch, .. } = std::mem::take(self);
        liveness.begin();
        readiness.begin();
        listening.begin();
        *self = Self { liveness, readiness, beat_epoch, listening, ..Self::default() };
    }

    pub(super) fn of(&mut self, kind: ProbeKind) -> &mut ProbeState {
        match kind {
            ProbeKind::Liveness => &mut self.liveness,
            ProbeKind::Readiness => &mut self.readiness,
        }
    }
}
