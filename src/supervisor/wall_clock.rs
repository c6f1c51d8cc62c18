//! Times of the machine by the wall clock.

use std::{
    cell::Cell,
    time::{Duration, SystemTime},
};

use crate::machine::Time;

/// When the supervisor began, by the wall clock. It is computed from the present time, whose milliseconds are
/// rounded: the result stays the same until the clock is set, or the times of a process would differ
/// between two answers.
#[derive(Debug, Default)]
pub(super) struct WallClock(Cell<u64>);

impl WallClock {
    /// A difference up to this, in milliseconds, is rounding or the slow correction of a clock.
    const TOLERANCE: u64 = 1000;

    /// The wall clock at a time of the machine.
    pub(super) fn at(&self, now: Time) -> ClockReading {
        let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let began = self.steady(millis(wall).saturating_sub(millis(now.elapsed())));
        ClockReading { began, now }
    }

    fn steady(&self, began: u64) -> u64 {
        if self.0.get().abs_diff(began) > Self::TOLERANCE {
            self.0.set(began);
        }
        self.0.get()
    }
}

/// Converts times of the machine for one answer.
pub(super) struct ClockReading {
    /// Milliseconds from 1970 to the begin of the supervisor.
    pub(super) began: u64,
    pub(super) now: Time,
}

impl ClockReading {
    /// Milliseconds since 1970.
    pub(super) fn wall(&self, at: Time) -> u64 {
        self.began + millis(at.elapsed())
    }
}

/// A duration in milliseconds.
pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::WallClock;

    #[test]
    fn the_begin_changes_only_when_the_clock_is_set() {
        let clock = WallClock::default();
        let seen = [5_000_000, 5_000_001, 4_999_999, 5_003_000, 5_003_001].map(|began| clock.steady(began));
        assert_eq!(seen, [5_000_000, 5_000_000, 5_000_000, 5_003_000, 5_003_000]);
    }
}
