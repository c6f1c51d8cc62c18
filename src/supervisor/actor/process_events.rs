//! Starts that have ended, and processes that have been reaped.

use super::{
    super::{
        clock,
        starting::StartResult,
        unexplained::Explained,
        workers::{Ended, StartOutcomes},
    },
    Supervisor,
};
use crate::{
    machine::{Input, NotifyMessage},
    sys::reap::{self, Pid, Status},
};

impl Supervisor<'_> {
    /// Handles starts that have ended.
    pub(super) fn handle_starts(&mut self, results: Vec<StartResult>) {
        let _held = self.logs.hold();
        let (workers, mut context) = self.start_context();
        let StartOutcomes { inputs, dead } = workers.advance(results, &mut context);
        self.report_sockets();
        if !inputs.is_empty() {
            self.follow_first_plan();
        }
        self.close_failed(&inputs);
        self.feed(inputs);
        self.handle_dead(&dead);
    }

    /// Reaps all children that have ended.
    pub(super) fn reap(&mut self) {
        let dead: Vec<_> = std::iter::from_fn(reap::next)
            .filter(|(pid, status)| {
                !self.evaluation.as_mut().is_some_and(|evaluation| evaluation.reaped(*pid, *status))
                    && !self.checks.reaped(*pid, *status)
            })
            .collect();
        self.handle_dead(&dead);
    }

    /// Handles processes that have been reaped.
    fn handle_dead(&mut self, dead: &[(Pid, Status)]) {
        if dead.is_empty() {
            return;
        }
        let _held = self.logs.hold();
        let ended = self.workers.reaped(dead);
        if !ended.is_empty() && !self.shutdown.is_requested {
            // Most ends of a worker are followed by a start.
            self.workers.helpers().expect();
        }
        let mut notified = Vec::new();
        for Ended { run, .. } in &ended {
            self.node.ended(*run);
            self.checks.ended(run.instance);
            notified.append(&mut self.notify.ended(*run));
        }
        self.handle_node_events();
        self.feed(notified);
        let is_unexplained = |ended: &Ended| ended.is_failure() && self.machine.is_unexplained(ended.run);
        let (unexplained, explained): (Vec<Ended>, Vec<Ended>) = ended.into_iter().partition(is_unexplained);
        self.unexplained.request_lines(unexplained, &self.logs, clock::now());
        self.handle_ended(explained);
    }

    /// Handles runs whose end needs no further explanation.
    fn handle_ended(&mut self, ended: Vec<Ended>) {
        let mut inputs = self.workers.ended(ended, &self.machine);
        self.memory.explain(&mut inputs, &self.workers);
        self.feed(inputs);
    }

    /// Handles runs that failed, with the failures that their last lines report.
    pub(super) fn handle_explained(&mut self, explained: Explained) {
        let Explained { ended, failures } = explained;
        let report =
            |(run, failure)| Input::Notified(run, NotifyMessage::ListenFailed { failure, is_handled: false });
        self.feed(failures.into_iter().map(report).collect());
        self.handle_ended(ended);
    }
}
