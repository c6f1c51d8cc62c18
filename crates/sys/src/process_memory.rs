//! Reads the files in `/proc/PID` that need the memory of the process: its command line, its environment, and the sum
//! over its memory map.
//!
//! The kernel takes the lock of the process's memory map for these reads, and a process can block the reader for any
//! time. For example, one thread reads memory that FUSE provides through `/proc/PID/mem`, which holds the lock, while
//! another thread waits for the write lock. So each file is read on a helper thread, and all callers together wait
//! for a bounded time.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::Read as _,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
        mpsc::sync_channel,
    },
    thread,
    time::{Duration, Instant},
};

use super::reap::Pid;

/// A file of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemoryFile {
    /// `/proc/PID/cmdline`: arguments, each with a NUL byte at its end.
    CommandLine,
    /// `/proc/PID/environ`: entries, each with a NUL byte at its end.
    Environment,
}

/// The first MiB of a file. `None`: the process has ended, the file may not be read, or the process blocks the
/// reader.
pub fn read(pid: Pid, file: MemoryFile) -> Option<Vec<u8>> {
    READERS.run(move || {
        let name = match file {
            MemoryFile::CommandLine => "cmdline",
            MemoryFile::Environment => "environ",
        };
        let mut text = Vec::new();
        File::open(format!("/proc/{pid}/{name}")).ok()?.take(MAX_TEXT).read_to_end(&mut text).ok()?;
        Some(text)
    })
}

/// The proportional set size (PSS) of these processes in bytes, in their order: each shared page is divided by the
/// number of processes that map it. `None`: the process has ended, blocks the reader, or procrun lacks CAP_SYS_PTRACE
/// for it.
pub fn pss(pids: &[Pid]) -> Vec<Option<u64>> {
    /// Processes with a pending read of their memory map. Another reader would wait for the same lock.
    static PENDING_PSS: Mutex<BTreeSet<Pid>> = Mutex::new(BTreeSet::new());
    let results = Arc::new(Mutex::new(vec![None; pids.len()]));
    let (shared_results, pids) = (Arc::clone(&results), pids.to_owned());
    let _ = PSS_READERS.run(move || {
        for (at, pid) in pids.into_iter().enumerate() {
            if lock(&PENDING_PSS).insert(pid) {
                let sum = read_pss(pid);
                lock(&PENDING_PSS).remove(&pid);
                lock(&shared_results)[at] = sum;
            }
        }
        Some(())
    });
    let results = lock(&results);
    results.clone()
}

fn read_pss(pid: Pid) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

static READERS: Readers = Readers::new();
/// Separate from [`READERS`]: a wait for PSS must not delay the facts that select the target of a signal.
static PSS_READERS: Readers = Readers::new();

/// The maximum number of bytes of a file.
const MAX_TEXT: u64 = 1 << 20;
/// The maximum number of threads that wait at the same time. If all of them wait, nothing is read.
const MAX_READERS: usize = 8;
/// The stack size in bytes of a thread that reads one file.
const STACK_SIZE: usize = 64 << 10;
/// The time that callers may wait in a row.
const MAX_WAIT: Duration = Duration::from_millis(500);
/// The time that callers have waited is allowed again after this multiple of it.
const REFILL_FACTOR: u32 = 10;

struct Readers {
    count: AtomicUsize,
    allowance: Mutex<Option<Allowance>>,
}

impl Readers {
    const fn new() -> Self {
        Self { count: AtomicUsize::new(0), allowance: Mutex::new(None) }
    }

