//! The operations that clients request on the process list, and the replies to them.

use std::{fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Serialize};

use super::ids::InstanceId;
use crate::spec::{AppSpec, Plan, Signal, validate::MAX_INSTANCES};

/// The number of a request, so that its replies reach the client. Given by the supervisor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// A change of instances or applications. The targets of the client are resolved before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    /// An action on these instances.
    Act(Action, Vec<InstanceId>),
    /// Scale an application. Done when the surplus instances have ended and the new ones run. Waits for the end of
    /// a reload. The count holds until the file sets another one.
    Scale {
        /// The application's name.
        app: String,
        /// The number of instances.
        count: Count,
    },
    /// Change applications, and add those that do not exist. Done when the restarted instances run and the surplus
    /// ones have ended; failed when a reload that this takes is aborted.
    UpdateApps {
        /// Each once.
        apps: Vec<AppUpdate>,
        /// The number of CPUs for `instances = "max"`, at least 1.
        cpus: u32,
        /// Which instances restart, and how.
        scope: RestartScope,
    },
    /// Replace the plan, as [`Input::Apply`](super::Input::Apply). Done when the instances of the new plan run and
    /// those that left it have ended; failed when a reload that this takes is aborted.
    Apply {
        /// The new plan.
        plan: Plan,
        /// The number of CPUs for `instances = "max"`, at least 1.
        cpus: u32,
    },
}

/// An action on instances, also in the requests of clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// Start those without a process. Done when their programs have been executed, failed when one could not be.
    Start,
    /// Stop them; they stay in the list. Done when their process trees have ended. A reload of their application is
    /// aborted.
    Stop,
    /// Stop them and start them again with a clean restart history. Done when the new processes run. Waits for the
    /// end of a reload.
    Restart,
    /// Replace them one after the other without downtime where that is possible, otherwise restart them. Done when
    /// the last predecessor has ended; failed, with the predecessors in service, when a successor is not ready. A
    /// reload that is requested during a reload runs once after it.
    Reload,
    /// Stop them and remove them from the list. Done when their process trees have ended. An application without
    /// instances is forgotten until a file names it again.
    Delete,
    /// Set their restart count to 0. Done at once.
    Reset,
    /// Send this signal to their main processes. Done at once.
    Signal(Signal),
}

/// The new configuration of an application.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppUpdate {
    /// The application's new spec.
    pub app: Arc<AppSpec>,
    /// The instances that restart even if nothing has changed.
    pub selected: Vec<InstanceId>,
    /// The number of instances in the spec replaces the one that the application was scaled to.
    pub sets_count: bool,
    /// A task (`oneshot`) whose work has changed runs again without being selected: its file was read.
    pub reruns_tasks: bool,
    /// The application's state if it is new.
    pub initial_state: InitialState,
}

/// The state of an application that is added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InitialState {
    /// The application starts, unless `autostart` is false.
    Started,
    /// The application's instances are in the list without a process.
    Stopped,
    /// The application has no instances.
    ScaledToZero,
}

/// Which instances of a changed application restart, and how. Also in the requests of clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RestartScope {
    /// The instances of a changed application, as when the file is read again. Selected instances without a process
    /// start.
    #[default]
    Changed,
    /// The instances of a changed application, without downtime where that is possible, and the selected ones one after
    /// the other.
    Reload,
    /// The instances of a changed application, without downtime where that is possible, and the selected ones at once.
    Restart,
}

/// The number of instances of an application. As a string: `4`, `+2`, `-1`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Count {
    /// This number, 0 to 1,000.
    To(u32),
    /// This number more, or fewer if it is negative; never below 1.
    By(i32),
}

impl FromStr for Count {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let count = if text.starts_with(['+', '-']) {
            text.parse().ok().map(Self::By)
        } else {
            text.parse().ok().filter(|count| *count <= MAX_INSTANCES).map(Self::To)
        };
        count.ok_or_else(|| format!("`{text}` is not a number of instances from 0 to {MAX_INSTANCES}"))
    }
}

impl TryFrom<String> for Count {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::To(count) => write!(f, "{count}"),
            Self::By(more) => write!(f, "{more:+}"),
        }
    }
}

impl From<Count> for String {
    fn from(count: Count) -> Self {
        count.to_string()
    }
}

/// The final reply to an operation. Its steps come before, as the tickets of
/// [`Effect::Report`](super::Effect::Report).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// All of it is done.
    Done,
    /// The operation was refused or has failed: what, why and the next step, a line each. What was possible has been
    /// done.
    Failed(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_is_a_number_or_a_difference() {
        for (text, count) in
            [("4", Count::To(4)), ("0", Count::To(0)), ("+2", Count::By(2)), ("-1", Count::By(-1))]
        {
            assert_eq!(text.parse(), Ok(count));
            assert_eq!(count.to_string(), text);
        }
        for text in ["", "many", "1001", "+", "1.5", "--1"] {
            assert!(text.parse::<Count>().is_err(), "{text}");
        }
    }
}
