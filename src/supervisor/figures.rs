//! The figures of the workers, looked at when somebody asks.
//!
//! What was seen is kept for a while: who asks again gets what was used since, and pays less. Then
//! it is given back; nothing is measured while nobody asks.

use std::{collections::HashMap, time::Duration};

use tokio::time::{Instant, sleep_until};

use super::{actor, workers::Workers};
use crate::{
    machine::InstanceId,
    monitor::{Sample, Sampler, Usage},
};

/// How long what was seen is kept.
const KEPT: Duration = Duration::from_secs(15);

/// Who looks, if somebody has asked lately.
#[derive(Default)]
pub(super) struct Figures(Option<(Sampler<InstanceId>, Instant)>);

/// What was seen.
#[derive(Default)]
pub(super) struct Seen {
    pub(super) workers: HashMap<InstanceId, Usage>,
    pub(super) own: Usage,
}

impl Figures {
    /// Looks at all workers; for those in `detailed` also at what is dear.
    pub(super) fn look(&mut self, workers: &Workers, detailed: &[InstanceId]) -> Seen {
        let now = actor::now();
        let (sampler, kept) = self.0.get_or_insert_with(|| (Sampler::new(), now));
        *kept = now + KEPT;
        let Sample { workers, own, .. } =
            sampler.sample(now.into_std(), &workers.roots(), |id| detailed.contains(id));
        Seen { workers: workers.into_iter().collect(), own }
    }

    /// Waits until nobody has asked for a while, and gives back what was kept. Cancel-safe.
    pub(super) async fn rest(&mut self) {
        match &self.0 {
            Some((_, until)) => sleep_until(*until).await,
            None => std::future::pending().await,
        }
        self.0 = None;
    }
}
