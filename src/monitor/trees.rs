//! The memory of some trees of processes, for whoever looks at them all the time.
//!
//! [`Sampler`](super::Sampler) reads all that there is to know of all processes. Here one look at a tree
//! reads a small file of each of its processes, which stays open; who belongs to it is asked only when the
//! kernel has made a process since, and then only of those that are new. Measures no CPU.

use std::{
    collections::{HashMap, HashSet},
    fs::{self, File},
    hash::Hash,
    os::unix::fs::FileExt as _,
};

use nix::libc;

use super::{
    sampler::{as_pid, environment_entry, pss},
    stat,
};
use crate::sys::{reap::Pid, tree::Root, units};

/// So many files stay open between two looks.
const MAX_OPEN: usize = 2048;
/// Whoever belongs to nobody is asked again after so many searches: its id may be another's by then.
const STRANGER: u32 = 16;

#[derive(Debug)]
struct Member {
    pid: Pid,
    /// Its `statm`. `None`: too many are open.
    file: Option<File>,
}

#[derive(Debug)]
struct Tree {
    root: Root,
    members: Vec<Member>,
}

/// Some trees. `K` names one of them, one run of a worker.
#[derive(Debug)]
pub struct Trees<K> {
    all: HashMap<K, Tree>,
    strangers: HashSet<Pid>,
    /// What the kernel said of its newest process at the last search.
    newest: Option<Box<str>>,
    searches: u32,
    page: u64,
    me: Pid,
}

impl<K: Copy + Eq + Hash> Default for Trees<K> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K: Copy + Eq + Hash> Trees<K> {
    /// None yet.
    pub fn new() -> Self {
        Self {
            all: HashMap::new(),
            strangers: HashSet::new(),
            newest: None,
            searches: 0,
            page: units::page_size(),
            me: Pid::try_from(std::process::id()).unwrap_or(Pid::MAX),
        }
    }

    /// Looks at these trees from now on and at no other; `root` is asked for those that are new. Says
    /// whether there are any.
    pub fn keep(&mut self, keys: &[K], mut root: impl FnMut(K) -> Option<Root>) -> bool {
        let kept: HashSet<&K> = keys.iter().collect();
        self.all.retain(|key, _| kept.contains(key));
        let mut is_new = false;
        for key in keys {
            if !self.all.contains_key(key)
                && let Some(root) = root(*key)
            {
                self.all.insert(*key, Tree { root, members: Vec::new() });
                is_new = true;
            }
        }
        if is_new {
            // Its processes may have been taken for strangers.
            (self.newest, self.strangers) = (None, HashSet::new());
        }
        is_new
    }

