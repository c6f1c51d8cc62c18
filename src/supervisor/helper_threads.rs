//! Threads for calls that may never return: looking at files, and waiting for a child to execute its program.
//!
//! A file system that does not answer, or a child that another process has stopped, holds up one of these
//! threads and never the supervisor's. One thread does all jobs, in their order, as long as none takes long.
//! When jobs wait and every thread has been at its job for [`SLOW`], another thread is added, at most
//! [`MAX_THREADS`] in total.
//!
//! The threads live as long as procrun: the parent-death signal of a child fires when the thread that made
//! the child ends (prctl(2)).

use std::{
    collections::{BTreeMap, VecDeque},
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        mpsc::{self, RecvTimeoutError},
    },
    thread,
    time::Duration,
};

use tokio::{sync::oneshot, time::Instant};

use super::actor;
use crate::sys::signals;

/// A job that takes longer may have met something that does not answer.
const SLOW: Duration = Duration::from_millis(100);
/// Maximum number of threads: if this many jobs hang, all further jobs wait.
const MAX_THREADS: usize = 64;
/// How long the supervisor itself waits for threads, where a request cannot go on without their results. All
/// else waits meanwhile.
const WAIT_LIMIT: Duration = Duration::from_secs(1);
/// As much address space for the stack of a thread as the first thread of a process has: what is read there
/// may be nested deeply. Memory is used only as far as the stack is.
const STACK: usize = 8 * 1024 * 1024;

type Job = Box<dyn FnOnce() + Send>;

/// All helper threads. There is none, and they cost nothing, until the first job.
#[derive(Clone, Default)]
pub(super) struct HelperThreads(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    has_job: Condvar,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Job>,
    threads: usize,
    idle: usize,
    /// Since when the threads that have a job have it, by the number of the job.
    busy: BTreeMap<u64, Instant>,
    jobs: u64,
    /// When a thread last took a job.
    last_taken: Option<Instant>,
    /// When a thread was last added.
    last_added: Option<Instant>,
}

impl HelperThreads {
    /// Has a thread do this. Jobs begin in the order in which they come, but do not wait for each other's
    /// end if that takes long.
    ///
    /// # Errors
    /// There is no thread yet and the kernel gives none.
    pub(super) fn submit(&self, job: impl FnOnce() + Send + 'static) -> io::Result<()> {
        let mut state = self.lock();
        if state.threads == 0 {
            self.add_thread(&mut state, actor::now())?;
        }
        state.queue.push_back(Box::new(job));
        drop(state);
        self.0.has_job.notify_one();
        Ok(())
    }

    /// Has a thread do this, and brings the result. An error of the receiver: the work has panicked.
    ///
    /// # Errors
    /// As [`Self::submit`].
    pub(super) fn ask<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> io::Result<oneshot::Receiver<T>> {
        let (sender, receiver) = oneshot::channel();
        self.submit(move || {
            // The receiver may be gone.
            let _ = sender.send(work());
        })?;
        Ok(receiver)
    }

