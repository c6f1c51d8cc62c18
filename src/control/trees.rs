//! The process trees as they are shown.

use serde::{Deserialize, Serialize};

use super::snapshot::Status;

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
    pub belongs_by: Option<BelongsBy>,
}

/// Why a process belongs to a tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BelongsBy {
    /// It is the main process.
    Main,
    /// Its parent belongs to the tree.
    Parent,
    /// It was seen in the tree before its parent ended.
    Seen,
    /// It is in the cgroup of the run.
    Cgroup,
    /// It is in a session of the tree.
    Session,
    /// It has inherited the limit of file locks that marks the run.
    Limit,
    /// It has inherited the environment variable that marks the run.
    Environment,
    /// It writes to the instance's stdout or stderr.
    Output,
}

impl BelongsBy {
    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Main => "main",
            Self::Parent => "parent",
            Self::Seen => "seen",
            Self::Cgroup => "cgroup",
            Self::Session => "session",
            Self::Limit => "limit",
            Self::Environment => "environment",
            Self::Output => "output",
        }
    }
}
