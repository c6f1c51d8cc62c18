//! Threads for calls that may never return: looking at files, and waiting for a child to execute its program.
//!
//! A file system that does not answer, or a child that another process has stopped, holds up one of these
//! threads and never the supervisor's. One thread does all jobs, in their order, as long as none takes long.
//! When jobs wait and every thread has been at its job for [`SLOW_JOB`], or no job of their purpose has begun
//! for that time, as many threads are added as there are.
//!
//! Jobs that hang must not use up the threads for all others. So each [`Purpose`] has a number of threads of its
//! own, and the jobs of one application have a part of them ([`Purpose::max_of_app`]). The threads take jobs of the purposes
//! in turn, so that a thousand starts do not delay a request until all of them are over.
//!
//! The threads live as long as procrun: the parent-death signal of a child fires when the thread that made
//! the child ends (prctl(2)).

use std::{
    collections::{BTreeMap, VecDeque},
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use nix::libc;
use tokio::{
    sync::oneshot,
    time::{Instant, sleep_until},
};

use super::actor;
use crate::sys::{signals, threads::Running};

/// A job that takes longer may have met something that does not answer.
const SLOW_JOB: Duration = Duration::from_millis(100);
/// How often the end of procrun checks whether jobs are done.
const FINISH_POLL: Duration = Duration::from_millis(2);
/// Jobs of a purpose that may wait for a thread.
const MAX_WAITING: usize = 4096;
/// As much address space for the stack of a thread as the first thread of a process has: what is read there
/// may be nested deeply. Memory is used only as far as the stack is.
const STACK: usize = 8 * 1024 * 1024;

/// For what a job is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// A step of the start of an instance.
    Start,
    /// A check of what an application needs, or a program that checks an instance.
    Check,
    /// A request of which there is one at a time: the configuration, what is shown.
    Request,
    /// A pid file, or the file of a socket.
    File,
    /// The environment of an instance, for a client.
    Environment,
    /// The child that evaluates the configuration.
    Evaluation,
}

impl Purpose {
    const COUNT: usize = 6;
    const ALL: [Self; Self::COUNT] =
        [Self::Start, Self::Check, Self::Request, Self::File, Self::Environment, Self::Evaluation];

    /// Threads that its jobs may have at the same time. If this number of them hang, all further ones wait.
    const fn max_threads(self) -> usize {
        match self {
            Self::Start => 192,
            Self::Check => 48,
            Self::Request => 16,
            Self::File => 32,
            Self::Environment => 8,
            Self::Evaluation => 1,
        }
    }

    /// Threads that its jobs of one application may have at the same time. A client can ask again and again for
    /// what hangs.
    const fn max_of_app(self) -> usize {
        match self {
            Self::Start | Self::Check | Self::Request | Self::File => 8,
            Self::Environment | Self::Evaluation => 1,
        }
    }
}

/// A job for a thread.
pub(super) struct Job {
    purpose: Purpose,
    created: Instant,
    app: Option<Arc<str>>,
    is_cancelled: Option<Box<dyn Fn() -> bool + Send>>,
    work: Box<dyn FnOnce() + Send>,
}

impl Job {
    pub(super) fn new(purpose: Purpose, work: impl FnOnce() + Send + 'static) -> Self {
        Self { purpose, created: actor::now(), app: None, is_cancelled: None, work: Box::new(work) }
    }

    /// It is done for this application.
    pub(super) fn of_app(self, app: &str) -> Self {
        Self { app: Some(app.into()), ..self }
    }

    /// It is dropped without being done once this says so.
    pub(super) fn unless(self, is_cancelled: impl Fn() -> bool + Send + 'static) -> Self {
        Self { is_cancelled: Some(Box::new(is_cancelled)), ..self }
    }

    fn is_wanted(&self) -> bool {
        !self.is_cancelled.as_ref().is_some_and(|is_cancelled| is_cancelled())
    }
}

/// All helper threads. There is none, and they cost nothing, until the first job.
#[derive(Clone, Default)]
pub(super) struct HelperThreads(Arc<Shared>);

impl std::fmt::Debug for HelperThreads {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("HelperThreads")
    }
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    has_job: Condvar,
}

