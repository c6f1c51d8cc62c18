//! Facts about processes from `/proc`.

use std::{
    collections::BTreeSet,
    fs,
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, Sender, channel},
    },
    time::Duration,
};

/// One process, from its file `stat`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Process {
    pub pid: i32,
    pub parent: i32,
    pub session: i32,
    /// The state of proc_pid_stat(5): `R`, `S`, `D`, `Z`, `T` and others.
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

/// Whether the process runs: a zombie does not.
pub fn alive(pid: i32) -> bool {
    process(pid).is_some_and(|process| !matches!(process.state, 'Z' | 'X'))
}

/// The processes with `marker` in their environment, except those whose environment cannot be read.
pub fn marked(marker: &str) -> Vec<i32> {
    let wanted = marker.as_bytes();
    let mut reader = READER.lock().unwrap_or_else(PoisonError::into_inner);
    let carries = |pid: &i32| {
        let environ = reader.get_or_insert_with(EnvironReader::start).read(*pid);
        environ.is_some_and(|environ| environ.split(|&byte| byte == 0).any(|entry| entry == wanted))
    };
    pids().into_iter().filter(carries).collect()
}

static READER: Mutex<Option<EnvironReader>> = Mutex::new(None);

/// Reads `/proc/PID/environ` on a separate thread. The kernel takes the lock of the process's memory map for that,
/// and any process, also of another test, can hold its lock for any time.
struct EnvironReader {
    pids: Sender<i32>,
    texts: Receiver<Option<Vec<u8>>>,
    /// The processes for which a thread still waits.
    blocked: Arc<Mutex<BTreeSet<i32>>>,
}

impl EnvironReader {
    const TIMEOUT: Duration = Duration::from_secs(1);

    fn start() -> Self {
        Self::with(Arc::default())
    }

    fn with(blocked: Arc<Mutex<BTreeSet<i32>>>) -> Self {
        let ((pids, requests), (answer, texts)) = (channel::<i32>(), channel());
        let theirs = blocked.clone();
        std::thread::spawn(move || {
            for pid in requests {
                let text = fs::read(format!("/proc/{pid}/environ")).ok();
                theirs.lock().unwrap().remove(&pid);
                if answer.send(text).is_err() {
                    break;
                }
            }
        });
        Self { pids, texts, blocked }
    }

    fn read(&mut self, pid: i32) -> Option<Vec<u8>> {
        if self.blocked.lock().unwrap().contains(&pid) {
            return None;
        }
        self.pids.send(pid).expect("the thread waits for it");
        if let Ok(text) = self.texts.recv_timeout(Self::TIMEOUT) {
            return text;
        }
        self.blocked.lock().unwrap().insert(pid);
        // The other thread remains until its read returns.
        *self = Self::with(self.blocked.clone());
        None
    }
}

/// The value of a line of `status`, such as `VmHWM` or `SigIgn`.
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

/// The peak resident memory, in KiB.
#[track_caller]
pub fn peak_kib(pid: i32) -> u64 {
    status(pid, "VmHWM").trim_end_matches(" kB").parse().expect("a number of kB")
}

/// The CPU time of a process with all its threads, in ticks.
#[track_caller]
pub fn cpu_ticks(pid: i32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("the process is there");
    let behind = &stat[stat.rfind(')').expect("a name in brackets") + 2..];
    // User and system time are the 14th and 15th field; the third is the first behind the name.
    let times = behind.split_whitespace().skip(14 - 3).take(2);
    times.map(|ticks| ticks.parse::<u64>().expect("a number")).sum()
}
