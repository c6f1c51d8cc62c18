//! A process of a tree, and the reason why it belongs to the tree.

use serde::{Deserialize, Serialize};

use super::{
    super::{proc_stat::Stat, reap::Pid},
    scan::Identity,
};

/// Why a process belongs to a tree. The serialized names are part of the control protocol and of `procrun tree`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Witness {
    /// The process is the main process.
    Main,
    /// The process's parent belongs to the tree.
    Parent,
    /// An earlier scan found the process in the tree, before its parent exited.
    Seen,
    /// The process is in the cgroup of the run.
    Cgroup,
    /// The process is in a session that contains members of the tree.
    Session,
    /// The process has inherited the resource limit that marks the run.
    Limit,
    /// The process has inherited the environment entry that marks the run.
    Environment,
    /// The stdout or stderr of the process is a pipe of the instance.
    Output,
}

impl Witness {
    /// The name in the control protocol.
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

/// A process of a tree, as of the last scan.
#[derive(Debug, Clone, Copy)]
pub struct Member {
    /// The process id.
    pub pid: Pid,
    /// The state of the process at the last scan.
    pub stat: Stat,
    /// Why the process belongs to the tree.
    pub witness: Witness,
}

impl Member {
    /// The process id and start time, which identify one process.
    pub fn identity(&self) -> Identity {
        Identity { pid: self.pid, start: self.stat.start }
    }
}
