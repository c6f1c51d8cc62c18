//! Decides to which tree each process belongs, by the facts that the documentation of the module lists.

use std::{collections::HashMap, hash::Hash};

use super::{
    super::{process, reap::Pid},
    index::Tree,
    mark::Evidence,
    member::Witness,
    scan::{Identity, Process},
    trees::Trees,
};

/// Processes with the tree to which each belongs.
pub(super) type Owners<'a, K> = Vec<(&'a Process, Option<(K, Witness)>)>;

#[derive(Clone, Copy)]
enum Progress<K> {
    Unknown,
    /// The walk to its known ancestor has begun.
    Started,
    Known(Option<(K, Witness)>),
}

/// The result of a cgroup or mark.
enum MarkMatch<K> {
    Tree(K, Witness),
    /// A run of this supervisor that has no tree, or to which no orphans belong.
    AnotherRun,
    /// No mark, a mark of another supervisor, or a mark that the process may have forged.
    None,
}

impl<K: Copy + Eq + Hash> Trees<K> {
    /// The tree of each of these processes, and why the process belongs to it.
    pub(super) fn owners<'a>(&self, processes: &'a [Process], evidence: &impl Evidence) -> Owners<'a, K> {
        let indexes: HashMap<Pid, usize> =
            processes.iter().enumerate().map(|(at, it)| (it.pid, at)).collect();
        let mut progress: Vec<Progress<K>> = processes
            .iter()
            .map(|it| match self.index.leaders.get(&it.pid) {
                _ if it.pid == self.own_pid => Progress::Known(None),
                Some(key) => Progress::Known(Some((*key, Witness::Main))),
                None if it.stat.parent == self.own_pid => Progress::Known(self.owner(it, evidence)),
                None => Progress::Unknown,
            })
            .collect();
        let mut path = Vec::new();
        for at in 0..processes.len() {
            // Walks up to the first known ancestor, then back down. Not recursive: the chain may be long.
            let mut next = Some(at);
            let mut owner = None;
            while let Some(here) = next {
                match progress[here] {
                    Progress::Known(known) => {
                        owner = known;
                        break;
                    }
                    // A cycle: the kernel has reused process ids during the scan.
                    Progress::Started => break,
                    Progress::Unknown => {
                        progress[here] = Progress::Started;
                        path.push(here);
                        next = indexes.get(&processes[here].stat.parent).copied();
                    }
                }
            }
            let owner = owner.map(|(key, _)| (key, Witness::Parent));
            for here in path.drain(..) {
                progress[here] = Progress::Known(owner);
            }
        }
        let owners = processes.iter().zip(progress).map(|(it, progress)| match progress {
            Progress::Known(owner) => (it, owner),
            Progress::Unknown | Progress::Started => (it, None),
        });
        owners.collect()
    }

    /// The tree of a process whose parent has exited.
    pub(super) fn owner(&self, orphan: &Process, evidence: &impl Evidence) -> Option<(K, Witness)> {
        let Process { pid, stat } = *orphan;
        if let Some((key, witness)) = self.seen_before(Identity { pid, start: stat.start }) {
            return Some((key, witness));
        }
        let marked = match self.by_cgroup(pid, evidence) {
            MarkMatch::None => self.by_mark(pid, evidence),
            found @ (MarkMatch::Tree(..) | MarkMatch::AnotherRun) => found,
        };
        match marked {
            MarkMatch::Tree(key, witness) => return Some((key, witness)),
            MarkMatch::AnotherRun => return None,
            MarkMatch::None => {}
        }
        if let Some(key) = self.if_keeps_orphans(self.index.sessions.get(&stat.session)) {
            return Some((key, Witness::Session));
        }
        let mut outputs = evidence.outputs(pid).into_iter().flatten();
        let key = outputs.find_map(|pipe| self.if_keeps_orphans(self.index.outputs.get(&pipe)))?;
        Some((key, Witness::Output))
    }

    /// The key, if orphans belong to this tree.
    fn if_keeps_orphans(&self, key: Option<&K>) -> Option<K> {
        key.copied().filter(|key| self.all.get(key).is_some_and(|tree| tree.root.keeps_orphans))
    }

    fn seen_before(&self, it: Identity) -> Option<(K, Witness)> {
        let key = self.if_keeps_orphans(self.index.members.get(&it.pid))?;
        let member = self.all.get(&key)?.members.get(&it.pid).filter(|member| member.identity() == it)?;
        let witness = match member.witness {
            Witness::Main | Witness::Parent | Witness::Seen => Witness::Seen,
            Witness::Cgroup | Witness::Session | Witness::Limit | Witness::Environment | Witness::Output => {
                member.witness
            }
        };
        Some((key, witness))
    }

    fn by_cgroup(&self, pid: Pid, evidence: &impl Evidence) -> MarkMatch<K> {
        let Some(of_all) = &self.index.group_of_all else { return MarkMatch::None };
        let Some(group) = evidence.group(pid) else { return MarkMatch::None };
        let Some(below) = group.strip_prefix(&**of_all).and_then(|below| below.strip_prefix('/')) else {
            return MarkMatch::None;
        };
        // The worker may have created cgroups below that of the run.
        let name = below.split('/').next().unwrap_or_default();
        let of_run = &group[..group.len() - below.len() + name.len()];
        match self.if_keeps_orphans(self.index.groups.get(of_run)) {
            Some(key) => MarkMatch::Tree(key, Witness::Cgroup),
            None => MarkMatch::AnotherRun,
        }
    }

    fn by_mark(&self, pid: Pid, evidence: &impl Evidence) -> MarkMatch<K> {
        let Some(any) = &self.index.any_mark else { return MarkMatch::None };
        if let Some(limit) = evidence.limit(pid) {
            match self.if_keeps_orphans(self.index.limits.get(&limit)) {
                Some(key) if self.may_have_limit_of(key, pid, evidence) => {
                    return MarkMatch::Tree(key, Witness::Limit);
                }
                None if any.is_of_same_supervisor(limit) => return MarkMatch::AnotherRun,
                Some(_) | None => {}
            }
        }
        match evidence.environment_entry(pid, any.variable()) {
            Some(entry) => match self.if_keeps_orphans(self.index.entries.get(&*entry)) {
                Some(key) => MarkMatch::Tree(key, Witness::Environment),
                None if any.is_entry_of_same_supervisor(&entry) => MarkMatch::AnotherRun,
                None => MarkMatch::None,
            },
            None => MarkMatch::None,
        }
    }

    /// A process can read the limits of others and set the same on itself. So the mark of a process with the user of
    /// another tree is not accepted: an unprivileged app must not make its memory count for another app.
    fn may_have_limit_of(&self, key: K, pid: Pid, evidence: &impl Evidence) -> bool {
        let users = || self.all.values().map(|tree| tree.root.user);
        let is_user = |key, user| self.all.get(&key).is_some_and(|tree: &Tree| tree.root.user == user);
        evidence.user(pid).is_some_and(|has| {
            is_user(key, has) || has == process::user() || !users().any(|user| user == has)
        })
    }
}
