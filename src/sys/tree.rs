//! Which processes belong to a worker's tree.
//!
//! A tree is the worker's session, its descendants, and what was re-parented to procrun of them.
//! A descendant that forked twice into a session of its own is in neither; the marker in its
//! environment still finds it.

use std::{collections::HashSet, ffi::OsStr, fs};

use nix::{libc, unistd::getsid};
use sysinfo::{ProcessRefreshKind, ProcessesToUpdate, System, UpdateKind};

use super::{process, reap::Pid};

/// The children of this process, adopted ones included. Zombies are among them.
///
/// Reads one small file (`CONFIG_PROC_CHILDREN`, proc_pid_children(5)) and looks through all of
/// `/proc` where the kernel does not have it.
pub fn children() -> Vec<Pid> {
    let me = me();
    // The kernel gives orphans to the first living thread, which is the one that forks.
    match fs::read_to_string(format!("/proc/self/task/{me}/children")) {
        Ok(text) => text.split_ascii_whitespace().filter_map(|pid| pid.parse().ok()).collect(),
        Err(_) => all(&[]).iter().filter(|seen| seen.parent == Some(me)).map(|seen| seen.pid).collect(),
    }
}

/// The session a process is in; its leader's process id. `None` when the process is gone.
pub fn session(pid: Pid) -> Option<Pid> {
    getsid(Some(nix::unistd::Pid::from_raw(pid))).ok().map(nix::unistd::Pid::as_raw)
}

/// The entry (`NAME=value`) of this name in the environment that a process was started with.
/// `None` too when the process is gone or somebody else's (proc_pid_environ(5)).
pub fn environment_entry(pid: Pid, name: &str) -> Option<String> {
    let environ = fs::read(format!("/proc/{pid}/environ")).ok()?;
    let is_it =
        |entry: &&[u8]| entry.strip_prefix(name.as_bytes()).is_some_and(|rest| rest.starts_with(b"="));
    let entry = environ.split(|byte| *byte == 0).find(is_it)?;
    String::from_utf8(entry.to_owned()).ok()
}

/// A worker whose tree is asked for.
#[derive(Debug, Clone)]
pub struct Root {
    /// The worker's main process, which leads its session; it may have ended.
    pub leader: Option<Pid>,
    /// An environment entry (`NAME=value`) that its whole tree has.
    pub marker: Option<String>,
}

/// Everything that belongs to the trees of these workers, themselves included while they live.
///
/// Looks through all of `/proc` once: for the moment of a kill, not for every day.
pub fn members(roots: &[Root]) -> HashSet<Pid> {
    let all = all(roots);
    let mut tree: HashSet<Pid> = all.iter().filter(|seen| seen.belongs).map(|seen| seen.pid).collect();
    loop {
        let before = tree.len();
        for seen in &all {
            if seen.parent.is_some_and(|parent| tree.contains(&parent)) {
                tree.insert(seen.pid);
            }
        }
        if tree.len() == before {
            break;
        }
    }
    tree.remove(&me());
    tree
}

/// Kills whole trees with SIGKILL, also what they fork meanwhile.
pub fn kill(roots: &[Root]) {
    let mut killed = HashSet::new();
    // Each round kills what the round before has not seen. A tree that forks faster than this is
    // met by the next kill: the supervisor has to reap meanwhile.
    for _ in 0..3 {
        let fresh: Vec<Pid> = members(roots).difference(&killed).copied().collect();
        if fresh.is_empty() {
            return;
        }
        for pid in fresh {
            let _ = process::signal(pid, libc::SIGKILL);
            killed.insert(pid);
        }
    }
}

struct Seen {
    pid: Pid,
    parent: Option<Pid>,
    belongs: bool,
}

/// All processes of this PID namespace; none where `/proc` cannot be read.
fn all(roots: &[Root]) -> Vec<Seen> {
    let Ok(mut system) = System::new() else { return Vec::new() };
    let environ = if roots.is_empty() { UpdateKind::Never } else { UpdateKind::Always };
    let kind = ProcessRefreshKind::nothing().with_environ(environ).without_tasks();
    system.refresh_processes_specifics(ProcessesToUpdate::All, true, kind);
    let leaders: HashSet<Pid> = roots.iter().filter_map(|root| root.leader).collect();
    let markers: HashSet<&OsStr> =
        roots.iter().filter_map(|root| root.marker.as_deref()).map(OsStr::new).collect();
    let seen = |(pid, process): (&sysinfo::Pid, &sysinfo::Process)| Seen {
        pid: as_pid(*pid),
        parent: process.parent().map(as_pid),
        belongs: leaders.contains(&as_pid(*pid))
            || process.session_id().is_some_and(|session| leaders.contains(&as_pid(session)))
            || process.environ().iter().any(|entry| markers.contains(entry.as_os_str())),
    };
    system.processes().iter().map(seen).collect()
}

fn as_pid(pid: sysinfo::Pid) -> Pid {
    Pid::try_from(pid.as_u32()).unwrap_or(Pid::MAX)
}

fn me() -> Pid {
    Pid::try_from(std::process::id()).unwrap_or(Pid::MAX)
}
