//! The process trees of workers: which processes belong to which run, and by which witness.
//!
//! There is one definition, and all that measures, ends or shows processes uses it: what is counted is
//! ended, and what is ended is counted.
//!
//! A tree is the main process and all below it by parent links. A process whose parent ends is adopted by
//! this process (PID 1 or subreaper). To which tree such an orphan belongs is asked of these witnesses, in
//! this order ([`Witness`]):
//!
//! 1. it was seen in the tree before its parent ended (process id and start time);
//! 2. it is in the cgroup of the run, where runs have any ([`RunCgroup`]). The cgroup of another run
//!    contradicts the witnesses that follow;
//! 3. the marks that it has inherited: a resource limit and an environment entry ([`RunMark`]). A mark of
//!    another run contradicts the witnesses that follow;
//! 4. its session is one that members of the tree are in. The number of a session may be used again;
//! 5. its stdout or stderr is the pipe that procrun reads of the instance.
//!
//! Only children of this process are asked: what is not below it is never part of a tree. So a process
//! that an operator starts in the container (`docker exec`) is not, whatever it carries.

mod mark;
mod scan;
mod signal;
pub mod stat;

use std::{
    collections::{HashMap, HashSet},
    hash::Hash,
    sync::Arc,
};

use nix::{
    libc,
    unistd::{getsid, getuid},
};
use serde::{Deserialize, Serialize};

pub(super) use self::scan::stat as stat_now;
use self::{
    mark::{Evidence, FromProc},
    scan::Found,
    stat::Stat,
};
pub use self::{
    mark::{RunMark, pipe_inode},
    scan::{Process, adopted, all, children, command_line, name, stat_of},
    signal::send_signal,
};
use super::{descriptor_reserve, process, reap::Pid, run_cgroups::RunCgroup};

/// A kill looks for what was forked meanwhile this many times. A tree that forks faster is met by the next
/// kill: the supervisor has to reap meanwhile.
const KILL_ROUNDS: usize = 3;

/// Where a tree begins and what tells its orphans.
#[derive(Debug, Clone)]
pub struct Root {
    /// The main process. `None`: it has been reaped.
    pub leader: Option<Pid>,
    /// The session that the main process began; it outlives that process. `None`: it is not known.
    pub session: Option<Pid>,
    /// What its processes inherit.
    pub mark: Option<RunMark>,
    /// The cgroup that its processes are in.
    pub cgroup: Option<Arc<RunCgroup>>,
    /// The pipes that are its stdout and stderr ([`pipe_inode`]).
    pub outputs: [Option<u64>; 2],
    /// The user that the main process was started as.
    pub user: u32,
    /// Orphans belong to it (`treekill`). Without, a process leaves the tree when its parent ends.
    pub keeps_orphans: bool,
}

impl Root {
    /// The tree of a process that leads a session, without marks.
    pub fn of_leader(leader: Pid) -> Self {
        Self {
            leader: Some(leader),
            session: Some(leader),
            mark: None,
            cgroup: None,
            outputs: [None; 2],
            user: getuid().as_raw(),
            keeps_orphans: true,
        }
    }

    /// The same with a mark.
    pub fn marked(leader: Pid, mark: RunMark) -> Self {
        Self { mark: Some(mark), ..Self::of_leader(leader) }
    }
}

/// Why a process belongs to a tree. Its words are also those of the control socket and of `procrun tree`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Witness {
    /// It is the main process.
    Main,
    /// Its parent belongs to the tree.
    Parent,
    /// It was seen in the tree before its parent ended.
    Seen,
    /// It is in the cgroup of the run.
    Cgroup,
    /// Its session is one that members of the tree are in.
    Session,
    /// It has inherited the resource limit that marks the run.
    Limit,
    /// It has inherited the environment entry that marks the run.
    Environment,
    /// It writes to the pipes of the instance.
    Output,
}

impl Witness {
    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Main => "main",
            Self::Parent => "parent",
            Self::Seen => "seen",
            Self::Cgroup => "cgroup",
            Self::Session => "session",
            Self::Limit => "limit",
            Self::Environment => "environment",
            Self::Output => "output",
        }
    }
}

/// What names one process for good: its number may be used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Identity {
    /// Its process id.
    pub pid: Pid,
    /// When it started ([`Stat::start`]).
    pub start: u64,
}

/// A process of a tree, as it was seen last.
#[derive(Debug, Clone, Copy)]
pub struct Member {
    /// Its process id.
    pub pid: Pid,
    /// What the kernel said of it.
    pub stat: Stat,
    /// Why it belongs to the tree.
    pub witness: Witness,
}

