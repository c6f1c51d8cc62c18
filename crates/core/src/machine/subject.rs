//! What an event is about.

use std::{
    fmt::{self, Display, Formatter},
    sync::Arc,
};

use serde::{Deserialize, Serialize};

use super::ids::InstanceId;
use crate::spec::AppSpec;

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

/// `main (0)`.
impl Display for Subject {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}{} ({})", self.generation.adjective(), self.spec.name, self.pm_id)
    }
}

/// Where an instance stands in a reload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub enum Generation {
    /// It is the one of its place.
    #[default]
    #[serde(rename = "current")]
    Current,
    /// It is to be that one as soon as it is ready, if ever.
    #[serde(rename = "new")]
    Successor,
    /// It was that one, and ends.
    #[serde(rename = "old")]
    Predecessor,
}

impl Generation {
    /// Whether it is not part of a reload.
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
    pub(super) fn is_current(&self) -> bool {
        *self == Self::Current
    }

    /// What stands before the name of the instance.
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
    /// Where the instance stands in a reload: two instances have the same `pm_id` then.
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
