//! Decides whether runs get their own cgroups, and what a worker sees of its cgroup.
//!
//! Many programs read the limits of their container at the path in `/proc/self/cgroup`, below the mount point of the
//! hierarchy: OpenJDK, .NET, Node.js and Go. A worker in its own cgroup would find no limits there. A cgroup
//! namespace hides the path (`/`). But then the root of the mount in `/proc/self/mountinfo` is outside of the
//! namespace (`/..`), and num_cpus and Envoy find no limits. So own cgroups always have a visible effect if the
//! version 2 hierarchy has limits. They have none if there are no limits, or if the limits are those of version 1,
//! because a worker keeps its place in those hierarchies.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
    thread,
};

use nix::sched::{CloneFlags, unshare};

use super::super::{cgroup_clone, cgroups::Unified};

/// The setting `cgroup`: whether runs get their own cgroups.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CgroupMode {
    /// If no worker reads other limits because of it.
    Auto,
    /// If cgroups can be created.
    Always,
    /// Never.
    Never,
}

/// What a worker sees of its cgroup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum View {
    /// The worker has a cgroup namespace, in which its path is the same as procrun's (`/`).
    Namespace,
    /// The worker sees the path of its cgroup.
    Path,
}

/// Why runs get no cgroups.
#[derive(Debug)]
pub enum NoCgroupReason {
    /// The configuration disables it.
    NotWanted,
    /// The version 2 hierarchy of this process is not mounted.
    NotMounted,
    /// The hierarchy is mounted read-only.
    ReadOnly(PathBuf),
    /// Workers would not find the limits of the container.
    HidesLimits(PathBuf),
    /// The kernel cannot start a process in a cgroup, or cannot kill a cgroup.
    TooOld,
    /// The file system rejects it.
    Refused(PathBuf, io::Error),
    /// Another procrun has removed each new directory before it had a lock.
    Contended(PathBuf),
}

impl fmt::Display for NoCgroupReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotWanted => f.write_str("`cgroup` is false"),
            Self::NotMounted => f.write_str("the cgroup v2 hierarchy of procrun is not mounted"),
            Self::ReadOnly(dir) => write!(f, "{} is mounted read-only", dir.display()),
            Self::HidesLimits(dir) => {
                write!(f, "workers would not find the limits that are set in {}", dir.display())
            }
            Self::TooOld => f.write_str("the kernel does not support it (needs Linux 5.14)"),
            Self::Refused(dir, error) => {
                write!(f, "cannot create a cgroup in {}: {error}", dir.display())
            }
            Self::Contended(dir) => {
                write!(f, "cannot create a cgroup in {}: another procrun has removed it", dir.display())
            }
        }
    }
}

/// The place for the cgroups of runs, and what workers see of them.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Placement {
    /// procrun's own cgroup.
    pub(super) dir: PathBuf,
    /// The path in `/proc/self/cgroup`.
    pub(super) group: String,
    pub(super) view: View,
}

/// Finds the place in the version 2 hierarchy. `may_hide` returns whether a process may get a cgroup namespace.
pub(super) fn find(
    mode: CgroupMode,
    unified: impl FnOnce() -> Option<Unified>,
    may_hide: impl FnOnce() -> bool,
) -> Result<Placement, NoCgroupReason> {
    if mode == CgroupMode::Never {
        return Err(NoCgroupReason::NotWanted);
    }
    if !cgroup_clone::IS_SUPPORTED {
        return Err(NoCgroupReason::TooOld);
    }
    let unified = unified().ok_or(NoCgroupReason::NotMounted)?;
    let dir = unified.dirs.first().cloned().ok_or(NoCgroupReason::NotMounted)?;
    if unified.is_read_only {
        return Err(NoCgroupReason::ReadOnly(dir));
    }
    let can_hide = unified.is_at_namespace_root && may_hide();
    let view = match mode {
        CgroupMode::Always if can_hide => View::Namespace,
        CgroupMode::Always => View::Path,
        // A worker that manages cgroups (dockerd) could not move processes out of the namespace (`nsdelegate`).
        CgroupMode::Auto if can_hide && !unified.has_namespace_boundaries && !has_limit(&unified) => {
            View::Namespace
        }
        CgroupMode::Auto if !controls_limits(&dir) => View::Path,
        CgroupMode::Auto | CgroupMode::Never => return Err(NoCgroupReason::HidesLimits(dir)),
    };
    Ok(Placement { dir, group: unified.group, view })
}

/// Whether a visible cgroup of version 2 limits CPU or memory.
fn has_limit(unified: &Unified) -> bool {
    const LIMITS: [&str; 3] = ["cpu.max", "memory.max", "memory.high"];
    let files = unified.dirs.iter().flat_map(|dir| LIMITS.map(|name| dir.join(name)));
    files.filter_map(|file| fs::read_to_string(file).ok()).any(|text| !text.starts_with("max"))
}

/// Whether version 2 has the limits of CPU and memory. Otherwise programs read those of version 1.
fn controls_limits(dir: &Path) -> bool {
    let controllers = fs::read_to_string(dir.join("cgroup.controllers")).unwrap_or_default();
    controllers.split_ascii_whitespace().any(|controller| matches!(controller, "cpu" | "memory"))
}

/// Whether this process may give a child a cgroup namespace: a thread tries it for itself, and ends.
pub(super) fn may_hide() -> bool {
    let thread = thread::Builder::new().name("namespace-probe".into());
    let result = thread.spawn(|| unshare(CloneFlags::CLONE_NEWCGROUP).is_ok());
    result.is_ok_and(|thread| thread.join().unwrap_or(false))
}

