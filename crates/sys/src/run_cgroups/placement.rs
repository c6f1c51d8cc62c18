//! Whether runs get cgroups of their own, and what a worker sees of its own.
//!
//! Many programs look for the limits of their container at the path that `/proc/self/cgroup` shows, below the
//! mount point of the hierarchy: OpenJDK, .NET, Node.js and Go. In a cgroup of its own a worker would find no
//! limit there. A cgroup namespace hides the path (`/`). But then `/proc/self/mountinfo` shows a root of the
//! mount that is outside of the namespace (`/..`), where num_cpus and Envoy find no limit. So no
//! arrangement is invisible where the hierarchy of version 2 has limits. It is where there are none, or where
//! the limits are those of version 1: a worker keeps its place in those hierarchies.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
    thread,
};

use nix::sched::{CloneFlags, unshare};

use super::super::{cgroup_clone, cgroups::Unified};

/// Whether runs are to get cgroups of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// Where no worker finds other limits than without.
    Auto,
    /// Wherever they can be made.
    Always,
    /// Nowhere.
    Never,
}

/// What a worker sees of its cgroup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum View {
    /// Nothing: it has a cgroup namespace, in which its path is that of procrun (`/`).
    Namespace,
    /// Its path.
    Path,
}

/// Why runs get no cgroups.
#[derive(Debug)]
pub enum Reason {
    /// The configuration says so.
    NotWanted,
    /// No hierarchy of version 2 that this process is in is mounted.
    NotMounted,
    /// It is mounted read-only.
    ReadOnly(PathBuf),
    /// Workers would not see the limits of the container.
    HidesLimits(PathBuf),
    /// The kernel cannot start a process in a cgroup, or cannot kill one.
    TooOld,
    /// The file system refuses it.
    Refused(PathBuf, io::Error),
    /// Another procrun has removed each new directory before it had a lock.
    Contended(PathBuf),
}

impl fmt::Display for Reason {
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

/// Where cgroups can be made for runs, and what workers then see.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Placement {
    /// procrun's own cgroup.
    pub(super) dir: PathBuf,
    /// Its path in `/proc/self/cgroup`.
    pub(super) group: String,
    pub(super) view: View,
}

/// Finds it in the hierarchy of version 2. `may_hide` says whether a process may get a cgroup namespace.
pub(super) fn find(
    wanted: Wanted,
    unified: impl FnOnce() -> Option<Unified>,
    may_hide: impl FnOnce() -> bool,
) -> Result<Placement, Reason> {
    if wanted == Wanted::Never {
        return Err(Reason::NotWanted);
    }
    if !cgroup_clone::IS_SUPPORTED {
        return Err(Reason::TooOld);
    }
    let unified = unified().ok_or(Reason::NotMounted)?;
    let dir = unified.dirs.first().cloned().ok_or(Reason::NotMounted)?;
    if unified.is_read_only {
        return Err(Reason::ReadOnly(dir));
    }
    let can_hide = unified.is_at_namespace_root && may_hide();
    let view = match wanted {
        Wanted::Always if can_hide => View::Namespace,
        Wanted::Always => View::Path,
        // A worker that manages cgroups (dockerd) could move no process out of the namespace.
        Wanted::Auto if can_hide && !unified.has_namespace_boundaries && !has_limit(&unified) => {
            View::Namespace
        }
        Wanted::Auto if !controls_limits(&dir) => View::Path,
        Wanted::Auto | Wanted::Never => return Err(Reason::HidesLimits(dir)),
    };
    Ok(Placement { dir, group: unified.group, view })
}

/// Whether CPU or memory are limited in a visible cgroup of version 2.
fn has_limit(unified: &Unified) -> bool {
    const LIMITS: [&str; 3] = ["cpu.max", "memory.max", "memory.high"];
    let files = unified.dirs.iter().flat_map(|dir| LIMITS.map(|name| dir.join(name)));
    files.filter_map(|file| fs::read_to_string(file).ok()).any(|text| !text.starts_with("max"))
}

/// Whether limits of CPU and memory are those of version 2. Elsewhere programs look in version 1.
fn controls_limits(dir: &Path) -> bool {
    let controllers = fs::read_to_string(dir.join("cgroup.controllers")).unwrap_or_default();
    controllers.split_ascii_whitespace().any(|controller| matches!(controller, "cpu" | "memory"))
}

