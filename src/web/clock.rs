//! The clocks of the HTTP server.

use jiff::Timestamp;
use tokio::time::Instant;

#[expect(clippy::disallowed_methods, reason = "the clock of the HTTP server, which decides nothing")]
pub(super) fn now() -> Instant {
    std::time::Instant::now().into()
}

/// The wall clock, in milliseconds since 1970.
pub(super) fn unix_milliseconds() -> u64 {
    u64::try_from(Timestamp::now().as_millisecond()).unwrap_or(0)
}
