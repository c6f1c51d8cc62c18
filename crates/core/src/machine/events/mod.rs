//! Events: what the machine and the supervisor report, one type with a stable kind for each fact.
//!
//! A [`Notice`] has what has happened and its subject. The supervisor adds a number and a time: then it is an
//! [`Event`], which is logged, kept and sent to clients. The message, the level and the hint of each kind are here and
//! nowhere else; the texts of reasons and failures are the `Display` of their types. Log lines, the steps of a command
//! and `procrun events` show the same.

mod data;
mod level;
mod text;
mod wire;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use self::{
    data::{ConfigChange, EventData, RuntimePart, SignalUse, TaskState},
    level::Level,
    text::{EndText, SentBy},
};
pub use super::subject::EventSubject;
use crate::machine::serde_form::timestamp;

/// A notice with its number and its time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Counts the events of one supervisor, from 1.
    pub seq: u64,
    /// When it happened, in milliseconds since 1970-01-01 UTC.
    #[serde(with = "timestamp")]
    pub at: i64,
    /// What has happened.
    #[serde(flatten)]
    pub notice: Notice,
}

/// What has happened, and its subject.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// The instance or application that it is about, or procrun as a whole.
    pub subject: EventSubject,
    /// What has happened.
    #[serde(flatten)]
    pub data: EventData,
}

impl Notice {
    /// A notice about procrun as a whole.
    pub fn of_runtime(data: EventData) -> Self {
        Self { subject: EventSubject::RUNTIME, data }
    }

    /// The notice about a failed part of procrun that is not tried again by itself.
    pub fn outage(part: RuntimePart, error: impl fmt::Display) -> Self {
        Self::of_runtime(EventData::Outage { part, error: error.to_string(), retry: None })
    }

    /// A notice about an application.
    pub fn of_app(name: &str, data: EventData) -> Self {
        Self { subject: EventSubject::app(name), data }
    }

    /// A notice about an instance.
    pub fn of(subject: impl Into<EventSubject>, data: EventData) -> Self {
        Self { subject: subject.into(), data }
    }
}

#[cfg(test)]
mod tests;
