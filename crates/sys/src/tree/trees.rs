//! The trees of all runs, with their members as of the last scan.

use std::{collections::HashMap, hash::Hash};

use nix::unistd::getsid;

use super::{
    super::{reap::Pid, run_cgroups::RunCgroup},
    index::{Index, Tree, remove_if},
    member::Member,
    root::Root,
    scan,
};

/// A set of trees. `K` is the key of a tree.
#[derive(Debug)]
pub struct Trees<K> {
    pub(super) all: HashMap<K, Tree>,
    pub(super) index: Index<K>,
    pub(super) own_pid: Pid,
    pub(super) own_session: Option<Pid>,
}

impl<K: Copy + Eq + Hash> Default for Trees<K> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K: Copy + Eq + Hash> Trees<K> {
    /// An empty set.
    pub fn new() -> Self {
        let own_session = getsid(None).ok().map(nix::unistd::Pid::as_raw);
        Self { all: HashMap::new(), index: Index::new(), own_pid: scan::own_pid(), own_session }
    }

    /// Adds a tree for a main process that has just started.
    pub fn insert(&mut self, key: K, root: Root) {
        self.remove(key);
        self.index.add(key, &root);
        self.all.insert(key, Tree { root, members: HashMap::new() });
    }

    /// Removes a tree.
    pub fn remove(&mut self, key: K) {
        if let Some(tree) = self.all.remove(&key) {
            self.index.remove(key, &tree);
        }
    }

    /// Records that the main process of a tree has been reaped.
    pub fn main_ended(&mut self, key: K) {
        if let Some(leader) = self.all.get_mut(&key).and_then(|tree| tree.root.leader.take()) {
            remove_if(&mut self.index.leaders, &leader, key);
        }
    }

    /// Sets whether orphans belong to a tree.
    pub fn set_keeps_orphans(&mut self, key: K, keeps: bool) {
        if let Some(tree) = self.all.get_mut(&key) {
            tree.root.keeps_orphans = keeps;
        }
    }

    /// The keys of all trees.
    pub fn keys(&self) -> impl Iterator<Item = K> {
        self.all.keys().copied()
    }

    /// The process id of the main process of a tree, until it has been reaped.
    pub fn leader(&self, key: K) -> Option<Pid> {
        self.all.get(&key)?.root.leader
    }

    /// The cgroup of a tree, if it has one.
    pub fn cgroup(&self, key: K) -> Option<&RunCgroup> {
        self.all.get(&key)?.root.cgroup.as_deref()
    }

    /// The processes of a tree as of the last [`Trees::refresh`].
    pub fn members(&self, key: K) -> impl Iterator<Item = &Member> {
        self.all.get(&key).into_iter().flat_map(|tree| tree.members.values())
    }
}
