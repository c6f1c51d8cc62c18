//! Backoff: the growing delay before repeated restarts. All delays grow by half, up to [`MAX_DELAY`].

use std::time::Duration;

use crate::spec::Backoff;

/// The longest delay (PM2: 15 s), unless the initial one is longer.
const MAX_DELAY: Duration = Duration::from_secs(15);
/// A run of at least this length resets the backoff (PM2: 30 s).
pub(super) const STABLE: Duration = Duration::from_secs(30);

/// Restarts in a row that procrun carries out without delay when the reason is not an exit: changed files, memory.
const IMMEDIATE: u32 = 3;

/// The delay before a restart for a reason other than an exit, after this number of such restarts in a row.
pub(super) fn delay_after(restarts: u32, initial: Duration) -> Duration {
    restarts.checked_sub(IMMEDIATE).map_or(Duration::ZERO, |steps| grown(initial, steps))
}

/// The progress of one instance in its backoff.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Progress {
    /// Restarts since the last stable run.
    restarts: u32,
}

impl Progress {
    /// The delay before the run that follows one of `uptime`, and the progress after it.
    pub(super) fn next(self, backoff: Backoff, uptime: Duration) -> (Duration, Self) {
        let restarts = if uptime >= STABLE { 0 } else { self.restarts };
        let wait = match backoff {
            Backoff::Fixed(delay) => delay,
            Backoff::Exponential { initial, first_at_once } => match (restarts, first_at_once) {
                (0, true) => Duration::ZERO,
                (n, true) => grown(initial, n - 1),
                (n, false) => grown(initial, n),
            },
        };
        (wait, Self { restarts: restarts.saturating_add(1) })
    }
}

/// `initial` times 1.5 to the power of `steps`, at most [`MAX_DELAY`] or `initial` itself.
fn grown(initial: Duration, steps: u32) -> Duration {
    let longest = MAX_DELAY.max(initial);
    // Half of less than 1 µs rounds to nothing: the delay would never grow.
    let mut wait = initial.max(Duration::from_micros(1));
    for _ in 0..steps {
        if wait >= longest {
            break;
        }
        wait = wait.saturating_add(wait / 2);
    }
    wait.min(longest)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::{MAX_DELAY, Progress, STABLE, delay_after};
    use crate::spec::Backoff;

    fn waits(backoff: Backoff, uptime: Duration, count: usize) -> Vec<u64> {
        let mut progress = Progress::default();
        let mut waits = Vec::new();
        for _ in 0..count {
            let (wait, after) = progress.next(backoff, uptime);
            progress = after;
            waits.push(u64::try_from(wait.as_millis()).unwrap());
        }
        waits
    }

    #[test]
    fn the_default_retries_at_once_and_then_from_100_ms() {
        let short = Duration::from_millis(1500);
        assert_eq!(waits(Backoff::DEFAULT, short, 6), [0, 100, 150, 225, 337, 506]);
        assert_eq!(waits(Backoff::DEFAULT, short, 30)[20..], [15000; 10]);
    }

    #[test]
    fn pm2s_own_key_waits_from_the_first_restart() {
        let backoff = Backoff::Exponential { initial: Duration::from_millis(200), first_at_once: false };
        assert_eq!(waits(backoff, Duration::ZERO, 3), [200, 300, 450]);
    }

    #[test]
    fn a_fixed_delay_stays() {
        assert_eq!(waits(Backoff::Fixed(Duration::from_millis(70)), Duration::ZERO, 3), [70; 3]);
    }

    #[test]
    fn only_a_stable_run_resets_the_backoff() {
        let (_, once) = Progress::default().next(Backoff::DEFAULT, Duration::ZERO);
        let (_, twice) = once.next(Backoff::DEFAULT, STABLE.checked_sub(Duration::from_millis(1)).unwrap());
        assert_eq!(twice.next(Backoff::DEFAULT, STABLE).0, Duration::ZERO);
        assert!(twice.next(Backoff::DEFAULT, Duration::ZERO).0 > Duration::ZERO);
    }

    #[test]
    fn restarts_for_other_reasons_wait_from_the_fourth_in_a_row() {
        let delays: Vec<Duration> =
            (0..30).map(|restarts| delay_after(restarts, Duration::from_secs(1))).collect();
        assert_eq!(delays[..3], [Duration::ZERO; 3]);
        assert_eq!(delays[3..6], [1000, 1500, 2250].map(Duration::from_millis));
        assert_eq!(delays[29], MAX_DELAY);
    }

    proptest! {
        #[test]
        fn waits_never_shrink_and_stay_bounded(initial in 1u64..60_000, at_once: bool, short in 0u64..29_999) {
            let initial = Duration::from_millis(initial);
            let backoff = Backoff::Exponential { initial, first_at_once: at_once };
            let mut progress = Progress::default();
            let mut last = Duration::ZERO;
            for _ in 0..60 {
                let (wait, after) = progress.next(backoff, Duration::from_millis(short));
                prop_assert!(wait >= last && wait <= MAX_DELAY.max(initial));
                (last, progress) = (wait, after);
            }
        }
    }
}
