//! Settings of this process, and signals to other processes.

use std::{fs, io, ops::Range, path::Path, ptr};

use nix::{
    libc,
    sys::resource::{Resource, getrlimit, setrlimit},
};

use super::{proc, reap::Pid};

/// Whether this process is the init process of its PID namespace.
pub fn is_pid1() -> bool {
    std::process::id() == 1
}

/// The effective user id of procrun.
pub fn user() -> u32 {
    nix::unistd::geteuid().as_raw()
}

/// Makes this process adopt orphaned descendants (`PR_SET_CHILD_SUBREAPER`, Linux 3.4). PID 1 adopts them anyway.
///
/// # Errors
///
/// The error of prctl(2).
pub fn become_subreaper() -> io::Result<()> {
    nix::sys::prctl::set_child_subreaper(true).map_err(io::Error::from)
}

/// Sets close-on-exec for all descriptors except the three standard ones: workers must not inherit descriptors that
/// the caller of procrun left open.
pub fn set_close_on_exec() {
    let last = libc::c_uint::MAX;
    // SAFETY: changes a flag of descriptors, closes none.
    let done = unsafe { libc::syscall(libc::SYS_close_range, 3, last, libc::CLOSE_RANGE_CLOEXEC) } == 0;
    if done {
        return;
    }
    // Linux before 5.11 (`CLOSE_RANGE_CLOEXEC`), or a seccomp filter that denies close_range(2).
    let Ok(open) = fs::read_dir("/proc/self/fd") else { return };
    for entry in open.flatten() {
        if let Some(fd) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok())
            && fd > 2
        {
            // SAFETY: changes a flag of a descriptor; fails harmlessly when it is gone.
            unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) };
        }
    }
}

/// The limits of open files (`RLIMIT_NOFILE`) before [`raise_open_files`]. Workers get these.
#[derive(Debug, Clone, Copy)]
pub struct OpenFiles {
    pub(super) soft: u64,
    pub(super) hard: u64,
}

impl OpenFiles {
    /// The hard limit: the number of files that procrun may open.
    pub fn hard(self) -> u64 {
        self.hard
    }

    /// Sets these limits for this process again.
    pub fn restore(self) {
        // Lowering a limit never fails.
        let _ = setrlimit(Resource::RLIMIT_NOFILE, self.soft, self.hard);
    }
}

/// Raises the soft limit of open files to the hard limit, because each worker needs four descriptors in procrun.
/// Returns the earlier limits. A failure is not an error: fewer workers can run.
pub fn raise_open_files() -> OpenFiles {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap_or((1024, 1024));
    if soft < hard {
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    }
    OpenFiles { soft, hard }
}

/// Sends a signal (1 to 64) to one process (kill(2)).
///
/// # Errors
///
/// `ESRCH` if the process has ended, `EPERM` if it belongs to another user.
pub fn signal(pid: Pid, number: i32) -> io::Result<()> {
    send(pid, number)
}

/// Sends a signal (1 to 64) to all processes of a process group.
///
/// # Errors
///
/// `ESRCH` if the group is empty.
pub fn signal_group(group: Pid, number: i32) -> io::Result<()> {
    send(-group, number)
}

/// Sends SIGKILL to a process that has not been reaped, and to its process group. A child leads its own group only
/// after setsid(2).
pub fn kill_with_group(pid: Pid) {
    // Either may have ended already.
    let _ = signal(pid, libc::SIGKILL);
    let _ = signal_group(pid, libc::SIGKILL);
}

fn send(target: Pid, number: i32) -> io::Result<()> {
    assert!(target != 0 && target != -1, "0 and -1 mean procrun's own group and every process");
    // SAFETY: kill takes two integers and touches no memory.
    if unsafe { libc::kill(target, number) } == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Returns memory that only the start needed to the kernel: free heap, and mapped pages of code and constants. The
/// page cache keeps the latter, and they are mapped again on demand.
pub fn trim_memory() {
    // SAFETY: malloc_trim only releases free memory of the allocator.
    unsafe { libc::malloc_trim(0) };
    for range in code_and_constants(&proc::text(Path::new("/proc/self/maps")).unwrap_or_default()) {
        // SAFETY: these pages are mapped from procrun's own file and can never have been written
        // to, so dropping them loses nothing: the next access maps them again.
        unsafe {
            libc::madvise(ptr::with_exposed_provenance_mut(range.start), range.len(), libc::MADV_DONTNEED)
        };
    }
}

/// Address ranges of the executable that were never written to: its code, and read-only mappings before the code. The
/// read-only mapping after the code was written to by relocation. Empty if the mappings do not belong to one file, as
/// in a packed executable.
fn code_and_constants(maps: &str) -> Vec<Range<usize>> {
    let mut ranges = Vec::new();
    let mut file = None;
    for line in maps.lines() {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let [range, mode, _offset, device, inode, ..] = fields[..] else { break };
        if inode == "0" && ranges.is_empty() {
            // The heap may be in front of the executable.
            continue;
        }
        if inode == "0" || *file.get_or_insert((device, inode)) != (device, inode) {
            break;
        }
        let Some((start, end)) = range.split_once('-') else { break };
        let (Ok(start), Ok(end)) = (usize::from_str_radix(start, 16), usize::from_str_radix(end, 16)) else {
            break;
        };
        match mode {
            "r--p" => ranges.push(start..end),
            "r-xp" => {
                ranges.push(start..end);
                return ranges;
            }
            _ => break,
        }
    }
    Vec::new()
}

/// Limits glibc to two malloc arenas: one for the main thread and one for all other threads. Each arena costs memory,
/// but threads that share one wait for each other.
pub fn limit_allocator_arenas() {
    // SAFETY: mallopt changes a parameter of the allocator; called before any thread starts.
    unsafe { libc::mallopt(libc::M_ARENA_MAX, 2) };
}

#[cfg(test)]
mod tests {
    use super::code_and_constants;

    #[test]
    fn only_unwritten_pages_are_released() {
        let maps = "00200000-00278000 r--p 00000000 fd:00 1 /usr/bin/procrun\n\
            00278000-003fd000 r-xp 00077000 fd:00 1 /usr/bin/procrun\n\
            003fd000-00401000 r--p 001fb000 fd:00 1 /usr/bin/procrun\n\
            00401000-00405000 rw-p 001fe000 fd:00 1 /usr/bin/procrun\n";
        assert_eq!(code_and_constants(maps), [0x20_0000..0x27_8000, 0x27_8000..0x3f_d000]);
        assert_eq!(code_and_constants("00200000-00278000 rw-p 0 fd:00 1 x\n"), []);
        assert_eq!(code_and_constants("00200000-00278000 r-xp 0 00:00 0\n"), []);
        assert_eq!(code_and_constants("00200000-00278000 r--p 0 fd:00 1 x\n1-2 r-xp 0 fd:00 2 y\n"), []);
        assert_eq!(code_and_constants("garbage\n"), []);
        assert_eq!(code_and_constants(""), []);
    }
}
