//! Limits and usage of the container: cgroup v1, v2, and machines with both.
//!
//! The usage that a kernel reports includes the page cache, which the kernel frees when memory is needed.
//! `memory` here excludes it. Each figure is read from the hierarchy of its controller.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use crate::sys::cgroups::{self, CgroupDir};

/// Two samples within this time give the same CPU figure.
const MIN_INTERVAL: Duration = Duration::from_millis(200);
/// v1 writes "no limit" as the largest number of whole pages; no machine has an exbibyte.
const NO_LIMIT: u64 = 1 << 60;

/// The figures of the container. A figure that the kernel does not report is `None`.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct CgroupUsage {
    /// Bytes that the kernel cannot reclaim: anonymous and shared memory, and on v2 the kernel's own memory
    /// that cannot shrink.
    pub memory: Option<u64>,
    /// Bytes as the kernel charges them, page cache included: what is compared with the limit.
    pub charged: Option<u64>,
    /// The smallest limit of the cgroup and those above it, in bytes.
    pub memory_limit: Option<u64>,
    /// Number of OOM kills in the cgroup.
    pub oom_kills: Option<u64>,
    /// Percent of one core since the last sample. `None` for the first one, too.
    pub cpu: Option<f32>,
    /// CPU time of the cgroup.
    pub cpu_time: Option<Duration>,
    /// The smallest quota of the cgroup and those above it, in CPUs.
    pub cpu_quota: Option<f32>,
    /// Total time for which the quota has throttled the cgroup.
    pub throttled: Option<Duration>,
    /// Number of processes and threads.
    pub tasks: Option<u64>,
    /// The smallest limit of processes and threads.
    pub tasks_limit: Option<u64>,
}

/// Reads the figures of this process's container.
#[derive(Debug)]
pub struct Cgroup {
    memory: Option<CgroupDir>,
    cpu: Option<CgroupDir>,
    /// v1 counts CPU time in a separate controller.
    cpuacct: Option<CgroupDir>,
    pids: Option<CgroupDir>,
    last: Option<Last>,
}

#[derive(Debug, Clone, Copy)]
struct Last {
    at: Instant,
    used: Duration,
    cpu: Option<f32>,
}

impl Cgroup {
    /// Finds the cgroups of this process.
    pub fn find() -> Self {
        Self::below(Path::new("/"))
    }

    /// As [`Self::find`] below another root directory, for tests.
    pub fn below(root: &Path) -> Self {
        Self {
            memory: memory_cgroup(root),
            cpu: cgroup_with(root, "cpu", ["cpu.cfs_quota_us", "cpu.stat"]),
            cpuacct: cgroup_with(root, "cpuacct", ["cpuacct.usage", "cpu.stat"]),
            pids: cgroup_with(root, "pids", ["pids.current", "pids.current"]),
            last: None,
        }
    }

    /// The figures now.
    pub fn sample(&mut self, now: Instant) -> CgroupUsage {
        let mut usage = CgroupUsage::default();
        if let Some(cgroup) = &self.memory {
            memory(cgroup, &mut usage);
        }
        if let Some(cgroup) = &self.cpu {
            let stat = own_file(cgroup, "cpu.stat").unwrap_or_default();
            usage.throttled = if cgroup.v2 {
                value(&stat, "throttled_usec").map(Duration::from_micros)
            } else {
                value(&stat, "throttled_time").map(Duration::from_nanos)
            };
            let quotas = cgroup.dirs.iter().filter_map(|dir| quota(dir, cgroup.v2));
            usage.cpu_quota = quotas.min_by(f32::total_cmp);
        }
        if let Some(cgroup) = &self.pids {
            usage.tasks = own_number(cgroup, "pids.current");
            usage.tasks_limit = cgroup.dirs.iter().filter_map(|dir| number(&dir.join("pids.max"))).min();
        }
        usage.cpu_time = self.cpu_time();
        usage.cpu = usage.cpu_time.and_then(|used| self.cpu(now, used));
        usage
    }

    fn cpu_time(&self) -> Option<Duration> {
        let cgroup = self.cpuacct.as_ref()?;
        if cgroup.v2 {
            Some(Duration::from_micros(value(&own_file(cgroup, "cpu.stat")?, "usage_usec")?))
        } else {
            Some(Duration::from_nanos(own_number(cgroup, "cpuacct.usage")?))
        }
    }

    fn cpu(&mut self, now: Instant, used: Duration) -> Option<f32> {
        let Some(last) = self.last else {
            self.last = Some(Last { at: now, used, cpu: None });
            return None;
        };
        let time = now.saturating_duration_since(last.at);
        if time < MIN_INTERVAL {
            return last.cpu;
        }
        // Less than before: the cgroup is another one, as after a checkpoint was restored.
        let cpu = used.checked_sub(last.used).map(|used| 100.0 * used.as_secs_f32() / time.as_secs_f32());
        self.last = Some(Last { at: now, used, cpu });
        cpu
    }
}

