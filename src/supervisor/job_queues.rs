//! The jobs of the helper threads: which one is next, and whether there are too few threads.
//!
//! Jobs that hang must not use up the threads for all others. So each [`Purpose`] has a number of threads of its
//! own, and the jobs of one application have a part of them ([`Purpose::max_of_app`]). The threads take jobs of the
//! purposes in turn, so that a thousand starts do not delay a request until all of them are over.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use tokio::time::Instant;

use super::clock;

/// A job that takes longer may wait for something that does not answer.
const SLOW_JOB: Duration = Duration::from_millis(100);
/// Jobs of a purpose that may wait for a thread.
const MAX_WAITING: usize = 4096;

/// The purpose of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// A step of the start of an instance.
    Start,
    /// A check of what an application needs, or a program that checks an instance.
    Check,
    /// A request of which there is one at a time, such as the reading of the configuration.
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

    /// Threads that its jobs may have at the same time. If this number of jobs hang, all further ones wait.
    pub(super) const fn max_threads(self) -> usize {
        match self {
            Self::Start => 192,
            Self::Check => 48,
            Self::Request => 16,
            Self::File => 32,
            Self::Environment => 8,
            Self::Evaluation => 1,
        }
    }

    /// Threads that its jobs of one application may have at the same time. A client can repeat a request that hangs.
    pub(super) const fn max_of_app(self) -> usize {
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
        Self { purpose, created: clock::now(), app: None, is_cancelled: None, work: Box::new(work) }
    }

    /// Sets the application for which the job is done.
    pub(super) fn for_app(self, app: &str) -> Self {
        Self { app: Some(app.into()), ..self }
    }

    /// Drops the job if `is_cancelled` returns true before a thread begins it.
    pub(super) fn unless(self, is_cancelled: impl Fn() -> bool + Send + 'static) -> Self {
        Self { is_cancelled: Some(Box::new(is_cancelled)), ..self }
    }

    fn is_wanted(&self) -> bool {
        !self.is_cancelled.as_ref().is_some_and(|is_cancelled| is_cancelled())
    }
}

/// The jobs that wait, and those that threads do.
#[derive(Default)]
pub(super) struct JobQueues {
    /// In the order of [`Purpose::ALL`].
    queues: [VecDeque<Job>; Purpose::COUNT],
    threads: usize,
    /// The jobs that threads do, by number.
    busy: BTreeMap<u64, Busy>,
    jobs: u64,
    /// The index in [`Purpose::ALL`] of the purpose whose job is taken next, if it has one.
    next_queue: usize,
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

/// The number of a job that has begun.
#[derive(Debug, Clone, Copy)]
pub(super) struct JobNumber(u64);

/// Too many jobs wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct QueueFull;

impl Busy {
    fn is_of(&self, purpose: Purpose, app: &str) -> bool {
        self.purpose == purpose && self.app.as_deref() == Some(app)
    }
}

impl JobQueues {
    /// Queues a job.
    pub(super) fn push(&mut self, job: Job) -> Result<(), QueueFull> {
        let queue = &mut self.queues[job.purpose as usize];
        if queue.len() >= MAX_WAITING {
            queue.retain(Job::is_wanted);
            if queue.len() >= MAX_WAITING {
                return Err(QueueFull);
            }
        }
        queue.push_back(job);
        Ok(())
    }

    /// Begins the next job that may be done.
    pub(super) fn begin_next(&mut self) -> Option<(JobNumber, Box<dyn FnOnce() + Send>)> {
        while let Some(job) = self.take() {
            if !job.is_wanted() {
                continue;
            }
            let now = clock::now();
            let Job { purpose, app, work, .. } = job;
            self.last_taken[purpose as usize] = Some(now);
            self.jobs += 1;
            self.busy.insert(self.jobs, Busy { since: now, purpose, app });
            return Some((JobNumber(self.jobs), work));
        }
        None
    }

    /// A job has ended.
    pub(super) fn end(&mut self, job: JobNumber) {
        self.busy.remove(&job.0);
    }

    /// Whether there is no job of this purpose.
    pub(super) fn has_none(&self, purpose: Purpose) -> bool {
        self.queues[purpose as usize].is_empty() && self.busy_with(purpose) == 0
    }

    pub(super) fn threads(&self) -> usize {
        self.threads
    }

    /// Whether a thread has no job.
    pub(super) fn has_idle_thread(&self) -> bool {
        self.busy.len() < self.threads
    }

    /// A thread is about to be added.
    pub(super) fn thread_requested(&mut self, now: Instant) {
        // Also where that fails, so that it is not tried again at once.
        self.last_added = Some(now);
    }

    /// A thread has been added.
    pub(super) fn thread_added(&mut self) {
        self.threads += 1;
    }