#[derive(Default)]
struct State {
    /// In the order of [`Purpose::ALL`].
    queues: [VecDeque<Job>; Purpose::COUNT],
    threads: usize,
    /// What the threads do, by the number of the job.
    busy: BTreeMap<u64, Busy>,
    jobs: u64,
    /// The place in [`Purpose::ALL`] of the purpose whose job is taken next, if it has one.
    turn: usize,
    /// When a thread last took a job of each purpose.
    last_taken: [Option<Instant>; Purpose::COUNT],
    /// When a thread was last added.
    last_added: Option<Instant>,
}

struct Busy {
    since: Instant,
    purpose: Purpose,
    app: Option<Arc<str>>,
}

impl HelperThreads {
    /// Has a thread do this. Jobs of a purpose begin in the order in which they come, but do not wait for each
    /// other's end if that takes long.
    ///
    /// # Errors
    /// There is no thread yet and the kernel gives none, or too many jobs wait.
    pub(super) fn submit(&self, job: Job) -> io::Result<()> {
        let mut state = self.lock();
        if state.threads == 0 {
            self.add_thread(&mut state, actor::now())?;
        }
        let queue = &mut state.queues[job.purpose as usize];
        if queue.len() >= MAX_WAITING {
            queue.retain(Job::is_wanted);
            if queue.len() >= MAX_WAITING {
                return Err(io::Error::from_raw_os_error(libc::EAGAIN));
            }
        }
        queue.push_back(job);
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
        self.ask_for(Purpose::Request, work)
    }

    /// The same for another purpose.
    ///
    /// # Errors
    /// As [`Self::submit`].
    pub(super) fn ask_for<T: Send + 'static>(
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

    /// Waits for a result, and adds threads meanwhile if it needs them. `None`: it has not come in time, or
    /// never will. Cancel-safe.
    pub(super) async fn receive<T>(&self, result: &mut oneshot::Receiver<T>, until: Instant) -> Option<T> {
        loop {
            let wake = self.next().map_or(until, |next| next.min(until));
            tokio::select! {
                biased;
                result = &mut *result => return result.ok(),
                () = sleep_until(wake) => {}
            }
            let now = actor::now();
            if now >= until {
                return None;
            }
            self.grow(now);
        }
    }

