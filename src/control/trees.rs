//! The process trees as they are shown.

use serde::{Deserialize, Serialize};

use crate::machine::Status;
pub use crate::sys::tree::Witness;

/// The process trees of some instances, and the processes that belong to none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessTrees {
    /// By id; in a reload an id has two.
    pub instances: Vec<InstanceTree>,
    /// Adopted processes that belong to no instance. Empty too when targets are named.
    pub unowned: Vec<ProcessInfo>,
}

/// The process tree of one instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceTree {
    /// Its id (`pm_id`).
    pub id: u32,
    /// Its application.
    pub name: String,
    /// What it is doing.
    pub status: Status,
    /// Whether a stop ends the whole tree.
    pub treekill: bool,
    /// Its processes, parents before their children.
    pub processes: Vec<ProcessInfo>,
}

/// One process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessInfo {
    /// Its process id as the supervisor sees it.
    pub pid: i32,
    /// The process id of its parent.
    pub parent: i32,
    /// When it started, in clock ticks since the machine did: with `pid` that names it for good.
    pub start_ticks: u64,
    /// How long ago that was, in milliseconds.
    pub uptime: u64,
    /// Resident memory in bytes.
    pub memory: u64,
    /// It has ended and its parent has not waited for it.
    pub zombie: bool,
    /// Its command line, or its name where that cannot be read.
    pub command: String,
    /// Why it belongs to the tree.
    pub belongs_by: Option<Witness>,
}
