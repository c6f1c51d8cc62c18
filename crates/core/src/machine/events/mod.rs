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

pub(in crate::machine) use self::wire::{millis, signal_name};
pub use self::{
    data::{ConfigChange, EventData, RuntimePart, SignalUse, TaskState},
    level::Level,
    text::{EndText, SentBy},
};
use super::{Effect, Generation, InstanceId, Subject};

/// Something that has happened, with its place in the order of all events of one supervisor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Counts the events of one supervisor from 1.
    pub seq: u64,
    /// When, in milliseconds since 1970.
    #[serde(with = "wire::timestamp")]
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

/// What an event is about: an instance, an application, or procrun as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct EventSubject {
    /// The name of the application.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app: Option<String>,
    /// The `pm_id` of the instance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<u32>,
    /// Where the instance stands in a reload: two instances have the same `pm_id` then.
    #[serde(default, skip_serializing_if = "Generation::is_settled")]
    pub generation: Generation,
    /// The instance, for the machine.
    #[serde(skip)]
    pub instance: Option<InstanceId>,
}

impl EventSubject {
    /// procrun as a whole.
    pub const RUNTIME: Self = Self { app: None, id: None, generation: Generation::Settled, instance: None };

    /// An application.
    pub fn app(name: &str) -> Self {
        Self { app: Some(name.to_owned()), ..Self::RUNTIME }
    }
}

impl From<Subject> for EventSubject {
    fn from(Subject { id, pm_id, generation, spec }: Subject) -> Self {
        Self { app: Some(spec.name.clone()), id: Some(pm_id), generation, instance: Some(id) }
    }
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

impl From<Notice> for Effect {
    fn from(notice: Notice) -> Self {
        Self::Report { notice, tickets: Vec::new() }
    }
}

#[cfg(test)]
mod tests;
