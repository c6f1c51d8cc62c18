//! CPU and memory figures of the workers, sampled on request.
//!
//! A sample is kept for a while: the next request gets the use since then, and costs less. Then its memory is
//! freed; nothing is measured without a request.

use std::{collections::HashMap, rc::Rc, time::Duration};

use tokio::time::{Instant, sleep_until};

use super::{clock, workers::Workers};
use crate::{
    control::snapshot::{Container, Machine, Surroundings},
    machine::{self, InstanceId, Run},
    monitor::{Cgroup, HostUsage, Sample, Sampler, Usage},
    sys::process,
};

/// How long a sample is kept after the last request.
const IDLE_TIMEOUT: Duration = Duration::from_secs(15);
/// Requests within this time get the same figures: many clients cost no more than one.
const SAMPLE_REUSE_TIME: Duration = Duration::from_millis(200);

/// The sampler, if there was a request lately.
#[derive(Default)]
pub(super) struct UsageSamples(Option<ActiveSampler>);

struct ActiveSampler {
    sampler: Sampler<Run>,
    cgroup: Option<Cgroup>,
    /// The time of the last request.
    requested: Instant,
    /// The last figures, their time, and the instances that they have in detail.
    last: Option<(Rc<UsageReport>, Instant, Vec<InstanceId>)>,
}

/// The figures of one sample.
#[derive(Default)]
pub(super) struct UsageReport {
    /// By run: a new process has none of the figures of the one before.
    pub(super) workers: HashMap<Run, Usage>,
    pub(super) own: Usage,
    host: HostUsage,
}

impl UsageSamples {
    /// Samples all workers; for those in `detailed` also the expensive figures.
    pub(super) fn sample(
        &mut self,
        workers: &mut Workers,
        machine: &machine::Machine,
        detailed: &[InstanceId],
    ) -> Rc<UsageReport> {
        let now = clock::now();
        let active = self.active(now);
        // A run that has begun since then has no figures yet.
        let has_run = |report: &UsageReport, id: &InstanceId| {
            workers.run_with_processes(*id).is_none_or(|run| report.workers.contains_key(&run))
        };
        if let Some((report, at, of)) = &active.last
            && now - *at < SAMPLE_REUSE_TIME
            && detailed.iter().all(|id| of.contains(id) && has_run(report, id))
        {
            return report.clone();
        }
        let trees = workers.current_trees(machine);
        let runs: Vec<Run> = trees.keys().collect();
        let is_detailed = |run: &Run| detailed.contains(&run.instance);
        let Sample { workers, own, host } = active.sampler.sample(now.into_std(), trees, &runs, is_detailed);
        let workers = workers.into_iter().collect();
        let report = Rc::new(UsageReport { workers, own, host });
        active.last = Some((report.clone(), clock::now(), detailed.to_owned()));
        report
    }

    /// Samples the container, too.
    pub(super) fn sample_container(&mut self, report: &UsageReport) -> Surroundings {
        let now = clock::now();
        let it = self.active(now).cgroup.get_or_insert_with(Cgroup::find).sample(now.into_std());
        let HostUsage { cpus, load, memory, available } = report.host;
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

    fn active(&mut self, now: Instant) -> &mut ActiveSampler {
        let active = self.0.get_or_insert_with(|| ActiveSampler {
            sampler: Sampler::new(),
            cgroup: None,
            requested: now,
            last: None,
        });
        active.requested = now;
        active
    }

    /// Waits until there was no request for [`IDLE_TIMEOUT`], and frees the sample. Cancel-safe.
    pub(super) async fn expire(&mut self) {
        match &self.0 {
            Some(active) => sleep_until(active.requested + IDLE_TIMEOUT).await,
            None => std::future::pending().await,
        }
        self.0 = None;
        // Memory for an answer is not needed before the next request.
        process::trim_memory();
    }
}