/// Whether this process may give a child a cgroup namespace: a thread tries it on itself, and ends.
pub(super) fn may_hide() -> bool {
    let thread = thread::Builder::new().name("namespace-probe".into());
    let result = thread.spawn(|| unshare(CloneFlags::CLONE_NEWCGROUP).is_ok());
    result.is_ok_and(|thread| thread.join().unwrap_or(false))
}

#[cfg(test)]
mod tests {
    use super::{super::super::cgroups, *};

    /// A recorded machine: lines of `/proc/self/cgroup` and `mountinfo`, and files of the cgroups.
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

        /// The view, or the beginning of the reason; `may_hide` as an argument.
        fn find(&self, wanted: Wanted, may_hide: bool) -> Result<View, String> {
            let found = find(wanted, || cgroups::unified(self.0.path()), || may_hide);
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
        assert_eq!(machine.find(Wanted::Auto, true), Ok(View::Namespace));
        assert_eq!(machine.find(Wanted::Auto, false), Err(HIDES.to_owned()));
        assert_eq!(machine.find(Wanted::Always, false), Ok(View::Path));
        assert_eq!(machine.find(Wanted::Never, true), Err("`cgroup` is false".to_owned()));
        let machine = Machine::new("0::/\n", BOUNDED, &unlimited);
        assert_eq!(machine.find(Wanted::Auto, true), Err(HIDES.to_owned()));
        assert_eq!(machine.find(Wanted::Always, true), Ok(View::Namespace));
    }

    #[test]
    fn a_limit_of_version_2_stays_visible() {
        for limit in [("sys/fs/cgroup/cpu.max", "50000 100000\n"), ("sys/fs/cgroup/memory.max", "1048576\n")]
        {
            let machine = Machine::new("0::/\n", V2, &[CONTROLLERS, limit]);
            assert_eq!(machine.find(Wanted::Auto, true), Err(HIDES.to_owned()), "{limit:?}");
            assert_eq!(machine.find(Wanted::Always, true), Ok(View::Namespace));
        }
        // Without a namespace of its own, procrun's path is not `/`.
        let controllers = ("sys/fs/cgroup/app/cgroup.controllers", "memory pids\n");
        let machine = Machine::new("0::/app\n", V2, &[controllers]);
        assert_eq!(machine.find(Wanted::Auto, true), Err(format!("{HIDES}/app")));
        assert_eq!(machine.find(Wanted::Always, true), Ok(View::Path));
    }

    #[test]
    fn where_version_1_has_the_limits_workers_keep_their_place_there() {
        let mounts = "29 24 0:26 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw,nsdelegate\n\
                      31 24 0:27 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n";
        let controllers = ("sys/fs/cgroup/unified/cgroup.controllers", "hugetlb\n");
        // A namespace would change the path in the hierarchy of memory.
        let machine = Machine::new("2:memory:/docker/abc\n0::/\n", mounts, &[controllers]);
        assert_eq!(machine.find(Wanted::Auto, true), Ok(View::Path));
        assert_eq!(machine.find(Wanted::Always, true), Ok(View::Path));
        let machine = Machine::new("2:memory:/\n0::/\n", &mounts.replace(",nsdelegate", ""), &[controllers]);
        assert_eq!(machine.find(Wanted::Auto, true), Ok(View::Namespace));
        assert_eq!(machine.find(Wanted::Auto, false), Ok(View::Path));
    }

    #[test]
    fn without_a_writable_hierarchy_there_are_no_cgroups() {
        let not_mounted = Err("the cgroup v2 hierarchy of procrun is not mounted".to_owned());
        for (groups, mounts) in [
            ("", ""),
            ("0::/\n", ""),
            ("1:memory:/\n", V2),
            // What is mounted is another part of the hierarchy.
            ("0::/../other\n", V2),
            ("0::/app\n", &V2.replace(" / ", " /application ")),
        ] {
            let machine = Machine::new(groups, mounts, &[]);
            assert_eq!(machine.find(Wanted::Always, true), not_mounted, "{groups} {mounts}");
        }
        for read_only in [V2.replace("rw,nosuid", "ro,nosuid"), V2.replace("cgroup rw", "cgroup ro")] {
            let machine = Machine::new("0::/\n", &read_only, &[]);
            let expected = Err("/sys/fs/cgroup is mounted read-only".to_owned());
            assert_eq!(machine.find(Wanted::Always, true), expected);
            // One that can be written is preferred.
            let both = format!("{read_only}{}", V2.replace("/sys/fs/cgroup", "/run/cgroup"));
            let machine = Machine::new("0::/\n", &both, &[]);
            assert_eq!(machine.find(Wanted::Auto, false), Ok(View::Path));
        }
    }
}
