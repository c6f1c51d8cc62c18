//! Long-lived helper threads. A thread that panics, or returns before its work is over, is started again; the return
//! is reported as a panic.
//!
//! A thread that panics often waits before each restart, and counts as failing until it has run for a while:
//! `healthcheck` reads [`failing`]. A seccomp filter can kill a single thread at a system call
//! (`SECCOMP_RET_KILL_THREAD`), and the kernel sends no notice of that. So [`failing`] also checks that each thread
//! exists, which costs the threads nothing.

use std::{
    io,
    marker::PhantomData,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use nix::{
    libc,
    unistd::{getpid, gettid},
};

use super::reap::Pid;

/// A panic within this time after the last one continues the series.
const SERIES_GAP: Duration = Duration::from_secs(10);
/// From this number of panics in a series the thread counts as failing and waits before each restart.
const FAILING_PANICS: u32 = 3;
/// The wait before a restart.
const RESTART_DELAY: Duration = Duration::from_secs(1);

/// The series of panics of a thread.
#[derive(Debug)]
struct Record {
    name: &'static str,
    last: Instant,
    in_a_row: u32,
}

static RECORDS: Mutex<Vec<Record>> = Mutex::new(Vec::new());

/// Starts a thread that calls `body` again until its work is over, also when `body` panics or returns earlier.
///
/// # Errors
///
/// The error of pthread_create(3): EAGAIN.
pub fn spawn(
    name: &'static str,
    stack: Option<usize>,
    is_over: impl Fn() -> bool + Send + 'static,
    body: impl FnMut() + Send + 'static,
) -> io::Result<()> {
    let mut builder = thread::Builder::new().name(name.to_owned());
    if let Some(size) = stack {
        builder = builder.stack_size(size);
    }
    builder.spawn(move || keep_running(name, RESTART_DELAY, is_over, body)).map(drop)
}

#[expect(clippy::disallowed_methods, reason = "a delay between two panics")]
fn rest_for(rest: Duration) {
    thread::sleep(rest);
}

/// Calls `body` until its work is over. `body` must cope with the state that its panic leaves.
fn keep_running(name: &'static str, rest: Duration, is_over: impl Fn() -> bool, mut body: impl FnMut()) {
    let _running = Running::new(name);
    let mut run = || {
        body();
        assert!(is_over(), "the thread has ended before its work was over");
    };
    while catch_unwind(AssertUnwindSafe(&mut run)).is_err() {
        if has_panicked(name, now()) >= FAILING_PANICS {
            rest_for(rest);
        }
    }
}

/// Records a panic and returns the number of panics in the series.
fn has_panicked(name: &'static str, now: Instant) -> u32 {
    let mut records = records();
    let Some(record) = records.iter_mut().find(|record| record.name == name) else {
        records.push(Record { name, last: now, in_a_row: 1 });
        return 1;
    };
    record.in_a_row = if record.is_recent(now) { record.in_a_row.saturating_add(1) } else { 1 };
    record.last = now;
    record.in_a_row
}

/// The threads that panic repeatedly or were killed, each with the predicate of a sentence about `the thread NAME`.
pub fn failing() -> Vec<(&'static str, &'static str)> {
    let panicking = failing_at(now()).into_iter().map(|name| (name, "panics repeatedly"));
    let mut killed: Vec<&str> =
        running().iter().filter(|(_, thread)| !exists(*thread)).map(|(name, _)| *name).collect();
    killed.dedup();
    panicking
        .chain(killed.into_iter().map(|name| (name, "was killed, for instance by a seccomp filter")))
        .collect()
}

fn failing_at(now: Instant) -> Vec<&'static str> {
    let is_failing = |record: &&Record| record.in_a_row >= FAILING_PANICS && record.is_recent(now);
    records().iter().filter(is_failing).map(|record| record.name).collect()
}

/// Registers the calling thread for [`failing`] until this is dropped. Must not move to another thread.
#[derive(Debug)]
pub struct Running(Pid, PhantomData<*const ()>);

impl Running {
    /// Registers the calling thread.
    pub fn new(name: &'static str) -> Self {
        let thread = gettid().as_raw();
        running().push((name, thread));
        Self(thread, PhantomData)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        running().retain(|(_, thread)| *thread != self.0);
    }
}

/// The names of the registered threads, with their thread ids.
fn running() -> MutexGuard<'static, Vec<(&'static str, Pid)>> {
    static RUNNING: Mutex<Vec<(&'static str, Pid)>> = Mutex::new(Vec::new());
    RUNNING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether this process has a thread with this id.
fn exists(thread: Pid) -> bool {
    // SAFETY: takes integers, and sends nothing.
    unsafe { libc::syscall(libc::SYS_tgkill, getpid().as_raw(), thread, 0) == 0 }
}

impl Record {
    fn is_recent(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.last) < SERIES_GAP
    }
}

fn records() -> MutexGuard<'static, Vec<Record>> {
    // No code under the lock leaves a record incomplete.
    RECORDS.lock().unwrap_or_else(PoisonError::into_inner)
}

#[expect(clippy::disallowed_methods, reason = "the time is not a decision of the machine")]
fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn a_thread_that_panics_is_started_again_and_counts_as_failing_for_a_while() {
        let mut turns = 0;
        keep_running(
            "of-a-test",
            Duration::ZERO,
            || true,
            || {
                turns += 1;
                assert!(turns > 4, "turn {turns} fails");
            },
        );
        assert_eq!(turns, 5);
        let now = now();
        assert!(failing_at(now).contains(&"of-a-test"));
        assert!(!failing_at(now + SERIES_GAP).contains(&"of-a-test"));
        // After a while the next panic begins a new series.
        assert_eq!(has_panicked("of-a-test", now + SERIES_GAP), 1);
        assert!(!failing_at(now + SERIES_GAP).contains(&"of-a-test"));
    }

    #[test]
    fn a_thread_that_is_gone_without_a_return_counts_as_failing() {
        let is_failing = |name| failing().iter().any(|(failing, _)| *failing == name);
        let killed = thread::spawn(|| {
            drop(Running::new("that-ends"));
            // As if the kernel had killed the thread.
            std::mem::forget(Running::new("that-is-killed"));
            assert!(!failing().iter().any(|(name, _)| *name == "that-is-killed"), "it still runs");
            gettid().as_raw()
        });
        let killed = killed.join().unwrap();
        // The kernel removes the thread some time after pthread_join(3) returns.
        while exists(killed) {
            thread::yield_now();
        }
        assert!(is_failing("that-is-killed") && !is_failing("that-ends"));
        running().retain(|(_, running)| *running != killed);
    }

    #[test]
    fn a_thread_that_returns_before_its_work_is_over_is_started_again_and_counts_as_failing() {
        let turns = Cell::new(0);
        let body = || turns.set(turns.get() + 1);
        keep_running("that-returns", Duration::ZERO, || turns.get() == 5, body);
        assert_eq!(turns.get(), 5);
        assert!(failing().contains(&("that-returns", "panics repeatedly")));
    }
}
