//! The memory of some process trees, for a supervisor that samples all the time.
//!
//! [`Sampler`](super::Sampler) reads everything about all processes. Here a sample of a tree reads a small file
//! of each of its processes, and the files stay open. The members are those of [`Trees`], so the memory that
//! counts is that of the processes that a stop ends. It measures no CPU.

use std::{
    collections::{HashMap, HashSet},
    fs::{self, File},
    hash::Hash,
};

use nix::libc;

use crate::sys::{
    proc::Reader,
    process_memory,
    reap::Pid,
    tree::{Identity, Trees},
    units,
};

/// The maximum number of files that stay open between two samples.
const MAX_OPEN: usize = 2048;

/// The memory of some trees. `K` names one of them, one run of a worker.
#[derive(Debug)]
pub struct TreeMemory<K> {
    /// Each process with its `statm`. `None`: too many are open.
    statm_files: HashMap<K, HashMap<Identity, Option<File>>>,
    /// The newest process of the kernel at the last scan.
    newest: Option<Box<str>>,
    page: u64,
}

impl<K: Copy + Eq + Hash> Default for TreeMemory<K> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K: Copy + Eq + Hash> TreeMemory<K> {
    /// Measures no trees yet.
    pub fn new() -> Self {
        Self { statm_files: HashMap::new(), newest: None, page: units::page_size() }
    }

    /// Measures these trees from now on and no others. Returns whether any of them is new.
    pub fn keep(&mut self, keys: &[K]) -> bool {
        let wanted: HashSet<&K> = keys.iter().collect();
        self.statm_files.retain(|key, _| wanted.contains(key));
        let kept = self.statm_files.len();
        for key in keys {
            self.statm_files.entry(*key).or_default();
        }
        let is_new = self.statm_files.len() > kept;
        if is_new {
            self.newest = None;
        }
        is_new
    }

    /// Whether a process was made since the last search, so that there may be new members.
    pub fn is_search_due(&self) -> bool {
        self.newest.is_none() || newest() != self.newest
    }

    /// Updates the members of its trees from `trees`, which it refreshes. Returns the trees that have new ones.
    pub fn search(&mut self, trees: &mut Trees<K>) -> Vec<K> {
        self.newest = newest();
        trees.refresh();
        let mut open: usize = self.statm_files.values().map(HashMap::len).sum();
        let (mut grown, mut reader) = (Vec::new(), Reader::new());
        for (key, files) in &mut self.statm_files {
            let mut before = std::mem::take(files);
            let mut has_new = false;
            for member in trees.members(*key) {
                let it = member.identity();
                let file = before.remove(&it).unwrap_or_else(|| {
                    has_new = true;
                    open += 1;
                    (open <= MAX_OPEN)
                        .then(|| reader.open(format_args!("/proc/{}/statm", it.pid)).ok())
                        .flatten()
                });
                files.insert(it, file);
            }
            open -= before.len();
            if has_new {
                grown.push(*key);
            }
        }
        grown
    }

    /// The resident memory of a tree in bytes, the sum over its processes, and their number. Shared pages count
    /// once per process.
    pub fn rss(&mut self, key: K) -> (u64, usize) {
        let Some(files) = self.statm_files.get_mut(&key) else { return (0, 0) };
        let (mut pages, mut reader) = (0, Reader::new());
        files.retain(|it, file| match resident(&mut reader, *it, file.as_ref()) {
            Some(resident) => {
                pages += resident;
                true
            }
            None => false,
        });
        (pages * self.page, files.len())
    }

    /// The memory of a tree in bytes, where shared pages count once in total (PSS). `None`: the kernel does not
    /// report it for each process, or not in time.
    pub fn pss(&self, key: K) -> Option<u64> {
        let files = self.statm_files.get(&key)?.iter();
        let mut reader = Reader::new();
        // A process that has ended has none.
        let living = files
            .filter(|(it, file)| resident(&mut reader, **it, file.as_ref()).is_some_and(|pages| pages > 0));
        let living: Vec<Pid> = living.map(|(it, _)| it.pid).collect();
        process_memory::pss(&living).into_iter().sum()
    }
}

/// The id of the newest process of this PID namespace (proc_loadavg(5)).
fn newest() -> Option<Box<str>> {
    let text = fs::read_to_string("/proc/loadavg").ok()?;
    text.split_ascii_whitespace().nth(4).map(Into::into)
}

/// Resident pages (proc_pid_statm(5)). `None`: the process has ended.
fn resident(reader: &mut Reader, it: Identity, file: Option<&File>) -> Option<u64> {
    let text = match file {
        Some(file) => reader.read_again(file),
        None => reader.read(format_args!("/proc/{}/statm", it.pid)),
    };
    let text = match text {
        Ok(text) => text,
        // It still exists, and is measured once there is a descriptor for it.
        Err(error) if matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE)) => return Some(0),
        Err(_) => return None,
    };
    std::str::from_utf8(text).ok()?.split_ascii_whitespace().nth(1)?.parse().ok()
}
