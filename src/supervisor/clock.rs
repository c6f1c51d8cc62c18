//! The supervisor's clock. What depends on the time gets it as an argument where that is possible.

use tokio::time::Instant;

#[expect(clippy::disallowed_methods, reason = "the supervisor's clock: the one place that reads it")]
pub(super) fn now() -> Instant {
    std::time::Instant::now().into()
}

/// Waits until a time; `None`: for ever. Cancel-safe.
pub(super) async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
