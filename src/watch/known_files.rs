//! Whether a file that was closed or touched differs from before.
//!
//! A program that opens a file for writing and writes nothing (a database, a lock) changes nothing. A program that
//! sets the modification time of a file (`touch`, Docker Desktop for a file of the host) changes it.

use std::{
    collections::HashMap,
    fs::Metadata,
    hash::{DefaultHasher, Hash, Hasher},
    os::unix::fs::MetadataExt,
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};

use super::trace::Identity;
use crate::sys::inotify::Flags;

/// Maximum number of remembered files; then all are forgotten.
const MAX_FILES: usize = 1024;
/// Tolerance in seconds: the clock of a file system is coarse, and may be that of another machine.
const TOLERANCE: i64 = 2;

#[derive(Debug)]
pub(super) struct KnownFiles {
    /// Files with an older modification time, in seconds since 1970, have not changed.
    since: i64,
    /// The files that have changed since then, by the hash of their path.
    files: HashMap<u64, Identity>,
}

impl KnownFiles {
    /// Changes count from now on.
    pub(super) fn new() -> Self {
        Self { since: seconds(), files: HashMap::new() }
    }

    /// Whether the kernel's event for this file is a change.
    pub(super) fn is_change(&mut self, path: &Path, found: &Metadata, what: Flags) -> bool {
        if what.contains(Flags::IN_CREATE) {
            // Its writer still has it open, unless it is another name of an existing file.
            return found.nlink() > 1;
        }
        let moved = what.contains(Flags::IN_MOVED_TO);
        let touched = found.ctime().abs_diff(found.mtime()) <= TOLERANCE.unsigned_abs();
        if what.contains(Flags::IN_ATTRIB) && !touched {
            // Only its mode or owner has changed.
            return false;
        }
        if !moved && found.ctime() + TOLERANCE < self.since && found.ctime() + TOLERANCE < seconds() {
            return false;
        }
        if self.files.len() >= MAX_FILES {
            self.files.clear();
        }
        let identity = Identity::of(found);
        self.files.insert(hash(path), identity) != Some(identity) || moved
    }
}

fn hash(path: &Path) -> u64 {
    let mut hasher = DefaultHasher::new();
    path.hash(&mut hasher);
    hasher.finish()
}

fn seconds() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}
