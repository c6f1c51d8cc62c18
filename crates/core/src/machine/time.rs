//! Time of the machine: the time since the start of the supervisor.

use std::{ops::Add, time::Duration};

/// A point on the monotonic clock, counted from the start of the supervisor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Time(Duration);

impl Time {
    /// The start of the supervisor.
    pub const ZERO: Self = Self(Duration::ZERO);

    /// The point this time after the start.
    pub const fn after_start(passed: Duration) -> Self {
        Self(passed)
    }

    /// The time since `earlier`; zero if that is later.
    pub fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }

    /// The time since the start of the supervisor.
    pub const fn elapsed(self) -> Duration {
        self.0
    }
}

impl Add<Duration> for Time {
    type Output = Self;

    fn add(self, more: Duration) -> Self {
        Self(self.0.saturating_add(more))
    }
}
