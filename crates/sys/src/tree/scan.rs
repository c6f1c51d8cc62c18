//! Finds processes and their relations in `/proc`.

use std::{
    collections::HashSet,
    fs::{self, File},
    io::Read as _,
    path::Path,
    sync::OnceLock,
};

use super::super::{
    proc::{self, Reader},
    proc_stat::{self, Stat},
    reap::Pid,
    spawn,
};

/// Identifies one process, although the kernel reuses process ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Identity {
    /// The process id.
    pub pid: Pid,
    /// The start time in clock ticks ([`Stat::start`]).
    pub start: u64,
}

/// A process at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Process {
    /// The process id.
    pub pid: Pid,
    /// The content of `/proc/PID/stat`.
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
    pids.iter()
        .filter_map(|pid| Some(Process { pid: *pid, stat: proc_stat::read(*pid, &mut reader)? }))
        .collect()
}

/// The current state of this process. `None`: it has ended.
pub fn stat_of(it: Identity) -> Option<Stat> {
    proc_stat::of(it.pid).filter(|stat| stat.start == it.start)
}

/// The name of a process (proc_pid_comm(5)), at most 15 bytes. `None`: the process has ended.
pub fn name(pid: Pid) -> Option<String> {
    let name = fs::read(format!("/proc/{pid}/comm")).ok()?;
    Some(String::from_utf8_lossy(name.trim_ascii_end()).into_owned())
}

/// The command line of this process with spaces between the arguments, at most 4096 bytes. `None`: the process has
/// ended, or is a zombie or a kernel thread, which have none.
///
/// The kernel reads it from the memory of the process, which can block the reader for any time. The supervisor's
/// thread must not call this.
pub fn command_line(it: Identity) -> Option<String> {
    let mut line = Vec::new();
    File::open(format!("/proc/{}/cmdline", it.pid))
        .ok()?
        .take(MAX_COMMAND_LINE)
        .read_to_end(&mut line)
        .ok()?;
    stat_of(it)?;
    let line = String::from_utf8_lossy(line.trim_ascii_end()).replace('\0', " ");
    let line = line.trim_end();
    (!line.is_empty()).then(|| line.to_owned())
}

/// The maximum number of bytes of a command line.
const MAX_COMMAND_LINE: u64 = 4096;
/// The number of files that a walk over the children may read before it is compared with a scan of all processes.
const MIN_FILE_LIMIT: usize = 64;

/// The children of this process, including adopted ones and zombies.
///
/// Reads one small file (`CONFIG_PROC_CHILDREN`, proc_pid_children(5)) for each thread that may have children: the
/// main thread, which adopts orphans, and the threads that start processes. Scans all of `/proc` on kernels without
/// these files.
pub fn children() -> Vec<Pid> {
    let me = own_pid();
    let Some(mut found) = children_of(me, me) else {
        return all().iter().filter(|it| it.stat.parent == me).map(|it| it.pid).collect();
    };
    let others = spawn::threads().into_iter().filter(|thread| *thread != me);
    found.extend(others.filter_map(|thread| children_of(me, thread)).flatten());
    found
}

/// The children that this process has adopted, and those that its main thread has created. On kernels with
/// `CONFIG_PROC_CHILDREN` the children of other threads are missing.
pub fn adopted() -> Vec<Pid> {
    let me = own_pid();
    children_of(me, me).unwrap_or_else(children)
}

/// The children of a process. Each thread has those that it created; the first living thread also has the adopted
/// ones.
fn children_by_thread(pid: Pid) -> Vec<Pid> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let threads = tasks.filter_map(|task| task.file_name().to_str()?.parse().ok());
    threads.filter_map(|thread| children_of(pid, thread)).flatten().collect()
}

/// The result of [`below`].
#[derive(Debug)]
pub(super) enum ScanResult {
    /// These processes and their descendants. A child that was created during the scan may be missing.
    Below(Vec<Process>),
    /// All processes, as from [`all`].
    All(Vec<Process>),
}

/// These processes and their descendants by the kernel's lists of children. Each thread has its own list, so for many
/// threads reading the `stat` files of all processes takes fewer files; then the result has all processes.
pub(super) fn below(ancestors: &[Pid]) -> ScanResult {
    if !has_lists_of_children() {
        return ScanResult::All(all());
    }
    let mut found: Vec<Process> = Vec::new();
    let mut seen: HashSet<Pid> = ancestors.iter().copied().collect();
    let mut next: Vec<Pid> = ancestors.to_vec();
    let (mut files, mut limit, mut all_pids) = (0, MIN_FILE_LIMIT, None);
    while let Some(pid) = next.pop() {
        let Some(stat) = proc_stat::of(pid) else { continue };
        files += 1 + stat.threads as usize;
        if files + 2 * next.len() > limit {
            let pids = all_pids.get_or_insert_with(pids);
            limit = pids.len().max(MIN_FILE_LIMIT);
            if files + 2 * next.len() > limit {
                return ScanResult::All(read_all(pids));
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
    ScanResult::Below(found)
}

/// Whether the kernel has a list of children for each thread (`CONFIG_PROC_CHILDREN`). This never changes.
fn has_lists_of_children() -> bool {
    static HAS: OnceLock<bool> = OnceLock::new();
    *HAS.get_or_init(|| Path::new("/proc/thread-self/children").exists())
}

/// The children of a thread. `None`: the thread has ended, or the kernel has no such lists.
fn children_of(pid: Pid, thread: Pid) -> Option<Vec<Pid>> {
    let mut reader = Reader::new();
    let list = reader.read(format_args!("/proc/{pid}/task/{thread}/children")).ok()?;
    // Most processes have few children. If there is room for another number after the read, the list is complete.
    if list.len() + MAX_PID_LENGTH < proc::READ_SIZE {
        return Some(parse(list).collect());
    }
    Some(parse(&fs::read(format!("/proc/{pid}/task/{thread}/children")).ok()?).collect())
}

/// The length of the longest process id and a space, in bytes.
const MAX_PID_LENGTH: usize = 11;

fn parse(children: &[u8]) -> impl Iterator<Item = Pid> {
    let words = children.split(u8::is_ascii_whitespace);
    words.filter_map(|word| std::str::from_utf8(word).ok()?.parse().ok())
}

pub(super) fn own_pid() -> Pid {
    Pid::try_from(std::process::id()).unwrap_or(Pid::MAX)
}
