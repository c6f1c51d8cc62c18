//! The order of starts: dependencies of an application, and tasks.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The order of an application among the others.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Order {
    /// The applications that it waits for at a start (`depends_on`); each at most once, without dependency cycles.
    pub depends_on: Vec<Dependency>,
    /// The application is a task, which is completed when it exits with 0 (`oneshot`).
    pub oneshot: bool,
}

/// An application that another one waits for at a start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dependency {
    /// The name of the application to wait for.
    pub app: String,
    /// The condition that it must reach.
    pub condition: Condition,
}

/// A dependency on an application that was not read with its dependent: it applies if that one is in the list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CrossFileDependency {
    /// The name of the dependent application.
    pub app: String,
    /// The name of the application to wait for.
    pub needs: String,
    /// The condition that it must reach; `None`: the strongest one that it can reach.
    pub condition: Option<Condition>,
}

/// The condition of a dependency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Condition {
    /// The program of the dependency runs.
    Started,
    /// The dependency has reported that it is ready.
    Ready,
    /// The dependency's health probe has passed.
    Healthy,
    /// The dependency is a task, and has exited with 0.
    Completed,
}

impl Condition {
    /// All of them, the strongest last.
    pub const ALL: [Self; 4] = [Self::Started, Self::Ready, Self::Healthy, Self::Completed];

    /// The condition's word in an ecosystem file.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Ready => "ready",
            Self::Healthy => "healthy",
            Self::Completed => "completed",
        }
    }
}

/// `db (ready)`.
impl fmt::Display for Dependency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.app, self.condition.as_str())
    }
}
