//! The directories of one application, by the events of the kernel.
//!
//! Only directories are watched and remembered, never files: ten thousand files in a hundred directories are a
//! hundred watches. A path of `watch` or a symbolic link is a `TracedPath`: every link and directory on the way to its
//! end is watched, and the path is traced again when one of them has changed.

use std::{
    ffi::{OsStr, OsString},
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    change::Change,
    ignore::Ignore,
    known_files::KnownFiles,
    listing::{self, EntryType, GITIGNORE},
    roots::Roots,
    shared_inotify::{InotifyUnavailable, Interest, SharedInotify},
    slab::Slab,
    trace::{Identity, Trace},
    watched::Watched,
};
use crate::{
    spec::Polling,
    sys::inotify::{FileSystemKind, Flags, InotifyEvent, WatchId, file_system_kind},
};

/// The relevant events in a directory of the tree. Not each write: a file has changed when its writer closes
/// it, and a log that is written to without end causes no event.
const TREE_EVENTS: Flags = Flags::IN_CREATE
    .union(Flags::IN_DELETE)
    .union(Flags::IN_CLOSE_WRITE)
    .union(Flags::IN_ATTRIB)
    .union(Flags::IN_MOVE)
    .union(SELF_EVENTS);
/// The relevant events of a link, a file or a missing entry on the way to the end of a traced path.
const POINT_EVENTS: Flags = Flags::IN_CREATE
    .union(Flags::IN_DELETE)
    .union(Flags::IN_CLOSE_WRITE)
    .union(Flags::IN_ATTRIB)
    .union(Flags::IN_MOVE);
/// Events of the directory itself: it was moved or removed.
const SELF_EVENTS: Flags = Flags::IN_DELETE_SELF.union(Flags::IN_MOVE_SELF);
/// Maximum number of traces of a path that keeps changing; then it is traced at its next change.
const MAX_TRACES: u32 = 8;

#[derive(Debug)]
pub(super) struct Tree {
    app: u32,
    watched: Arc<Watched>,
    roots: Roots,
    ignore: Ignore,
    known_files: KnownFiles,
    nodes: Slab<Node>,
    traced: Slab<TracedPath>,
    /// Paths that must be traced again.
    dirty: Vec<u32>,
    /// Whether everything must be scanned again: a .gitignore has changed, or events were lost.
    pub(super) stale: bool,
}

/// A watched directory.
#[derive(Debug)]
struct Node {
    parent: Option<u32>,
    /// The directory's name, or the whole path of a topmost directory.
    name: Box<OsStr>,
    watch: WatchId,
    depth: u32,
}

/// A path that leads elsewhere: one of `watch`, or a symbolic link.
#[derive(Debug)]
struct TracedPath {
    at: PathBuf,
    depth: u32,
    is_root: bool,
    points: Vec<(WatchId, Option<OsString>)>,
    end: Option<Identity>,
    /// The number of the directory at its end.
    node: Option<u32>,
}

/// The next directory of a walk.
struct Step {
    path: PathBuf,
    parent: Option<u32>,
    depth: u32,
}

impl Tree {
    /// Watches everything that the application watches.
    pub(super) fn new(
        app: u32,
        watched: Arc<Watched>,
        inotify: &mut SharedInotify,
    ) -> Result<Self, InotifyUnavailable> {
        let roots = Roots::of(&watched.spec);
        let mut tree = Self {
            app,
            ignore: watched.ignore(),
            roots,
            known_files: KnownFiles::new(),
            nodes: Slab::default(),
            traced: Slab::default(),
            dirty: Vec::new(),
            stale: false,
            watched,
        };
        let starts: Vec<PathBuf> = tree.roots.starts().map(Path::to_owned).collect();
        for start in starts {
            listing::read_gitignores_above(&mut tree.ignore, &start, &tree.watched);
            tree.add_traced(start, 0, true);
        }
        tree.trace_dirty(inotify, None)?;
        Ok(tree)
    }

    /// The number of watched directories.
    pub(super) fn directories(&self) -> usize {
        self.nodes.iter().count()
    }

