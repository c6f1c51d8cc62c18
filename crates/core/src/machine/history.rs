//! The history of an instance beyond its present run.

use std::time::Duration;

use super::{
    backoff::Progress,
    ending::{Ending, FollowUp},
    memory::MemoryBackoff,
    reason::{ExitReason, reason},
    time::Time,
};
use crate::spec::{Backoff, ExitCode, RestartPolicy};

/// The number of past runs that are kept.
const MAX_PAST_RUNS: usize = 5;

/// The minimum delay before another attempt after a failed start.
pub(super) const MIN_START_RETRY: Duration = Duration::from_millis(100);

/// The backoff of attempts to start during a shortage.
const START_RETRY: Backoff = Backoff::Exponential { initial: MIN_START_RETRY, first_at_once: false };

/// A run that has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PastRun {
    /// How it ended.
    pub ending: Ending,
    /// Why it ended, if more is known than its exit status.
    pub reason: Option<ExitReason>,
    /// How long it was up.
    pub uptime: Duration,
    /// When it ended.
    pub at: Time,
}

impl PastRun {
    /// The stable word for why it ended.
    pub fn reason(&self) -> &'static str {
        reason(&self.ending, self.reason.as_ref())
    }
}

/// What decides about the next restart of an instance, and its record.
#[derive(Debug, Default)]
pub(super) struct History {
    /// What a successor in a reload takes over.
    pub(super) record: Record,
    /// Unstable runs in a row (PM2's `unstable_restarts`).
    pub(super) unstable_runs: u32,
    /// Whether the last run ended because another process listened on its address.
    pub(super) address_was_in_use: bool,
    pub(super) backoff: Progress,
    /// The number of the last run that has completed its task (`oneshot`); 0: none.
    pub(super) completed: u64,
    /// The number of the last run during which the task was changed; 0: none.
    pub(super) changed_during: u64,
    /// The instance's final failure: the number of the failure in the count of the root, and the exit code.
    pub(super) failure: Option<(u64, ExitCode)>,
    /// Whether it failed by becoming errored, not by a final exit.
    pub(super) has_errored: bool,
}

impl History {
    pub(super) fn new(now: Time) -> Self {
        Self { record: Record::new(now), ..Self::default() }
    }

    /// A new start: an earlier failure does not count.
    pub(super) fn forget_failure(&mut self) {
        (self.failure, self.has_errored) = (None, false);
    }

    /// A restart by request: unstable runs before it do not count.
    pub(super) fn forget_unstable_runs(&mut self) {
        (self.unstable_runs, self.backoff) = (0, Progress::default());
    }

    /// PM2's `reset`.
    pub(super) fn reset(&mut self, now: Time) {
        self.unstable_runs = 0;
        self.record.reset(now);
    }

    /// What follows a run that was up (or healthy) for `uptime`: a restart after the backoff delay, or `errored` after
    /// too many unstable runs.
    pub(super) fn next_restart(
        &mut self,
        policy: &RestartPolicy,
        is_unstable: bool,
        uptime: Duration,
        min_delay: Duration,
    ) -> FollowUp {
        self.unstable_runs = if is_unstable { self.unstable_runs + 1 } else { 0 };
        if self.unstable_runs >= policy.max_restarts.max(1) {
            return FollowUp::Errored { unstable_runs: self.unstable_runs };
        }
        let (wait, progress) = self.backoff.next(policy.backoff, uptime);
        self.backoff = progress;
        FollowUp::Restart(wait.max(min_delay))
    }

    /// The next attempt after a start that failed by a shortage. The delay grows also where the policy has a fixed one:
    /// otherwise a shortage of a minute would cause thousands of attempts.
    pub(super) fn next_attempt(&mut self, policy: &RestartPolicy) -> FollowUp {
        let (delay, progress) = self.backoff.next(START_RETRY, Duration::ZERO);
        let (policy_delay, _) = self.backoff.next(policy.backoff, Duration::ZERO);
        self.backoff = progress;
        FollowUp::Restart(delay.max(policy_delay))
    }
}

/// What a successor takes over from its predecessor.
#[derive(Debug, Default)]
pub(super) struct Record {
    /// Restarts (PM2's `restart_time`). A start of an instance that is stopped or errored does not count.
    pub(super) restarts: u32,
    /// When it was added to the list or was reset.
    pub(super) created_at: Time,
    /// The last runs, at most [`MAX_PAST_RUNS`], the oldest first.
    pub(super) past_runs: Vec<PastRun>,
    /// The backoff of restarts for memory.
    pub(super) memory_backoff: MemoryBackoff,
}

impl Record {
    pub(super) fn new(now: Time) -> Self {
        Self { created_at: now, ..Self::default() }
    }

    pub(super) fn add(&mut self, past: PastRun) {
        if self.past_runs.len() >= MAX_PAST_RUNS {
            self.past_runs.remove(0);
        }
        self.past_runs.push(past);
    }

    /// PM2's `reset`.
    pub(super) fn reset(&mut self, now: Time) {
        (self.restarts, self.created_at) = (0, now);
    }
}
