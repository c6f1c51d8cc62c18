//! Process trees for commands.

use serde::{Deserialize, Serialize};

use crate::machine::Status;
pub use crate::sys::tree::Witness;

/// The process trees of some instances, and the processes that belong to none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessTrees {
    /// The trees by id. During a reload an id has two.
    pub instances: Vec<InstanceTree>,
    /// Adopted processes that belong to no instance. Empty if the request has targets.
    pub unowned: Vec<ProcessInfo>,
}

/// The process tree of one instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceTree {
    /// Its id (`pm_id`).
    pub id: u32,
    /// The name of its application.
    pub name: String,
    /// Its status.
    pub status: Status,
    /// Whether a stop ends the whole process tree.
    pub treekill: bool,
    /// Its processes, parents before their children.
    pub processes: Vec<ProcessInfo>,
}

/// One process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessInfo {
    /// The process id in the supervisor's PID namespace.
    pub pid: i32,
    /// The process id of its parent.
    pub parent: i32,
    /// The start time in clock ticks since boot, which identifies the process together with `pid`.
    pub start_ticks: u64,
    /// The age of the process in milliseconds.
    pub uptime: u64,
    /// Resident memory in bytes.
    pub memory: u64,
    /// The process has exited and its parent has not waited for it.
    pub zombie: bool,
    /// The command line, or the name if that cannot be read.
    pub command: String,
    /// Why the process belongs to the tree.
    pub belongs_by: Option<Witness>,
}
