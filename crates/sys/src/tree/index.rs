//! Indexes from each fact that identifies a tree to its key: main process, member, session, cgroup, mark, pipe.

use std::{collections::HashMap, hash::Hash, sync::Arc};

use super::{super::reap::Pid, mark::RunMark, member::Member, root::Root};

#[derive(Debug)]
pub(super) struct Tree {
    pub(super) root: Root,
    pub(super) members: HashMap<Pid, Member>,
}

/// The indexes of all trees.
#[derive(Debug)]
pub(super) struct Index<K> {
    pub(super) leaders: HashMap<Pid, K>,
    /// All processes of [`Tree::members`].
    pub(super) members: HashMap<Pid, K>,
    /// Sessions that contain or contained a member.
    pub(super) sessions: HashMap<Pid, K>,
    /// By [`RunCgroup::group`](super::super::run_cgroups::RunCgroup::group).
    pub(super) groups: HashMap<String, K>,
    /// The parent of all cgroups in `groups`.
    pub(super) group_of_all: Option<Arc<str>>,
    /// By [`RunMark::limit`].
    pub(super) limits: HashMap<u64, K>,
    /// By [`RunMark::entry`].
    pub(super) entries: HashMap<String, K>,
    /// Any one of the marks: all belong to this supervisor and have the same name.
    pub(super) any_mark: Option<RunMark>,
    /// The pipes of an instance belong to its latest run.
    pub(super) outputs: HashMap<u64, K>,
}

impl<K: Copy + Eq> Index<K> {
    pub(super) fn new() -> Self {
        Self {
            leaders: HashMap::new(),
            members: HashMap::new(),
            sessions: HashMap::new(),
            groups: HashMap::new(),
            group_of_all: None,
            limits: HashMap::new(),
            entries: HashMap::new(),
            any_mark: None,
            outputs: HashMap::new(),
        }
    }

    pub(super) fn add(&mut self, key: K, root: &Root) {
        if let Some(leader) = root.leader {
            // The kernel reuses a process id only when no session has it.
            self.sessions.remove(&leader);
            self.leaders.insert(leader, key);
        }
        if let Some(session) = root.session {
            self.sessions.insert(session, key);
        }
        if let Some(cgroup) = &root.cgroup {
            self.groups.insert(cgroup.group(), key);
            self.group_of_all = Some(cgroup.group_of_all());
        }
        if let Some(mark) = &root.mark {
            self.limits.insert(mark.limit, key);
            self.entries.insert(mark.entry.clone(), key);
            self.any_mark.get_or_insert_with(|| mark.clone());
        }
        for pipe in root.outputs.into_iter().flatten() {
            self.outputs.insert(pipe, key);
        }
    }

    pub(super) fn remove(&mut self, key: K, tree: &Tree) {
        let Tree { root, members } = tree;
        if let Some(leader) = root.leader {
            remove_if(&mut self.leaders, &leader, key);
        }
        for pid in members.keys() {
            remove_if(&mut self.members, pid, key);
        }
        self.sessions.retain(|_, of| *of != key);
        if let Some(cgroup) = &root.cgroup {
            remove_if(&mut self.groups, &cgroup.group(), key);
        }
        if let Some(mark) = &root.mark {
            remove_if(&mut self.limits, &mark.limit, key);
            remove_if(&mut self.entries, &mark.entry, key);
        }
        for pipe in root.outputs.into_iter().flatten() {
            remove_if(&mut self.outputs, &pipe, key);
        }
    }
}

/// Removes an entry unless it belongs to another tree by now.
pub(super) fn remove_if<I: Eq + Hash, K: Copy + Eq>(map: &mut HashMap<I, K>, at: &I, key: K) {
    if map.get(at).is_some_and(|of| *of == key) {
        map.remove(at);
    }
}
