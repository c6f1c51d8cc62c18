//! The time limit of a probe.

use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use crate::spec::HumanDuration;

/// The output of `work`, or an error if it takes longer than `limit`.
pub(super) async fn in_time<T>(
    until: Instant,
    limit: Duration,
    what: &str,
    work: impl Future<Output = Result<T, String>>,
) -> Result<T, String> {
    match timeout_at(until, work).await {
        Ok(result) => result,
        Err(_) => Err(format!("{what} within {}", HumanDuration(limit))),
    }
}
