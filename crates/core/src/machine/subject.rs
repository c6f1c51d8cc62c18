//! What an event is about.

use std::{
    fmt::{self, Display, Formatter},
    sync::Arc,
};

use serde::{Deserialize, Serialize};

use super::ids::InstanceId;
use crate::spec::AppSpec;

/// The instance that an event is about. It names the instance also after that has left the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// The instance.
    pub id: InstanceId,
    /// PM2's `pm_id`.
    pub pm_id: u32,
    /// The instance's part in a reload.
    pub generation: Generation,
    /// The instance's application.
    pub spec: Arc<AppSpec>,
}

/// `main (0)`.
impl Display for Subject {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}{} ({})", self.generation.adjective(), self.spec.name, self.pm_id)
    }
}

/// The part of an instance in a reload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub enum Generation {
    /// The instance has its slot, and no reload replaces it.
    #[default]
    #[serde(rename = "current")]
    Current,
    /// The instance takes the slot when it is ready.
    #[serde(rename = "new")]
    Successor,
    /// The instance had the slot, and ends.
    #[serde(rename = "old")]
    Predecessor,
}

impl Generation {
    /// Whether it has its slot: it is not a part of a reload.
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
    pub(super) fn is_current(&self) -> bool {
        *self == Self::Current
    }

    /// The words before the name of the instance in messages.
    pub(super) fn adjective(self) -> &'static str {
        match self {
            Self::Current => "",
            Self::Successor => "the new ",
            Self::Predecessor => "the old ",
        }
    }
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
    /// The part of the instance in a reload, in which two instances have the same `pm_id`.
    #[serde(default, skip_serializing_if = "Generation::is_current")]
    pub generation: Generation,
    /// The instance, for the machine.
    #[serde(skip)]
    pub instance: Option<InstanceId>,
}

impl EventSubject {
    /// procrun as a whole.
    pub const RUNTIME: Self = Self { app: None, id: None, generation: Generation::Current, instance: None };

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

/// `main (0)`, `the new main (0)`, `main`, `procrun`.
impl Display for EventSubject {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match (&self.app, self.id) {
            (Some(app), Some(id)) => write!(f, "{}{app} ({id})", self.generation.adjective()),
            (Some(app), None) => f.write_str(app),
            (None, _) => f.write_str("procrun"),
        }
    }
}
