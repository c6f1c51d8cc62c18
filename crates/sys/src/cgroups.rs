//! Finds the cgroup directories of this process, in version 1, version 2 and on hybrid systems (cgroups(7)).

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::{proc, reap::Pid};

/// The cgroup of this process in one mounted hierarchy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CgroupDir {
    /// The hierarchy has version 2.
    pub v2: bool,
    /// The directory of the cgroup, then its ancestors as far as they are mounted.
    pub dirs: Vec<PathBuf>,
}

/// The cgroups of this process in all hierarchies that can have `controller` (cgroups(7)). All paths are below
/// `root`, which is `/` except in tests.
pub fn of_controller(root: &Path, controller: &str) -> Vec<CgroupDir> {
    let read = |path: &str| proc::text(&root.join(path)).unwrap_or_default();
    let (groups, mounts) = (read("proc/self/cgroup"), read("proc/self/mountinfo"));
    let place = |mount: Mount<'_>| {
        let group = groups.lines().find_map(|line| mount.group(line, controller))?;
        Some(CgroupDir { v2: mount.v2, dirs: mount.dirs(root, group) })
    };
    mounts.lines().filter_map(|line| Mount::parse(line, controller)).filter_map(place).collect()
}

/// The cgroup of this process in the hierarchy of version 2.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unified {
    /// The cgroup's path, as `/proc/self/cgroup` shows it.
    pub group: String,
    /// The cgroup's directory, then its ancestors as far as they are mounted.
    pub dirs: Vec<PathBuf>,
    /// The hierarchy is mounted read-only.
    pub is_read_only: bool,
    /// The mount option `nsdelegate`: no process can be moved out of its cgroup namespace.
    pub has_namespace_boundaries: bool,
    /// This process is at the root of its cgroup namespace, also in the hierarchies of version 1.
    pub is_at_namespace_root: bool,
}

/// The cgroup of this process in version 2. `None`: its directory is not mounted. All paths are below `root`, which
/// is `/` except in tests.
pub fn unified(root: &Path) -> Option<Unified> {
    let read = |path: &str| proc::text(&root.join(path)).unwrap_or_default();
    let (groups, mounts) = (read("proc/self/cgroup"), read("proc/self/mountinfo"));
    let group = groups.lines().find_map(|line| line.strip_prefix("0::"))?;
    let mounts = mounts.lines().filter_map(|line| Mount::parse(line, ""));
    let mounts = mounts.filter(|mount| mount.v2 && mount.below(group).is_some());
    let mount = mounts.min_by_key(|mount| mount.has_option("ro"))?;
    Some(Unified {
        group: group.to_owned(),
        dirs: mount.dirs(root, group),
        is_read_only: mount.has_option("ro"),
        has_namespace_boundaries: mount.has_option("nsdelegate"),
        is_at_namespace_root: groups.lines().all(|line| line.splitn(3, ':').nth(2) == Some("/")),
    })
}

/// The path of a process in the version 2 hierarchy, as this process sees it. `None`: the process has ended, or there
/// is no such hierarchy.
pub fn group_of(pid: Pid) -> Option<String> {
    let groups = fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
    groups.lines().find_map(|line| line.strip_prefix("0::")).map(str::to_owned)
}

/// A mounted cgroup hierarchy.
struct Mount<'a> {
    /// The part of the hierarchy that is mounted.
    top: &'a str,
    at: &'a str,
    v2: bool,
    /// The options of the mount and those of the file system.
    options: [&'a str; 2],
}

impl<'a> Mount<'a> {
    /// Parses a line of proc_pid_mountinfo(5). `None`: another file system.
    fn parse(line: &'a str, controller: &str) -> Option<Self> {
        let (place, kind) = line.split_once(" - ")?;
        let mut place = place.split(' ').skip(3);
        let (top, at, own) = (place.next()?, place.next()?, place.next()?);
        let mut kind = kind.split(' ');
        let (kind, of_all) = (kind.next()?, kind.nth(1)?);
        let v2 = match kind {
            "cgroup2" => true,
            "cgroup" if of_all.split(',').any(|option| option == controller) => false,
            _ => return None,
        };
        Some(Self { top, at, v2, options: [own, of_all] })
    }

    fn has_option(&self, name: &str) -> bool {
        self.options.iter().any(|options| options.split(',').any(|option| option == name))
    }

    /// The path of this process in the hierarchy, if this line of `/proc/self/cgroup` is for it (cgroups(7)).
    fn group<'g>(&self, line: &'g str, controller: &str) -> Option<&'g str> {
        let mut fields = line.splitn(3, ':');
        let (number, controllers, group) = (fields.next()?, fields.next()?, fields.next()?);
        let is_own = if self.v2 {
            number == "0"
        } else {
            controllers.split(',').any(|controller_there| controller_there == controller)
        };
        is_own.then_some(group)
    }

    /// The path of a group relative to the root of the mount. `None`: the group is outside of the mounted part.
    fn below<'g>(&self, group: &'g str) -> Option<&'g str> {
        let below = group.strip_prefix(self.top.trim_end_matches('/'))?;
        let is_whole = below.is_empty() || below.starts_with('/');
        let below = below.trim_start_matches('/');
        (is_whole && !below.starts_with("..")).then_some(below)
    }

    fn dirs(&self, root: &Path, group: &str) -> Vec<PathBuf> {
        // If the group is outside of the mounted part, the root of the mount is used.
        let below = self.below(group).unwrap_or_default();
        let top = root.join(self.at.trim_start_matches('/'));
        let dir = if below.is_empty() { top.clone() } else { top.join(below) };
        dir.ancestors().take_while(|dir| dir.starts_with(&top)).map(Path::to_owned).collect()
    }
}
