//! Readiness: how a worker shows that it is ready, and what a new run must show before it counts as ready.

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

use super::{ending::Ending, health::HealthFailure, serde_form::millis};
use crate::spec::HumanDuration;

/// How a worker shows that it is ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReadinessSource {
    /// The worker listens on a socket of its cluster.
    Listening,
    /// The worker has sent the message `ready` (PM2's `wait_ready`), or `READY=1`.
    Message,
    /// The worker has passed `[apps.readiness]`, or without one `[apps.health]`.
    Probe,
}

/// What the present run has shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Readiness {
    /// [`ReadinessSource::Listening`].
    pub listening: bool,
    /// [`ReadinessSource::Message`].
    pub message: bool,
    /// [`ReadinessSource::Probe`].
    pub probe: bool,
}

impl Readiness {
    /// The first source that is required here and missing in `shown`.
    pub(super) fn missing(self, shown: Self) -> Option<ReadinessSource> {
        let Self { listening, message, probe } = self;
        [
            (message && !shown.message, ReadinessSource::Message),
            (listening && !shown.listening, ReadinessSource::Listening),
            (probe && !shown.probe, ReadinessSource::Probe),
        ]
        .into_iter()
        .find_map(|(is_missing, source)| is_missing.then_some(source))
    }
}

/// When a run counts as ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ReadyWhen {
    /// When it has shown these, within `listen_timeout`.
    Shown(Readiness),
    /// When it has lived for `min_uptime`, or listens before.
    Uptime,
}

/// The run that must pass the gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum GateStage {
    /// The next run.
    NextRun(ReadyWhen),
    /// The present run.
    CurrentRun(ReadyWhen),
}

/// The readiness gate: what a run must show, and what it has shown.
#[derive(Debug, Default)]
pub(super) struct ReadinessGate {
    /// What the present run has shown.
    pub(super) shown: Readiness,
    /// `None`: the present run has passed, or has nothing to show.
    pub(super) stage: Option<GateStage>,
    /// The outcome, until the root takes it after the step.
    pub(super) outcome: Option<GateOutcome>,
    /// Whether any run of the instance has listened.
    pub(super) has_listened: bool,
}

impl ReadinessGate {
    /// The next run must show this.
    pub(super) fn expect_of_next(&mut self, requirement: ReadyWhen) {
        self.stage = Some(GateStage::NextRun(requirement));
    }

    /// A run begins: it must meet the expected requirement, or else the default.
    pub(super) fn begin(&mut self, default: impl FnOnce() -> Option<ReadyWhen>) {
        let requirement = match self.stage {
            Some(GateStage::NextRun(requirement)) => Some(requirement),
            Some(GateStage::CurrentRun(_)) | None => default(),
        };
        self.stage = requirement.map(GateStage::CurrentRun);
        self.shown = Readiness::default();
    }

    /// Whether the present run has shown what it must.
    pub(super) fn is_satisfied(&self) -> bool {
        match self.stage {
            Some(GateStage::CurrentRun(ReadyWhen::Shown(required))) => required.missing(self.shown).is_none(),
            Some(GateStage::CurrentRun(ReadyWhen::Uptime)) => self.shown.listening,
            Some(GateStage::NextRun(_)) | None => false,
        }
    }

    /// Decides the gate, if the present run has not passed and has something to show.
    pub(super) fn settle(&mut self, outcome: impl FnOnce() -> GateOutcome) {
        if self.stage.take().is_some() {
            self.outcome = Some(outcome());
        }
    }

    /// Decides the gate by a failure of the run, also if the run has passed before.
    pub(super) fn fail(&mut self, failure: ReadinessFailure) {
        self.stage = None;
        self.outcome = Some(GateOutcome::Failed(failure));
    }
}

/// The outcome of the readiness gate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum GateOutcome {
    /// The run is ready.
    Passed,
    /// The run is not ready.
    Failed(ReadinessFailure),
}

/// Why a run is not ready.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReadinessFailure {
    /// The run has ended.
    Ended {
        /// How it ended.
        #[serde(flatten)]
        ending: Ending,
        /// How long it was up.
        #[serde(rename = "uptime_ms", with = "millis")]
        uptime: Duration,
    },
    /// The run did not show in time that it is ready.
    TimedOut {
        /// What is missing.
        source: ReadinessSource,
        /// The time that it had (`listen_timeout`).
        #[serde(rename = "waited_ms", with = "millis")]
        waited: Duration,
    },
    /// The run did not pass its probe in time.
    ProbeFailed {
        /// The time that it had (`listen_timeout`).
        #[serde(rename = "waited_ms", with = "millis")]
        waited: Duration,
        /// The result of the last probe.
        output: String,
    },
    /// The run became unhealthy.
    Unhealthy(HealthFailure),
    /// The run was not started: its predecessor could not be ended.
    PredecessorAlive,
    /// The run was not started: the instance waits for its dependencies.
    WaitsForDependencies,
}

impl fmt::Display for ReadinessFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ended { ending: ending @ Ending::SpawnFailed(_), uptime: _ } => ending.fmt(f),
            Self::Ended { ending, uptime } => {
                write!(f, "exited: {ending}, up {}", HumanDuration(*uptime))
            }
            Self::TimedOut { source: ReadinessSource::Listening, waited } => {
                write!(f, "did not listen within {} (`listen_timeout`)", HumanDuration(*waited))
            }
            Self::TimedOut { source: ReadinessSource::Message, waited } => {
                write!(f, "did not send `ready` within {} (`listen_timeout`)", HumanDuration(*waited))
            }
            Self::WaitsForDependencies => f.write_str("did not start: it waits for its dependencies"),
            Self::TimedOut { source: ReadinessSource::Probe, waited } => {
                write!(
                    f,
                    "did not pass its readiness probe within {} (`listen_timeout`)",
                    HumanDuration(*waited)
                )
            }
            Self::ProbeFailed { waited, output } => {
                write!(
                    f,
                    "did not pass its readiness probe within {} (`listen_timeout`): {output}",
                    HumanDuration(*waited)
                )
            }
            Self::Unhealthy(failure) => failure.fmt(f),
            Self::PredecessorAlive => f.write_str("did not start: its predecessor did not end"),
        }
    }
}
