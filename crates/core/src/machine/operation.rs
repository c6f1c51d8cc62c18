//! What people ask for while it runs: the operations of the process list, and their answers.

use std::sync::Arc;

use super::ids::InstanceId;
use crate::spec::{AppSpec, Plan, Signal};

/// Identifies one request, so that its answers reach the client. Chosen by the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// Something to do to instances. What a name, an id, a namespace or `all` stands for is found out
/// before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    /// Start those that have no process. Done when their programs are being executed, failed when
    /// one of them could not be.
    Start(Vec<InstanceId>),
    /// End them; they stay in the list. Done when their trees are gone. A reload of their
    /// application is given up.
    Stop(Vec<InstanceId>),
    /// End them and start them again with a clean record. Done when the new processes run. Waits
    /// for the end of a reload.
    Restart(Vec<InstanceId>),
    /// Replace them one after the other without a gap where that is possible, else restart them.
    /// Done when the last predecessor is gone; failed, with the old ones as they were, when a new
    /// one is not ready. One that comes during a reload runs once after it.
    Reload(Vec<InstanceId>),
    /// Scale an application to this number of instances. Done when those that are too many are gone and
    /// the new ones run. Waits for the end of a reload. It sticks until the file says another
    /// number of instances.
    Scale {
        /// Its name.
        app: String,
        /// How many.
        count: Count,
    },
    /// Let applications read like this, and add those that are not there. Done when each instance that
    /// must restart runs and each surplus one is gone; failed when a reload that it takes is given up.
    Become {
        /// Which, each once.
        apps: Vec<Wanted>,
        /// How many CPUs there are for `instances = "max"`, at least 1.
        cpus: u32,
        /// What runs anew, and how.
        manner: Manner,
    },
    /// The applications are to be these from now on, as [`Event::Apply`](super::Event::Apply). Done when
    /// each instance that should run does and each that should end is gone; failed when a reload that it takes is given up.
    Apply {
        /// The new plan.
        plan: Plan,
        /// How many CPUs there are for `instances = "max"`, at least 1.
        cpus: u32,
    },
    /// End them and forget them. Done when their trees are gone. An application that has none left
    /// is forgotten until a file names it again.
    Delete(Vec<InstanceId>),
    /// Forget how often they were restarted. Done at once.
    Reset(Vec<InstanceId>),
    /// Send a signal to their main processes. Done at once.
    Signal(Vec<InstanceId>, Signal),
}

/// What an application is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// As it is to read.
    pub app: Arc<AppSpec>,
    /// Those of its instances that are meant, whatever has changed.
    pub meant: Vec<InstanceId>,
    /// Its number of instances is meant, too: what it was scaled to is forgotten.
    pub counted: bool,
    /// A task (`oneshot`) whose work has changed runs again without being meant: its file was read.
    pub reruns_tasks: bool,
    /// How it is added if it is not there yet.
    pub addition: Addition,
}

/// How an application is added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Addition {
    /// It starts, unless `autostart` says otherwise.
    Starts,
    /// Nothing of it runs.
    Rests,
    /// It is scaled to none.
    Empty,
}

/// What runs anew when an application reads otherwise, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Manner {
    /// What has changed, as when the file is read again. Those that are meant and have no process are
    /// started.
    Changed,
    /// What has changed, without a gap where that is possible, and those that are meant: one after the
    /// other.
    Reload,
    /// What has changed, without a gap where that is possible, and those that are meant: at once.
    Restart,
}

/// How many instances an application is to have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Count {
    /// This number, 0 to 1,000.
    To(u32),
    /// This number more, or fewer if it is negative; never below 1.
    By(i32),
}

/// The answer to an operation. Its steps come before, as the tickets of [`Effect::Report`](super::Effect::Report).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// All of it is done.
    Done,
    /// It was refused or has failed: what, why and what to do, for people, a line each. What was
    /// possible has been done.
    Failed(String),
}