    /// Searches for processes that are new, if the kernel has made any. Those trees have some.
    pub fn search(&mut self) -> Vec<K> {
        let newest = newest();
        if newest.is_some() && newest == self.newest {
            return Vec::new();
        }
        self.newest = newest;
        self.searches = self.searches.wrapping_add(1);
        if self.searches.is_multiple_of(STRANGER) {
            self.strangers.clear();
        }
        let mut owners: HashMap<Pid, K> = HashMap::new();
        for (key, tree) in &self.all {
            owners.extend(tree.members.iter().map(|member| (member.pid, *key)));
        }
        let mut new = Vec::new();
        let mut there = HashSet::with_capacity(self.strangers.len() + 16);
        // Without `/proc` nothing is known of anybody.
        for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
            let Some(pid) = as_pid(&entry.file_name()).filter(|pid| *pid != self.me) else { continue };
            if self.strangers.contains(&pid) {
                there.insert(pid);
            } else if !owners.contains_key(&pid)
                && let Some(stat) = fs::read(format!("/proc/{pid}/stat")).ok().and_then(|it| stat::parse(&it))
            {
                new.push((pid, stat));
            }
        }
        self.strangers = there;
        let found = self.assign(&new, &mut owners);
        let mut open: usize = self.all.values().map(|tree| tree.members.len()).sum();
        for (pid, key) in &found {
            let Some(tree) = self.all.get_mut(key) else { continue };
            let file = (open < MAX_OPEN).then(|| File::open(format!("/proc/{pid}/statm")).ok()).flatten();
            open += 1;
            tree.members.push(Member { pid: *pid, file });
        }
        found.into_iter().map(|(_, key)| key).collect()
    }

    /// Which of the new processes belongs to which tree, by the rules of `sys::tree`. The others are
    /// strangers.
    fn assign(&mut self, new: &[(Pid, stat::Stat)], owners: &mut HashMap<Pid, K>) -> Vec<(Pid, K)> {
        let leaders: HashMap<Pid, K> =
            self.all.iter().filter_map(|(key, tree)| Some((tree.root.leader?, *key))).collect();
        let markers: HashMap<&[u8], K> = self
            .all
            .iter()
            .filter_map(|(key, tree)| Some((tree.root.marker.as_deref()?.as_bytes(), *key)))
            .collect();
        let name = markers.keys().next().and_then(|marker| marker.split(|byte| *byte == b'=').next());
        let mut found = Vec::new();
        let mut left: Vec<&(Pid, stat::Stat)> = new.iter().collect();
        // A child may stand before its parent.
        loop {
            let before = left.len();
            left.retain(|(pid, stat)| {
                let owner = leaders.get(pid).or_else(|| leaders.get(&stat.session));
                let owner = owner.or_else(|| owners.get(&stat.parent)).copied();
                if let Some(owner) = owner {
                    owners.insert(*pid, owner);
                    found.push((*pid, owner));
                }
                owner.is_none()
            });
            if left.len() != before {
                continue;
            }
            // Its environment tells of whom a process is that forked twice.
            let marked = left.iter().find_map(|(pid, _)| {
                let entry = environment_entry(*pid, name?)?;
                Some((*pid, *markers.get(&*entry)?))
            });
            let Some((pid, owner)) = marked else { break };
            owners.insert(pid, owner);
            found.push((pid, owner));
            left.retain(|(other, _)| *other != pid);
        }
        self.strangers.extend(left.iter().map(|(pid, _)| *pid));
        found
    }

    /// The resident memory of a tree in bytes, the sum over its processes: what they share counts in
    /// each. And how many they are.
    pub fn rss(&mut self, key: K) -> (u64, usize) {
        let Some(tree) = self.all.get_mut(&key) else { return (0, 0) };
        let mut pages = 0;
        tree.members.retain(|member| match resident(member) {
            Some(resident) => {
                pages += resident;
                true
            }
            None => false,
        });
        (pages * self.page, tree.members.len())
    }

    /// The memory of a tree in bytes, where what processes share counts in parts. `None`: the kernel does
    /// not say it of each.
    pub fn pss(&self, key: K) -> Option<u64> {
        let members = &self.all.get(&key)?.members;
        // Who has ended has none.
        members.iter().filter(|member| resident(member).is_some_and(|it| it > 0)).map(|it| pss(it.pid)).sum()
    }
}

/// The id of the newest process of this PID namespace (proc_loadavg(5)).
fn newest() -> Option<Box<str>> {
    let text = fs::read_to_string("/proc/loadavg").ok()?;
    text.split_ascii_whitespace().nth(4).map(Into::into)
}

/// Resident pages (proc_pid_statm(5)). `None`: it is gone.
fn resident(member: &Member) -> Option<u64> {
    let mut text = [0; 128];
    let count = match &member.file {
        Some(file) => file.read_at(&mut text, 0),
        None => File::open(format!("/proc/{}/statm", member.pid)).and_then(|file| file.read_at(&mut text, 0)),
    };
    let count = match count {
        Ok(count) => count,
        // It is there still, and seen as soon as there is a descriptor for it.
        Err(error) if matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE)) => return Some(0),
        Err(_) => return None,
    };
    let text = std::str::from_utf8(&text[..count]).ok()?;
    text.split_ascii_whitespace().nth(1)?.parse().ok()
}
