//! What is remembered of an instance beyond its present run; its successor inherits it.

use std::time::Duration;

use super::{
    ending::Ending,
    memory::MemoryPace,
    reason::{Reason, reason},
    time::Time,
};

/// So many endings are remembered.
const ENDINGS: usize = 5;

/// How a run of an instance ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestartHistory {
    /// How.
    pub ending: Ending,
    /// Why procrun has ended it, if it has.
    pub reason: Option<Reason>,
    /// How long it was up.
    pub uptime: Duration,
    /// When it ended.
    pub at: Time,
}

impl RestartHistory {
    /// The word for what ended it: procrun's own reason, else the kind of its end.
    pub fn reason(&self) -> &'static str {
        reason(&self.ending, self.reason.as_ref())
    }
}

/// What is remembered of an instance.
#[derive(Debug, Default)]
pub(super) struct Record {
    /// Starts that followed a run at once or after a wait (PM2's `restart_time`). A start of an instance that
    /// is stopped or errored does not count.
    pub(super) restarts: u32,
    /// Since when it is in the list, or was reset.
    pub(super) created_at: Time,
    /// The last few endings, the oldest first.
    pub(super) endings: Vec<RestartHistory>,
    /// How often it had too much memory.
    pub(super) pace: MemoryPace,
}

impl Record {
    pub(super) fn new(now: Time) -> Self {
        Self { created_at: now, ..Self::default() }
    }

    pub(super) fn ended(&mut self, past: RestartHistory) {
        if self.endings.len() >= ENDINGS {
            self.endings.remove(0);
        }
        self.endings.push(past);
    }

    /// PM2's `reset`.
    pub(super) fn reset(&mut self, now: Time) {
        (self.restarts, self.created_at) = (0, now);
    }
}
