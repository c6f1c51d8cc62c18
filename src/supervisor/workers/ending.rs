//! The end of workers: main processes that have been reaped, and their leftovers.

use std::collections::HashSet;

use tracing::debug;

use super::{Workers, sweep::Sweep};
use crate::{
    machine::{Ending, Input, Machine, Run},
    spec::Signal,
    sys::{
        reap::{self, Pid, Status},
        tree::{self, Identity, Member},
    },
};

/// A run whose main process has been reaped.
#[derive(Debug, Clone, Copy)]
pub(in crate::supervisor) struct Ended {
    pub(in crate::supervisor) run: Run,
    status: Status,
}

impl Ended {
    /// Whether it exited with a code that is a failure.
    pub(in crate::supervisor) fn is_failure(&self) -> bool {
        matches!(self.status, Status::Exited(1..))
    }
}

impl Workers {
    /// Sends a signal to the leftovers of a run that have not received the stop signal yet, and watches for their
    /// end. The trees must have been read in this turn.
    pub(in crate::supervisor) fn sweep(&mut self, run: Run, signal: Signal) {
        let Some(process) = self.process(run) else { return };
        let signalled = process.signalled.take();
        self.sweeping.insert(run, Sweep::new(signal, signalled));
        self.signal_leftovers(run);
    }

    /// Sends the signal of a sweep to the leftovers that are due. The trees must have been read in this turn.
    fn signal_leftovers(&mut self, run: Run) {
        let Some(sweep) = self.sweeping.get_mut(&run) else { return };
        let living: Vec<Member> =
            self.trees.members(run).filter(|member| !member.stat.is_zombie).copied().collect();
        let due = sweep.next(&living);
        if due.is_empty() {
            return;
        }
        let is_due = |member: &Member| due.contains(&member.identity());
        self.trees.signal(run, sweep.signal().number(), is_due);
        // A stopped process (SIGSTOP) would not see the signal before it goes on.
        self.trees.signal(run, Signal::CONT.number(), is_due);
    }

    /// Handles the processes that have been reaped. Returns the main processes among them.
    pub(in crate::supervisor) fn reaped(&mut self, dead: &[(Pid, Status)]) -> Vec<Ended> {
        let mut ended: Vec<Ended> = Vec::new();
        let mut orphans = 0;
        for (pid, status) in dead {
            match self.by_pid.remove(pid) {
                Some(run) => ended.push(Ended { run, status: *status }),
                // The result of the start decides what this exit means.
                None if self.starting.reaped(*pid, *status) => {}
                None => orphans += 1,
            }
        }
        debug!("reaped {} workers and {orphans} orphans", ended.len());
        for Ended { run, .. } in &ended {
            self.trees.main_ended(*run);
            // An cancelled start may end when its successor runs already.
            if let Some(slot) = self.slots.get_mut(&run.instance)
                && let Some(process) = slot.process.as_mut().filter(|process| process.run == *run)
            {
                self.logs.run_ended(run.instance.0);
                process.reaped = true;
                // A descendant that still reads gets the end of input.
                process.stdin = None;
                slot.remove_pid_file(&self.pid_files, self.starting.helpers());
            }
        }
        ended
    }

    /// The inputs for the end of these main processes, and of trees whose main process ended before.
    pub(in crate::supervisor) fn ended(&mut self, ended: Vec<Ended>, machine: &Machine) -> Vec<Input> {
        if ended.is_empty() && self.sweeping.is_empty() {
            return Vec::new();
        }
        let concerned: Vec<Run> =
            ended.iter().map(|ended| ended.run).chain(self.sweeping.keys().copied()).collect();
        self.trees_of(&concerned, machine);
        let left: HashSet<Run> =
            self.orphans(tree::adopted).into_iter().filter_map(|(_, owner)| owner).collect();
        let mut inputs = Vec::with_capacity(ended.len());
        for Ended { run, status } in ended {
            let leftovers = left.contains(&run);
            if !leftovers {
                self.trees.remove(run);
            }
            inputs.push(Input::Exited { run, ending: ending(status), leftovers });
        }
        let sweeping: Vec<Run> = self.sweeping.keys().copied().collect();
        for run in sweeping {
            if left.contains(&run) {
                self.trees.refresh_some(&[run]);
                self.signal_leftovers(run);
                continue;
            }
            self.sweeping.remove(&run);
            self.trees.remove(run);
            inputs.push(Input::TreeGone(run));
        }
        inputs
    }

    /// The children of procrun among these that it has not started as workers, each with the run that it belongs to.
    /// A descendant of a main process that has ended is below a process that procrun has adopted.
    pub(super) fn orphans(&self, children: fn() -> Vec<Pid>) -> Vec<(Identity, Option<Run>)> {
        // Most of these calls follow the end of the last worker.
        if !reap::has_children() {
            return Vec::new();
        }
        let is_known = |pid: &Pid| {
            self.by_pid.contains_key(pid)
                || self.preexisting_children.contains(pid)
                || self.starting.has(*pid)
        };
        let adopted: Vec<Pid> = children().into_iter().filter(|pid| !is_known(pid)).collect();
        let owners = self.trees.owners_of_orphans(&adopted).into_iter();
        owners.map(|(orphan, owner)| (orphan, owner.map(|(run, _)| run))).collect()
    }
}

fn ending(status: Status) -> Ending {
    match status {
        Status::Exited(code) => Ending::Exited(code),
        Status::Signaled { signal, core_dumped } => Ending::Signaled {
            // A process cannot be ended by an invalid signal number; 32 and 33 belong to glibc.
            signal: Signal::from_number(signal).unwrap_or(Signal::KILL),
            core_dumped,
        },
    }
}
