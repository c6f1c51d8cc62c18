//! Recorded trees of `/proc/self` and `/sys/fs/cgroup`: version 1, version 2, and both.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use procrun::monitor::{Cgroup, CgroupUsage, Charge, ContainerMemory};

use crate::support::now;

const MIB: u64 = 1 << 20;

fn recorded(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cgroups").join(name)
}

fn usage(name: &str) -> CgroupUsage {
    Cgroup::below(&recorded(name)).sample(now())
}

#[test]
fn version_2_in_its_own_namespace() {
    let expected = CgroupUsage {
        // anon 50, shmem 4, kernel 12 of which 7 can shrink.
        memory: Some((50 + 4 + 12 - 7) * MIB),
        charged: Some(262 * MIB),
        memory_limit: Some(512 * MIB),
        oom_kills: Some(2),
        cpu: None,
        cpu_time: Some(Duration::from_secs(8)),
        cpu_quota: Some(1.5),
        throttled: Some(Duration::from_millis(1250)),
        tasks: Some(23),
        tasks_limit: None,
    };
    assert_eq!(usage("v2"), expected);
}

#[test]
fn limits_of_the_groups_above_hold_too() {
    let expected = CgroupUsage {
        // No `kernel` on this one: stacks 1, page tables 2, per CPU 1/16, slab 1.
        memory: Some((50 + 4 + 1 + 2 + 1) * MIB + 65536),
        charged: Some(262 * MIB),
        memory_limit: Some(1024 * MIB),
        cpu_time: Some(Duration::from_millis(1)),
        cpu_quota: Some(0.5),
        tasks: Some(4),
        tasks_limit: Some(100),
        ..CgroupUsage::default()
    };
    assert_eq!(usage("v2-nested"), expected);
}

#[test]
fn version_1_and_hybrid_machines_say_the_same() {
    let expected = CgroupUsage {
        memory: Some(54 * MIB),
        charged: Some(262 * MIB),
        memory_limit: Some(256 * MIB),
        oom_kills: Some(2),
        cpu: None,
        cpu_time: Some(Duration::from_secs(8)),
        cpu_quota: Some(2.0),
        throttled: Some(Duration::from_millis(1250)),
        tasks: Some(23),
        tasks_limit: Some(512),
    };
    assert_eq!(usage("v1"), expected);
    assert_eq!(usage("hybrid"), expected);
}

#[test]
fn no_cgroups_at_all_and_garbage_in_them_are_unknown() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(Cgroup::below(dir.path()).sample(now()), CgroupUsage::default());
    copy(&recorded("v2"), dir.path());
    for file in fs::read_dir(dir.path().join("sys/fs/cgroup")).unwrap() {
        fs::write(file.unwrap().path(), b"\xff\n-7 anon\nanon -1\nshmem x\n18446744073709551616 0").unwrap();
    }
    assert_eq!(Cgroup::below(dir.path()).sample(now()), CgroupUsage::default());
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

#[test]
fn cpu_time_between_two_looks_is_percent_of_one_core() {
    for (name, file, used) in [
        ("v2", "sys/fs/cgroup/cpu.stat", "usage_usec 11000000\n"),
        ("v1", "sys/fs/cgroup/cpu,cpuacct/cpuacct.usage", "11000000000\n"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        copy(&recorded(name), dir.path());
        let mut cgroup = Cgroup::below(dir.path());
        let begin = now();
        assert_eq!(cgroup.sample(begin).cpu, None);
        fs::write(dir.path().join(file), used).unwrap();
        // 3 s in 2 s.
        let cpu = cgroup.sample(begin + Duration::from_secs(2)).cpu.unwrap();
        assert!((cpu - 150.0).abs() < 0.1, "{cpu}");
        let soon = cgroup.sample(begin + Duration::from_millis(2100)).cpu;
        assert_eq!(soon, Some(cpu), "too soon for another one");
        fs::write(dir.path().join(file), "usage_usec 1\n").unwrap();
        fs::write(dir.path().join("sys/fs/cgroup/cpu.stat"), "usage_usec 1\n").unwrap();
        let reset = cgroup.sample(begin + Duration::from_secs(3)).cpu;
        assert!(reset.is_none_or(|cpu| cpu >= 0.0), "never negative: {reset:?}");
    }
}

#[test]
fn the_group_with_the_least_left_is_the_one_that_counts() {
    let room = |name| ContainerMemory::below(&recorded(name));
    // Page cache is in none of these: 262 MiB are charged.
    let expected = Some(Charge { used: (50 + 4 + 12 - 7) * MIB, limit: 512 * MIB });
    assert_eq!((room("v2").tightest(|limit| limit), room("v2").limit()), (expected, Some(512 * MIB)));
    for name in ["v1", "hybrid"] {
        let expected = Some(Charge { used: 54 * MIB, limit: 256 * MIB });
        assert_eq!(
            (room(name).tightest(|limit| limit), room(name).limit()),
            (expected, Some(256 * MIB)),
            "{name}"
        );
        assert_eq!(room(name).oom_kills(), Some(2), "{name}");
    }
    // What is beside it in the group above counts there, and that one has less left.
    let dir = tempfile::tempdir().unwrap();
    copy(&recorded("v2-nested"), dir.path());
    let pod = dir.path().join("sys/fs/cgroup/kubepods/pod1");
    fs::write(pod.join("memory.max"), (1024 * MIB).to_string()).unwrap();
    fs::write(pod.join("main/memory.max"), (300 * MIB).to_string()).unwrap();
    let all = format!("anon {}\nfile {}\nshmem {}\n", 900 * MIB, 100 * MIB, 80 * MIB);
    fs::write(pod.join("memory.stat"), &all).unwrap();
    let expected = Some(Charge { used: 980 * MIB, limit: 1024 * MIB });
    assert_eq!(ContainerMemory::below(dir.path()).tightest(|limit| limit), expected);
    // A large one is short while more is left of it than of its own.
    fs::write(pod.join("memory.max"), (10_000 * MIB).to_string()).unwrap();
    fs::write(pod.join("memory.stat"), all.replace(&(900 * MIB).to_string(), &(9500 * MIB).to_string()))
        .unwrap();
    let room = ContainerMemory::below(dir.path());
    assert_eq!(room.tightest(|limit| limit).unwrap().limit, 300 * MIB);
    assert_eq!(room.tightest(|limit| limit / 100 * 95).unwrap().limit, 10_000 * MIB);
    fs::write(pod.join("memory.stat"), all).unwrap();
    fs::write(pod.join("memory.max"), "max\n").unwrap();
    let own = ContainerMemory::below(dir.path()).tightest(|limit| limit).unwrap();
    assert_eq!(own.limit, 300 * MIB);
    assert!(own.used < 60 * MIB, "{own:?}");
    // Its own group does not count memory: the one above it does.
    fs::write(pod.join("memory.max"), (1024 * MIB).to_string()).unwrap();
    let files = ["memory.stat", "memory.max", "memory.current"].map(|file| pod.join("main").join(file));
    for file in &files {
        fs::remove_file(file).unwrap();
    }
    assert_eq!(ContainerMemory::below(dir.path()).tightest(|limit| limit), expected);
    for group in ["main", "", ".."] {
        fs::write(pod.join(group).join("memory.max"), "max\n").unwrap();
    }
    assert_eq!(
        (
            ContainerMemory::below(dir.path()).tightest(|limit| limit),
            ContainerMemory::below(dir.path()).limit()
        ),
        (None, None)
    );
    let empty = tempfile::tempdir().unwrap();
    assert_eq!(ContainerMemory::below(empty.path()).tightest(|limit| limit), None);
}
