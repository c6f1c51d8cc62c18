//! The root of a tree, and the inherited facts by which its orphans are found.

use std::sync::Arc;

use nix::unistd::getuid;

use super::{
    super::{reap::Pid, run_cgroups::RunCgroup},
    mark::RunMark,
};

/// The origin of a tree, and the facts that identify its orphans.
#[derive(Debug, Clone)]
pub struct Root {
    /// The process id of the main process. `None`: it has been reaped.
    pub leader: Option<Pid>,
    /// The session that the main process created; it can outlive that process. `None`: unknown.
    pub session: Option<Pid>,
    /// The marks that the processes inherit.
    pub mark: Option<RunMark>,
    /// The cgroup of the run.
    pub cgroup: Option<Arc<RunCgroup>>,
    /// The inodes of the pipes that are its stdout and stderr ([`pipe_inode`](super::pipe_inode)).
    pub outputs: [Option<u64>; 2],
    /// The user id of the main process at its start.
    pub user: u32,
    /// Orphans belong to the tree (`treekill`). If false, a process leaves the tree when its parent exits.
    pub keeps_orphans: bool,
}

impl Root {
    /// The tree of a session leader, without marks.
    pub fn of_leader(leader: Pid) -> Self {
        Self {
            leader: Some(leader),
            session: Some(leader),
            mark: None,
            cgroup: None,
            outputs: [None; 2],
            user: getuid().as_raw(),
            keeps_orphans: true,
        }
    }

    /// The same with a mark.
    pub fn marked(leader: Pid, mark: RunMark) -> Self {
        Self { mark: Some(mark), ..Self::of_leader(leader) }
    }
}