    /// As [`Self::wait_for_all`], for one result.
    pub(super) fn wait_for<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        self.wait_for_all(std::iter::once(work)).pop().flatten()
    }

    /// Has threads do all this, and waits for the results until they are there or [`WAIT_LIMIT`] is over;
    /// `None` in the place of those that are not there then.
    pub(super) fn wait_for_all<T: Send + 'static>(
        &self,
        work: impl Iterator<Item = impl FnOnce() -> T + Send + 'static>,
    ) -> Vec<Option<T>> {
        let (sender, receiver) = mpsc::channel();
        let mut results = Vec::new();
        for (number, work) in work.enumerate() {
            let sender = sender.clone();
            // Without a thread there is no result.
            let _ = self.submit(move || drop(sender.send((number, work()))));
            results.push(None);
        }
        drop(sender);
        let until = actor::now() + WAIT_LIMIT;
        while results.iter().any(Option::is_none) {
            let now = actor::now();
            if now >= until {
                break;
            }
            match receiver.recv_timeout(SLOW.min(until - now)) {
                Ok((number, result)) => results[number] = Some(result),
                Err(RecvTimeoutError::Timeout) => self.grow(actor::now()),
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        results
    }

    /// When [`Self::grow`] is to be called, if jobs wait.
    pub(super) fn next(&self) -> Option<Instant> {
        self.lock().slow_at()
    }

    /// Adds a thread if jobs wait behind others that take long.
    pub(super) fn grow(&self, now: Instant) {
        let mut state = self.lock();
        if state.slow_at().is_some_and(|at| at <= now) {
            // Without another thread the jobs wait for a free one.
            let _ = self.add_thread(&mut state, now);
        }
    }

    /// When a thread last took a job.
    pub(super) fn last_taken(&self) -> Option<Instant> {
        self.lock().last_taken
    }

    fn add_thread(&self, state: &mut State, now: Instant) -> io::Result<()> {
        // Also where that fails, so that it is not tried again at once.
        state.last_added = Some(now);
        let shared = Arc::clone(&self.0);
        let thread = thread::Builder::new().name("helper".into()).stack_size(STACK);
        thread.spawn(move || shared.work())?;
        state.threads += 1;
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock()
    }
}

impl State {
    /// From when on the jobs in the queue wait for a thread that may never have time.
    fn slow_at(&self) -> Option<Instant> {
        // An idle thread that has been woken takes one job, however many have come before it is awake.
        if self.queue.len() <= self.idle || self.threads >= MAX_THREADS {
            return None;
        }
        self.busy.values().copied().chain(self.last_added).max().map(|since| since + SLOW)
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // No job runs under the lock, so nothing is half-done there.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) -> ! {
        // The supervisor's own thread takes the signals.
        signals::block_all();
        loop {
            let (number, job) = self.next_job();
            // The receiver of the result gets an error.
            let _ = catch_unwind(AssertUnwindSafe(job));
            self.lock().busy.remove(&number);
        }
    }

    fn next_job(&self) -> (u64, Job) {
        let mut state = self.lock();
        loop {
            if let Some(job) = state.queue.pop_front() {
                let now = actor::now();
                state.jobs += 1;
                let number = state.jobs;
                state.busy.insert(number, now);
                state.last_taken = Some(now);
                return (number, job);
            }
            state.idle += 1;
            state = self.has_job.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.idle -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In which a job that waits for ever would be noticed.
    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn jobs_go_on_behind_one_that_hangs_and_behind_one_that_panics() {
        let threads = HelperThreads::default();
        let (release, hang) = mpsc::channel::<()>();
        let (done, results) = mpsc::channel();
        let result = |number: u32| {
            let done = done.clone();
            move || done.send(number).expect("the test waits for it")
        };
        threads.submit(|| panic!("on purpose")).unwrap();
        threads.submit(result(1)).unwrap();
        assert_eq!(results.recv_timeout(LONG), Ok(1));

        let (begun, has_begun) = mpsc::channel();
        threads
            .submit(move || {
                begun.send(()).expect("the test waits for it");
                let _ = hang.recv();
            })
            .unwrap();
        has_begun.recv_timeout(LONG).unwrap();
        threads.submit(result(2)).unwrap();
        let at = threads.next().expect("a job waits");
        threads.grow(at - Duration::from_millis(1));
        assert!(results.try_recv().is_err(), "too early for another thread");
        threads.grow(at);
        assert_eq!(results.recv_timeout(LONG), Ok(2));
        assert_eq!(threads.next(), None, "nothing waits, so there is no timer");
        drop(release);
    }

    #[test]
    fn more_jobs_than_idle_threads_wait_for_another_thread() {
        let now = actor::now();
        let mut state = State { threads: 1, idle: 1, last_added: Some(now), ..State::default() };
        assert_eq!(state.slow_at(), None, "nothing waits");
        state.queue.push_back(Box::new(|| ()));
        assert_eq!(state.slow_at(), None, "the idle thread has been woken for it");
        state.queue.push_back(Box::new(|| ()));
        assert_eq!(state.slow_at(), Some(now + SLOW), "the first job may take long");
        state.threads = MAX_THREADS;
        assert_eq!(state.slow_at(), None, "there are no more threads");
    }

    #[test]
    fn what_does_not_answer_has_no_result_and_costs_no_other_one() {
        let threads = HelperThreads::default();
        let (release, hang) = mpsc::channel::<()>();
        let hang = Arc::new(Mutex::new(hang));
        let work = (0..4).map(|number| {
            let hang = Arc::clone(&hang);
            move || {
                if number == 1 {
                    let _ = hang.lock().unwrap().recv();
                }
                number
            }
        });
        assert_eq!(threads.wait_for_all(work), [Some(0), None, Some(2), Some(3)]);
        drop(release);
    }
}
