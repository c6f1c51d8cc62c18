//! Reads the recent lines, and new ones.
//!
//! A follower has no queue of its own: it remembers how far it has read in the recent lines, which are bounded.
//! A slow follower learns how many lines it has missed. A follower delays neither a worker nor the pump, and reads
//! at most [`MAX_BATCHES`] batches and [`MAX_BYTES`] a second.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::Notify,
    time::{Instant, sleep_until},
};

use super::{batch::Batch, filter::Filter, history::History};

/// Maximum number of batches a second for all followers together.
const MAX_BATCHES: u32 = 200;
/// Maximum number of bytes a second for all followers, all of it for a single one. This bounds the cost of
/// following, however fast a worker writes.
const MAX_BYTES: u32 = 6 * 1024 * 1024;
/// The minimum interval between two batches of a follower.
const MIN_PAUSE: Duration = Duration::from_millis(20);

/// Reads the lines of a [`Filter`]: the existing ones, then new ones, each once. Missed lines are counted.
#[derive(Debug)]
pub struct Follower {
    history: Arc<History>,
    id: u64,
    wake: Arc<Notify>,
    /// The number of the first line that did not exist when the follower began.
    live: u64,
    /// Time and size of the last batch.
    last: Option<(Instant, usize)>,
}

impl Follower {
    pub(super) fn new(history: Arc<History>, filter: Filter, lines: usize) -> Self {
        let (id, wake, live) = history.attach(filter, lines);
        Self { history, id, wake, live, last: None }
    }

    /// The next batch of the existing lines. Never waits; `None`: there are no more.
    pub fn recent(&mut self) -> Option<Batch> {
        self.history.take(self.id, self.live, false)
    }

    /// The next batch of lines; waits until there are any. Cancel-safe.
    pub async fn next(&mut self) -> Batch {
        loop {
            if let Some((last, size)) = self.last {
                sleep_until(last + pause(self.history.followers(), size)).await;
            }
            if let Some(batch) = self.history.take(self.id, u64::MAX, true) {
                self.last = Some((Instant::now(), batch.size()));
                return batch;
            }
            self.wake.notified().await;
        }
    }
}

/// The pause of one of `followers` after a batch of `size` bytes.
fn pause(followers: usize, size: usize) -> Duration {
    let followers = u32::try_from(followers).unwrap_or(u32::MAX);
    let all = |each: Duration| each.saturating_mul(followers);
    let size = u32::try_from(size).unwrap_or(u32::MAX);
    MIN_PAUSE
        .max(all(Duration::from_secs(1) / MAX_BATCHES))
        .max(all(Duration::from_secs(size.into()) / MAX_BYTES))
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.history.detach(self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_followers_together_have_a_bound() {
        for followers in [1_u32, 2, 20, 64, 1000] {
            for size in [1_u32, 1000, 128 * 1024, 400 * 1024] {
                let pause = pause(followers.try_into().unwrap(), size.try_into().unwrap());
                let batches = f64::from(followers) / pause.as_secs_f64();
                assert!(
                    batches <= f64::from(MAX_BATCHES) * 1.001,
                    "{followers} followers, {size} bytes: {batches}"
                );
                assert!(
                    batches * f64::from(size) <= 1.1 * f64::from(MAX_BYTES),
                    "{followers} followers, {size} bytes"
                );
            }
        }
        assert_eq!(pause(1, 1000), MIN_PAUSE, "a single follower of few lines has the shortest pause");
    }
}
