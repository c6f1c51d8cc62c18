//! The number of processes that can run at the same time: the CPUs that this process may use, or the CPU quota of the
//! container if that is less.
//!
//! A quota of 1.5 CPUs counts as 2: half a CPU would be idle otherwise.

use std::{
    fs,
    path::{Path, PathBuf},
};

use nix::unistd::{SysconfVar, sysconf};

use super::cgroups;

/// The number of CPUs by affinity (sched_getaffinity(2)) and by the quotas of cgroup v1 and v2; at least 1.
pub fn available() -> u32 {
    let affinity = of_affinity();
    quota(Path::new("/")).map_or(affinity, |quota| quota.min(affinity))
}

/// The number of CPUs that this thread may use (sched_getaffinity(2)), at least 1.
pub fn of_affinity() -> u32 {
    let affinity = nix::sched::sched_getaffinity(nix::unistd::Pid::from_raw(0)).map_or(1, |set| {
        (0..nix::sched::CpuSet::count()).filter(|cpu| set.is_set(*cpu).unwrap_or(false)).count()
    });
    u32::try_from(affinity).unwrap_or(u32::MAX).max(1)
}

/// The number of online CPUs of the machine, at least 1. A container may use fewer.
pub fn online() -> u32 {
    let count = sysconf(SysconfVar::_NPROCESSORS_ONLN).ok().flatten();
    count.and_then(|count| u32::try_from(count).ok()).unwrap_or(1).max(1)
}

/// The smallest CPU quota of the cgroup of this process and its ancestors, rounded up to whole CPUs, at least 1. All
/// paths are below `root`.
fn quota(root: &Path) -> Option<u32> {
    let quotas = cgroups::of_controller(root, "cpu").into_iter().flat_map(|cgroup| {
        let v2 = cgroup.v2;
        cgroup.dirs.into_iter().filter_map(move |dir| if v2 { of_v2(&dir) } else { of_v1(&dir) })
    });
    quotas.min()
}

/// Reads `cpu.max`: quota and period in µs; a quota of `max` is none.
fn of_v2(dir: &Path) -> Option<u32> {
    let text = fs::read_to_string(dir.join("cpu.max")).ok()?;
    let (quota, period) = text.trim().split_once(' ')?;
    whole_cpus(quota.parse().ok()?, period.parse().ok()?)
}

/// Reads quota and period of cgroup v1 in µs; a quota of -1 is none.
fn of_v1(dir: &Path) -> Option<u32> {
    let number = |name: &str| -> Option<u64> {
        let path: PathBuf = dir.join(name);
        fs::read_to_string(path).ok()?.trim().parse().ok()
    };
    whole_cpus(number("cpu.cfs_quota_us")?, number("cpu.cfs_period_us")?)
}

fn whole_cpus(quota: u64, period: u64) -> Option<u32> {
    if quota == 0 || period == 0 {
        return None;
    }
    u32::try_from(quota.div_ceil(period)).ok()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{available, quota};

    const V2: &str = "30 1 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n";
    const V1: &str = "31 1 0:27 /docker/abc /sys/fs/cgroup/cpu,cpuacct rw shared:9 - cgroup cgroup rw,cpu,cpuacct\n\
        32 1 0:28 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n";

    fn with(files: &[(&str, &str)]) -> Option<u32> {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        quota(dir.path())
    }

    #[test]
    fn a_container_of_v2_is_its_own_root() {
        let own = |max: &str| {
            with(&[
                ("proc/self/cgroup", "0::/\n"),
                ("proc/self/mountinfo", V2),
                ("sys/fs/cgroup/cpu.max", max),
            ])
        };
        assert_eq!(own("150000 100000\n"), Some(2), "rounded up");
        assert_eq!(own("200000 100000\n"), Some(2));
        assert_eq!(own("10000 100000\n"), Some(1));
        assert_eq!(own("max 100000\n"), None);
        assert_eq!(own("garbage"), None);
    }

    #[test]
    fn the_smallest_quota_on_the_way_up_counts() {
        let files = [
            ("proc/self/cgroup", "0::/a/b\n"),
            ("proc/self/mountinfo", V2),
            ("sys/fs/cgroup/a/b/cpu.max", "max 100000\n"),
            ("sys/fs/cgroup/a/cpu.max", "300000 100000\n"),
            ("sys/fs/cgroup/cpu.max", "800000 100000\n"),
        ];
        assert_eq!(with(&files), Some(3));
    }

    #[test]
    fn v1_is_mounted_from_the_containers_own_group() {
        let files = |quota| {
            [
                ("proc/self/cgroup", "4:memory:/docker/abc\n3:cpuacct,cpu:/docker/abc\n"),
                ("proc/self/mountinfo", V1),
                ("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", quota),
                ("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n"),
            ]
        };
        assert_eq!(with(&files("250000\n")), Some(3));
        assert_eq!(with(&files("-1\n")), None);
    }

    #[test]
    fn both_trees_may_be_mounted() {
        let mounts = format!("{V2}{V1}");
        let files = [
            ("proc/self/cgroup", "3:cpu,cpuacct:/docker/abc\n0::/docker/abc\n"),
            ("proc/self/mountinfo", &*mounts),
            ("sys/fs/cgroup/docker/abc/cpu.max", "400000 100000"),
            ("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "100000"),
            ("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000"),
        ];
        assert_eq!(with(&files), Some(1));
        assert_eq!(with(&[]), None, "no cgroups");
    }

    #[test]
    fn there_is_at_least_one() {
        assert!(available() >= 1);
    }
}
