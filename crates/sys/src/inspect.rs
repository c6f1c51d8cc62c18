//! Facts about single processes from `/proc`: their program, arguments, ignored signals and stdin.
//!
//! Each answer is true for one moment. A process that has ended gives an empty answer.

use std::{
    fs,
    path::{Path, PathBuf},
};

use nix::libc;

use super::{
    proc, proc_stat,
    process_memory::{self, MemoryFile},
    reap::Pid,
};

/// The file name of the program of a process. If procrun may not read that (a process of another user), the file name
/// in its `argv[0]`.
pub fn program(pid: Pid) -> Option<String> {
    let name = |path: &Path| path.file_name()?.to_str().map(str::to_owned);
    if let Ok(path) = fs::read_link(format!("/proc/{pid}/exe")) {
        // The kernel's suffix for a file that was removed or replaced (proc_pid_exe(5)).
        return name(&path).map(|name| name.trim_end_matches(" (deleted)").to_owned());
    }
    let called = arguments(pid).into_iter().next()?;
    name(Path::new(called.split_ascii_whitespace().next()?))
}

/// The arguments of a process, `argv[0]` first. Empty if they cannot be read.
pub fn arguments(pid: Pid) -> Vec<String> {
    let Some(text) = process_memory::read(pid, MemoryFile::CommandLine) else { return Vec::new() };
    let text = text.strip_suffix(&[0]).unwrap_or(&text);
    text.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into_owned()).collect()
}

/// Whether a process has executed a program since its creation. Also true if that is unknown.
pub fn has_executed(pid: Pid) -> bool {
    proc_stat::of(pid).is_none_or(|stat| stat.has_executed)
}

/// The set of signals that a process ignores (`SigIgn` of proc_pid_status(5)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct IgnoredSignals(u64);

impl IgnoredSignals {
    /// The current set of a process.
    pub fn of(pid: Pid) -> Self {
        let digits = proc::status(pid, "SigIgn");
        Self(digits.and_then(|digits| u64::from_str_radix(&digits, 16).ok()).unwrap_or(0))
    }

    /// Whether a signal (1 to 64) is ignored.
    pub fn has(self, number: i32) -> bool {
        (1..=64).contains(&number) && self.0 >> (number - 1) & 1 == 1
    }
}

/// The file that is the stdin of a process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StdinFile {
    file: PathBuf,
    /// The file was opened with `O_RDONLY`.
    is_read_only: bool,
}

impl StdinFile {
    /// The current stdin of a process. `None` also if procrun may not read it.
    pub fn of(pid: Pid) -> Option<Self> {
        let file = fs::read_link(format!("/proc/{pid}/fd/0")).ok()?;
        let info = fs::read_to_string(format!("/proc/{pid}/fdinfo/0")).ok()?;
        let flags = info.lines().find_map(|line| line.strip_prefix("flags:"))?;
        let flags = i32::from_str_radix(flags.trim(), 8).ok()?;
        Some(Self { file, is_read_only: flags & libc::O_ACCMODE == libc::O_RDONLY })
    }

    /// Whether a shell has started the process in the background with `/dev/null` as stdin. The stdin that procrun
    /// gives its workers is also open for writing.
    pub fn is_of_background_job(&self) -> bool {
        self.is_read_only && self.file == Path::new("/dev/null")
    }
}

#[cfg(test)]
mod tests {
    use nix::libc;

    use super::{IgnoredSignals, StdinFile, arguments, program};

    #[test]
    fn the_facts_of_this_process_are_found() {
        let me = i32::try_from(std::process::id()).unwrap();
        let called = std::env::current_exe().unwrap();
        assert_eq!(program(me).as_deref(), called.file_name().unwrap().to_str());
        assert_eq!(arguments(me), std::env::args().collect::<Vec<_>>());
        // Rust's runtime ignores SIGPIPE before `main`.
        assert!(IgnoredSignals::of(me).has(libc::SIGPIPE));
        assert!(!IgnoredSignals::of(me).has(libc::SIGTERM));
        assert!(StdinFile::of(me).is_some());
    }

    #[test]
    fn an_ended_process_has_no_facts() {
        let ended = i32::MAX;
        assert_eq!((program(ended), arguments(ended)), (None, vec![]));
        assert_eq!(IgnoredSignals::of(ended), IgnoredSignals::default());
        assert_eq!(StdinFile::of(ended), None);
    }

    #[test]
    fn a_number_that_is_no_signal_is_not_ignored() {
        let all = IgnoredSignals(u64::MAX);
        assert!(all.has(1) && all.has(64) && !all.has(0) && !all.has(65) && !all.has(-1));
    }
}
