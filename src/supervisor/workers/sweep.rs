//! The signal to the leftovers of a run: the processes that remain when its main process has ended.

use std::collections::{HashMap, HashSet};

use crate::{
    spec::Signal,
    sys::tree::{Identity, Member},
};

/// The leftovers of a run are ending.
#[derive(Debug)]
pub(super) struct Sweep {
    signal: Signal,
    /// The processes that have received the stop signal or this one.
    signalled: HashSet<Identity>,
}

impl Sweep {
    /// `signalled` are the processes that have received the stop signal.
    pub(super) fn new(signal: Signal, signalled: HashSet<Identity>) -> Self {
        Self { signal, signalled }
    }

    pub(super) fn signal(&self) -> Signal {
        self.signal
    }

    /// The processes of these that get the signal now. They count as signalled.
    pub(super) fn next(&mut self, living: &[Member]) -> HashSet<Identity> {
        let due = due(living, &self.signalled);
        self.signalled.extend(&due);
        due
    }
}

/// The processes that get the signal: those without it, unless an ancestor has it. A master (gunicorn, nginx) that has
/// received it ends its own workers; when it ends before them they are due.
fn due(living: &[Member], signalled: &HashSet<Identity>) -> HashSet<Identity> {
    let by_pid: HashMap<i32, &Member> = living.iter().map(|member| (member.pid, member)).collect();
    let has_it = |member: &Member| signalled.contains(&member.identity());
    let is_due = |member: &&Member| {
        let parent = |member: &&Member| by_pid.get(&member.stat.parent).copied();
        // No chain of parents is longer; one read while processes ended may have a cycle.
        !std::iter::successors(Some(*member), parent).take(living.len()).any(has_it)
    };
    living.iter().filter(is_due).map(Member::identity).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::{proc_stat::Stat, tree::Witness};

    fn member(pid: i32, parent: i32) -> Member {
        let stat = Stat {
            is_zombie: false,
            has_executed: true,
            parent,
            group: pid,
            session: pid,
            own: 0,
            children: 0,
            threads: 1,
            start: 1,
            pages: 1,
        };
        Member { pid, stat, witness: Witness::Parent }
    }

    fn due_pids(living: &[(i32, i32)], signalled: &[i32]) -> Vec<i32> {
        let living: Vec<Member> = living.iter().map(|(pid, parent)| member(*pid, *parent)).collect();
        let signalled =
            living.iter().filter(|it| signalled.contains(&it.pid)).map(Member::identity).collect();
        let mut pids: Vec<i32> = due(&living, &signalled).into_iter().map(|it| it.pid).collect();
        pids.sort_unstable();
        pids
    }

    #[test]
    fn a_master_with_the_signal_ends_its_own_workers() {
        let tree = [(10, 1), (11, 10), (12, 11), (20, 1), (21, 20)];
        assert_eq!(due_pids(&tree, &[10]), [20, 21]);
        assert_eq!(due_pids(&tree, &[]), [10, 11, 12, 20, 21]);
    }

    #[test]
    fn workers_whose_master_has_ended_get_the_signal() {
        assert_eq!(due_pids(&[(11, 1), (12, 11)], &[10]), [11, 12]);
    }

    #[test]
    fn a_cycle_of_parents_ends() {
        assert_eq!(due_pids(&[(10, 11), (11, 10)], &[]), [10, 11]);
    }
}
