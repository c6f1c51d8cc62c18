//! The directories of one application, by the events of the kernel.
//!
//! Only directories are watched and remembered, never files: ten thousand files in a hundred directories are a
//! hundred watches. What leads elsewhere (the paths of `watch`, symbolic links) is a `TracedPath`: its way is
//! watched, and its end is read again when something on the way has changed.

use std::{
    ffi::{OsStr, OsString},
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    Change, Watched,
    ignore::Ignore,
    kernel::{InotifyUnavailable, Interest, Kernel},
    listing::{self, GITIGNORE, Kind},
    roots::Roots,
    seen::Seen,
    slab::Slab,
    trace::{Identity, Trace},
};
use crate::{
    spec::Polling,
    sys::inotify::{FileSystemKind, Flags, InotifyEvent, WatchId, file_system_kind},
};

/// The relevant events in a directory of the tree. Not each write: a file has changed when its writer closes
/// it, and a log that is written to without end causes no event.
const IN_TREE: Flags = Flags::IN_CREATE
    .union(Flags::IN_DELETE)
    .union(Flags::IN_CLOSE_WRITE)
    .union(Flags::IN_ATTRIB)
    .union(Flags::IN_MOVE)
    .union(GONE);
/// The relevant events of entries on the way to the end of a path.
const ON_THE_WAY: Flags = Flags::IN_CREATE
    .union(Flags::IN_DELETE)
    .union(Flags::IN_CLOSE_WRITE)
    .union(Flags::IN_ATTRIB)
    .union(Flags::IN_MOVE);
/// The directory itself was moved or removed.
const GONE: Flags = Flags::IN_DELETE_SELF.union(Flags::IN_MOVE_SELF);
/// A path that keeps changing is traced this number of times, then at its next change.
const TRIES: u32 = 8;

#[derive(Debug)]
pub(super) struct Tree {
    app: u32,
    watched: Arc<Watched>,
    roots: Roots,
    ignore: Ignore,
    seen: Seen,
    nodes: Slab<Node>,
    leads: Slab<TracedPath>,
    /// Paths that must be traced again.
    dirty: Vec<u32>,
    /// Whether everything must be scanned again: a .gitignore has changed, or events were lost.
    pub(super) stale: bool,
}