impl Member {
    /// What names it for good.
    pub fn identity(&self) -> Identity {
        Identity { pid: self.pid, start: self.stat.start }
    }
}

#[derive(Debug)]
struct Tree {
    root: Root,
    members: HashMap<Pid, Member>,
}

/// The trees of some runs; `K` names one of them.
#[derive(Debug)]
pub struct Trees<K> {
    all: HashMap<K, Tree>,
    index: Index<K>,
    me: Pid,
    own_session: Option<Pid>,
}

impl<K: Copy + Eq + Hash> Default for Trees<K> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K: Copy + Eq + Hash> Trees<K> {
    /// No tree yet.
    pub fn new() -> Self {
        let own_session = getsid(None).ok().map(nix::unistd::Pid::as_raw);
        Self { all: HashMap::new(), index: Index::new(), me: scan::own_pid(), own_session }
    }

    /// Adds a tree, whose main process has just been started.
    pub fn insert(&mut self, key: K, root: Root) {
        self.remove(key);
        self.index.add(key, &root);
        self.all.insert(key, Tree { root, members: HashMap::new() });
    }

    /// Forgets a tree.
    pub fn remove(&mut self, key: K) {
        if let Some(tree) = self.all.remove(&key) {
            self.index.remove(key, &tree);
        }
    }

    /// The main process of a tree has been reaped.
    pub fn main_ended(&mut self, key: K) {
        if let Some(leader) = self.all.get_mut(&key).and_then(|tree| tree.root.leader.take()) {
            remove_if(&mut self.index.leaders, &leader, key);
        }
    }

    /// Says whether orphans belong to a tree.
    pub fn set_keeps_orphans(&mut self, key: K, keeps: bool) {
        if let Some(tree) = self.all.get_mut(&key) {
            tree.root.keeps_orphans = keeps;
        }
    }

    /// The trees that there are.
    pub fn keys(&self) -> impl Iterator<Item = K> {
        self.all.keys().copied()
    }

    /// The main process of a tree, until it has been reaped.
    pub fn leader(&self, key: K) -> Option<Pid> {
        self.all.get(&key)?.root.leader
    }

    /// The cgroup of a tree, if it has one.
    pub fn cgroup(&self, key: K) -> Option<&RunCgroup> {
        self.all.get(&key)?.root.cgroup.as_deref()
    }

    /// The processes of a tree as the last [`Trees::refresh`] saw them.
    pub fn members(&self, key: K) -> impl Iterator<Item = &Member> {
        self.all.get(&key).into_iter().flat_map(|tree| tree.members.values())
    }

    /// Finds all members of all trees. Reads `/proc` once, however many trees there are.
    pub fn refresh(&mut self) {
        let _room = descriptor_reserve::make_room();
        self.update(&all());
    }

    /// Finds the members of these trees, as before a signal to them. It reads only what is below them, where
    /// that is less than all of `/proc`.
    pub fn refresh_some(&mut self, keys: &[K]) {
        let _room = descriptor_reserve::make_room();
        match scan::below(&self.tops(keys)) {
            Found::Below(processes) => {
                let owners = self.owners(&processes, &FromProc);
                self.remember(&owners, Some(keys));
            }
            Found::All(processes) => {
                self.update(&processes);
            }
        }
    }

    /// The processes that everything that may belong to these trees is below: their main processes, the
    /// orphans, and what was seen before.
    fn tops(&self, keys: &[K]) -> Vec<Pid> {
        let orphans = adopted().into_iter().filter(|pid| !self.index.leaders.contains_key(pid));
        let own = keys.iter().filter_map(|key| self.leader(*key));
        let seen = keys.iter().flat_map(|key| self.members(*key)).map(|member| member.pid);
        let mut tops: Vec<Pid> = own.chain(orphans).chain(seen).collect();
        tops.sort_unstable();
        tops.dedup();
        tops
    }

    /// Finds all members of all trees among these processes, which are all that there are. Returns for each
    /// of them to which tree it belongs.
    pub fn update(&mut self, processes: &[Process]) -> Vec<Option<K>> {
        self.assign(processes, &FromProc)
    }