    /// Waits until all jobs of this purpose have been done, up to a time limit.
    pub(super) async fn finish(&self, purpose: Purpose, until: Instant) {
        loop {
            let now = actor::now();
            let is_over = {
                let state = self.lock();
                state.queues[purpose as usize].is_empty() && state.busy_with(purpose) == 0
            };
            if is_over || now >= until {
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
        let mut state = self.lock();
        if state.slow_at().is_some_and(|at| at <= now) {
            for _ in 0..state.missing(state.threads) {
                // Without another thread the jobs wait for a free one.
                if self.add_thread(&mut state, now).is_err() {
                    break;
                }
            }
        }
    }

    /// Adds a thread at once if jobs wait behind others, for one that must not wait.
    pub(super) fn grow_at_once(&self) {
        let mut state = self.lock();
        if state.missing(1) > 0 {
            // Without another thread the job waits for a free one.
            let _ = self.add_thread(&mut state, actor::now());
        }
    }

    /// When a thread last took a job that one of this application waits behind, if it waits.
    pub(super) fn last_taken(&self, purpose: Purpose, app: &str) -> Option<Instant> {
        let state = self.lock();
        let of_app = state.busy.values().filter(|busy| busy.is_of(purpose, app));
        let begun: Vec<Instant> = of_app.map(|busy| busy.since).collect();
        let is_at_limit = begun.len() >= purpose.max_of_app();
        if is_at_limit { begun.into_iter().max() } else { state.last_taken[purpose as usize] }
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

impl Busy {
    fn is_of(&self, purpose: Purpose, app: &str) -> bool {
        self.purpose == purpose && self.app.as_deref() == Some(app)
    }
}

impl State {
    /// From when on the jobs in the queues wait for a thread that may never have time.
    fn slow_at(&self) -> Option<Instant> {
        if self.missing(1) == 0 {
            return None;
        }
        let all_busy = self.busy.values().map(|busy| busy.since).max();
        let idle = Purpose::ALL.into_iter().filter_map(|purpose| self.idle_since(purpose)).min();
        let since = all_busy.into_iter().chain(idle).min();
        since.into_iter().chain(self.last_added).max().map(|since| since + SLOW_JOB)
    }

    /// Since when a purpose with a job that may begin has had none begun. Short jobs of another purpose can keep
    /// all threads busy.
    fn idle_since(&self, purpose: Purpose) -> Option<Instant> {
        let first = &self.queues[purpose as usize][self.first(purpose)?];
        Some(self.last_taken[purpose as usize].map_or(first.created, |taken| taken.max(first.created)))
    }

    /// How many more threads would have a job, up to a number.
    fn missing(&self, most: usize) -> usize {
        // A thread that has been woken or added takes one job, however many come before it is awake.
        let free = self.threads.saturating_sub(self.busy.len());
        let most = most + free;
        let mut ready = 0;
        for purpose in Purpose::ALL {
            ready += self.ready(purpose, most - ready);
        }
        ready.saturating_sub(free)
    }

    /// How many jobs of a purpose could begin if there were threads, up to a number.
    fn ready(&self, purpose: Purpose, most: usize) -> usize {
        let queue = &self.queues[purpose as usize];
        if queue.is_empty() {
            return 0;
        }
        let most = most.min(purpose.max_threads().saturating_sub(self.busy_with(purpose)));
        let mut taken: BTreeMap<&str, usize> = BTreeMap::new();
        let mut ready = 0;
        for job in queue {
            if ready >= most {
                break;
            }
            if let Some(app) = job.app.as_deref() {
                let count = taken.entry(app).or_insert_with(|| self.busy_with_app(purpose, app));
                if *count >= purpose.max_of_app() {
                    continue;
                }
                *count += 1;
            }
            ready += 1;
        }
        ready
    }

    fn busy_with(&self, purpose: Purpose) -> usize {
        self.busy.values().filter(|busy| busy.purpose == purpose).count()
    }

    fn busy_with_app(&self, purpose: Purpose, app: &str) -> usize {
        self.busy.values().filter(|busy| busy.is_of(purpose, app)).count()
    }

    /// The place in its queue of the next job of a purpose that may be done.
    fn first(&self, purpose: Purpose) -> Option<usize> {
        let queue = &self.queues[purpose as usize];
        if queue.is_empty() || self.busy_with(purpose) >= purpose.max_threads() {
            return None;
        }
        let may_begin = |job: &Job| {
            job.app.as_deref().is_none_or(|app| self.busy_with_app(purpose, app) < purpose.max_of_app())
        };
        queue.iter().position(may_begin)
    }

    /// The next job that may be done, of the purposes in turn.
    fn take(&mut self) -> Option<Job> {
        let mut places = (self.turn..self.turn + Purpose::COUNT).map(|place| place % Purpose::COUNT);
        let (place, at) = places.find_map(|place| Some((place, self.first(Purpose::ALL[place])?)))?;
        self.turn = place + 1;
        self.queues[place].remove(at)
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
        let _running = Running::new("helper");
        loop {
            let (number, work) = self.next_job();
            // The receiver of the result gets an error.
            let _ = catch_unwind(AssertUnwindSafe(work));
            self.lock().busy.remove(&number);
        }
    }

    fn next_job(&self) -> (u64, Box<dyn FnOnce() + Send>) {
        let mut state = self.lock();
        loop {
            while let Some(job) = state.take() {
                if !job.is_wanted() {
                    continue;
                }
                let now = actor::now();
                let Job { purpose, app, work, .. } = job;
                state.last_taken[purpose as usize] = Some(now);
                state.jobs += 1;
                let number = state.jobs;
                state.busy.insert(number, Busy { since: now, purpose, app });
                return (number, work);
            }
            state = self.has_job.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// In which a job that waits for ever would be noticed.
    const LONG: Duration = Duration::from_secs(60);

    fn job(work: impl FnOnce() + Send + 'static) -> Job {
        Job::new(Purpose::Request, work)
    }

    /// A job that hangs until `release` is dropped, and says when it has begun.
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
    fn more_jobs_than_idle_threads_wait_for_another_thread() {
        let now = actor::now();
        let mut state = State { threads: 1, last_added: Some(now), ..State::default() };
        assert_eq!(state.slow_at(), None, "nothing waits");
        state.queues[0].push_back(Job::new(Purpose::Start, || ()));
        assert_eq!(state.slow_at(), None, "the idle thread has been woken for it");
        state.queues[0].push_back(Job::new(Purpose::Start, || ()));
        let begun = state.queues[0][0].created;
        assert_eq!(state.slow_at(), Some(begun + SLOW_JOB), "the first job may take long");
    }

    #[test]
    fn starts_without_end_delay_no_job_of_another_purpose() {
        let mut state = State { threads: 1, ..State::default() };
        let order = [Purpose::Start, Purpose::Start, Purpose::Start, Purpose::Check, Purpose::Request];
        for purpose in order {
            state.queues[purpose as usize].push_back(Job::new(purpose, || ()));
        }
        let taken: Vec<Purpose> = std::iter::from_fn(|| state.take()).map(|job| job.purpose).collect();
        let in_turn = [Purpose::Start, Purpose::Check, Purpose::Request, Purpose::Start, Purpose::Start];
        assert_eq!(taken, in_turn);

        // The only thread takes one short start after the other.
        let now = actor::now();
        state.busy.insert(1, Busy { since: now, purpose: Purpose::Start, app: None });
        state.last_taken[Purpose::Start as usize] = Some(now);
        state.queues[Purpose::Start as usize].push_back(Job::new(Purpose::Start, || ()));
        assert!(state.slow_at() >= Some(now + SLOW_JOB), "starts begin");
        let waits = Job { created: now - 2 * SLOW_JOB, ..Job::new(Purpose::Check, || ()) };
        state.queues[Purpose::Check as usize].push_back(waits);
        assert_eq!(state.slow_at(), Some(now - SLOW_JOB), "checks do not");
    }

    #[test]
    fn jobs_that_hang_leave_threads_for_another_purpose_and_another_app() {
        let threads = HelperThreads::default();
        let (begun, has_begun) = mpsc::channel();
        let mut releases = Vec::new();
        let mut hang = |purpose: Purpose, app: &str| {
            let (job, release) = hangs(|work| Job::new(purpose, work).of_app(app), &begun);
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
        threads.submit(Job::new(Purpose::Start, move || done.send(()).unwrap()).of_app("fine")).unwrap();
        grow();
        assert_eq!(results.recv_timeout(LONG), Ok(()));
        assert!(has_begun.try_recv().is_err(), "no more of those that hang have begun");
        let hanging = Purpose::Check.max_threads() + Purpose::Start.max_of_app();
        assert_eq!(threads.lock().threads, hanging + 1);
        drop(releases);
    }

    #[test]
    fn the_environment_of_an_app_is_looked_up_once_at_a_time_and_takes_no_thread_of_requests() {
        let mut state = State::default();
        for app in ["one", "one", "two"] {
            let job = Job::new(Purpose::Environment, || ()).of_app(app);
            state.queues[Purpose::Environment as usize].push_back(job);
        }
        for number in 0..2 {
            let Job { purpose, app, .. } = state.take().expect("it may begin");
            state.busy.insert(number, Busy { since: actor::now(), purpose, app });
        }
        assert!(state.take().is_none(), "the first one of this app may hang");
        state.queues[Purpose::Request as usize].push_back(job(|| ()));
        assert_eq!(state.take().map(|job| job.purpose), Some(Purpose::Request));
        state.busy.clear();
        assert_eq!(state.take().and_then(|job| job.app).as_deref(), Some("one"));
    }

    #[test]
    fn a_queue_has_an_end_and_loses_what_is_not_wanted() {
        let threads = HelperThreads::default();
        let (begun, has_begun) = mpsc::channel();
        let (hanging, release) = hangs(job, &begun);
        threads.submit(hanging).unwrap();
        has_begun.recv_timeout(LONG).unwrap();
        for _ in 0..MAX_WAITING {
            threads.submit(job(|| ())).unwrap();
        }
        assert_eq!(threads.submit(job(|| ())).unwrap_err().raw_os_error(), Some(libc::EAGAIN));
        threads.lock().queues[Purpose::Request as usize].clear();
        for _ in 0..MAX_WAITING {
            threads.submit(job(|| panic!("not wanted")).unless(|| true)).unwrap();
        }
        threads.submit(job(|| ())).unwrap();
        assert_eq!(threads.lock().queues[Purpose::Request as usize].len(), 1);
        drop(release);
    }

    #[tokio::test]
    async fn what_does_not_answer_has_no_result_and_costs_no_other_one() {
        let threads = HelperThreads::default();
        let (release, hang) = mpsc::channel::<()>();
        let mut hung = threads.ask(move || hang.recv().is_ok()).unwrap();
        let mut fine = threads.ask(|| 1).unwrap();
        assert_eq!(threads.receive(&mut fine, actor::now() + LONG).await, Some(1));
        assert_eq!(threads.receive(&mut hung, actor::now()).await, None);
        drop(release);
        assert_eq!(threads.receive(&mut hung, actor::now() + LONG).await, Some(false));
    }
}
