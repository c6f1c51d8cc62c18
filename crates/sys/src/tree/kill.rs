//! Sends signals to the members of trees.

use std::{collections::HashSet, hash::Hash};

use nix::libc;

use super::{
    super::descriptor_reserve, member::Member, root::Root, scan::Identity, signal::send_signal, trees::Trees,
};

/// Scans for processes that were forked during a kill. A tree that forks faster is killed by the next call: the
/// supervisor must reap its children in between.
const KILL_ROUNDS: usize = 3;

impl<K: Copy + Eq + Hash> Trees<K> {
    /// Sends a signal (1 to 64) to the members of a tree that `picks` selects. Call [`Trees::refresh`] first.
    pub fn signal(&self, key: K, number: i32, mut picks: impl FnMut(&Member) -> bool) {
        for member in self.members(key).filter(|member| !member.stat.is_zombie && picks(member)) {
            // The process may have ended since the scan.
            let _ = send_signal(member.identity(), number);
        }
    }

    /// Sends SIGKILL to all members of these trees, and to the processes that they fork in the meantime.
    pub fn kill(&mut self, keys: &[K]) {
        self.kill_cgroups(keys);
        let mut killed = HashSet::new();
        for _ in 0..KILL_ROUNDS {
            self.refresh();
            let members = keys.iter().flat_map(|key| self.members(*key));
            let living = members.filter(|member| !member.stat.is_zombie).map(Member::identity);
            let new: Vec<Identity> = living.filter(|it| !killed.contains(it)).collect();
            if new.is_empty() {
                return;
            }
            for it in new {
                let _ = send_signal(it, libc::SIGKILL);
                killed.insert(it);
            }
        }
    }

    /// Sends SIGKILL to all processes in the cgroups of the trees to which orphans belong. Processes that were moved
    /// to another cgroup are not affected.
    fn kill_cgroups(&self, keys: &[K]) {
        let _room = descriptor_reserve::release();
        let roots = keys.iter().filter_map(|key| self.all.get(key)).map(|tree| &tree.root);
        for cgroup in roots.filter(|root| root.keeps_orphans).filter_map(|root| root.cgroup.as_ref()) {
            // On failure, each member gets its own signal.
            let _ = cgroup.kill();
        }
    }
}

/// Sends SIGKILL to all processes of these trees.
pub fn kill(roots: impl IntoIterator<Item = Root>) {
    let mut trees = Trees::new();
    for (key, root) in roots.into_iter().enumerate() {
        trees.insert(key, root);
    }
    let keys: Vec<usize> = trees.keys().collect();
    if !keys.is_empty() {
        trees.kill(&keys);
    }
}