    /// Says of children of this process that are no main process to which tree they belong.
    pub fn owners_of_orphans(&self, orphans: &[Pid]) -> Vec<(Identity, Option<(K, Witness)>)> {
        if orphans.is_empty() {
            return Vec::new();
        }
        let _room = descriptor_reserve::make_room();
        let processes = orphans.iter().filter_map(|pid| Some(Process { pid: *pid, stat: scan::stat(*pid)? }));
        processes
            .map(|it| (Identity { pid: it.pid, start: it.stat.start }, self.owner(&it, &FromProc)))
            .collect()
    }

    /// Sends a signal to those members of a tree that `picks` says. Call [`Trees::refresh`] before.
    pub fn signal(&self, key: K, number: i32, mut picks: impl FnMut(&Member) -> bool) {
        for member in self.members(key).filter(|member| !member.stat.is_zombie && picks(member)) {
            // It may have ended meanwhile.
            let _ = send_signal(member.identity(), number);
        }
    }

    /// Sends SIGKILL to all members of these trees, and to those that they fork meanwhile.
    pub fn kill(&mut self, keys: &[K]) {
        self.kill_cgroups(keys);
        let mut killed = HashSet::new();
        for _ in 0..KILL_ROUNDS {
            self.refresh();
            let members = keys.iter().flat_map(|key| self.members(*key));
            let living = members.filter(|member| !member.stat.is_zombie).map(Member::identity);
            let new: Vec<Identity> = living.filter(|it| !killed.contains(it)).collect();
            if new.is_empty() {
                return;
            }
            for it in new {
                let _ = send_signal(it, libc::SIGKILL);
                killed.insert(it);
            }
        }
    }

    /// Sends SIGKILL to all processes in the cgroups of these trees, where orphans belong to the tree. Those
    /// that have been moved out of it are left.
    fn kill_cgroups(&self, keys: &[K]) {
        let _room = descriptor_reserve::make_room();
        let roots = keys.iter().filter_map(|key| self.all.get(key)).map(|tree| &tree.root);
        for cgroup in roots.filter(|root| root.keeps_orphans).filter_map(|root| root.cgroup.as_ref()) {
            // The members get a signal each.
            let _ = cgroup.kill();
        }
    }

    fn assign(&mut self, processes: &[Process], evidence: &impl Evidence) -> Vec<Option<K>> {
        let owners = self.owners(processes, evidence);
        self.remember(&owners, None);
        owners.into_iter().map(|(_, owner)| owner.map(|(key, _)| key)).collect()
    }

