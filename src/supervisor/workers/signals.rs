//! Signals to workers, to all below them, and to orphans that belong to none.

use std::io;

use tracing::debug;

use super::{super::stop_targets, Workers};
use crate::{
    machine::{Machine, Run},
    spec::{Signal, StopSignalScope},
    sys::{
        descriptor_reserve,
        inspect::IgnoredSignals,
        process,
        tree::{self, Identity, Member, Root},
    },
};

impl Workers {
    /// Sends a signal to the main process of a run, if it has one.
    pub(in crate::supervisor) fn signal(&self, run: Run, signal: Signal) {
        if let Some(process) = self.process(run).filter(|process| !process.reaped) {
            process.killed.set(process.killed.get() || signal == Signal::KILL);
            // It may have ended meanwhile: it will be reaped.
            let _ = process::signal(process.pid, signal.number());
        }
    }

    /// Sends the stop signal of a run to the processes of this scope. SIGCONT follows: a suspended process
    /// (SIGSTOP) would not see the signal before it goes on. The trees must have been read in this turn.
    pub(in crate::supervisor) fn request_end(&self, run: Run, signal: Signal, scope: StopSignalScope) {
        let Some(process) = self.process(run).filter(|process| !process.reaped) else { return };
        let _room = descriptor_reserve::release();
        let members = self.trees.members(run).filter(|member| !member.stat.is_zombie);
        let members: Vec<Member> = members.copied().collect();
        let targets = match scope {
            StopSignalScope::Auto => stop_targets::auto(process.pid, &process.started_as, &members),
            StopSignalScope::Main => {
                stop_targets::of(members.iter().filter(|member| member.pid == process.pid))
            }
            StopSignalScope::Group => {
                stop_targets::of(members.iter().filter(|member| member.stat.group == process.pid))
            }
            StopSignalScope::Tree => stop_targets::of(&members),
        };
        debug!("sending {signal} to {:?}, and none to {:?}", targets.direct, targets.indirect);
        let is_main = |target: &Identity| target.pid == process.pid;
        let send = |to: &Identity, signal: Signal| {
            // It is not reaped yet: its number is its own.
            if is_main(to) {
                process::signal(to.pid, signal.number())
            } else {
                tree::send_signal(*to, signal.number())
            }
        };
        let mut is_refused = false;
        for target in &targets.direct {
            let sent = send(target, signal);
            is_refused |= sent.is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied);
        }
        // It belongs to another user (sudo): the main process may forward the signal. A main process that has
        // ended needs none.
        if is_refused && !targets.direct.iter().any(is_main) {
            let _ = process::signal(process.pid, signal.number());
        }
        if targets.direct.is_empty() {
            // `/proc` cannot be read.
            self.signal(run, signal);
            self.signal(run, Signal::CONT);
        }
        let mut signalled = process.signalled.borrow_mut();
        for target in targets.direct.into_iter().chain(targets.indirect) {
            let _ = send(&target, Signal::CONT);
            // A process that ignores the signal gets one later.
            if !is_main(&target) && !IgnoredSignals::of(target.pid).has(signal.number()) {
                signalled.insert(target);
            }
        }
    }

    /// SIGKILL to everything that belongs to these runs.
    pub(in crate::supervisor) fn kill_trees(&mut self, runs: &[Run], machine: &Machine) {
        let processes = runs.iter().filter_map(|run| self.process(*run));
        for process in processes.filter(|process| !process.reaped) {
            process.killed.set(true);
            // The kernel kills a whole group at once, even one that forks fast, and needs no `/proc`.
            let _ = process::signal(process.pid, Signal::KILL.number());
            let _ = process::signal_group(process.pid, Signal::KILL.number());
        }
        self.trees_of(runs, machine).kill(runs);
    }

    /// Sends a signal to the orphans that belong to no worker.
    pub(in crate::supervisor) fn signal_strays(&self, signal: Signal) {
        for stray in self.strays() {
            let _ = tree::send_signal(stray, signal.number());
        }
    }

    /// SIGKILL to the orphans that belong to no worker, and to all below them.
    pub(in crate::supervisor) fn kill_strays(&self) {
        tree::kill(self.strays().into_iter().map(|stray| Root::of_leader(stray.pid)));
    }

    /// The orphans that belong to no worker.
    pub(in crate::supervisor) fn strays(&self) -> Vec<Identity> {
        let is_ending =
            |run: &Run| self.process(*run).is_some_and(|it| !it.reaped) || self.sweeping.contains_key(run);
        let orphans = self.orphans(tree::children).into_iter();
        orphans.filter(|(_, owner)| !owner.as_ref().is_some_and(is_ending)).map(|(stray, _)| stray).collect()
    }
}
