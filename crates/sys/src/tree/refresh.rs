//! Finds the members of trees.

use std::{collections::HashSet, hash::Hash};

use super::{
    super::{descriptor_reserve, proc_stat, reap::Pid},
    index::remove_if,
    mark::{Evidence, FromProc},
    member::{Member, Witness},
    owners::Owners,
    scan::{self, Identity, Process, ScanResult, adopted, all},
    trees::Trees,
};

impl<K: Copy + Eq + Hash> Trees<K> {
    /// Finds all members of all trees. Reads `/proc` once, whatever the number of trees.
    pub fn refresh(&mut self) {
        let _room = descriptor_reserve::release();
        self.update(&all());
    }

    /// Finds the members of these trees, for example before a signal. Reads only the descendants of their processes
    /// if that takes fewer files than all of `/proc`.
    pub fn refresh_some(&mut self, keys: &[K]) {
        let _room = descriptor_reserve::release();
        match scan::below(&self.ancestors(keys)) {
            ScanResult::Below(processes) => {
                let owners = self.owners(&processes, &FromProc);
                self.remember(&owners, Some(keys));
            }
            ScanResult::All(processes) => {
                self.update(&processes);
            }
        }
    }

    /// The ancestors of all possible members of these trees: their main processes, the orphans, and the members of
    /// the last scan.
    fn ancestors(&self, keys: &[K]) -> Vec<Pid> {
        let orphans = adopted().into_iter().filter(|pid| !self.index.leaders.contains_key(pid));
        let own = keys.iter().filter_map(|key| self.leader(*key));
        let seen = keys.iter().flat_map(|key| self.members(*key)).map(|member| member.pid);
        let mut ancestors: Vec<Pid> = own.chain(orphans).chain(seen).collect();
        ancestors.sort_unstable();
        ancestors.dedup();
        ancestors
    }

    /// Finds all members of all trees in this complete list of processes. Returns the tree of each process.
    pub fn update(&mut self, processes: &[Process]) -> Vec<Option<K>> {
        self.assign(processes, &FromProc)
    }

    /// The trees of these orphans, which are children of this process but not main processes.
    pub fn owners_of_orphans(&self, orphans: &[Pid]) -> Vec<(Identity, Option<(K, Witness)>)> {
        if orphans.is_empty() {
            return Vec::new();
        }
        let _room = descriptor_reserve::release();
        let processes =
            orphans.iter().filter_map(|pid| Some(Process { pid: *pid, stat: proc_stat::of(*pid)? }));
        processes
            .map(|it| (Identity { pid: it.pid, start: it.stat.start }, self.owner(&it, &FromProc)))
            .collect()
    }

    pub(super) fn assign(&mut self, processes: &[Process], evidence: &impl Evidence) -> Vec<Option<K>> {
        let owners = self.owners(processes, evidence);
        self.remember(&owners, None);
        owners.into_iter().map(|(_, owner)| owner.map(|(key, _)| key)).collect()
    }

    /// Replaces the members of all trees, or only those of `some`.
    pub(super) fn remember(&mut self, owners: &Owners<'_, K>, some: Option<&[K]>) {
        let Self { all, index, own_session, .. } = self;
        if let Some(some) = some {
            // A partial scan does not show whether a session still has a process.
            for key in some {
                let Some(tree) = all.get_mut(key) else { continue };
                for (pid, _) in tree.members.drain() {
                    remove_if(&mut index.members, &pid, *key);
                }
            }
        } else {
            let living: HashSet<Pid> = owners.iter().map(|(it, _)| it.stat.session).collect();
            index.sessions.retain(|session, _| living.contains(session));
            index.members.clear();
            for tree in all.values_mut() {
                tree.members.clear();
            }
        }
        for (Process { pid, stat }, owner) in owners {
            let Some((key, witness)) = *owner else { continue };
            let Some(tree) = all.get_mut(&key) else { continue };
            tree.members.insert(*pid, Member { pid: *pid, stat: *stat, witness });
            index.members.insert(*pid, key);
            if Some(stat.session) != *own_session {
                // A member in the session of another tree does not move that session.
                index.sessions.entry(stat.session).or_insert(key);
            }
        }
    }
}
