//! Threads for calls that may never return: reading files, and waiting for a child to execute its program.
//!
//! A file system that does not answer, or a child that another process has stopped, holds up one of these
//! threads and never the supervisor's. One thread does all jobs, in their order, as long as none takes long.
//! When jobs wait and every thread has been at its job for too long, or no job of their purpose has begun for that
//! time ([`JobQueues::slow_at`]), as many threads are added as there are.
//!
//! The threads live as long as procrun: the parent-death signal of a child fires when the thread that made
//! the child ends (prctl(2)).

use std::{
    hint, io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{
            AtomicBool,
            Ordering::{Relaxed, SeqCst},
        },
    },
    thread,
    time::Duration,
};

use nix::libc;
use tokio::{
    sync::oneshot,
    time::{Instant, sleep_until},
};

use super::{
    clock,
    job_queues::{Job, JobNumber, JobQueues, Purpose, QueueFull},
};
use crate::sys::{cpus, signals, threads::Running};

/// How long a thread waits actively for an expected job.
const ACTIVE_WAIT: Duration = Duration::from_micros(200);
/// How often the end of procrun checks whether jobs are done.
const FINISH_POLL: Duration = Duration::from_millis(2);
/// As much address space for the stack of a thread as the first thread of a process has: what is read there
/// may be nested deeply. Memory is used only as far as the stack is.
const STACK: usize = 8 * 1024 * 1024;

/// All helper threads. There is none, and they cost nothing, until the first job.
#[derive(Clone, Default)]
pub(super) struct HelperThreads(Arc<Shared>);

/// The error for work that has panicked.
pub(super) fn panicked() -> io::Error {
    io::Error::other("a thread of procrun has panicked")
}

impl std::fmt::Debug for HelperThreads {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("HelperThreads")
    }
}

#[derive(Default)]
struct Shared {
    jobs: Mutex<JobQueues>,
    has_job: Condvar,
    /// A thread waits actively for the next job, or has been woken to do so. Set and cleared under the lock of `jobs`.
    is_expected: AtomicBool,
    /// There are several CPUs, so a thread that waits actively takes none from the supervisor.
    may_wait_actively: AtomicBool,
}

impl HelperThreads {
    /// Has a thread do a job. Jobs of a purpose begin in the order of their submission, but do not wait for each
    /// other's end if that takes long.
    ///
    /// # Errors
    /// There is no thread yet and the kernel gives none, or too many jobs wait.
    pub(super) fn submit(&self, job: Job) -> io::Result<()> {
        let mut jobs = self.lock();
        if jobs.threads() == 0 {
            self.add_thread(&mut jobs, clock::now())?;
        }
        jobs.push(job).map_err(|QueueFull| io::Error::from_raw_os_error(libc::EAGAIN))?;
        let is_awaited = self.0.is_expected.swap(false, SeqCst);
        drop(jobs);
        if !is_awaited {
            self.0.has_job.notify_one();
        }
        Ok(())
    }

    /// Wakes an idle thread for a job that will probably follow within [`ACTIVE_WAIT`]. The job then begins earlier
    /// than if it woke the thread itself.
    pub(super) fn expect(&self) {
        if !self.0.may_wait_actively.load(Relaxed) {
            return;
        }
        let jobs = self.lock();
        if jobs.has_idle_thread() && !self.0.is_expected.swap(true, SeqCst) {
            drop(jobs);
            self.0.has_job.notify_one();
        }
    }

    /// Has a thread do this. The receiver gets the result, or an error if the work has panicked.
    ///
    /// # Errors
    /// As [`Self::submit`].
    pub(super) fn request<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> io::Result<oneshot::Receiver<T>> {
        self.request_for(Purpose::Request, work)
    }

    /// The same for another purpose.
    ///
    /// # Errors
    /// As [`Self::submit`].
    pub(super) fn request_for<T: Send + 'static>(
        &self,
        purpose: Purpose,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> io::Result<oneshot::Receiver<T>> {
        let (sender, receiver) = oneshot::channel();
        self.submit(Job::new(purpose, move || {
            // The receiver may be gone.
            let _ = sender.send(work());
        }))?;
        Ok(receiver)
    }