    fn run<T: Send + 'static>(&'static self, read: impl FnOnce() -> Option<T> + Send + 'static) -> Option<T> {
        // One caller at a time: several would wait for the same time.
        let mut allowance = lock(&self.allowance);
        let begin = now();
        let allowance = allowance.get_or_insert_with(|| Allowance { left: MAX_WAIT, at: begin });
        let limit = allowance.at(begin);
        if limit.is_zero() || self.count.load(Ordering::Acquire) >= MAX_READERS {
            return None;
        }
        let (send, receive) = sync_channel(1);
        self.count.fetch_add(1, Ordering::AcqRel);
        let reader = thread::Builder::new().name("proc".into()).stack_size(STACK_SIZE).spawn(move || {
            let text = read();
            self.count.fetch_sub(1, Ordering::AcqRel);
            // The caller may have stopped waiting.
            let _ = send.send(text);
        });
        if reader.is_err() {
            self.count.fetch_sub(1, Ordering::AcqRel);
            return None;
        }
        let text = receive.recv_timeout(limit).ok().flatten();
        allowance.spend(now());
        text
    }
}

/// The time that callers may still wait. A process that responds late can delay the supervisor for at most a tenth of
/// the time.
#[derive(Debug, Clone, Copy)]
struct Allowance {
    left: Duration,
    at: Instant,
}

impl Allowance {
    /// The allowance at this time.
    fn at(&mut self, now: Instant) -> Duration {
        let since = now.saturating_duration_since(self.at);
        self.left = MAX_WAIT.min(self.left.saturating_add(since / REFILL_FACTOR));
        self.at = now;
        self.left
    }

    /// Subtracts the time from the last call of [`Self::at`] until now.
    fn spend(&mut self, now: Instant) {
        self.left = self.left.saturating_sub(now.saturating_duration_since(self.at));
        self.at = now;
    }
}

#[expect(clippy::disallowed_methods, reason = "it bounds a wait in the kernel and no decision depends on it")]
fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{atomic::Ordering, mpsc::channel},
        time::Duration,
    };

    use super::{Allowance, MAX_READERS, MAX_WAIT, MemoryFile, Readers, now, pss, read};

    #[test]
    fn the_files_of_this_process_are_read() {
        let me = i32::try_from(std::process::id()).unwrap();
        let line: Vec<u8> = std::env::args().flat_map(|word| [word.as_bytes(), &[0]].concat()).collect();
        assert_eq!(read(me, MemoryFile::CommandLine), Some(line));
        assert!(read(me, MemoryFile::Environment).is_some_and(|text| text.contains(&b'=')));
        assert_eq!(read(i32::MAX, MemoryFile::CommandLine), None);
        assert!(matches!(pss(&[me, i32::MAX])[..], [Some(1..), None]));
    }

    #[test]
    fn blocked_readers_are_left_and_bounded() {
        static READERS: Readers = Readers::new();
        let refill = || *READERS.allowance.lock().unwrap() = None;
        let (mut releases, mut threads) = (Vec::new(), 0);
        for _ in 0..2 * MAX_READERS {
            let (release, wait) = channel::<()>();
            releases.push(release);
            // A caller does not wait the full time for each process.
            *READERS.allowance.lock().unwrap() =
                Some(Allowance { left: Duration::from_millis(1), at: now() });
            let waits = move || wait.recv().ok().and(None);
            assert_eq!(READERS.run::<Vec<u8>>(waits), None);
            threads = threads.max(READERS.count.load(Ordering::Acquire));
        }
        assert_eq!(threads, MAX_READERS);
        refill();
        assert_eq!(READERS.run(|| Some(Vec::<u8>::new())), None, "all of them wait");
        drop(releases);
        while READERS.count.load(Ordering::Acquire) > 0 {
            std::thread::yield_now();
        }
        refill();
        assert_eq!(READERS.run(|| Some(b"text".to_vec())), Some(b"text".to_vec()));
    }

    #[test]
    fn callers_wait_for_a_tenth_of_the_time_at_most() {
        let begin = now();
        let mut allowance = Allowance { left: MAX_WAIT, at: begin };
        assert_eq!(allowance.at(begin), MAX_WAIT);
        allowance.spend(begin + MAX_WAIT * 2);
        assert_eq!(allowance.at(begin + MAX_WAIT * 2), Duration::ZERO);
        assert_eq!(allowance.at(begin + MAX_WAIT * 3), MAX_WAIT / 10);
        assert_eq!(allowance.at(begin + MAX_WAIT * 100), MAX_WAIT);
    }
}
