//! Readiness of a run: the signs of it, and what a new run must show before it counts as ready.

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

use super::{ending::Ending, health::HealthFailure, serde_form::millis};
use crate::spec::HumanDuration;

/// A sign that a worker can do its work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sign {
    /// It listens on a socket of its cluster.
    Listening,
    /// It has sent the message `ready` (PM2's `wait_ready`), or `READY=1`.
    Message,
    /// It has passed `[apps.readiness]`, or without one `[apps.health]`.
    Probe,
}

/// Which signs the present run has given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Readiness {
    /// [`Sign::Listening`].
    pub listening: bool,
    /// [`Sign::Message`].
    pub message: bool,
    /// [`Sign::Probe`].
    pub probe: bool,
}

impl Readiness {
    /// The first sign that is wanted here and not given there.
    pub(super) fn lacks(self, given: Self) -> Option<Sign> {
        let Self { listening, message, probe } = self;
        [
            (message && !given.message, Sign::Message),
            (listening && !given.listening, Sign::Listening),
            (probe && !given.probe, Sign::Probe),
        ]
        .into_iter()
        .find_map(|(is_missing, sign)| is_missing.then_some(sign))
    }
}

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

/// Why a new process does not count as ready.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReadinessFailure {
    /// It has ended.
    Ended {
        /// How.
        #[serde(flatten)]
        ending: Ending,
        /// How long it was up.
        #[serde(rename = "uptime_ms", with = "millis")]
        uptime: Duration,
    },
    /// It has not given its sign.
    Silent {
        /// What sign.
        sign: Sign,
        /// How long it has had (`listen_timeout`).
        #[serde(rename = "waited_ms", with = "millis")]
        waited: Duration,
    },
    /// It has not passed its check.
    Unwell {
        /// How long it has had (`listen_timeout`).
        #[serde(rename = "waited_ms", with = "millis")]
        waited: Duration,
        /// What was answered last.
        #[serde(rename = "output")]
        said: String,
    },
    /// It was not well and had to end.
    Sick(HealthFailure),
    /// It never began: what was there before could not be ended.
    NoRoom,
    /// It has not begun: it waits for others.
    Order,
}

impl fmt::Display for ReadinessFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ended { ending: ending @ Ending::SpawnFailed(_), uptime: _ } => {
                write!(f, "ended: {ending}")
            }
            Self::Ended { ending, uptime } => write!(f, "ended: {ending}, up {}", HumanDuration(*uptime)),
            Self::Silent { sign: Sign::Listening, waited } => {
                write!(f, "did not listen within {} (`listen_timeout`)", HumanDuration(*waited))
            }
            Self::Silent { sign: Sign::Message, waited } => {
                write!(f, "did not send `ready` within {} (`listen_timeout`)", HumanDuration(*waited))
            }
            Self::Order => f.write_str("did not start: it waits for others"),
            Self::Silent { sign: Sign::Probe, waited } => {
                write!(f, "did not pass its check within {} (`listen_timeout`)", HumanDuration(*waited))
            }
            Self::Unwell { waited, said } => {
                write!(
                    f,
                    "did not pass its check within {} (`listen_timeout`): {said}",
                    HumanDuration(*waited)
                )
            }
            Self::Sick(sickness) => write!(f, "{sickness}"),
            Self::NoRoom => f.write_str("did not start: its predecessor did not end"),
        }
    }
}