/// The cgroup with this controller. If both hierarchies are mounted, a controller is in one of them, but v2 has a
/// `cpu.stat` even if the controller is in v1. So this searches for a file that only the right hierarchy has.
fn cgroup_with(root: &Path, controller: &str, [v1, v2]: [&str; 2]) -> Option<CgroupDir> {
    let has = |cgroup: &CgroupDir| {
        let file = if cgroup.v2 { v2 } else { v1 };
        cgroup.dirs.first().is_some_and(|dir| dir.join(file).exists())
    };
    let mut cgroups_found = cgroups::of_controller(root, controller);
    cgroups_found.sort_by_key(|cgroup| cgroup.v2);
    cgroups_found.into_iter().find(has)
}

/// The cgroup that counts the memory of this process: in v2 that may be a cgroup above its own.
pub(super) fn memory_cgroup(root: &Path) -> Option<CgroupDir> {
    let counted = |mut cgroup: CgroupDir| {
        let file = if cgroup.v2 { "memory.stat" } else { "memory.usage_in_bytes" };
        let first = cgroup.dirs.iter().position(|dir| dir.join(file).exists())?;
        cgroup.dirs.drain(..first);
        Some(cgroup)
    };
    let mut cgroups_found = cgroups::of_controller(root, "memory");
    cgroups_found.sort_by_key(|cgroup| cgroup.v2);
    cgroups_found.into_iter().find_map(counted)
}

/// The content of a file of the cgroup itself.
fn own_file(cgroup: &CgroupDir, name: &str) -> Option<String> {
    fs::read_to_string(cgroup.dirs.first()?.join(name)).ok()
}

fn own_number(cgroup: &CgroupDir, name: &str) -> Option<u64> {
    number(&cgroup.dirs.first()?.join(name))
}

fn memory(cgroup: &CgroupDir, usage: &mut CgroupUsage) {
    let stat = own_file(cgroup, "memory.stat").unwrap_or_default();
    usage.memory = unreclaimable(&stat, cgroup.v2);
    usage.charged = own_number(cgroup, if cgroup.v2 { "memory.current" } else { "memory.usage_in_bytes" });
    usage.memory_limit = memory_limit(cgroup);
    usage.oom_kills = oom_kills(cgroup);
}

/// Bytes of a `memory.stat` that the kernel cannot reclaim.
pub(super) fn unreclaimable(stat: &str, v2: bool) -> Option<u64> {
    if v2 {
        let anon = value(stat, "anon").zip(value(stat, "shmem"));
        return anon.map(|(anon, shared)| anon + shared + kernel(stat));
    }
    // `total_`: with the cgroups below. v1 does not report how much of the kernel's memory can shrink.
    let sum = value(stat, "total_rss").zip(value(stat, "total_shmem").or(Some(0)));
    sum.map(|(anon, shared)| anon + shared)
}

/// The limit of one cgroup itself, if it has one.
pub(super) fn own_limit(dir: &Path, v2: bool) -> Option<u64> {
    let file = if v2 { "memory.max" } else { "memory.limit_in_bytes" };
    number(&dir.join(file)).filter(|limit| *limit < NO_LIMIT)
}

/// The smallest limit of a cgroup and all above it, of a v1 `memory.stat`.
pub(super) fn hierarchical_limit(stat: &str) -> Option<u64> {
    value(stat, "hierarchical_memory_limit").filter(|limit| *limit < NO_LIMIT)
}

/// The smallest limit of a cgroup and those above it.
pub(super) fn memory_limit(cgroup: &CgroupDir) -> Option<u64> {
    let own = cgroup.dirs.iter().filter_map(|dir| own_limit(dir, cgroup.v2));
    let v1 = (!cgroup.v2).then(|| own_file(cgroup, "memory.stat")).flatten();
    own.chain(v1.and_then(|stat| hierarchical_limit(&stat))).min()
}

/// Number of OOM kills in a cgroup.
pub(super) fn oom_kills(cgroup: &CgroupDir) -> Option<u64> {
    let file = if cgroup.v2 { "memory.events" } else { "memory.oom_control" };
    value(&own_file(cgroup, file)?, "oom_kill")
}

/// The kernel memory that cannot shrink, from `memory.stat` of v2.
fn kernel(stat: &str) -> u64 {
    let of = |name| value(stat, name).unwrap_or(0);
    match value(stat, "kernel") {
        Some(kernel) => kernel.saturating_sub(of("slab_reclaimable")),
        // Linux before 5.18 has no sum.
        None => ["kernel_stack", "pagetables", "percpu", "slab_unreclaimable"].into_iter().map(of).sum(),
    }
}

/// The quota in CPUs. `None`: there is none.
fn quota(dir: &Path, v2: bool) -> Option<f32> {
    let (quota, period) = if v2 {
        let text = fs::read_to_string(dir.join("cpu.max")).ok()?;
        let (quota, period) = text.trim().split_once(' ')?;
        (quota.parse::<u64>().ok()?, period.parse::<u64>().ok()?)
    } else {
        (number(&dir.join("cpu.cfs_quota_us"))?, number(&dir.join("cpu.cfs_period_us"))?)
    };
    (quota > 0 && period > 0).then(|| quota as f32 / period as f32)
}

/// A file with one number. `None` also for `max` and for -1, which mean no limit.
fn number(path: &Path) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// The number after a name, in a file with a name and a number on each line.
pub(super) fn value(text: &str, name: &str) -> Option<u64> {
    let number = |line: &str| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok();
    text.lines().find_map(number)
}
