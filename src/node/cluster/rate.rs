//! The rate at which connections arrive at a socket: whether handing them out one by one is still cheap enough.
//!
//! Never reads a clock: each call brings the time.

use std::time::Duration;

use crate::machine::Time;

/// Maximum sustained rate in connections a second; above it, the workers accept by themselves. At this rate,
/// handing connections out costs less than 5% of one CPU.
const MAX_RATE: u32 = 500;

/// Maximum number of connections at once that are still handed out one by one: the pool of a reverse proxy, or its
/// clients after a restart.
const MAX_BURST: u32 = 512;

/// The time between two connections at [`MAX_RATE`].
const SPACING: Duration = Duration::from_millis(1000 / MAX_RATE as u64);

/// Minimum time for measuring the rate while workers accept by themselves.
const MIN_MEASUREMENT: Duration = Duration::from_millis(200);

/// The arrivals at a socket while connections are handed out one by one.
#[derive(Debug, Default)]
pub(super) struct Arrivals {
    /// When all arrivals until now would have come at [`MAX_RATE`].
    due: Time,
    /// The number of arrivals since the rate was last low.
    burst: u32,
}

impl Arrivals {
    /// Counts one arrival. True: they come too fast.
    pub(super) fn count(&mut self, now: Time) -> bool {
        if self.due <= now {
            (self.due, self.burst) = (now, 0);
        }
        self.due = self.due + SPACING;
        self.burst += 1;
        self.due.since(now) >= SPACING * MAX_BURST
    }

    /// The number of arrivals since the rate was last low.
    pub(super) fn burst(&self) -> u32 {
        self.burst
    }

    /// Continues to hand connections out although they arrive fast, and decides again half a burst later.
    pub(super) fn postpone(&mut self, now: Time) {
        self.due = now + SPACING * (MAX_BURST / 2);
    }
}

/// The arrivals at a socket while the workers accept by themselves and report their number.
#[derive(Debug)]
pub(super) struct Reports {
    since: Time,
    accepted: u32,
}

impl Reports {
    /// Counts from now on.
    pub(super) fn new(now: Time) -> Self {
        Self { since: now, accepted: 0 }
    }

    /// Adds a worker's report. True: connections arrive so slowly that handing them out is cheap.
    pub(super) fn add(&mut self, now: Time, accepted: u32) -> bool {
        self.accepted = self.accepted.saturating_add(accepted);
        let passed = now.since(self.since);
        if passed < MIN_MEASUREMENT {
            return false;
        }
        // Half of the rate at which it began, so that a steady rate does not switch back and forth.
        let is_slow = passed > SPACING * 2 * self.accepted;
        *self = Self::new(now);
        is_slow
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Time {
        Time::after_start(Duration::from_millis(millis))
    }

    #[test]
    fn a_burst_and_a_steady_rate_below_the_limit_are_slow_enough() {
        let mut arrivals = Arrivals::default();
        assert!((1..MAX_BURST).all(|_| !arrivals.count(at(10))));
        assert!(arrivals.count(at(10)), "one more is too much");

        let mut arrivals = Arrivals::default();
        assert!((0..10_000).all(|number| !arrivals.count(at(number * 2))), "500 a second for 20 s");
    }

    #[test]
    fn a_steady_rate_beyond_the_limit_is_too_fast_after_a_while() {
        let mut arrivals = Arrivals::default();
        let first = (0..10_000u32).find(|number| arrivals.count(at(u64::from(*number))));
        assert!(first.is_some_and(|first| first < 2 * MAX_BURST), "1000 a second: {first:?}");
        assert_eq!(Some(arrivals.burst()), first.map(|first| first + 1));
    }

    #[test]
    fn a_pause_ends_a_burst() {
        let mut arrivals = Arrivals::default();
        assert!((1..MAX_BURST).all(|_| !arrivals.count(at(0))));
        assert!(!arrivals.count(at(2000)));
        assert_eq!(arrivals.burst(), 1);
    }

    #[test]
    fn a_refusal_is_decided_again_half_a_burst_later() {
        let mut arrivals = Arrivals::default();
        while !arrivals.count(at(0)) {}
        arrivals.postpone(at(0));
        let more = (1..=MAX_BURST).find(|_| arrivals.count(at(0)));
        assert_eq!(more, Some(MAX_BURST / 2));
        assert_eq!(arrivals.burst(), MAX_BURST + MAX_BURST / 2, "it is the same burst");
    }

    #[test]
    fn reports_show_when_the_rate_is_low_again() {
        let mut reports = Reports::new(at(0));
        assert!(!reports.add(at(100), 0), "measured for too short a time");
        assert!(reports.add(at(200), 49), "245 a second");
        assert!(!reports.add(at(400), 50), "250 a second");
        assert!(!reports.add(at(500), 10));
        assert!(reports.add(at(600), 10), "each window is measured alone");
    }
}
