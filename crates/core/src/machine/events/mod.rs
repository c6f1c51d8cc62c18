//! What the machine and the supervisor report: one typed event for each fact, with a stable kind.
//!
//! A [`Notice`] says what has happened, and to what. The supervisor gives it a number and a time: then it is
//! an [`Event`], which is logged, kept and sent to clients. The wording, the level and the hint of each fact
//! are here and nowhere else; log lines, the steps of a command and `procrun events` show the same.

mod data;
mod level;
mod text;
mod wire;

use serde::{Deserialize, Serialize};

pub use self::{
    data::{ConfigChange, EventData, RuntimePart, SignalUse, TaskState},
    level::Level,
    text::{EndText, SentBy},
};
pub use super::subject::EventSubject;
use crate::machine::serde_form::timestamp;

/// Something that has happened, with its place in the order of all events of one supervisor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Counts the events of one supervisor from 1.
    pub seq: u64,
    /// When, in milliseconds since 1970.
    #[serde(with = "timestamp")]
    pub at: i64,
    /// What has happened.
    #[serde(flatten)]
    pub notice: Notice,
}

/// What has happened, and to what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// What it is about.
    pub subject: EventSubject,
    /// What it is.
    #[serde(flatten)]
    pub data: EventData,
}

impl Notice {
    /// Something that has happened to procrun as a whole.
    pub fn of_runtime(data: EventData) -> Self {
        Self { subject: EventSubject::RUNTIME, data }
    }

    /// Something that has happened to an application.
    pub fn of_app(name: &str, data: EventData) -> Self {
        Self { subject: EventSubject::app(name), data }
    }

    /// Something that has happened to an instance.
    pub fn of(subject: impl Into<EventSubject>, data: EventData) -> Self {
        Self { subject: subject.into(), data }
    }
}

#[cfg(test)]
mod tests;