    /// Waits for a result, and adds threads meanwhile if that is necessary. `None`: there is no result in time, or
    /// never will be. Cancel-safe.
    pub(super) async fn receive<T>(&self, result: &mut oneshot::Receiver<T>, until: Instant) -> Option<T> {
        loop {
            let wake = self.next().map_or(until, |next| next.min(until));
            tokio::select! {
                biased;
                result = &mut *result => return result.ok(),
                () = sleep_until(wake) => {}
            }
            let now = clock::now();
            if now >= until {
                return None;
            }
            self.grow(now);
        }
    }

    /// Waits until all jobs of this purpose have been done, up to a time limit.
    pub(super) async fn finish(&self, purpose: Purpose, until: Instant) {
        loop {
            let now = clock::now();
            if self.lock().has_none(purpose) || now >= until {
                return;
            }
            self.grow(now);
            sleep_until(until.min(now + FINISH_POLL)).await;
        }
    }

    /// When [`Self::grow`] is to be called, if jobs wait.
    pub(super) fn next(&self) -> Option<Instant> {
        self.lock().slow_at()
    }

    /// Adds threads if jobs wait behind others that take long.
    pub(super) fn grow(&self, now: Instant) {
        let mut jobs = self.lock();
        if jobs.slow_at().is_some_and(|at| at <= now) {
            for _ in 0..jobs.missing(jobs.threads()) {
                // Without another thread the jobs wait for a free one.
                if self.add_thread(&mut jobs, now).is_err() {
                    break;
                }
            }
        }
    }

    /// Adds a thread at once if jobs wait behind others, for one that must not wait.
    pub(super) fn grow_at_once(&self) {
        let mut jobs = self.lock();
        if jobs.missing(1) > 0 {
            // Without another thread the job waits for a free one.
            let _ = self.add_thread(&mut jobs, clock::now());
        }
    }

    /// When a thread last took a job that one of this application waits behind, if it waits.
    pub(super) fn last_taken(&self, purpose: Purpose, app: &str) -> Option<Instant> {
        self.lock().last_taken(purpose, app)
    }

