//! CPU time of trees between two scans, in clock ticks.
//!
//! Pure. A child that ends between two scans passes its whole time to the parent that waits for it. A part of
//! this time was counted while the child lived, so that part is subtracted. Unknown time is left out: the
//! result is never negative and never counts a tick twice.

use std::collections::HashMap;

use crate::sys::{proc_stat::Stat, reap::Pid};

/// The values of a process at the last scan.
#[derive(Debug, Clone, Copy)]
pub(super) struct Previous {
    pub(super) start: u64,
    pub(super) parent: Pid,
    pub(super) own: u64,
    pub(super) children: u64,
}

impl From<Stat> for Previous {
    fn from(stat: Stat) -> Self {
        let Stat { start, parent, own, children, .. } = stat;
        Self { start, parent, own, children }
    }
}

/// A process that belongs to a worker, now.
#[derive(Debug, Clone, Copy)]
pub(super) struct Member {
    pub(super) pid: Pid,
    /// The index of the worker.
    pub(super) owner: usize,
    pub(super) stat: Stat,
}

/// The ticks that each of the workers has used since the last scan, which was at `last` (in ticks, as
/// [`Stat::start`] counts). `before` has the values of all members at that scan.
pub(super) fn used_ticks(
    workers: usize,
    members: &[Member],
    before: &HashMap<Pid, Previous>,
    last: u64,
) -> Vec<u64> {
    let now: HashMap<Pid, u64> = members.iter().map(|member| (member.pid, member.stat.start)).collect();
    let is_alive = |pid: Pid, it: &Previous| now.get(&pid) == Some(&it.start);
    // The already counted time of ended processes, for the nearest living ancestor.
    let mut counted: HashMap<Pid, u64> = HashMap::new();
    for (pid, it) in before.iter().filter(|(pid, it)| !is_alive(**pid, it)) {
        let mut ancestor = it.parent;
        // A chain is no longer than the number of processes; the limit also ends a cycle of reused ids.
        for _ in 0..before.len() {
            match before.get(&ancestor) {
                Some(parent) if !is_alive(ancestor, parent) && ancestor != *pid => ancestor = parent.parent,
                _ => break,
            }
        }
        *counted.entry(ancestor).or_default() += it.own + it.children;
    }
    let mut ticks = vec![0; workers];
    for Member { pid, owner, stat } in members {
        let (own, gained) = match before.get(pid).filter(|it| it.start == stat.start) {
            Some(it) => (stat.own.saturating_sub(it.own), stat.children.saturating_sub(it.children)),
            // An older process that the last scan did not find: it is unknown when it used its time.
            None if stat.start < last => (0, 0),
            None => (stat.own, stat.children),
        };
        let gained = gained.saturating_sub(counted.get(pid).copied().unwrap_or(0));
        ticks[*owner] += own + gained;
    }
    ticks
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::{Member, Previous, Stat, used_ticks};

    fn member(pid: i32, parent: i32, start: u64, own: u64, children: u64) -> Member {
        let stat = Stat {
            is_zombie: false,
            has_executed: true,
            parent,
            group: 1,
            session: 1,
            own,
            children,
            threads: 1,
            start,
            pages: 0,
        };
        Member { pid, owner: 0, stat }
    }

    fn between(before: &[Member], after: &[Member], last: u64) -> u64 {
        let before: HashMap<i32, Previous> =
            before.iter().map(|member| (member.pid, member.stat.into())).collect();
        used_ticks(1, after, &before, last)[0]
    }

    #[test]
    fn a_living_process_has_used_the_difference() {
        let before = [member(10, 1, 5, 100, 0), member(11, 10, 6, 40, 0)];
        let after = [member(10, 1, 5, 130, 0), member(11, 10, 6, 41, 0)];
        assert_eq!(between(&before, &after, 50), 31);
    }

    #[test]
    fn a_child_that_was_waited_for_is_counted_once() {
        let before = [member(10, 1, 5, 100, 7), member(11, 10, 6, 40, 3)];
        // It used 5 more, then its 48 went to the parent, which used 1 itself.
        let after = [member(10, 1, 5, 101, 7 + 48)];
        assert_eq!(between(&before, &after, 50), 6);
    }

    #[test]
    fn a_child_that_lived_between_two_scans_is_counted_completely() {
        let after = [member(10, 1, 5, 100, 30)];
        assert_eq!(between(&[member(10, 1, 5, 100, 0)], &after, 50), 30);
    }

    #[test]
    fn the_time_of_ended_processes_goes_to_the_living_ancestor() {
        let before = [member(10, 1, 5, 0, 0), member(11, 10, 6, 40, 0), member(12, 11, 7, 500, 0)];
        let after = [member(10, 1, 5, 0, 40 + 500 + 2)];
        assert_eq!(between(&before, &after, 50), 2);
    }

    #[test]
    fn the_lost_time_of_a_child_makes_no_result_negative() {
        let before = [member(10, 1, 5, 100, 0), member(11, 10, 6, 4000, 0)];
        // SIGCHLD is ignored: its time is lost.
        let after = [member(10, 1, 5, 103, 0)];
        assert_eq!(between(&before, &after, 50), 3);
    }

    #[test]
    fn a_reused_id_is_another_process() {
        let before = [member(10, 1, 5, 1000, 0)];
        assert_eq!(between(&before, &[member(10, 1, 60, 4, 0)], 50), 4);
        assert_eq!(between(&before, &[member(10, 1, 60, 4000, 0)], 50), 4000);
    }

    #[test]
    fn the_earlier_time_of_a_new_member_does_not_count() {
        assert_eq!(between(&[], &[member(10, 1, 5, 1_000_000, 9)], 50), 0);
        assert_eq!(between(&[], &[member(10, 1, 50, 10, 9)], 50), 19);
    }
}