/// A watched directory.
#[derive(Debug)]
struct Node {
    parent: Option<u32>,
    /// Its name, or the whole path of a topmost directory.
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
        kernel: &mut Kernel,
    ) -> Result<Self, InotifyUnavailable> {
        let roots = Roots::of(&watched.spec);
        let mut tree = Self {
            app,
            ignore: watched.ignore(),
            roots,
            seen: Seen::new(),
            nodes: Slab::default(),
            leads: Slab::default(),
            dirty: Vec::new(),
            stale: false,
            watched,
        };
        let starts: Vec<PathBuf> = tree.roots.starts().map(Path::to_owned).collect();
        for start in starts {
            listing::read_gitignores_above(&mut tree.ignore, &start, &tree.watched);
            tree.lead(start, 0, true);
        }
        tree.settle(kernel, None)?;
        Ok(tree)
    }

    /// The number of watched directories.
    pub(super) fn directories(&self) -> usize {
        self.nodes.iter().count()
    }

    /// Handles an event of a directory that the application uses.
    pub(super) fn noticed(
        &mut self,
        kernel: &mut Kernel,
        interest: Interest,
        noticed: &InotifyEvent,
        changes: &mut Vec<Change>,
    ) -> Result<(), InotifyUnavailable> {
        match interest {
            Interest::Path(lead) => {
                let at = (noticed.watch, &noticed.name);
                let is_its = |lead: &TracedPath| lead.points.iter().any(|(watch, name)| (*watch, name) == at);
                if self.leads.get(lead).is_some_and(is_its) {
                    self.dirty.push(lead);
                }
                Ok(())
            }
            Interest::Node(node) => {
                if let Some(name) = &noticed.name {
                    return self.entry(kernel, node, name, noticed.mask, changes);
                }
                if noticed.mask.intersects(Flags::IN_IGNORED | Flags::IN_UNMOUNT) {
                    self.nodes.take(node);
                    // A directory that takes its place is another one, even with the same inode.
                    for lead in self.leads.iter_mut().filter(|lead| lead.node == Some(node)) {
                        (lead.node, lead.end) = (None, None);
                    }
                }
                Ok(())
            }
        }
    }

    /// Handles an event of an entry of a directory of the tree.
    fn entry(
        &mut self,
        kernel: &mut Kernel,
        node: u32,
        name: &OsStr,
        what: Flags,
        changes: &mut Vec<Change>,
    ) -> Result<(), InotifyUnavailable> {
        let Some(&Node { depth, .. }) = self.nodes.get(node) else { return Ok(()) };
        let path = self.path(node).join(name);
        let gone = what.intersects(Flags::IN_DELETE | Flags::IN_MOVED_FROM);
        let come = what.intersects(Flags::IN_CREATE | Flags::IN_MOVED_TO);
        if what.contains(Flags::IN_ISDIR) {
            if gone && let Some(child) = self.child(node, name) {
                self.drop_node(kernel, child);
                if what.contains(Flags::IN_MOVED_FROM) {
                    changes.push(Change::Path(path.clone()));
                }
            }
            if come && self.goes_down(&path, depth) {
                let step = Step { path, parent: Some(node), depth: depth + 1 };
                self.walk(kernel, step, Some(changes))?;
            }
            return Ok(());
        }
        if name == GITIGNORE && !what.intersects(Flags::IN_CREATE | Flags::IN_ATTRIB) {
            self.stale = true;
        }
        if let Some(lead) = self.lead_at(&path) {
            self.dirty.push(lead);
            return Ok(());
        }
        if !self.counts(&path) {
            return Ok(());
        }
        if gone {
            changes.push(Change::Path(path));
            return Ok(());
        }
        let Ok(found) = fs::symlink_metadata(&path) else { return Ok(()) };
        let changed = match Kind::from(found.file_type()) {
            Kind::Link if come && self.watched.spec.follow_links => {
                // It is reported when its end is known.
                self.lead(path.clone(), depth, false);
                false
            }
            Kind::Link => come,
            Kind::File => self.seen.is_change(&path, &found, what),
            Kind::Directory | Kind::Other => false,
        };
        if changed {
            changes.push(Change::Path(path));
        }
        Ok(())
    }

    /// Traces the changed paths again.
    pub(super) fn settle(
        &mut self,
        kernel: &mut Kernel,
        mut changes: Option<&mut Vec<Change>>,
    ) -> Result<(), InotifyUnavailable> {
        self.dirty.sort_unstable();
        self.dirty.dedup();
        while let Some(lead) = self.dirty.pop() {
            self.settle_one(kernel, lead, changes.as_deref_mut())?;
        }
        Ok(())
    }

    fn settle_one(
        &mut self,
        kernel: &mut Kernel,
        number: u32,
        changes: Option<&mut Vec<Change>>,
    ) -> Result<(), InotifyUnavailable> {
        let Some(lead) = self.leads.get(number) else { return Ok(()) };
        let (at, depth, was, node) = (lead.at.clone(), lead.depth, lead.end, lead.node);
        if !lead.is_root && !at.is_symlink() {
            self.end_of_lead(kernel, number, changes);
            return Ok(());
        }
        let mut trace = Trace::of(&at);
        for _ in 0..TRIES {
            self.watch_way(kernel, number, &trace)?;
            // Once more: it may have changed before it was watched.
            let again = Trace::of(&at);
            if again == trace {
                break;
            }
            trace = again;
        }
        if trace.end == was {
            return Ok(());
        }
        if let Some(node) = node {
            self.drop_node(kernel, node);
        }
        if let Some(lead) = self.leads.get_mut(number) {
            (lead.end, lead.node) = (trace.end, None);
        }
        match trace.end {
            Some(end) if end.is_directory => {
                if self.roots.is_start(&at) || self.goes_down(&at, depth) {
                    let step = Step {
                        path: at.clone(),
                        parent: None,
                        depth: depth + u32::from(!self.is_root(number)),
                    };
                    // Its own name will be reported; its content need not be.
                    let node = self.walk(kernel, step, None)?;
                    if let Some(lead) = self.leads.get_mut(number) {
                        lead.node = node;
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

    fn is_root(&self, lead: u32) -> bool {
        self.leads.get(lead).is_some_and(|lead| lead.is_root)
    }

    /// A symbolic link was removed, or is not a link any more.
    fn end_of_lead(&mut self, kernel: &mut Kernel, number: u32, changes: Option<&mut Vec<Change>>) {
        let Some(lead) = self.leads.take(number) else { return };
        for (watch, _) in &lead.points {
            kernel.forget(*watch, self.app, Interest::Path(number));
        }
        if let Some(node) = lead.node {
            self.drop_node(kernel, node);
        }
        if let Some(changes) = changes
            && self.counts(&lead.at)
        {
            changes.push(Change::Path(lead.at));
        }
    }

    /// Watches the points of a path, and ends the watches of its earlier points.
    fn watch_way(
        &mut self,
        kernel: &mut Kernel,
        number: u32,
        trace: &Trace,
    ) -> Result<(), InotifyUnavailable> {
        let mut points = Vec::with_capacity(trace.points.len());
        for point in &trace.points {
            let what = if point.name.is_some() { ON_THE_WAY } else { GONE };
            if let Some(watch) = kernel.add(&point.directory, what)? {
                kernel.note(watch, self.app, Interest::Path(number));
                points.push((watch, point.name.clone()));
            }
        }
        let Some(lead) = self.leads.get_mut(number) else { return Ok(()) };
        let before = std::mem::replace(&mut lead.points, points);
        for (watch, _) in before {
            if lead.points.iter().all(|(now, _)| *now != watch) {
                kernel.forget(watch, self.app, Interest::Path(number));
            }
        }
        Ok(())
    }

    /// Watches a directory and everything below it; symbolic links wait for [`Self::settle`]. If `changes` is
    /// given, everything found has changed. Returns the number of the topmost directory, unless it is watched
    /// already.
    fn walk(
        &mut self,
        kernel: &mut Kernel,
        first: Step,
        mut changes: Option<&mut Vec<Change>>,
    ) -> Result<Option<u32>, InotifyUnavailable> {
        let mut topmost = None;
        let mut todo = vec![first];
        while let Some(Step { path, parent, depth }) = todo.pop() {
            if !self.has_files(&path)? {
                continue;
            }
            let Some(watch) = kernel.add(&path, IN_TREE)? else { continue };
            // It was reached before by another path, or a link leads back to it.
            if kernel.is_node(watch, self.app) {
                continue;
            }
            let name = if parent.is_some() { path.file_name() } else { Some(path.as_os_str()) };
            let name = name.unwrap_or(path.as_os_str()).into();
            let node = self.nodes.put(Node { parent, name, watch, depth });
            kernel.note(watch, self.app, Interest::Node(node));
            topmost.get_or_insert(node);
            let entries = listing::entries(&path);
            listing::read_gitignore(&mut self.ignore, &path, &entries);
            for (name, kind) in entries {
                let path = path.join(name);
                match kind {
                    Kind::Directory if self.goes_down(&path, depth) => {
                        todo.push(Step { path, parent: Some(node), depth: depth + 1 });
                    }
                    Kind::Link if self.watched.spec.follow_links && !self.ignore.is_ignored(&path, false) => {
                        if self.lead_at(&path).is_none() {
                            self.lead(path, depth, false);
                        }
                    }
                    Kind::File | Kind::Link => {
                        if let Some(changes) = &mut changes
                            && self.counts(&path)
                        {
                            changes.push(Change::Path(path));
                        }
                    }
                    Kind::Directory | Kind::Other => {}
                }
            }
        }
        Ok(topmost)
    }

    /// Whether directories in a directory at this depth are watched.
    fn goes_down(&self, path: &Path, depth: u32) -> bool {
        self.watched.spec.depth.is_none_or(|most| depth < most) && !self.ignore.is_ignored(path, true)
    }

    /// Whether a change of a file counts.
    fn counts(&self, path: &Path) -> bool {
        self.roots.count(path) && (self.roots.is_start(path) || !self.ignore.is_ignored(path, false))
    }

    /// Whether the file system has real files (not `/proc` and the like). An error if the kernel cannot report
    /// their changes.
    fn has_files(&self, path: &Path) -> Result<bool, InotifyUnavailable> {
        match file_system_kind(path) {
            FileSystemKind::Pseudo => Ok(false),
            FileSystemKind::Remote if self.watched.spec.polling == Polling::IfNeeded => {
                Err(InotifyUnavailable::Elsewhere(path.to_owned()))
            }
            FileSystemKind::Remote | FileSystemKind::Watchable => Ok(true),
        }
    }

    /// Adds a path that must be traced.
    fn lead(&mut self, at: PathBuf, depth: u32, is_root: bool) -> u32 {
        let lead = TracedPath { at, depth, is_root, points: Vec::new(), end: None, node: None };
        let number = self.leads.put(lead);
        self.dirty.push(number);
        number
    }

    fn lead_at(&self, path: &Path) -> Option<u32> {
        self.leads.find(|lead| lead.at == path)
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
    fn drop_node(&mut self, kernel: &mut Kernel, node: u32) {
        let path = self.path(node);
        let mut doomed = vec![node];
        while let Some(parent) = doomed.pop() {
            let Some(node) = self.nodes.take(parent) else { continue };
            kernel.forget(node.watch, self.app, Interest::Node(parent));
            doomed.extend(self.nodes.all(|node| node.parent == Some(parent)));
        }
        self.ignore.remove_layers(&path);
        // The links in it were found through it.
        let is_in_it = |lead: &TracedPath| !lead.is_root && lead.at != path && lead.at.starts_with(&path);
        self.dirty.extend(self.leads.all(is_in_it));
    }
}
