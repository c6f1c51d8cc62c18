//! Polls the files of one application, where the kernel does not report changes.
//!
//! Sixteen bytes a file are kept between two scans.

use std::{
    collections::HashSet,
    fs,
    hash::{DefaultHasher, Hash, Hasher},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    change::Change,
    ignore::Ignore,
    listing::{self, EntryType},
    roots::Roots,
    trace::Identity,
    watched::Watched,
};
use crate::sys::{
    clock::after,
    inotify::{FileSystemKind, file_system_kind},
};

/// Maximum number of reported changes of one scan.
const MAX_REPORTED: usize = 8;
/// Scans use at most one part in this number of the time, which is two percent of a core.
const MAX_TIME_SHARE: u32 = 50;

#[derive(Debug)]
pub(super) struct PollingScan {
    watched: Arc<Watched>,
    /// The files of the last scan: the hash of each path and of its metadata, by path.
    files: Vec<(u64, u64)>,
    /// The time of the next scan.
    pub(super) next: Instant,
}

/// A scan in progress.
struct Scan<'a> {
    watched: &'a Watched,
    roots: Roots,
    ignore: Ignore,
    before: &'a [(u64, u64)],
    files: Vec<(u64, u64)>,
    /// The number of files that existed at the last scan, changed or not.
    known: usize,
    changes: Vec<Change>,
    /// Directories that were scanned: links may lead back.
    visited: HashSet<Identity>,
}

impl PollingScan {
    /// The first scan; it reports no changes.
    pub(super) fn new(watched: Arc<Watched>) -> Self {
        let start = now();
        let (files, _) = scan(&watched, &[]);
        let mut polling = Self { watched, files, next: start };
        polling.schedule(start);
        polling
    }

    /// The number of files.
    pub(super) fn files(&self) -> usize {
        self.files.len()
    }

    /// Scans if it is time, and returns the changes since the last scan.
    pub(super) fn scan_if_due(&mut self) -> Vec<Change> {
        let start = now();
        if self.next > start {
            return Vec::new();
        }
        let (files, changes) = scan(&self.watched, &self.files);
        self.files = files;
        self.schedule(start);
        changes
    }

    /// Sets the time of the next scan.
    fn schedule(&mut self, start: Instant) {
        let end = now();
        self.next = after(end, pause(self.watched.spec.interval, end - start));
    }
}

/// The pause after a scan that took this time.
fn pause(interval: Duration, took: Duration) -> Duration {
    interval.max(took.saturating_mul(MAX_TIME_SHARE))
}

fn scan(watched: &Watched, before: &[(u64, u64)]) -> (Vec<(u64, u64)>, Vec<Change>) {
    let mut scan = Scan {
        roots: Roots::of(&watched.spec),
        ignore: watched.ignore(),
        before,
        files: Vec::with_capacity(before.len()),
        known: 0,
        changes: Vec::new(),
        visited: HashSet::new(),
        watched,
    };
    let starts: Vec<PathBuf> = scan.roots.starts().map(Path::to_owned).collect();
    for start in starts {
        listing::read_gitignores_above(&mut scan.ignore, &start, watched);
        scan.path(start, 0);
    }
    let Scan { mut files, known, mut changes, .. } = scan;
    files.sort_unstable();
    files.dedup();
    files.shrink_to_fit();
    if known < before.len() && changes.is_empty() {
        changes.push(Change::Removed);
    }
    (files, changes)
}

impl Scan<'_> {
    /// A path of `watch`, or a symbolic link that is not ignored.
    fn path(&mut self, path: PathBuf, depth: u32) {
        match fs::metadata(&path) {
            Ok(found) if found.is_dir() => self.directory(path, depth),
            Ok(found) if found.is_file() => self.file(&path, Identity::of(&found)),
            _ => {}
        }
    }

    fn directory(&mut self, path: PathBuf, depth: u32) {
        let mut todo = vec![(path, depth)];
        while let Some((path, depth)) = todo.pop() {
            let Ok(found) = fs::metadata(&path) else { continue };
            if file_system_kind(&path) == FileSystemKind::Pseudo || !self.visited.insert(Identity::of(&found))
            {
                continue;
            }
            let entries = listing::entries(&path);
            listing::read_gitignore(&mut self.ignore, &path, &entries);
            let spec = &self.watched.spec;
            for (name, kind) in entries {
                let path = path.join(name);
                let is_walked = spec.depth.is_none_or(|max| depth < max);
                match kind {
                    EntryType::Directory if is_walked && !self.ignore.is_ignored(&path, true) => {
                        todo.push((path, depth + 1));
                    }
                    EntryType::Link | EntryType::File if !self.counts(&path, kind) => {}
                    EntryType::Link if spec.follow_links => match fs::metadata(&path) {
                        Ok(found) if found.is_dir() && is_walked => todo.push((path, depth + 1)),
                        Ok(found) if found.is_file() && self.roots.includes(&path) => {
                            self.file(&path, Identity::of(&found));
                        }
                        _ => {}
                    },
                    EntryType::Link | EntryType::File => {
                        if let Ok(found) = fs::symlink_metadata(&path) {
                            self.file(&path, Identity::of(&found));
                        }
                    }
                    EntryType::Directory | EntryType::Other => {}
                }
            }
        }
    }

    /// Whether a change of this entry counts. A link may be a directory, in which the patterns of `watch` apply.
    fn counts(&self, path: &Path, kind: EntryType) -> bool {
        (kind == EntryType::Link || self.roots.includes(path)) && !self.ignore.is_ignored(path, false)
    }

    fn file(&mut self, path: &Path, identity: Identity) {
        let (path_hash, stamp) = (hash(path), hash(identity));
        let before = self.before.binary_search_by_key(&path_hash, |(path, _)| *path);
        self.known += usize::from(before.is_ok());
        let same = before.is_ok_and(|at| self.before[at].1 == stamp);
        if !same && self.changes.len() < MAX_REPORTED {
            self.changes.push(Change::Path(path.to_owned()));
        }
        self.files.push((path_hash, stamp));
    }
}

fn hash(what: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    what.hash(&mut hasher);
    hasher.finish()
}

#[expect(clippy::disallowed_methods, reason = "the watcher's own thread has its own clock")]
fn now() -> Instant {
    Instant::now()
}
