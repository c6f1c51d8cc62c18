//! Waits for conditions, with a deadline.

use std::time::{Duration, Instant};

/// The time after which a test fails: generous, because the machine may be busy.
pub const DEADLINE: Duration = Duration::from_mins(2);

const POLL_INTERVAL: Duration = Duration::from_millis(3);

/// The present time.
#[expect(clippy::disallowed_methods, reason = "tests measure real time")]
pub fn now() -> Instant {
    Instant::now()
}

/// Polls until `poll` returns a value.
#[track_caller]
#[expect(clippy::disallowed_methods, reason = "the one place that polls: /proc has no events")]
pub fn wait_for_within<T>(what: &str, within: Duration, mut poll: impl FnMut() -> Option<T>) -> T {
    let begun = now();
    loop {
        if let Some(found) = poll() {
            return found;
        }
        assert!(begun.elapsed() < within, "waited {within:?} for {what}, which did not come");
        std::thread::sleep(POLL_INTERVAL);
    }
}

/// [`wait_for_within`] with [`DEADLINE`].
#[track_caller]
pub fn wait_for<T>(what: &str, poll: impl FnMut() -> Option<T>) -> T {
    wait_for_within(what, DEADLINE, poll)
}

/// Polls until `is_true` returns true.
#[track_caller]
pub fn wait_until_within(what: &str, within: Duration, mut is_true: impl FnMut() -> bool) {
    wait_for_within(what, within, || is_true().then_some(()));
}

/// [`wait_until_within`] with [`DEADLINE`].
#[track_caller]
pub fn wait_until(what: &str, is_true: impl FnMut() -> bool) {
    wait_until_within(what, DEADLINE, is_true);
}
