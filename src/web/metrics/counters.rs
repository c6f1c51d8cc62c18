//! Counters of runs that never fall.
//!
//! The CPU time of a process tree is a sum over its processes. It falls when a process ends and no process of the tree
//! waits for it: its time is lost. A counter that falls looks like a restart to Prometheus.

use std::collections::HashMap;

use crate::control::metrics::InstanceFigures;

/// The CPU time of the current run of each instance.
#[derive(Debug, Default)]
pub(in crate::web) struct CpuTimes(HashMap<u32, Counted>);

#[derive(Debug, Clone, Copy)]
struct Counted {
    /// The main process. Leftovers of a run have none, and count on.
    pid: Option<i32>,
    /// The last sum.
    sum: u64,
    total: u64,
}

impl CpuTimes {
    /// Replaces the sums of these instances by what they have grown in total.
    pub(in crate::web) fn count(&mut self, instances: &mut [InstanceFigures]) {
        let mut current = HashMap::with_capacity(instances.len());
        for it in instances {
            let id = it.brief.id;
            let before =
                self.0.get(&id).filter(|before| it.brief.pid.is_none() || it.brief.pid == before.pid);
            let Some(sum) = it.cpu_time else {
                current.extend(before.map(|before| (id, *before)));
                continue;
            };
            let total = before.map_or(sum, |before| before.total + sum.saturating_sub(before.sum));
            let pid = it.brief.pid.or(before.and_then(|before| before.pid));
            current.insert(id, Counted { pid, sum, total });
            it.cpu_time = Some(total);
        }
        self.0 = current;
    }
}

#[cfg(test)]
mod tests {
    use super::{super::text::tests::instance, *};

    #[test]
    fn the_cpu_time_of_a_run_never_falls() {
        let mut times = CpuTimes::default();
        let mut total = |pid, sum| {
            let mut instances = [instance(pid, sum)];
            times.count(&mut instances);
            instances[0].cpu_time
        };
        assert_eq!(total(Some(7), Some(100)), Some(100));
        assert_eq!(total(Some(7), Some(150)), Some(150));
        // An orphan with 120 has ended.
        assert_eq!(total(Some(7), Some(30)), Some(150));
        assert_eq!(total(Some(7), Some(40)), Some(160));
        assert_eq!(total(None, Some(45)), Some(165), "leftovers belong to the same run");
        assert_eq!(total(None, None), None);
        assert_eq!(total(Some(7), Some(50)), Some(170));
        assert_eq!(total(Some(8), Some(3)), Some(3), "the next run begins again");
    }
}
