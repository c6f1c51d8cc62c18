//! Follows a path and lists what must be watched so that no change on the way is missed.
//!
//! A ConfigMap's `app.yaml` leads to `..data/app.yaml`, and `..data` to a directory with a date. A new version is
//! a new `..data`, and no file of the old version is touched. So every symbolic link on the way is watched, every
//! directory (it can be moved or removed), and the end. This module only reads; it watches nothing.

use std::{
    ffi::{OsStr, OsString},
    fs::{self, Metadata},
    os::unix::fs::MetadataExt,
    path::{Component, Path, PathBuf},
};

/// Maximum number of links, as in the kernel.
const MAX_LINKS: u32 = 40;

/// The points on the way to the end of a path.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Trace {
    /// The entries and directories to watch.
    pub(super) points: Vec<Point>,
    /// The file or directory at the end now.
    pub(super) end: Option<Identity>,
}

/// An entry of a directory, or the directory itself.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Point {
    pub(super) directory: PathBuf,
    /// The name of the entry; `None`: the directory itself.
    pub(super) name: Option<OsString>,
    /// Whether the entry, or the point itself, is a directory.
    pub(super) is_directory: bool,
}

/// Distinguishes one file from another, and from itself with other content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Identity {
    pub(super) is_directory: bool,
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
}

impl Identity {
    /// The identity of a directory does not depend on its entries.
    pub(super) fn of(found: &Metadata) -> Self {
        let is_directory = found.is_dir();
        Self {
            is_directory,
            device: found.dev(),
            inode: found.ino(),
            size: if is_directory { 0 } else { found.size() },
            modified: if is_directory { (0, 0) } else { (found.mtime(), found.mtime_nsec()) },
        }
    }
}

impl Trace {
    /// Follows an absolute path.
    pub(super) fn of(path: &Path) -> Self {
        let mut trace = Self::default();
        // The remaining names, the next one last.
        let mut names = reversed(path);
        let mut here = PathBuf::from("/");
        let mut links = 0;
        while let Some(name) = names.pop() {
            if name == ".." {
                here.pop();
                continue;
            }
            let next = here.join(&name);
            let Ok(found) = fs::symlink_metadata(&next) else {
                trace.point(&here, Some(name), false);
                return trace;
            };
            if found.is_dir() {
                // The kernel reports the removal of a directory itself only when no process has it open any more.
                trace.point(&here, Some(name), true);
                trace.point(&next, None, true);
                if names.is_empty() {
                    trace.end = Some(Identity::of(&found));
                }
                here = next;
                continue;
            }
            trace.point(&here, Some(name), false);
            if !found.is_symlink() {
                trace.end = names.is_empty().then(|| Identity::of(&found));
                return trace;
            }
            links += 1;
            let Ok(target) = fs::read_link(&next) else { return trace };
            if links > MAX_LINKS {
                return trace;
            }
            if target.is_absolute() {
                here = PathBuf::from("/");
            }
            names.extend(reversed(&target));
        }
        trace
    }

    fn point(&mut self, directory: &Path, name: Option<OsString>, is_directory: bool) {
        let point = Point { directory: directory.to_owned(), name, is_directory };
        if !self.points.contains(&point) {
            self.points.push(point);
        }
    }
}

fn reversed(path: &Path) -> Vec<OsString> {
    let name = |component: Component<'_>| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some(OsStr::new("..").to_owned()),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    };
    path.components().rev().filter_map(name).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn every_link_on_the_way_is_a_point() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        fs::create_dir(root.join("..day1")).unwrap();
        fs::write(root.join("..day1/app.yaml"), "x").unwrap();
        symlink("..day1", root.join("..data")).unwrap();
        symlink("..data/app.yaml", root.join("app.yaml")).unwrap();

        let trace = Trace::of(&root.join("app.yaml"));
        let has = |directory: &Path, name: Option<&str>| {
            let name = name.map(OsString::from);
            trace.points.iter().any(|point| point.directory == directory && point.name == name)
        };
        assert!(has(&root, Some("app.yaml")) && has(&root, Some("..data")) && has(&root, None));
        assert!(has(&root.join("..day1"), None) && has(&root.join("..day1"), Some("app.yaml")));
        assert!(trace.end.is_some_and(|end| !end.is_directory));
        assert_eq!(Trace::of(&root.join("app.yaml")), trace);
    }

    #[test]
    fn what_is_missing_is_waited_for_and_loops_end() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        let trace = Trace::of(&root.join("a/b/c"));
        assert_eq!(trace.end, None);
        assert_eq!(
            trace.points.last().unwrap(),
            &Point { directory: root.clone(), name: Some("a".into()), is_directory: false }
        );
        symlink("loop", root.join("loop")).unwrap();
        assert_eq!(Trace::of(&root.join("loop")).end, None);
        fs::write(root.join("file"), "x").unwrap();
        assert_eq!(Trace::of(&root.join("file/below")).end, None);
    }
}
