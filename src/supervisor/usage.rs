//! CPU and memory figures of the workers, sampled on request.
//!
//! A sample is kept for a while: the next request gets the use since then, and costs less. Then its memory is
//! freed; nothing is measured without a request.

use std::{collections::HashMap, rc::Rc, time::Duration};

use tokio::time::{Instant, sleep_until};

use super::{actor, workers::Workers};
use crate::{
    control::snapshot::{Container, Machine, Surroundings},
    machine::{self, InstanceId, Run},
    monitor::{Cgroup, HostUsage, Sample, Sampler, Usage},
    sys::process,
};

/// How long what was seen is kept.
const KEPT: Duration = Duration::from_secs(15);
/// Requests within this time get the same figures: many clients cost no more than one.
const FRESH: Duration = Duration::from_millis(200);

/// The sampler, if there was a request lately.
#[derive(Default)]
pub(super) struct UsageSamples(Option<Looking>);

struct Looking {
    sampler: Sampler<Run>,
    cgroup: Option<Cgroup>,
    asked: Instant,
    /// The last figures, their time, and the instances that they have in detail.
    last: Option<(Rc<Seen>, Instant, Vec<InstanceId>)>,
}

/// What was seen.
#[derive(Default)]
pub(super) struct Seen {
    /// By run: a new process has none of the figures of the one before.
    pub(super) workers: HashMap<Run, Usage>,
    pub(super) own: Usage,
    host: HostUsage,
}

impl UsageSamples {
    /// Samples all workers; for those in `detailed` also the expensive figures.
    pub(super) fn look(
        &mut self,
        workers: &mut Workers,
        machine: &machine::Machine,
        detailed: &[InstanceId],
    ) -> Rc<Seen> {
        let now = actor::now();
        let looking = self.looking(now);
        // A run that has begun since then has no figures yet.
        let has_run = |seen: &Seen, id: &InstanceId| {
            workers.run_with_processes(*id).is_none_or(|run| seen.workers.contains_key(&run))
        };
        if let Some((seen, at, of)) = &looking.last
            && now - *at < FRESH
            && detailed.iter().all(|id| of.contains(id) && has_run(seen, id))
        {
            return seen.clone();
        }
        let trees = workers.current_trees(machine);
        let runs: Vec<Run> = trees.keys().collect();
        let is_detailed = |run: &Run| detailed.contains(&run.instance);
        let Sample { workers, own, host } = looking.sampler.sample(now.into_std(), trees, &runs, is_detailed);
        let workers = workers.into_iter().collect();
        let seen = Rc::new(Seen { workers, own, host });
        looking.last = Some((seen.clone(), actor::now(), detailed.to_owned()));
        seen
    }

    /// Samples the container, too.
    pub(super) fn look_around(&mut self, seen: &Seen) -> Surroundings {
        let now = actor::now();
        let it = self.looking(now).cgroup.get_or_insert_with(Cgroup::find).sample(now.into_std());
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

    fn looking(&mut self, now: Instant) -> &mut Looking {
        let looking = self.0.get_or_insert_with(|| Looking {
            sampler: Sampler::new(),
            cgroup: None,
            asked: now,
            last: None,
        });
        looking.asked = now;
        looking
    }

    /// Waits until there was no request for a while, and frees the sample. Cancel-safe.
    pub(super) async fn rest(&mut self) {
        match &self.0 {
            Some(looking) => sleep_until(looking.asked + KEPT).await,
            None => std::future::pending().await,
        }
        self.0 = None;
        // Memory for an answer is not needed before the next request.
        process::trim_memory();
    }
}
