//! Waiting for a condition, with a deadline. Nothing here waits for a time to pass and hopes.

use std::time::{Duration, Instant};

/// How long anything may take before a test gives up: generous, the machine may be busy.
pub const DEADLINE: Duration = Duration::from_secs(30);

const LOOK_EVERY: Duration = Duration::from_millis(3);

/// The time, for what is measured.
#[allow(clippy::disallowed_methods, reason = "tests measure real time")]
pub fn now() -> Instant {
    Instant::now()
}

/// Look until there is an answer.
#[track_caller]
#[allow(clippy::disallowed_methods, reason = "the one place that looks again and again: /proc has no events")]
pub fn wait_for_within<T>(what: &str, within: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    let begun = now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begun.elapsed() < within, "waited {within:?} in vain for {what}");
        std::thread::sleep(LOOK_EVERY);
    }
}

/// [`wait_for_within`] the general deadline.
#[track_caller]
pub fn wait_for<T>(what: &str, look: impl FnMut() -> Option<T>) -> T {
    wait_for_within(what, DEADLINE, look)
}

/// Look until it is so.
#[track_caller]
pub fn wait_until_within(what: &str, within: Duration, mut is_so: impl FnMut() -> bool) {
    wait_for_within(what, within, || is_so().then_some(()));
}

/// [`wait_until_within`] the general deadline.
#[track_caller]
pub fn wait_until(what: &str, is_so: impl FnMut() -> bool) {
    wait_until_within(what, DEADLINE, is_so);
}
