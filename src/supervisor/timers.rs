//! The machine's timers, in the order of their times.

use std::{cmp::Reverse, collections::BinaryHeap};

use crate::machine::{Time, Timer};

/// Timers are never cancelled: a stale timer has no effect, by its epoch.
#[derive(Debug, Default)]
pub(super) struct Timers(BinaryHeap<Reverse<(Time, Timer)>>);

impl Timers {
    pub(super) fn arm(&mut self, timer: Timer, at: Time) {
        self.0.push(Reverse((at, timer)));
    }

    /// The time of the next one.
    pub(super) fn next(&self) -> Option<Time> {
        self.0.peek().map(|Reverse((at, _))| *at)
    }

    /// Takes a timer that is due.
    pub(super) fn pop_due(&mut self, now: Time) -> Option<Timer> {
        if self.next()? > now {
            return None;
        }
        self.0.pop().map(|Reverse((_, timer))| timer)
    }
}
