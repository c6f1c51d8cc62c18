//! Where the files of this process's cgroups are: v1, v2, and machines that have both.
//!
//! Knows the way to a group, not what is in it.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// The group of this process in one mounted tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The tree is of version 2.
    pub v2: bool,
    /// The directory of the group, then those above it as far as they are mounted.
    pub dirs: Vec<PathBuf>,
}

/// This process's groups in all trees that may know about `controller` (cgroups(7)). Everything is
/// looked up below `root`, which is `/` but in tests.
pub fn places(root: &Path, controller: &str) -> Vec<Place> {
    let read = |path: &str| fs::read_to_string(root.join(path)).unwrap_or_default();
    let (groups, mounts) = (read("proc/self/cgroup"), read("proc/self/mountinfo"));
    let place = |mount: Mount<'_>| {
        let group = groups.lines().find_map(|line| mount.group(line, controller))?;
        Some(Place { v2: mount.v2, dirs: mount.dirs(root, group) })
    };
    mounts.lines().filter_map(|line| Mount::parse(line, controller)).filter_map(place).collect()
}

/// A mounted tree of cgroups.
struct Mount<'a> {
    /// Which part of the tree is mounted.
    top: &'a str,
    at: &'a str,
    v2: bool,
}

impl<'a> Mount<'a> {
    /// Reads a line of proc_pid_mountinfo(5).
    fn parse(line: &'a str, controller: &str) -> Option<Self> {
        let (place, kind) = line.split_once(" - ")?;
        let mut place = place.split(' ').skip(3);
        let (top, at) = (place.next()?, place.next()?);
        let mut kind = kind.split(' ');
        let v2 = match kind.next()? {
            "cgroup2" => true,
            "cgroup" if kind.nth(1)?.split(',').any(|option| option == controller) => false,
            _ => return None,
        };
        Some(Self { top, at, v2 })
    }

    /// This process's group in the tree, if `line` of cgroups(7)'s `/proc/self/cgroup` is about it.
    fn group<'g>(&self, line: &'g str, controller: &str) -> Option<&'g str> {
        let mut fields = line.splitn(3, ':');
        let (number, controllers, group) = (fields.next()?, fields.next()?, fields.next()?);
        let ours = if self.v2 {
            number == "0"
        } else {
            controllers.split(',').any(|controller_there| controller_there == controller)
        };
        ours.then_some(group)
    }

    fn dirs(&self, root: &Path, group: &str) -> Vec<PathBuf> {
        // Where the group lies outside of what is mounted, the mount's own top stands for it.
        let below = match group.strip_prefix(self.top.trim_end_matches('/')) {
            Some(below) if below.is_empty() || below.starts_with('/') => below.trim_start_matches('/'),
            _ => "",
        };
        let top = root.join(self.at.trim_start_matches('/'));
        let dir = if below.starts_with("..") { top.clone() } else { top.join(below) };
        dir.ancestors().take_while(|dir| dir.starts_with(&top)).map(Path::to_owned).collect()
    }
}