    /// To which tree each of these processes belongs, and why.
    fn owners<'a>(&self, processes: &'a [Process], evidence: &impl Evidence) -> Owners<'a, K> {
        let places: HashMap<Pid, usize> = processes.iter().enumerate().map(|(at, it)| (it.pid, at)).collect();
        let mut marks: Vec<Mark<K>> = processes
            .iter()
            .map(|it| match self.index.leaders.get(&it.pid) {
                _ if it.pid == self.me => Mark::Known(None),
                Some(key) => Mark::Known(Some((*key, Witness::Main))),
                None if it.stat.parent == self.me => Mark::Known(self.owner(it, evidence)),
                None => Mark::Unknown,
            })
            .collect();
        let mut line = Vec::new();
        for at in 0..processes.len() {
            // Up to a process that is known, then down again: no recursion, chains may be long.
            let mut next = Some(at);
            let mut owner = None;
            while let Some(here) = next {
                match marks[here] {
                    Mark::Known(known) => {
                        owner = known;
                        break;
                    }
                    // A ring: numbers were used again while the list was read.
                    Mark::Open => break,
                    Mark::Unknown => {
                        marks[here] = Mark::Open;
                        line.push(here);
                        next = places.get(&processes[here].stat.parent).copied();
                    }
                }
            }
            let owner = owner.map(|(key, _)| (key, Witness::Parent));
            for here in line.drain(..) {
                marks[here] = Mark::Known(owner);
            }
        }
        let owners = processes.iter().zip(marks).map(|(it, mark)| match mark {
            Mark::Known(owner) => (it, owner),
            Mark::Unknown | Mark::Open => (it, None),
        });
        owners.collect()
    }

    /// These are the members from now on: of all trees, or of `some` alone.
    fn remember(&mut self, owners: &Owners<'_, K>, some: Option<&[K]>) {
        let Self { all, index, own_session, .. } = self;
        if let Some(some) = some {
            // Whether a session has a process left is not known here.
            for key in some {
                let Some(tree) = all.get_mut(key) else { continue };
                for (pid, _) in tree.members.drain() {
                    remove_if(&mut index.members, &pid, *key);
                }
            }
        } else {
            let living: HashSet<Pid> = owners.iter().map(|(it, _)| it.stat.session).collect();
            index.sessions.retain(|session, _| living.contains(session));
            index.members.clear();
            for tree in all.values_mut() {
                tree.members.clear();
            }
        }
        for (Process { pid, stat }, owner) in owners {
            let Some((key, witness)) = *owner else { continue };
            let Some(tree) = all.get_mut(&key) else { continue };
            tree.members.insert(*pid, Member { pid: *pid, stat: *stat, witness });
            index.members.insert(*pid, key);
            if Some(stat.session) != *own_session {
                // One that is in the session of another tree does not take it away.
                index.sessions.entry(stat.session).or_insert(key);
            }
        }
    }

    /// To which tree a process belongs whose parent has ended.
    fn owner(&self, orphan: &Process, evidence: &impl Evidence) -> Option<(K, Witness)> {
        let Process { pid, stat } = *orphan;
        if let Some((key, witness)) = self.seen(Identity { pid, start: stat.start }) {
            return Some((key, witness));
        }
        let marked = match self.by_cgroup(pid, evidence) {
            Marked::Not => self.by_mark(pid, evidence),
            found @ (Marked::ForTree(..) | Marked::ForAnotherRun) => found,
        };
        match marked {
            Marked::ForTree(key, witness) => return Some((key, witness)),
            Marked::ForAnotherRun => return None,
            Marked::Not => {}
        }
        if let Some(key) = self.keeping(self.index.sessions.get(&stat.session)) {
            return Some((key, Witness::Session));
        }
        let mut outputs = evidence.outputs(pid).into_iter().flatten();
        let key = outputs.find_map(|pipe| self.keeping(self.index.outputs.get(&pipe)))?;
        Some((key, Witness::Output))
    }

    /// This tree, if orphans belong to it.
    fn keeping(&self, key: Option<&K>) -> Option<K> {
        key.copied().filter(|key| self.all.get(key).is_some_and(|tree| tree.root.keeps_orphans))
    }

    fn seen(&self, it: Identity) -> Option<(K, Witness)> {
        let key = self.keeping(self.index.members.get(&it.pid))?;
        let member = self.all.get(&key)?.members.get(&it.pid).filter(|member| member.identity() == it)?;
        let witness = match member.witness {
            Witness::Main | Witness::Parent | Witness::Seen => Witness::Seen,
            Witness::Cgroup | Witness::Session | Witness::Limit | Witness::Environment | Witness::Output => {
                member.witness
            }
        };
        Some((key, witness))
    }

    fn by_cgroup(&self, pid: Pid, evidence: &impl Evidence) -> Marked<K> {
        let Some(of_all) = &self.index.group_of_all else { return Marked::Not };
        let Some(group) = evidence.group(pid) else { return Marked::Not };
        let Some(below) = group.strip_prefix(&**of_all).and_then(|below| below.strip_prefix('/')) else {
            return Marked::Not;
        };
        // It may have cgroups of its own below that of the run.
        let name = below.split('/').next().unwrap_or_default();
        let of_run = &group[..group.len() - below.len() + name.len()];
        match self.keeping(self.index.groups.get(of_run)) {
            Some(key) => Marked::ForTree(key, Witness::Cgroup),
            None => Marked::ForAnotherRun,
        }
    }

    fn by_mark(&self, pid: Pid, evidence: &impl Evidence) -> Marked<K> {
        let Some(any) = &self.index.any_mark else { return Marked::Not };
        if let Some(limit) = evidence.limit(pid) {
            match self.keeping(self.index.limits.get(&limit)) {
                Some(key) if self.may_have_limit_of(key, pid, evidence) => {
                    return Marked::ForTree(key, Witness::Limit);
                }
                None if any.is_of_same_supervisor(limit) => return Marked::ForAnotherRun,
                Some(_) | None => {}
            }
        }
        match evidence.environment_entry(pid, any.name()) {
            Some(entry) => match self.keeping(self.index.entries.get(&*entry)) {
                Some(key) => Marked::ForTree(key, Witness::Environment),
                None if any.is_entry_of_same_supervisor(&entry) => Marked::ForAnotherRun,
                None => Marked::Not,
            },
            None => Marked::Not,
        }
    }

    /// Every process may read another's limits and take them on. So one that runs as the user of another
    /// tree is not believed: an unprivileged app must not have its memory counted for another app.
    fn may_have_limit_of(&self, key: K, pid: Pid, evidence: &impl Evidence) -> bool {
        let users = || self.all.values().map(|tree| tree.root.user);
        let is_user = |key, user| self.all.get(&key).is_some_and(|tree: &Tree| tree.root.user == user);
        evidence.user(pid).is_some_and(|has| {
            is_user(key, has) || has == process::user() || !users().any(|user| user == has)
        })
    }
}

