//! The figures of the workers, looked at when somebody asks.
//!
//! What was seen is kept for a while: who asks again gets what was used since, and pays less. Then
//! it is given back; nothing is measured while nobody asks.

use std::{collections::HashMap, time::Duration};

use tokio::time::{Instant, sleep_until};

use super::{actor, workers::Workers};
use crate::{
    control::snapshot::{Container, Machine, Surroundings},
    machine::InstanceId,
    monitor::{Cgroup, HostUsage, Sample, Sampler, Usage},
    sys::process,
};

/// How long what was seen is kept.
const KEPT: Duration = Duration::from_secs(15);

/// Who looks, if somebody has asked lately.
#[derive(Default)]
pub(super) struct Figures(Option<Looker>);

struct Looker {
    sampler: Sampler<InstanceId>,
    cgroup: Option<Cgroup>,
    until: Instant,
}

/// What was seen.
#[derive(Default)]
pub(super) struct Seen {
    pub(super) workers: HashMap<InstanceId, Usage>,
    pub(super) own: Usage,
    host: HostUsage,
}

impl Figures {
    /// Looks at all workers; for those in `detailed` also at what is dear.
    pub(super) fn look(&mut self, workers: &Workers, detailed: &[InstanceId]) -> Seen {
        let now = actor::now();
        let looker = self.looker(now);
        let Sample { workers, own, host } =
            looker.sampler.sample(now.into_std(), &workers.roots(), |id| detailed.contains(id));
        Seen { workers: workers.into_iter().collect(), own, host }
    }

    /// Looks at the container, too.
    pub(super) fn look_around(&mut self, seen: &Seen) -> Surroundings {
        let now = actor::now();
        let it = self.looker(now).cgroup.get_or_insert_with(Cgroup::find).sample(now.into_std());
        let HostUsage { cpus, load, memory, available } = seen.host;
        Surroundings {
            container: Container {
                cpu: it.cpu.map(f64::from),
                cpu_quota: it.cpu_quota.map(f64::from),
                memory: it.memory,
                memory_limit: it.memory_limit,
                tasks: it.tasks,
            },
            machine: Machine { cpus, load, memory, available },
        }
    }

    fn looker(&mut self, now: Instant) -> &mut Looker {
        let looker =
            self.0.get_or_insert_with(|| Looker { sampler: Sampler::new(), cgroup: None, until: now });
        looker.until = now + KEPT;
        looker
    }

    /// Waits until nobody has asked for a while, and gives back what was kept. Cancel-safe.
    pub(super) async fn rest(&mut self) {
        match &self.0 {
            Some(looker) => sleep_until(looker.until).await,
            None => std::future::pending().await,
        }
        self.0 = None;
        // What answering needed is not needed before somebody asks again.
        process::trim_memory();
    }
}
