//! What `/proc` says of processes now.

use std::{
    collections::HashSet,
    fmt::Write as _,
    fs::{self, File},
    io::Read as _,
    path::Path,
};

use super::{
    super::reap::Pid,
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
    let mut path = String::new();
    let mut text = [0; STAT_SIZE];
    let pids = fs::read_dir("/proc").into_iter().flatten().flatten();
    pids.filter_map(|entry| {
        let pid = entry.file_name().to_str()?.parse().ok()?;
        Some(Process { pid, stat: read(pid, &mut path, &mut text)? })
    })
    .collect()
}

/// One process. `None`: it is gone.
pub(super) fn stat(pid: Pid) -> Option<Stat> {
    read(pid, &mut String::new(), &mut [0; STAT_SIZE])
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
/// More than 52 numbers and a name take.
const STAT_SIZE: usize = 2048;

fn read(pid: Pid, path: &mut String, text: &mut [u8; STAT_SIZE]) -> Option<Stat> {
    path.clear();
    // Writing to a string cannot fail.
    let _ = write!(path, "/proc/{pid}/stat");
    let count = File::open(&*path).ok()?.read(text).ok()?;
    stat::parse(&text[..count])
}

/// The children of this process, adopted ones and zombies included.
///
/// Reads one small file (`CONFIG_PROC_CHILDREN`, proc_pid_children(5)) and looks through all of
/// `/proc` where the kernel does not have it.
pub fn children() -> Vec<Pid> {
    let me = own_pid();
    // The kernel gives orphans to the first living thread, which is the one that forks.
    match fs::read_to_string(format!("/proc/self/task/{me}/children")) {
        Ok(text) => text.split_ascii_whitespace().filter_map(|pid| pid.parse().ok()).collect(),
        Err(_) => {
            all().iter().filter(|process| process.stat.parent == me).map(|process| process.pid).collect()
        }
    }
}

/// These processes and all below them, by the kernel's lists of children: quicker than all of `/proc` where a
/// machine has many other processes. A child that is made meanwhile may be missed. `None`: the kernel has
/// no such lists (`CONFIG_PROC_CHILDREN`).
pub(super) fn below(tops: &[Pid]) -> Option<Vec<Process>> {
    let me = own_pid();
    if !Path::new(&format!("/proc/self/task/{me}/children")).exists() {
        return None;
    }
    let mut found: Vec<Process> = Vec::new();
    let mut seen: HashSet<Pid> = tops.iter().copied().collect();
    let mut next: Vec<Pid> = tops.to_vec();
    while let Some(pid) = next.pop() {
        let Some(stat) = stat(pid) else { continue };
        found.push(Process { pid, stat });
        // Each thread has its own children.
        for task in fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten() {
            let text = fs::read_to_string(task.path().join("children")).unwrap_or_default();
            let children = text.split_ascii_whitespace().filter_map(|pid| pid.parse().ok());
            next.extend(children.filter(|child| seen.insert(*child)));
        }
    }
    Some(found)
}

pub(super) fn own_pid() -> Pid {
    Pid::try_from(std::process::id()).unwrap_or(Pid::MAX)
}