/// Sends SIGKILL to everything that belongs to these trees.
pub fn kill(roots: impl IntoIterator<Item = Root>) {
    let mut trees = Trees::new();
    for (key, root) in roots.into_iter().enumerate() {
        trees.insert(key, root);
    }
    let keys: Vec<usize> = trees.keys().collect();
    if !keys.is_empty() {
        trees.kill(&keys);
    }
}

/// Processes and to which tree each belongs.
type Owners<'a, K> = Vec<(&'a Process, Option<(K, Witness)>)>;

#[derive(Clone, Copy)]
enum Mark<K> {
    Unknown,
    /// It is being looked at.
    Open,
    Known(Option<(K, Witness)>),
}

/// What the cgroup or the marks of a process say.
enum Marked<K> {
    ForTree(K, Witness),
    /// A run of this supervisor that has no tree, or whose orphans are not kept.
    ForAnotherRun,
    /// It has none, or one of another supervisor or one that it may have forged.
    Not,
}

/// By what the trees of processes are found.
#[derive(Debug)]
struct Index<K> {
    leaders: HashMap<Pid, K>,
    /// The processes that were seen in a tree, all of [`Tree::members`].
    members: HashMap<Pid, K>,
    /// Sessions that members are or were in.
    sessions: HashMap<Pid, K>,
    /// By [`RunCgroup::group`].
    groups: HashMap<String, K>,
    /// What all of these are below.
    group_of_all: Option<Arc<str>>,
    /// By [`RunMark::limit`].
    limits: HashMap<u64, K>,
    /// By [`RunMark::entry`].
    entries: HashMap<String, K>,
    /// One of the marks: all are of this supervisor and have one name.
    any_mark: Option<RunMark>,
    /// The pipes of an instance are those of its latest run.
    outputs: HashMap<u64, K>,
}

impl<K: Copy + Eq> Index<K> {
    fn new() -> Self {
        Self {
            leaders: HashMap::new(),
            members: HashMap::new(),
            sessions: HashMap::new(),
            groups: HashMap::new(),
            group_of_all: None,
            limits: HashMap::new(),
            entries: HashMap::new(),
            any_mark: None,
            outputs: HashMap::new(),
        }
    }

    fn add(&mut self, key: K, root: &Root) {
        if let Some(leader) = root.leader {
            // Its number was free, so no session has it any more.
            self.sessions.remove(&leader);
            self.leaders.insert(leader, key);
        }
        if let Some(session) = root.session {
            self.sessions.insert(session, key);
        }
        if let Some(cgroup) = &root.cgroup {
            self.groups.insert(cgroup.group(), key);
            self.group_of_all = Some(cgroup.group_of_all());
        }
        if let Some(mark) = &root.mark {
            self.limits.insert(mark.limit, key);
            self.entries.insert(mark.entry.clone(), key);
            self.any_mark.get_or_insert_with(|| mark.clone());
        }
        for pipe in root.outputs.into_iter().flatten() {
            self.outputs.insert(pipe, key);
        }
    }

    fn remove(&mut self, key: K, tree: &Tree) {
        let Tree { root, members } = tree;
        if let Some(leader) = root.leader {
            remove_if(&mut self.leaders, &leader, key);
        }
        for pid in members.keys() {
            remove_if(&mut self.members, pid, key);
        }
        self.sessions.retain(|_, of| *of != key);
        if let Some(cgroup) = &root.cgroup {
            remove_if(&mut self.groups, &cgroup.group(), key);
        }
        if let Some(mark) = &root.mark {
            remove_if(&mut self.limits, &mark.limit, key);
            remove_if(&mut self.entries, &mark.entry, key);
        }
        for pipe in root.outputs.into_iter().flatten() {
            remove_if(&mut self.outputs, &pipe, key);
        }
    }
}

/// Removes an entry unless it is another tree's by now.
fn remove_if<I: Eq + Hash, K: Copy + Eq>(map: &mut HashMap<I, K>, at: &I, key: K) {
    if map.get(at).is_some_and(|of| *of == key) {
        map.remove(at);
    }
}

#[cfg(test)]
mod tests;
