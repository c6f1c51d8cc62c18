//! What `/proc` says about processes.

use std::fs;

/// One process, as its `stat` has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Process {
    pub pid: i32,
    pub parent: i32,
    pub session: i32,
    /// `R S D Z T` and so on.
    pub state: char,
}

/// The process with this id; `None` once it is reaped.
pub fn process(pid: i32) -> Option<Process> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<&str> = stat[stat.rfind(')')? + 2..].split_whitespace().collect();
    Some(Process {
        pid,
        state: fields[0].chars().next()?,
        parent: fields[1].parse().ok()?,
        session: fields[3].parse().ok()?,
    })
}

fn pids() -> Vec<i32> {
    let entries = fs::read_dir("/proc").expect("/proc is mounted");
    entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect()
}

/// All processes.
pub fn all() -> Vec<Process> {
    pids().into_iter().filter_map(process).collect()
}

/// The processes whose parent is `parent`, zombies too.
pub fn children(parent: i32) -> Vec<Process> {
    all().into_iter().filter(|process| process.parent == parent).collect()
}

/// Whether it runs: a zombie does not.
pub fn alive(pid: i32) -> bool {
    process(pid).is_some_and(|process| !matches!(process.state, 'Z' | 'X'))
}

/// The processes that carry `marker` in their environment.
pub fn marked(marker: &str) -> Vec<i32> {
    let wanted = marker.as_bytes();
    let carries = |pid: &i32| {
        fs::read(format!("/proc/{pid}/environ"))
            .is_ok_and(|environ| environ.split(|&byte| byte == 0).any(|entry| entry == wanted))
    };
    pids().into_iter().filter(carries).collect()
}

/// A line of `status` without its name, as `VmHWM` or `SigIgn`.
#[track_caller]
pub fn status(pid: i32, key: &str) -> String {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("the process is there");
    status
        .lines()
        .find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))
        .unwrap_or_else(|| panic!("no {key} in {status}"))
        .trim()
        .to_owned()
}

/// The most memory it ever had resident, in KiB.
#[track_caller]
pub fn peak_kib(pid: i32) -> u64 {
    status(pid, "VmHWM").trim_end_matches(" kB").parse().expect("a number of kB")
}

/// Ticks of CPU time that a process has had, its threads and itself.
#[track_caller]
pub fn cpu_ticks(pid: i32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("the process is there");
    let behind = &stat[stat.rfind(')').expect("a name in brackets") + 2..];
    // User and system time are the 14th and 15th field; the third is the first behind the name.
    let times = behind.split_whitespace().skip(14 - 3).take(2);
    times.map(|ticks| ticks.parse::<u64>().expect("a number")).sum()
}
