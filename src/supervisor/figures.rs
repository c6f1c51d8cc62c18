//! The figures of the workers, looked at when somebody asks.
//!
//! What was seen is kept for a while: who asks again gets what was used since, and pays less. Then
//! it is given back; nothing is measured while nobody asks.

use std::{collections::HashMap, rc::Rc, time::Duration};

use tokio::time::{Instant, sleep_until};

use super::{actor, workers::Workers};
use crate::{
    machine::InstanceId,
    monitor::{Sample, Sampler, Usage},
    sys::process,
};

/// How long what was seen is kept.
const KEPT: Duration = Duration::from_secs(15);
/// Who asks so soon after somebody else gets the same figures: many who ask cost no more than one.
const FRESH: Duration = Duration::from_millis(200);

/// Who looks, if somebody has asked lately.
#[derive(Default)]
pub(super) struct Figures(Option<Looking>);

struct Looking {
    sampler: Sampler<InstanceId>,
    asked: Instant,
    /// What was seen last, when, and of whom in detail.
    last: Option<(Rc<Seen>, Instant, Vec<InstanceId>)>,
}

/// What was seen.
#[derive(Default)]
pub(super) struct Seen {
    pub(super) workers: HashMap<InstanceId, Usage>,
    pub(super) own: Usage,
}

impl Figures {
    /// Looks at all workers; for those in `detailed` also at what is dear.
    pub(super) fn look(&mut self, workers: &Workers, detailed: &[InstanceId]) -> Rc<Seen> {
        let now = actor::now();
        let looking =
            self.0.get_or_insert_with(|| Looking { sampler: Sampler::new(), asked: now, last: None });
        looking.asked = now;
        if let Some((seen, at, of)) = &looking.last
            && now - *at < FRESH
            && detailed.iter().all(|id| of.contains(id))
        {
            return seen.clone();
        }
        let sample = looking.sampler.sample(now.into_std(), &workers.roots(), |id| detailed.contains(id));
        let Sample { workers, own, .. } = sample;
        let seen = Rc::new(Seen { workers: workers.into_iter().collect(), own });
        looking.last = Some((seen.clone(), actor::now(), detailed.to_owned()));
        seen
    }

    /// Waits until nobody has asked for a while, and gives back what was kept. Cancel-safe.
    pub(super) async fn rest(&mut self) {
        match &self.0 {
            Some(looking) => sleep_until(looking.asked + KEPT).await,
            None => std::future::pending().await,
        }
        self.0 = None;
        // What answering needed is not needed before somebody asks again.
        process::trim_memory();
    }
}
