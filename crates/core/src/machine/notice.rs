//! What the machine decides about a run, and why: the vocabulary that its [events](super::events) are made of.

use std::{fmt, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};

use super::{
    Ending, Excess, HealthFailure, InstanceId, Sign,
    events::{EventSubject, millis},
};
use crate::spec::{AppSpec, HumanDuration};

/// An instance that is spoken of. It names the instance even when that is already forgotten.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// Which instance.
    pub id: InstanceId,
    /// What people call it by.
    pub pm_id: u32,
    /// Where it stands in a reload.
    pub generation: Generation,
    /// What it runs.
    pub spec: Arc<AppSpec>,
}

/// Where an instance stands in a reload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub enum Generation {
    /// It is the one of its place.
    #[default]
    #[serde(rename = "settled")]
    Settled,
    /// It is to be that one as soon as it is ready, if ever.
    #[serde(rename = "new")]
    Coming,
    /// It was that one, and ends.
    #[serde(rename = "old")]
    Leaving,
}

impl Generation {
    /// Whether it is not part of a reload.
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
    pub(super) fn is_settled(&self) -> bool {
        *self == Self::Settled
    }

    /// What stands before the name of the instance.
    pub(super) fn adjective(self) -> &'static str {
        match self {
            Self::Settled => "",
            Self::Coming => "the new ",
            Self::Leaving => "the old ",
        }
    }
}

/// Why an instance is asked to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StopReason {
    /// Everything stops.
    Shutdown,
    /// Its application is no longer in the file, or has fewer instances.
    Removed,
    /// Its application reads otherwise now.
    Changed,
    /// `stop`.
    Asked,
    /// `delete`.
    Deleted,
    /// `scale` to fewer instances.
    ScaledDown,
    /// Somebody asked for it to run anew.
    Restarted,
    /// Watched files have changed.
    FilesChanged,
    /// It is time for it by its schedule.
    Due,
    /// It has too much memory, or is the largest when the container's is short.
    Memory(Excess),
    /// Its application is being reloaded, and its new process has to wait for its end.
    Reloaded,
    /// Its successor does its work now.
    Replaced,
    /// It was to be a successor, but the reload is given up.
    GivenUp,
    /// It is not well.
    Sick,
    /// It has finished its connections.
    Drained,
    /// It has had its time to finish its connections.
    NotDrained,
}

impl StopReason {
    /// Whether others take its place: then it may finish the connections that it has.
    pub(super) fn drains(self) -> bool {
        match self {
            Self::Removed | Self::ScaledDown | Self::Replaced | Self::GivenUp => true,
            Self::Shutdown
            | Self::Changed
            | Self::Asked
            | Self::Deleted
            | Self::FilesChanged
            | Self::Restarted
            | Self::Due
            | Self::Memory(_)
            | Self::Reloaded
            | Self::Sick
            | Self::Drained
            | Self::NotDrained => false,
        }
    }
}

/// What follows the end of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// It runs again after this wait.
    Restart(Duration),
    /// It stays ended, as it was asked to.
    Stay,
    /// It stays ended: its own exit is final.
    Final,
    /// Too many unstable runs.
    Errored {
        /// So many.
        unstable: u32,
    },
    /// What is left of its tree has to end before anything follows.
    Sweep,
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

/// Why a reload was aborted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Why {
    /// A new process is not ready.
    #[serde(rename = "not-ready")]
    ReadinessFailure {
        /// Which.
        #[serde(rename = "instance")]
        who: EventSubject,
        /// What has failed.
        #[serde(rename = "failure")]
        setback: ReadinessFailure,
    },
    /// Somebody asked for the application, or a part of it, to stop.
    Asked,
    /// The container's memory is short.
    MemoryShort,
    /// The application is no longer in the file.
    Removed,
    /// Everything stops.
    Shutdown,
}

/// `main (0)`.
impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{} ({})", self.generation.adjective(), self.spec.name, self.pm_id)
    }
}