    /// Handles an event of a directory that the application uses.
    pub(super) fn handle_event(
        &mut self,
        inotify: &mut SharedInotify,
        interest: Interest,
        event: &InotifyEvent,
        changes: &mut Vec<Change>,
    ) -> Result<(), InotifyUnavailable> {
        match interest {
            Interest::Path(number) => {
                let at = (event.watch, &event.name);
                let has_point =
                    |traced: &TracedPath| traced.points.iter().any(|(watch, name)| (*watch, name) == at);
                if self.traced.get(number).is_some_and(has_point) {
                    self.dirty.push(number);
                }
                Ok(())
            }
            Interest::Node(node) => {
                if let Some(name) = &event.name {
                    return self.entry(inotify, node, name, event.mask, changes);
                }
                if event.mask.intersects(Flags::IN_IGNORED | Flags::IN_UNMOUNT) {
                    self.nodes.remove(node);
                    // A directory that replaces it is another one, even with the same inode.
                    for traced in self.traced.iter_mut().filter(|traced| traced.node == Some(node)) {
                        (traced.node, traced.end) = (None, None);
                    }
                }
                Ok(())
            }
        }
    }

    /// Handles an event of an entry of a directory of the tree.
    fn entry(
        &mut self,
        inotify: &mut SharedInotify,
        node: u32,
        name: &OsStr,
        what: Flags,
        changes: &mut Vec<Change>,
    ) -> Result<(), InotifyUnavailable> {
        let Some(&Node { depth, .. }) = self.nodes.get(node) else { return Ok(()) };
        let path = self.path(node).join(name);
        let is_removed = what.intersects(Flags::IN_DELETE | Flags::IN_MOVED_FROM);
        let is_added = what.intersects(Flags::IN_CREATE | Flags::IN_MOVED_TO);
        if what.contains(Flags::IN_ISDIR) {
            if is_removed && let Some(child) = self.child(node, name) {
                self.drop_node(inotify, child);
                if what.contains(Flags::IN_MOVED_FROM) {
                    changes.push(Change::Path(path.clone()));
                }
            }
            if is_added && self.is_walked(&path, depth) {
                let step = Step { path, parent: Some(node), depth: depth + 1 };
                self.walk(inotify, step, Some(changes))?;
            }
            return Ok(());
        }
        if name == GITIGNORE && !what.intersects(Flags::IN_CREATE | Flags::IN_ATTRIB) {
            self.stale = true;
        }
        if let Some(number) = self.traced_at(&path) {
            self.dirty.push(number);
            return Ok(());
        }
        if !self.counts(&path) {
            return Ok(());
        }
        if is_removed {
            changes.push(Change::Path(path));
            return Ok(());
        }
        let Ok(found) = fs::symlink_metadata(&path) else { return Ok(()) };
        let changed = match EntryType::from(found.file_type()) {
            EntryType::Link if is_added && self.watched.spec.follow_links => {
                // The link is reported when its end is known.
                self.add_traced(path.clone(), depth, false);
                false
            }
            EntryType::Link => is_added,
            EntryType::File => self.known_files.is_change(&path, &found, what),
            EntryType::Directory | EntryType::Other => false,
        };
        if changed {
            changes.push(Change::Path(path));
        }
        Ok(())
    }

    /// Traces the changed paths again.
    pub(super) fn trace_dirty(
        &mut self,
        inotify: &mut SharedInotify,
        mut changes: Option<&mut Vec<Change>>,
    ) -> Result<(), InotifyUnavailable> {
        self.dirty.sort_unstable();
        self.dirty.dedup();
        while let Some(number) = self.dirty.pop() {
            self.trace_one(inotify, number, changes.as_deref_mut())?;
        }
        Ok(())
    }

