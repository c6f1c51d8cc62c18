//! What `/proc` says of processes now.

use std::{
    collections::HashSet,
    fs::{self, File},
    io::Read as _,
    path::Path,
    sync::OnceLock,
};

use super::{
    super::{
        proc::{self, Reader},
        reap::Pid,
        spawn,
    },
    Identity,
    stat::{self, Stat},
};

/// A process at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Process {
    /// Its process id.
    pub pid: Pid,
    /// What `/proc/PID/stat` says.
    pub stat: Stat,
}

/// All processes of this PID namespace; none where `/proc` cannot be read.
pub fn all() -> Vec<Process> {
    read_all(&pids())
}

fn pids() -> Vec<Pid> {
    proc::pids().collect()
}

fn read_all(pids: &[Pid]) -> Vec<Process> {
    let mut reader = Reader::new();
    pids.iter().filter_map(|pid| Some(Process { pid: *pid, stat: read(*pid, &mut reader)? })).collect()
}

/// One process. `None`: it has ended.
pub(in super::super) fn stat(pid: Pid) -> Option<Stat> {
    read(pid, &mut Reader::new())
}

/// What the kernel says of this process. `None`: it is gone.
pub fn stat_of(it: Identity) -> Option<Stat> {
    stat(it.pid).filter(|stat| stat.start == it.start)
}

/// The name of a process (proc_pid_comm(5)).
pub fn name(pid: Pid) -> Option<String> {
    let name = fs::read(format!("/proc/{pid}/comm")).ok()?;
    Some(String::from_utf8_lossy(name.trim_ascii_end()).into_owned())
}

/// The command line of this process, with spaces between the words. `None`: it is gone, or a zombie or a
/// kernel thread has none.
///
/// The kernel reads it in the memory of the process, which can keep a reader waiting: not for the
/// supervisor's thread.
pub fn command_line(it: Identity) -> Option<String> {
    let mut line = Vec::new();
    File::open(format!("/proc/{}/cmdline", it.pid)).ok()?.take(MAX_LINE).read_to_end(&mut line).ok()?;
    stat_of(it)?;
    let line = String::from_utf8_lossy(line.trim_ascii_end()).replace('\0', " ");
    let line = line.trim_end();
    (!line.is_empty()).then(|| line.to_owned())
}

/// Bytes of a command line that are shown.
const MAX_LINE: u64 = 4096;
/// A walk over the children reads this many files before it counts what all processes would take.
const FEW_FILES: usize = 64;

fn read(pid: Pid, reader: &mut Reader) -> Option<Stat> {
    stat::parse(reader.read(format_args!("/proc/{pid}/stat")).ok()?)
}

/// The children of this process, adopted ones and zombies included.
///
/// Reads a small file of each thread that may have children (`CONFIG_PROC_CHILDREN`, proc_pid_children(5)): the
/// first one, which gets the orphans, and those that start processes. Looks through all of `/proc` where the
/// kernel has no such files.
pub fn children() -> Vec<Pid> {
    let me = own_pid();
    let Some(mut found) = children_of(me, me) else {
        return all().iter().filter(|it| it.stat.parent == me).map(|it| it.pid).collect();
    };
    let others = spawn::threads().into_iter().filter(|thread| *thread != me);
    found.extend(others.filter_map(|thread| children_of(me, thread)).flatten());
    found
}

/// The children that this process has adopted, and those that its first thread has made. As [`children`], but the
/// children of threads that start processes are missing where the kernel has such files.
pub fn adopted() -> Vec<Pid> {
    let me = own_pid();
    children_of(me, me).unwrap_or_else(children)
}

/// The children of a process. Each of its threads has those that it made; the first living thread has the
/// orphans, too.
fn children_by_thread(pid: Pid) -> Vec<Pid> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let threads = tasks.filter_map(|task| task.file_name().to_str()?.parse().ok());
    threads.filter_map(|thread| children_of(pid, thread)).flatten().collect()
}

/// Some processes and all below them, or all that there are.
#[derive(Debug)]
pub(super) enum Found {
    /// A child that was made meanwhile may be missing.
    Below(Vec<Process>),
    /// As [`all`] finds them.
    All(Vec<Process>),
}

/// These processes and all below them by the kernel's lists of children, unless that takes more files than
/// to read of each process who its parent is: each thread has a list of its own.
pub(super) fn below(tops: &[Pid]) -> Found {
    if !has_lists_of_children() {
        return Found::All(all());
    }
    let mut found: Vec<Process> = Vec::new();
    let mut seen: HashSet<Pid> = tops.iter().copied().collect();
    let mut next: Vec<Pid> = tops.to_vec();
    let (mut files, mut limit, mut everyone) = (0, FEW_FILES, None);
    while let Some(pid) = next.pop() {
        let Some(stat) = stat(pid) else { continue };
        files += 1 + stat.threads as usize;
        if files + 2 * next.len() > limit {
            let pids = everyone.get_or_insert_with(pids);
            limit = pids.len().max(FEW_FILES);
            if files + 2 * next.len() > limit {
                return Found::All(read_all(pids));
            }
        }
        found.push(Process { pid, stat });
        let mut add = |children: Vec<Pid>| next.extend(children.into_iter().filter(|it| seen.insert(*it)));
        if stat.threads <= 1 {
            add(children_of(pid, pid).unwrap_or_default());
        } else {
            add(children_by_thread(pid));
        }
    }
    Found::Below(found)
}

/// Whether the kernel lists the children of each thread. This does not change.
fn has_lists_of_children() -> bool {
    static HAS: OnceLock<bool> = OnceLock::new();
    *HAS.get_or_init(|| Path::new("/proc/thread-self/children").exists())
}

/// The children of a thread. `None`: it is gone, or the kernel has no such lists.
fn children_of(pid: Pid, thread: Pid) -> Option<Vec<Pid>> {
    let mut reader = Reader::new();
    let list = reader.read(format_args!("/proc/{pid}/task/{thread}/children")).ok()?;
    // Most processes have a few children or none. A read that leaves space for another number had them all.
    if list.len() + MAX_PID_LENGTH < proc::SIZE {
        return Some(parse(list).collect());
    }
    Some(parse(&fs::read(format!("/proc/{pid}/task/{thread}/children")).ok()?).collect())
}

/// Bytes of the longest process id and a space.
const MAX_PID_LENGTH: usize = 11;

fn parse(children: &[u8]) -> impl Iterator<Item = Pid> {
    let words = children.split(u8::is_ascii_whitespace);
    words.filter_map(|word| std::str::from_utf8(word).ok()?.parse().ok())
}

pub(super) fn own_pid() -> Pid {
    Pid::try_from(std::process::id()).unwrap_or(Pid::MAX)
}
