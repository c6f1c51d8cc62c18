//! The memory that the container has left, and the number of OOM kills.
//!
//! It reads one small file for each cgroup with a limit, so frequent samples are cheap. It does not know
//! workers.

use std::{fs, path::Path};

use super::cgroup;
use crate::sys::cgroups::CgroupDir;

/// The memory of the cgroup of this process, and of those above it.
#[derive(Debug)]
pub struct ContainerMemory(Option<CgroupDir>);

/// The memory of a cgroup with a limit, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Charge {
    /// Anonymous and shared memory, and kernel memory that cannot shrink (v2); never page cache.
    pub used: u64,
    /// The cgroup's limit.
    pub limit: u64,
}

impl ContainerMemory {
    /// Finds the cgroups of this process.
    pub fn find() -> Self {
        Self::below(Path::new("/"))
    }

    /// As [`Self::find`] below another root directory, for tests.
    pub fn below(root: &Path) -> Self {
        Self(cgroup::memory_cgroup(root))
    }

    /// The smallest limit in bytes; `None`: there is none.
    pub fn limit(&self) -> Option<u64> {
        cgroup::memory_limit(self.0.as_ref()?)
    }

    /// The cgroup that has the least left until its threshold, or exceeds it the most. `threshold`
    /// computes the threshold from the limit (both in bytes). `None`: there is no limit.
    pub fn tightest(&self, threshold: impl Fn(u64) -> u64) -> Option<Charge> {
        let cgroup = self.0.as_ref()?;
        let charge = |dir| {
            let limit = cgroup::own_limit(dir, cgroup.v2)?;
            Some(Charge { used: cgroup::unreclaimable(&stat(dir), cgroup.v2)?, limit })
        };
        let charges = cgroup.dirs.iter().filter_map(|dir| charge(dir));
        // Not the distance to the limit: a large cgroup above may have much left and still exceed its threshold.
        let left = |charge: &Charge| i128::from(threshold(charge.limit)) - i128::from(charge.used);
        charges.chain(self.hidden_limit()).min_by_key(left)
    }

    /// v1 reports a limit of cgroups that are not visible from here, and their usage is unknown.
    fn hidden_limit(&self) -> Option<Charge> {
        let cgroup = self.0.as_ref().filter(|cgroup| !cgroup.v2)?;
        let stat = stat(cgroup.dirs.first()?);
        let limit = cgroup::hierarchical_limit(&stat)?;
        Some(Charge { used: cgroup::unreclaimable(&stat, false)?, limit })
    }

    /// Number of OOM kills. `None`: the kernel does not report it.
    pub fn oom_kills(&self) -> Option<u64> {
        cgroup::oom_kills(self.0.as_ref()?)
    }
}

fn stat(dir: &Path) -> String {
    fs::read_to_string(dir.join("memory.stat")).unwrap_or_default()
}

/// Memory of the machine in bytes. `None`: the kernel does not report it.
pub fn machine_memory() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}