    fn trace_one(
        &mut self,
        inotify: &mut SharedInotify,
        number: u32,
        changes: Option<&mut Vec<Change>>,
    ) -> Result<(), InotifyUnavailable> {
        let Some(traced) = self.traced.get(number) else { return Ok(()) };
        let (at, depth, before, node) = (traced.at.clone(), traced.depth, traced.end, traced.node);
        if !traced.is_root && !at.is_symlink() {
            self.remove_traced(inotify, number, changes);
            return Ok(());
        }
        let mut trace = Trace::of(&at);
        for _ in 0..MAX_TRACES {
            self.watch_points(inotify, number, &trace)?;
            // A second time: it may have changed before it was watched.
            let second = Trace::of(&at);
            if second == trace {
                break;
            }
            trace = second;
        }
        if trace.end == before {
            return Ok(());
        }
        if let Some(node) = node {
            self.drop_node(inotify, node);
        }
        if let Some(traced) = self.traced.get_mut(number) {
            (traced.end, traced.node) = (trace.end, None);
        }
        match trace.end {
            Some(end) if end.is_directory => {
                if self.roots.is_start(&at) || self.is_walked(&at, depth) {
                    let step = Step {
                        path: at.clone(),
                        parent: None,
                        depth: depth + u32::from(!self.is_root(number)),
                    };
                    // The path itself is reported, and not its content.
                    let node = self.walk(inotify, step, None)?;
                    if let Some(traced) = self.traced.get_mut(number) {
                        traced.node = node;
                    }
                }
            }
            Some(_) => drop(self.has_files(&at)?),
            None => return Ok(()),
        }
        if let Some(changes) = changes
            && (self.is_root(number) || self.counts(&at))
        {
            changes.push(Change::Path(at));
        }
        Ok(())
    }

    fn is_root(&self, number: u32) -> bool {
        self.traced.get(number).is_some_and(|traced| traced.is_root)
    }

    /// Removes a symbolic link that no longer exists, or is not a link any more.
    fn remove_traced(&mut self, inotify: &mut SharedInotify, number: u32, changes: Option<&mut Vec<Change>>) {
        let Some(traced) = self.traced.remove(number) else { return };
        for (watch, _) in &traced.points {
            inotify.remove_user(*watch, self.app, Interest::Path(number));
        }
        if let Some(node) = traced.node {
            self.drop_node(inotify, node);
        }
        if let Some(changes) = changes
            && self.counts(&traced.at)
        {
            changes.push(Change::Path(traced.at));
        }
    }

    /// Watches the points of a path, and ends the watches of its earlier points.
    fn watch_points(
        &mut self,
        inotify: &mut SharedInotify,
        number: u32,
        trace: &Trace,
    ) -> Result<(), InotifyUnavailable> {
        let mut points = Vec::with_capacity(trace.points.len());
        for point in &trace.points {
            let what = match (&point.name, point.is_directory) {
                (None, _) => SELF_EVENTS,
                (Some(_), true) => Flags::IN_DELETE,
                (Some(_), false) => POINT_EVENTS,
            };
            if let Some(watch) = inotify.add(&point.directory, what)? {
                inotify.add_user(watch, self.app, Interest::Path(number));
                points.push((watch, point.name.clone()));
            }
        }
        let Some(traced) = self.traced.get_mut(number) else { return Ok(()) };
        let before = std::mem::replace(&mut traced.points, points);
        for (watch, _) in before {
            if traced.points.iter().all(|(now, _)| *now != watch) {
                inotify.remove_user(watch, self.app, Interest::Path(number));
            }
        }
        Ok(())
    }

