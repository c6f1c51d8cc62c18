//! Which process belongs to which worker.
//!
//! Pure, and by the rules of `sys::tree`: the worker's session, what descends from it, and what
//! carries its marker. Here each process belongs to one worker only, so that sums add up.

use std::collections::HashMap;

use crate::sys::reap::Pid;

/// A process and whom it came from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kin {
    pub(super) pid: Pid,
    pub(super) parent: Pid,
    pub(super) session: Pid,
}

#[derive(Clone, Copy)]
enum Mark {
    Unknown,
    /// It is being looked at.
    Open,
    Known(Option<usize>),
}

/// For each process the number of its worker. `leaders` are the workers' main processes; `marked` says
/// whose marker the process at this place carries, and is asked only where nothing else tells.
/// `me` belongs to nobody, and nothing belongs to a worker by descending from it.
pub(super) fn assign(
    all: &[Kin],
    me: Pid,
    leaders: &HashMap<Pid, usize>,
    mut marked: impl FnMut(usize) -> Option<usize>,
) -> Vec<Option<usize>> {
    let places: HashMap<Pid, usize> = all.iter().enumerate().map(|(at, kin)| (kin.pid, at)).collect();
    let mut marks: Vec<Mark> = all
        .iter()
        .map(|kin| {
            if kin.pid == me {
                return Mark::Known(None);
            }
            let leader = leaders.get(&kin.pid).or_else(|| leaders.get(&kin.session));
            leader.map_or(Mark::Unknown, |worker| Mark::Known(Some(*worker)))
        })
        .collect();
    let mut line = Vec::new();
    for at in 0..all.len() {
        // Up to somebody who is known, then down again: no recursion, chains may be long.
        let mut next = Some(at);
        let mut owner = None;
        while let Some(here) = next {
            match marks[here] {
                Mark::Known(known) => {
                    owner = known;
                    break;
                }
                // A ring: ids were used again while the list was read.
                Mark::Open => break,
                Mark::Unknown => {
                    marks[here] = Mark::Open;
                    line.push(here);
                    next = places.get(&all[here].parent).copied();
                }
            }
        }
        while let Some(here) = line.pop() {
            owner = owner.or_else(|| marked(here));
            marks[here] = Mark::Known(owner);
        }
    }
    let known = |mark: &Mark| match mark {
        Mark::Known(owner) => *owner,
        Mark::Unknown | Mark::Open => None,
    };
    marks.iter().map(known).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::{Kin, assign};

    fn kin(pid: i32, parent: i32, session: i32) -> Kin {
        Kin { pid, parent, session }
    }

    #[test]
    fn session_descent_and_marker_make_a_tree() {
        let all = [
            kin(1, 0, 1),
            kin(10, 1, 10), // worker 0
            kin(11, 10, 10),
            kin(12, 11, 12), // a session of its own below it
            kin(13, 12, 12),
            kin(20, 1, 20), // worker 1
            kin(30, 1, 10), // an orphan in the session of worker 0
            kin(40, 1, 40), // an orphan with a session of its own and a marker of worker 1
            kin(41, 40, 40),
            kin(50, 1, 50), // a stranger
            kin(51, 50, 50),
        ];
        let leaders = HashMap::from([(10, 0), (20, 1)]);
        let mut asked = Vec::new();
        let owners = assign(&all, 1, &leaders, |at| {
            asked.push(all[at].pid);
            (all[at].pid == 40).then_some(1)
        });
        let expected =
            [None, Some(0), Some(0), Some(0), Some(0), Some(1), Some(0), Some(1), Some(1), None, None];
        assert_eq!(owners, expected);
        assert_eq!(asked, [40, 50, 51], "only where nothing else tells");
    }

    #[test]
    fn a_ring_and_a_long_chain_are_survived() {
        let ring = [kin(5, 6, 5), kin(6, 5, 6)];
        assert_eq!(assign(&ring, 1, &HashMap::new(), |_| None), [None, None]);
        let chain: Vec<_> = (2..100_000).map(|pid| kin(pid, pid + 1, pid)).collect();
        let owners = assign(&chain, 1, &HashMap::from([(99_999, 3)]), |_| None);
        assert!(owners.iter().all(|owner| *owner == Some(3)));
    }
}