#[cfg(test)]
mod tests {
    use super::{super::super::cgroups, *};

    /// Recorded files of a machine: `/proc/self/cgroup`, `mountinfo` and files of cgroups.
    struct Machine(tempfile::TempDir);

    impl Machine {
        fn new(groups: &str, mounts: &str, files: &[(&str, &str)]) -> Self {
            let dir = tempfile::tempdir().unwrap();
            let own = [("proc/self/cgroup", groups), ("proc/self/mountinfo", mounts)];
            for (name, text) in own.iter().chain(files) {
                let path = dir.path().join(name);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, text).unwrap();
            }
            Self(dir)
        }

        /// The view, or the beginning of the reason.
        fn find(&self, mode: CgroupMode, may_hide: bool) -> Result<View, String> {
            let found = find(mode, || cgroups::unified(self.0.path()), || may_hide);
            let root = self.0.path().to_str().unwrap().to_owned();
            found.map(|it| it.view).map_err(|reason| reason.to_string().replace(&root, ""))
        }
    }

    const V2: &str = "30 24 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup rw\n";
    const BOUNDED: &str = "30 24 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup rw,nsdelegate\n";
    const CONTROLLERS: (&str, &str) = ("sys/fs/cgroup/cgroup.controllers", "cpuset cpu io memory pids\n");
    const HIDES: &str = "workers would not find the limits that are set in /sys/fs/cgroup";

    #[test]
    fn a_hierarchy_without_limits_is_hidden_by_a_namespace() {
        let unlimited = [CONTROLLERS, ("sys/fs/cgroup/cpu.max", "max 100000\n")];
        let machine = Machine::new("0::/\n", V2, &unlimited);
        assert_eq!(machine.find(CgroupMode::Auto, true), Ok(View::Namespace));
        assert_eq!(machine.find(CgroupMode::Auto, false), Err(HIDES.to_owned()));
        assert_eq!(machine.find(CgroupMode::Always, false), Ok(View::Path));
        assert_eq!(machine.find(CgroupMode::Never, true), Err("`cgroup` is false".to_owned()));
        let machine = Machine::new("0::/\n", BOUNDED, &unlimited);
        assert_eq!(machine.find(CgroupMode::Auto, true), Err(HIDES.to_owned()));
        assert_eq!(machine.find(CgroupMode::Always, true), Ok(View::Namespace));
    }

    #[test]
    fn a_limit_of_version_2_stays_visible() {
        for limit in [("sys/fs/cgroup/cpu.max", "50000 100000\n"), ("sys/fs/cgroup/memory.max", "1048576\n")]
        {
            let machine = Machine::new("0::/\n", V2, &[CONTROLLERS, limit]);
            assert_eq!(machine.find(CgroupMode::Auto, true), Err(HIDES.to_owned()), "{limit:?}");
            assert_eq!(machine.find(CgroupMode::Always, true), Ok(View::Namespace));
        }
        // Without its own namespace the path of procrun is not `/`.
        let controllers = ("sys/fs/cgroup/app/cgroup.controllers", "memory pids\n");
        let machine = Machine::new("0::/app\n", V2, &[controllers]);
        assert_eq!(machine.find(CgroupMode::Auto, true), Err(format!("{HIDES}/app")));
        assert_eq!(machine.find(CgroupMode::Always, true), Ok(View::Path));
    }

    #[test]
    fn where_version_1_has_the_limits_workers_keep_their_place_there() {
        let mounts = "29 24 0:26 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw,nsdelegate\n\
                      31 24 0:27 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n";
        let controllers = ("sys/fs/cgroup/unified/cgroup.controllers", "hugetlb\n");
        // A namespace would change the path in the memory hierarchy.
        let machine = Machine::new("2:memory:/docker/abc\n0::/\n", mounts, &[controllers]);
        assert_eq!(machine.find(CgroupMode::Auto, true), Ok(View::Path));
        assert_eq!(machine.find(CgroupMode::Always, true), Ok(View::Path));
        let machine = Machine::new("2:memory:/\n0::/\n", &mounts.replace(",nsdelegate", ""), &[controllers]);
        assert_eq!(machine.find(CgroupMode::Auto, true), Ok(View::Namespace));
        assert_eq!(machine.find(CgroupMode::Auto, false), Ok(View::Path));
    }

    #[test]
    fn without_a_writable_hierarchy_there_are_no_cgroups() {
        let not_mounted = Err("the cgroup v2 hierarchy of procrun is not mounted".to_owned());
        for (groups, mounts) in [
            ("", ""),
            ("0::/\n", ""),
            ("1:memory:/\n", V2),
            // Another part of the hierarchy is mounted.
            ("0::/../other\n", V2),
            ("0::/app\n", &V2.replace(" / ", " /application ")),
        ] {
            let machine = Machine::new(groups, mounts, &[]);
            assert_eq!(machine.find(CgroupMode::Always, true), not_mounted, "{groups} {mounts}");
        }
        for read_only in [V2.replace("rw,nosuid", "ro,nosuid"), V2.replace("cgroup rw", "cgroup ro")] {
            let machine = Machine::new("0::/\n", &read_only, &[]);
            let expected = Err("/sys/fs/cgroup is mounted read-only".to_owned());
            assert_eq!(machine.find(CgroupMode::Always, true), expected);
            // A writable mount is preferred.
            let both = format!("{read_only}{}", V2.replace("/sys/fs/cgroup", "/run/cgroup"));
            let machine = Machine::new("0::/\n", &both, &[]);
            assert_eq!(machine.find(CgroupMode::Auto, false), Ok(View::Path));
        }
    }
}
