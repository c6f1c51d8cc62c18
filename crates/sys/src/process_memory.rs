//! The files of `/proc` that need the memory of the process: its command line and its environment, which are in
//! there, and the sum over its memory map.
//!
//! The kernel takes the lock of the process's memory map for that, and a process can make a reader of it wait
//! for any time: one thread reads memory that FUSE provides through `/proc/PID/mem`, which holds the lock, and
//! another one waits for it to write. So each file is read on a thread of its own, and the caller waits for
//! a bounded time, in all of them together.

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

/// Which file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemoryFile {
    /// `/proc/PID/cmdline`, words that end with NUL.
    CommandLine,
    /// `/proc/PID/environ`, entries that end with NUL.
    Environment,
}

/// The text of a file. `None`: the process is gone, may not be read, or makes the reader wait.
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

/// The memory of processes in bytes, of which each is charged its share only (PSS), in their order. `None`: the
/// process is gone, makes the reader wait, or its numbers are for another user's eyes (CAP_SYS_PTRACE).
pub fn pss(pids: &[Pid]) -> Vec<Option<u64>> {
    /// Processes at whose memory map a reader is. Another one would wait for the same lock.
    static BUSY: Mutex<BTreeSet<Pid>> = Mutex::new(BTreeSet::new());
    let results = Arc::new(Mutex::new(vec![None; pids.len()]));
    let (theirs, pids) = (Arc::clone(&results), pids.to_owned());
    let _ = SUMS.run(move || {
        for (at, pid) in pids.into_iter().enumerate() {
            if lock(&BUSY).insert(pid) {
                let sum = read_pss(pid);
                lock(&BUSY).remove(&pid);
                lock(&theirs)[at] = sum;
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
/// Apart from [`READERS`]: the size of a process matters less than which process a signal is meant for.
static SUMS: Readers = Readers::new();

/// Bytes of a file that are read.
const MAX_TEXT: u64 = 1 << 20;
/// Threads that wait at the same time; when all of them do, nothing is read.
const MAX_READERS: usize = 8;
/// A thread that opens and reads one file.
const STACK: usize = 64 << 10;
/// Callers may wait this long in a row.
const MAX_WAIT: Duration = Duration::from_millis(500);
/// What they have waited comes back in this many times the time.
const REFILL: u32 = 10;

struct Readers {
    count: AtomicUsize,
    allowance: Mutex<Option<Allowance>>,
}

impl Readers {
    const fn new() -> Self {
        Self { count: AtomicUsize::new(0), allowance: Mutex::new(None) }
    }

    fn run<T: Send + 'static>(&'static self, read: impl FnOnce() -> Option<T> + Send + 'static) -> Option<T> {
        // One caller at a time: the others would wait for the same time twice.
        let mut allowance = lock(&self.allowance);
        let begin = now();
        let allowance = allowance.get_or_insert_with(|| Allowance { left: MAX_WAIT, at: begin });
        let limit = allowance.at(begin);
        if limit.is_zero() || self.count.load(Ordering::Acquire) >= MAX_READERS {
            return None;
        }
        let (send, receive) = sync_channel(1);
        self.count.fetch_add(1, Ordering::AcqRel);
        let reader = thread::Builder::new().name("proc".into()).stack_size(STACK).spawn(move || {
            let text = read();
            self.count.fetch_sub(1, Ordering::AcqRel);
            // The caller may have gone on without it.
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

/// How long callers may still wait. A process that answers late can hold up its supervisor for a tenth of the
/// time, not longer.
#[derive(Debug, Clone, Copy)]
struct Allowance {
    left: Duration,
    at: Instant,
}

impl Allowance {
    /// What is left at this time.
    fn at(&mut self, now: Instant) -> Duration {
        let since = now.saturating_duration_since(self.at);
        self.left = MAX_WAIT.min(self.left.saturating_add(since / REFILL));
        self.at = now;
        self.left
    }

    /// A caller has waited from the last call of [`Self::at`] until now.
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
    fn readers_that_wait_are_left_behind_and_bounded() {
        static READERS: Readers = Readers::new();
        let refill = || *READERS.allowance.lock().unwrap() = None;
        let (mut releases, mut threads) = (Vec::new(), 0);
        for _ in 0..2 * MAX_READERS {
            let (release, wait) = channel::<()>();
            releases.push(release);
            // Not a whole wait for each of them.
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
