//! The marks that the processes of a run inherit.
//!
//! There are two marks, because some programs lose one of them:
//! - The environment entry is lost where a process starts with a new environment (`env -i`, sudo), and where a daemon
//!   overwrites its environment with its title (nginx, PostgreSQL).
//! - The soft limit of file locks (`RLIMIT_LOCKS`) is inherited by fork(2) and execve(2). Linux has not enforced it
//!   since 2.4.25, and no common program sets it. A PAM module may set it, and gVisor does not allow changes of it.

use std::{fs, os::fd::AsFd, ptr};

use nix::{libc, sys::stat::fstat};

use super::super::{
    cgroups, proc,
    process_memory::{self, MemoryFile},
    reap::Pid,
};

/// The lowest limit that is a mark: far above any real number of locks.
const LIMIT_BASE: u64 = 1 << 62;

/// The marks that all processes of one run inherit from its main process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunMark {
    /// An environment entry, `NAME=value`.
    pub entry: String,
    /// The soft value of `RLIMIT_LOCKS`.
    pub limit: u64,
}

impl RunMark {
    /// The mark of the run with this number of the supervisor with this random token. `name` is the name of the
    /// environment variable.
    pub fn of_run(name: &str, token: u64, number: u64) -> Self {
        Self { entry: format!("{name}={token:016x}.{number}"), limit: limit(token, 0, number) }
    }

    /// The mark of a health probe. Its processes are not part of the tree of the worker.
    pub fn of_health_probe(name: &str, token: u64, number: u64) -> Self {
        Self { entry: format!("{name}={token:016x}.check{number}"), limit: limit(token, 1, number) }
    }

    pub(super) fn variable(&self) -> &str {
        self.entry.split('=').next().unwrap_or_default()
    }

    /// Whether a limit is a mark of the same supervisor.
    pub(super) fn is_of_same_supervisor(&self, limit: u64) -> bool {
        limit >> 32 == self.limit >> 32
    }

    /// Whether an environment entry is a mark of the same supervisor.
    pub(super) fn is_entry_of_same_supervisor(&self, entry: &str) -> bool {
        let supervisor = |entry: &str| entry.split_once('.').map(|(supervisor, _)| supervisor.to_owned());
        supervisor(entry).is_some_and(|it| supervisor(&self.entry).is_some_and(|own| own == it))
    }
}

/// 30 bits of the token, 1 bit of the kind and 31 bits of the number.
fn limit(token: u64, kind: u64, number: u64) -> u64 {
    LIMIT_BASE | (token >> 34) << 32 | kind << 31 | (number & 0x7fff_ffff)
}

/// Facts about an orphan that show its run.
pub(super) trait Evidence {
    /// The path of its cgroup in the version 2 hierarchy.
    fn group(&self, pid: Pid) -> Option<String>;
    /// The process's soft limit of file locks, if that is a mark.
    fn limit(&self, pid: Pid) -> Option<u64>;
    /// The entry with this name in its environment.
    fn environment_entry(&self, pid: Pid, name: &str) -> Option<String>;
    /// The inodes of the pipes that are its stdout and stderr.
    fn outputs(&self, pid: Pid) -> [Option<u64>; 2];
    /// The process's real user id.
    fn user(&self, pid: Pid) -> Option<u32>;
}

/// Reads the facts from `/proc`.
#[derive(Debug, Clone, Copy)]
pub(super) struct FromProc;

impl Evidence for FromProc {
    fn group(&self, pid: Pid) -> Option<String> {
        cgroups::group_of(pid)
    }

    fn limit(&self, pid: Pid) -> Option<u64> {
        let limit = limit_by_call(pid).or_else(|| limit_by_file(pid))?;
        (LIMIT_BASE..LIMIT_BASE << 1).contains(&limit).then_some(limit)
    }

    fn environment_entry(&self, pid: Pid, name: &str) -> Option<String> {
        let environ = process_memory::read(pid, MemoryFile::Environment)?;
        let has_name =
            |entry: &&[u8]| entry.strip_prefix(name.as_bytes()).is_some_and(|rest| rest.starts_with(b"="));
        let entry = environ.split(|byte| *byte == 0).find(has_name)?;
        String::from_utf8(entry.to_owned()).ok()
    }

    fn outputs(&self, pid: Pid) -> [Option<u64>; 2] {
        [1, 2].map(|fd| {
            let target = fs::read_link(format!("/proc/{pid}/fd/{fd}")).ok()?;
            target.to_str()?.strip_prefix("pipe:[")?.strip_suffix(']')?.parse().ok()
        })
    }

    fn user(&self, pid: Pid) -> Option<u32> {
        proc::status(pid, "Uid")?.split_ascii_whitespace().next()?.parse().ok()
    }
}

/// By prlimit(2). `None` also for a process of another user without CAP_SYS_RESOURCE.
fn limit_by_call(pid: Pid) -> Option<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: no new limit is passed, and `limit` is a valid place for the old one.
    let result = unsafe { libc::prlimit(pid, libc::RLIMIT_LOCKS, ptr::null(), &raw mut limit) };
    (result == 0).then_some(limit.rlim_cur)
}

/// By proc_pid_limits(5), which every process may read.
fn limit_by_file(pid: Pid) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/limits")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("Max file locks"))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

/// The inode of a pipe, as the links in `/proc/PID/fd` name it.
pub fn pipe_inode(pipe: impl AsFd) -> Option<u64> {
    fstat(pipe).ok().map(|stat| stat.st_ino)
}

#[cfg(test)]
mod tests {
    use super::{LIMIT_BASE, RunMark};

    #[test]
    fn marks_differ_between_runs_probes_and_supervisors() {
        let marks = [
            RunMark::of_run("X", u64::MAX, 1),
            RunMark::of_run("X", u64::MAX, 2),
            RunMark::of_health_probe("X", u64::MAX, 1),
            RunMark::of_run("X", 0, 1),
            RunMark::of_run("X", 1 << 34, 1),
        ];
        for (at, mark) in marks.iter().enumerate() {
            assert!((LIMIT_BASE..LIMIT_BASE << 1).contains(&mark.limit), "{mark:?}");
            let others = marks.iter().enumerate().filter(|(other, _)| *other != at);
            for (_, other) in others {
                assert!(mark.limit != other.limit && mark.entry != other.entry, "{mark:?} {other:?}");
            }
        }
        assert_eq!(marks[0].variable(), "X");
    }
}
