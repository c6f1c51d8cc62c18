//! The clock of the HTTP server.

use tokio::time::Instant;

#[expect(clippy::disallowed_methods, reason = "the clock of the HTTP server, which decides nothing")]
pub(super) fn now() -> Instant {
    std::time::Instant::now().into()
}