    fn add_thread(&self, jobs: &mut JobQueues, now: Instant) -> io::Result<()> {
        jobs.thread_requested(now);
        let shared = Arc::clone(&self.0);
        let thread = thread::Builder::new().name("helper".into()).stack_size(STACK);
        thread.spawn(move || shared.work())?;
        jobs.thread_added();
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, JobQueues> {
        self.0.lock()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, JobQueues> {
        // No job runs under the lock, so nothing is half-done there.
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) -> ! {
        // The supervisor's own thread takes the signals.
        signals::block_all();
        let _running = Running::new("helper");
        self.may_wait_actively.store(cpus::of_affinity() > 1, Relaxed);
        loop {
            let (number, work) = self.next_job();
            // The receiver of the result gets an error.
            let _ = catch_unwind(AssertUnwindSafe(work));
            self.lock().end(number);
        }
    }

    fn next_job(&self) -> (JobNumber, Box<dyn FnOnce() + Send>) {
        let mut jobs = self.lock();
        loop {
            if let Some(next) = jobs.begin_next() {
                return next;
            }
            if self.is_expected.load(SeqCst) {
                drop(jobs);
                self.wait_actively();
                jobs = self.lock();
                continue;
            }
            jobs = self.has_job.wait(jobs).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Shared {
    /// Waits until the expected job has been submitted, or for [`ACTIVE_WAIT`].
    fn wait_actively(&self) {
        let until = clock::now() + ACTIVE_WAIT;
        while self.is_expected.load(SeqCst) {
            if clock::now() >= until {
                let _jobs = self.lock();
                self.is_expected.store(false, SeqCst);
                return;
            }
            hint::spin_loop();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// A job that has not ended after this time waits for ever.
    const LONG: Duration = Duration::from_secs(60);

    fn job(work: impl FnOnce() + Send + 'static) -> Job {
        Job::new(Purpose::Request, work)
    }

    /// A job that hangs until `release` is dropped, and reports that it has begun.
    fn hangs(
        job: impl Fn(Box<dyn FnOnce() + Send>) -> Job,
        begun: &mpsc::Sender<()>,
    ) -> (Job, mpsc::Sender<()>) {
        let (release, hang) = mpsc::channel::<()>();
        let begun = begun.clone();
        let work = Box::new(move || {
            let _ = begun.send(());
            let _ = hang.recv();
        });
        (job(work), release)
    }

    #[test]
    fn jobs_go_on_behind_one_that_hangs_and_behind_one_that_panics() {
        let threads = HelperThreads::default();
        let (done, results) = mpsc::channel();
        let result = |number: u32| {
            let done = done.clone();
            job(move || done.send(number).expect("the test waits for it"))
        };
        threads.submit(job(|| panic!("on purpose"))).unwrap();
        threads.submit(result(1)).unwrap();
        assert_eq!(results.recv_timeout(LONG), Ok(1));

        let (begun, has_begun) = mpsc::channel();
        let (hanging, release) = hangs(|work| Job::new(Purpose::Request, work), &begun);
        threads.submit(hanging).unwrap();
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
    fn an_expected_job_begins_whether_it_comes_in_time_or_not() {
        let threads = HelperThreads::default();
        let (done, results) = mpsc::channel();
        for number in 0..100 {
            for _ in 0..number % 3 {
                threads.expect();
            }
            if number % 2 == 0 {
                // Longer than a thread waits for it.
                while threads.0.is_expected.load(SeqCst) {
                    thread::yield_now();
                }
            }
            let done = done.clone();
            threads.submit(job(move || done.send(number).unwrap())).unwrap();
            assert_eq!(results.recv_timeout(LONG), Ok(number));
        }
    }

    #[test]
    fn jobs_that_hang_leave_threads_for_another_purpose_and_another_app() {
        let threads = HelperThreads::default();
        let (begun, has_begun) = mpsc::channel();
        let mut releases = Vec::new();
        let mut hang = |purpose: Purpose, app: &str| {
            let (job, release) = hangs(|work| Job::new(purpose, work).for_app(app), &begun);
            releases.push(release);
            threads.submit(job).unwrap();
        };
        for number in 0..100 {
            hang(Purpose::Check, &format!("app {number}"));
        }
        for _ in 0..100 {
            hang(Purpose::Start, "hung");
        }
        let grow = || {
            while let Some(at) = threads.next() {
                threads.grow(at);
                thread::yield_now();
            }
        };
        grow();
        for _ in 0..Purpose::Check.max_threads() + Purpose::Start.max_of_app() {
            has_begun.recv_timeout(LONG).unwrap();
        }
        let (done, results) = mpsc::channel();
        threads.submit(Job::new(Purpose::Start, move || done.send(()).unwrap()).for_app("fine")).unwrap();
        grow();
        assert_eq!(results.recv_timeout(LONG), Ok(()));
        assert!(has_begun.try_recv().is_err(), "no more of those that hang have begun");
        let hanging = Purpose::Check.max_threads() + Purpose::Start.max_of_app();
        assert_eq!(threads.lock().threads(), hanging + 1);
        drop(releases);
    }

    #[tokio::test]
    async fn what_does_not_answer_has_no_result_and_costs_no_other_one() {
        let threads = HelperThreads::default();
        let (release, hang) = mpsc::channel::<()>();
        let mut hung = threads.request(move || hang.recv().is_ok()).unwrap();
        let mut fine = threads.request(|| 1).unwrap();
        assert_eq!(threads.receive(&mut fine, clock::now() + LONG).await, Some(1));
        assert_eq!(threads.receive(&mut hung, clock::now()).await, None);
        drop(release);
        assert_eq!(threads.receive(&mut hung, clock::now() + LONG).await, Some(false));
    }
}