    /// When a thread last took a job that one of this application waits behind, if it waits.
    pub(super) fn last_taken(&self, purpose: Purpose, app: &str) -> Option<Instant> {
        let busy_with_app = self.busy.values().filter(|busy| busy.is_of(purpose, app));
        let begun: Vec<Instant> = busy_with_app.map(|busy| busy.since).collect();
        let is_at_limit = begun.len() >= purpose.max_of_app();
        if is_at_limit { begun.into_iter().max() } else { self.last_taken[purpose as usize] }
    }

    /// From when on jobs wait for a thread that may never be free.
    pub(super) fn slow_at(&self) -> Option<Instant> {
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
    pub(super) fn missing(&self, most: usize) -> usize {
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

    /// The index in its queue of the next job of a purpose that may be done.
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
        let mut queues =
            (self.next_queue..self.next_queue + Purpose::COUNT).map(|index| index % Purpose::COUNT);
        let (index, at) = queues.find_map(|index| Some((index, self.first(Purpose::ALL[index])?)))?;
        self.next_queue = index + 1;
        self.queues[index].remove(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_jobs_than_idle_threads_wait_for_another_thread() {
        let now = clock::now();
        let mut queues = JobQueues { threads: 1, last_added: Some(now), ..JobQueues::default() };
        assert_eq!(queues.slow_at(), None, "nothing waits");
        queues.queues[0].push_back(Job::new(Purpose::Start, || ()));
        assert_eq!(queues.slow_at(), None, "the idle thread has been woken for it");
        queues.queues[0].push_back(Job::new(Purpose::Start, || ()));
        let begun = queues.queues[0][0].created;
        assert_eq!(queues.slow_at(), Some(begun + SLOW_JOB), "the first job may take long");
    }

    #[test]
    fn starts_without_end_delay_no_job_of_another_purpose() {
        let mut queues = JobQueues { threads: 1, ..JobQueues::default() };
        let order = [Purpose::Start, Purpose::Start, Purpose::Start, Purpose::Check, Purpose::Request];
        for purpose in order {
            queues.queues[purpose as usize].push_back(Job::new(purpose, || ()));
        }
        let taken: Vec<Purpose> = std::iter::from_fn(|| queues.take()).map(|job| job.purpose).collect();
        let in_turn = [Purpose::Start, Purpose::Check, Purpose::Request, Purpose::Start, Purpose::Start];
        assert_eq!(taken, in_turn);

        // The only thread takes one short start after the other.
        let now = clock::now();
        queues.busy.insert(1, Busy { since: now, purpose: Purpose::Start, app: None });
        queues.last_taken[Purpose::Start as usize] = Some(now);
        queues.queues[Purpose::Start as usize].push_back(Job::new(Purpose::Start, || ()));
        assert!(queues.slow_at() >= Some(now + SLOW_JOB), "starts begin");
        let waits = Job { created: now - 2 * SLOW_JOB, ..Job::new(Purpose::Check, || ()) };
        queues.queues[Purpose::Check as usize].push_back(waits);
        assert_eq!(queues.slow_at(), Some(now - SLOW_JOB), "checks do not");
    }

    #[test]
    fn the_environment_of_an_app_is_looked_up_once_at_a_time_and_takes_no_thread_of_requests() {
        let mut queues = JobQueues::default();
        for app in ["one", "one", "two"] {
            let job = Job::new(Purpose::Environment, || ()).for_app(app);
            queues.queues[Purpose::Environment as usize].push_back(job);
        }
        for number in 0..2 {
            let Job { purpose, app, .. } = queues.take().expect("it may begin");
            queues.busy.insert(number, Busy { since: clock::now(), purpose, app });
        }
        assert!(queues.take().is_none(), "the first one of this app may hang");
        queues.queues[Purpose::Request as usize].push_back(Job::new(Purpose::Request, || ()));
        assert_eq!(queues.take().map(|job| job.purpose), Some(Purpose::Request));
        queues.busy.clear();
        assert_eq!(queues.take().and_then(|job| job.app).as_deref(), Some("one"));
    }

    #[test]
    fn a_queue_has_a_bound_and_drops_cancelled_jobs_first() {
        let mut queues = JobQueues::default();
        let job = || Job::new(Purpose::Request, || ());
        for _ in 0..MAX_WAITING {
            queues.push(job()).unwrap();
        }
        assert_eq!(queues.push(job()), Err(QueueFull));
        queues.queues[Purpose::Request as usize].clear();
        for _ in 0..MAX_WAITING {
            queues.push(job().unless(|| true)).unwrap();
        }
        queues.push(job()).unwrap();
        assert_eq!(queues.queues[Purpose::Request as usize].len(), 1);
    }
}