    /// Watches a directory and everything below it; symbolic links wait for [`Self::trace_dirty`]. If `changes` is
    /// given, everything found has changed. Returns the number of the topmost directory, unless it is watched
    /// already.
    fn walk(
        &mut self,
        inotify: &mut SharedInotify,
        first: Step,
        mut changes: Option<&mut Vec<Change>>,
    ) -> Result<Option<u32>, InotifyUnavailable> {
        let mut topmost = None;
        let mut todo = vec![first];
        while let Some(Step { path, parent, depth }) = todo.pop() {
            if !self.has_files(&path)? {
                continue;
            }
            let Some(watch) = inotify.add(&path, TREE_EVENTS)? else { continue };
            // The directory was reached by another path, or a link leads back to it.
            if inotify.is_node(watch, self.app) {
                continue;
            }
            let name = if parent.is_some() { path.file_name() } else { Some(path.as_os_str()) };
            let name = name.unwrap_or(path.as_os_str()).into();
            let node = self.nodes.insert(Node { parent, name, watch, depth });
            inotify.add_user(watch, self.app, Interest::Node(node));
            topmost.get_or_insert(node);
            let entries = listing::entries(&path);
            listing::read_gitignore(&mut self.ignore, &path, &entries);
            for (name, kind) in entries {
                let path = path.join(name);
                match kind {
                    EntryType::Directory if self.is_walked(&path, depth) => {
                        todo.push(Step { path, parent: Some(node), depth: depth + 1 });
                    }
                    EntryType::Link
                        if self.watched.spec.follow_links && !self.ignore.is_ignored(&path, false) =>
                    {
                        if self.traced_at(&path).is_none() {
                            self.add_traced(path, depth, false);
                        }
                    }
                    EntryType::File | EntryType::Link => {
                        if let Some(changes) = &mut changes
                            && self.counts(&path)
                        {
                            changes.push(Change::Path(path));
                        }
                    }
                    EntryType::Directory | EntryType::Other => {}
                }
            }
        }
        Ok(topmost)
    }

    /// Whether this directory, whose parent has this depth, is watched.
    fn is_walked(&self, path: &Path, depth: u32) -> bool {
        self.watched.spec.depth.is_none_or(|max| depth < max) && !self.ignore.is_ignored(path, true)
    }

    /// Whether a change of a file counts.
    fn counts(&self, path: &Path) -> bool {
        self.roots.includes(path) && (self.roots.is_start(path) || !self.ignore.is_ignored(path, false))
    }

    /// Whether the file system has real files (not `/proc` and the like). An error if the kernel cannot report
    /// their changes.
    fn has_files(&self, path: &Path) -> Result<bool, InotifyUnavailable> {
        match file_system_kind(path) {
            FileSystemKind::Pseudo => Ok(false),
            FileSystemKind::Remote if self.watched.spec.polling == Polling::IfNeeded => {
                Err(InotifyUnavailable::Remote(path.to_owned()))
            }
            FileSystemKind::Remote | FileSystemKind::Watchable => Ok(true),
        }
    }

    /// Adds a path that must be traced.
    fn add_traced(&mut self, at: PathBuf, depth: u32, is_root: bool) -> u32 {
        let traced = TracedPath { at, depth, is_root, points: Vec::new(), end: None, node: None };
        let number = self.traced.insert(traced);
        self.dirty.push(number);
        number
    }

    fn traced_at(&self, path: &Path) -> Option<u32> {
        self.traced.find(|traced| traced.at == path)
    }

    fn child(&self, parent: u32, name: &OsStr) -> Option<u32> {
        self.nodes.find(|node| node.parent == Some(parent) && *node.name == *name)
    }

    fn path(&self, node: u32) -> PathBuf {
        let mut names = Vec::new();
        let mut at = Some(node);
        while let Some(node) = at.and_then(|at| self.nodes.get(at)) {
            names.push(&*node.name);
            at = node.parent;
        }
        names.iter().rev().collect()
    }

    /// Ends the watches of a directory and all below it.
    fn drop_node(&mut self, inotify: &mut SharedInotify, node: u32) {
        let path = self.path(node);
        let mut to_remove = vec![node];
        while let Some(parent) = to_remove.pop() {
            let Some(node) = self.nodes.remove(parent) else { continue };
            inotify.remove_user(node.watch, self.app, Interest::Node(parent));
            to_remove.extend(self.nodes.find_all(|node| node.parent == Some(parent)));
        }
        self.ignore.remove_layers(&path);
        // Trace the links below it again.
        let is_below =
            |traced: &TracedPath| !traced.is_root && traced.at != path && traced.at.starts_with(&path);
        self.dirty.extend(self.traced.find_all(is_below));
    }
}
