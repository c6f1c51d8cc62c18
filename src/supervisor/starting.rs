//! Starts under way, from the look-up of the program to its execution.
//!
//! A start is one job for the [`HelperThreads`] ([`super::start_job`]). It may hang: on a file system that does
//! not answer, or because another process has stopped the child (SIGSTOP). After [`START_TIMEOUT`] the child is
//! killed and the start has failed. The thread continues when its call returns.

use std::{
    collections::HashMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use nix::libc;
use tokio::{
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    time::Instant,
};

use super::{
    clock::{self, sleep_until},
    failed_start::{cancelled, hangs, refused},
    helper_threads::{HelperThreads, panicked},
    job_queues::{self, Purpose},
    start_job::{Failed, Started},
    start_progress::{StartProgress, Step},
};
use crate::{
    logs::Hold,
    machine::{InstanceId, Run, SpawnFailure},
    sys::{
        inspect, process,
        reap::{Pid, Status},
    },
};

/// How long the preparation of a start may take, and then the execution of its program.
const START_TIMEOUT: Duration = Duration::from_secs(5);
/// How long SIGKILL may take to end a child that is to be cancelled.
const KILL_TIMEOUT: Duration = Duration::from_secs(1);
/// Delay before the next attempt to kill a child that is about to be made.
const KILL_RETRY: Duration = Duration::from_millis(5);
/// How long a log line may wait until a thread begins with a start.
const MAX_HOLD: Duration = Duration::from_millis(2);
/// After this time an cancelled job counts as one that hangs.
const HANGS_AFTER: Duration = Duration::from_secs(1);

/// The result of a job of a helper thread.
#[derive(Debug)]
struct JobResult {
    run: Run,
    outcome: Outcome,
}

#[derive(Debug)]
enum Outcome {
    /// The program is executed, or the process has ended.
    Started(Box<Started>),
    Failed(Failed),
    /// The job has panicked, which has been reported.
    Panicked,
}

/// How a start has ended.
#[derive(Debug)]
pub(super) enum StartResult {
    /// The program is executed. The status, if the process has been reaped since.
    Started(Run, Box<Started>, Option<Status>),
    /// The start has failed.
    Failed(Run, Failed),
}

/// All starts under way.
pub(super) struct Starting {
    helpers: HelperThreads,
    sender: UnboundedSender<JobResult>,
    receiver: UnboundedReceiver<JobResult>,
    /// By the number of the run.
    pending: HashMap<u64, Pending>,
    /// Cancelled jobs whose thread has not returned, by the number of the run.
    cancelled: HashMap<u64, CancelledJob>,
    /// Log output that is held back until a thread begins, each with its time limit.
    holds: Vec<(Instant, SharedHold)>,
}

/// An cancelled job.
struct CancelledJob {
    instance: InstanceId,
    job: Arc<StartProgress>,
    /// How its process has ended, if that has been reaped.
    status: Option<Status>,
}

impl CancelledJob {
    fn new(run: Run, job: Arc<StartProgress>) -> Self {
        Self { instance: run.instance, job, status: None }
    }

    /// Kills its process, unless that has been reaped. The process may have been made after its start was cancelled.
    fn kill(&self) {
        if let Some(pid) = self.job.child.get().filter(|_| self.status.is_none()) {
            process::kill_with_group(pid);
        }
    }
}

struct Pending {
    run: Run,
    app: Arc<str>,
    job: Arc<StartProgress>,
    submitted: Instant,
    /// When it was cancelled: its process is to be killed.
    cancelled: Option<Instant>,
    is_killed: bool,
    status: Option<Status>,
    /// When it had timed out while its program ran: its result follows.
    executed: Option<Instant>,
}

impl Pending {
    /// When it has timed out. A job that waits for a thread does not time out as long as threads take jobs.
    fn deadline(&self, helpers: &HelperThreads) -> Instant {
        let since = self.executed.or_else(|| self.job.since()).unwrap_or_else(|| {
            let last_taken = helpers.last_taken(Purpose::Start, &self.app);
            self.submitted.max(last_taken.unwrap_or(self.submitted))
        });
        let deadline = since + START_TIMEOUT;
        self.cancelled.map_or(deadline, |at| deadline.min(at + KILL_TIMEOUT))
    }

    /// Whether its program runs although it has timed out: procrun itself was suspended, or the machine. The result
    /// gets as much time again, once.
    fn waits_for_its_result(&mut self, now: Instant) -> bool {
        let waits = self.executed.is_none() && self.job.child.get().is_some_and(inspect::has_executed);
        if waits {
            self.executed = Some(now);
        }
        waits
    }

    /// Kills the child unless it executes its program already.
    fn kill_unexecuted(&mut self) {
        if let Some(pid) = self.job.child.get()
            && self.status.is_none()
            && !self.is_killed
            && !inspect::has_executed(pid)
        {
            // It has not been reaped, so the id is its own.
            let _ = process::signal(pid, libc::SIGKILL);
            self.is_killed = true;
        }
    }
}

impl Starting {
    pub(super) fn new(helpers: HelperThreads) -> Self {
        let (sender, receiver) = unbounded_channel();
        Self {
            helpers,
            sender,
            receiver,
            pending: HashMap::new(),
            cancelled: HashMap::new(),
            holds: Vec::new(),
        }
    }

    /// The threads that do the work.
    pub(super) fn helpers(&self) -> &HelperThreads {
        &self.helpers
    }

    /// Whether no start is under way.
    pub(super) fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }

    /// Starts a run. Its result follows; then its thread does `after`. `held` ends when a thread begins, and after
    /// [`MAX_HOLD`] at most.
    ///
    /// # Errors
    /// There is no thread for it, or one still hangs in the last start of the instance.
    pub(super) fn submit(
        &mut self,
        run: Run,
        app: &str,
        start: impl FnOnce(&StartProgress) -> Result<Started, Failed> + Send + 'static,
        after: impl FnOnce() + Send + 'static,
        held: Option<Hold>,
    ) -> Result<(), SpawnFailure> {
        let now = clock::now();
        let hanging = self.cancelled.values().find(|CancelledJob { instance, job, .. }| {
            *instance == run.instance && job.begun.get().is_some_and(|begun| *begun + HANGS_AFTER <= now)
        });
        if let Some(CancelledJob { job, .. }) = hanging {
            return Err(hangs("its last start still hangs", job.step()));
        }
        let (job, app) = (Arc::new(StartProgress::default()), Arc::<str>::from(app));
        let (for_thread, sender) = (Arc::clone(&job), self.sender.clone());
        let hold: SharedHold = Arc::new(Mutex::new(held));
        let their_hold = Arc::clone(&hold);
        let work = move || {
            drop(take(&their_hold));
            if for_thread.begin() {
                // Without a result, the instance could never start again.
                let outcome = match catch_unwind(AssertUnwindSafe(|| start(&for_thread))) {
                    Ok(Ok(started)) => Outcome::Started(Box::new(started)),
                    Ok(Err(failure)) => Outcome::Failed(failure),
                    Err(_) => Outcome::Panicked,
                };
                // The receiver lives as long as procrun.
                let _ = sender.send(JobResult { run, outcome });
                after();
            }
        };
        let cancelled = Arc::clone(&job);
        let work = job_queues::Job::new(Purpose::Start, work).for_app(&app);
        let submitted = self.helpers.submit(work.unless(move || cancelled.is_cancelled()));
        submitted.map_err(|error| refused("create a thread for its start", &error))?;
        if is_held(&hold) {
            self.holds.push((now + MAX_HOLD, hold));
        }
        let pending = Pending {
            run,
            app,
            job,
            submitted: now,
            cancelled: None,
            is_killed: false,
            status: None,
            executed: None,
        };
        self.pending.insert(run.number, pending);
        Ok(())
    }

    /// Waits until a start has ended. Cancel-safe.
    pub(super) async fn wait(&mut self) -> Vec<StartResult> {
        if self.pending.is_empty() && self.cancelled.is_empty() && self.holds.is_empty() {
            return std::future::pending().await;
        }
        let next = self.next();
        tokio::select! {
            // A start whose result has arrived has not timed out.
            biased;
            Some(done) = self.receiver.recv() => self.take(done).into_iter().collect(),
            () = sleep_until(next) => {
                self.handle_deadlines(clock::now())
            }
        }
    }

    /// When [`Self::handle_deadlines`] has something to do.
    fn next(&self) -> Option<Instant> {
        let wakes = self.pending.values().map(|pending| {
            let deadline = pending.deadline(&self.helpers);
            match pending.cancelled {
                Some(_) if pending.job.child.get().is_none() => deadline.min(clock::now() + KILL_RETRY),
                Some(_) | None => deadline,
            }
        });
        wakes.chain(self.holds.first().map(|(until, _)| *until)).min()
    }

    /// Writes the log output that is held back until threads begin.
    pub(super) fn release(&mut self) {
        for (_, hold) in self.holds.drain(..) {
            drop(take(&hold));
        }
    }

    fn take(&mut self, done: JobResult) -> Option<StartResult> {
        // A thread that has begun has released its hold.
        self.holds.retain(|(_, hold)| is_held(hold));
        let JobResult { run, outcome } = done;
        let Some(pending) = self.pending.remove(&run.number) else {
            // It took too long, or was cancelled.
            if let Some(cancelled) = self.cancelled.remove(&run.number) {
                cancelled.kill();
            }
            return None;
        };
        Some(match outcome {
            Outcome::Started(_) if pending.is_killed => StartResult::Failed(run, cancelled().into()),
            Outcome::Started(started) => StartResult::Started(run, started, pending.status),
            Outcome::Failed(failure) => StartResult::Failed(run, failure),
            Outcome::Panicked => {
                CancelledJob { status: pending.status, ..CancelledJob::new(run, pending.job) }.kill();
                StartResult::Failed(run, refused("start it", &panicked()).into())
            }
        })
    }

    fn end_holds(&mut self, now: Instant) {
        for (_, hold) in self.holds.extract_if(.., |(until, _)| *until <= now) {
            drop(take(&hold));
        }
    }

    /// Cancels starts that timed out, and kills children that could not be killed when they were cancelled.
    fn handle_deadlines(&mut self, now: Instant) -> Vec<StartResult> {
        self.end_holds(now);
        for pending in self.pending.values_mut().filter(|pending| pending.cancelled.is_some()) {
            pending.kill_unexecuted();
        }
        let helpers = &self.helpers;
        let late = self
            .pending
            .extract_if(|_, pending| pending.deadline(helpers) <= now && !pending.waits_for_its_result(now));
        let late: Vec<Pending> = late.map(|(_, pending)| pending).collect();
        late.into_iter().map(|pending| self.time_out(pending)).collect()
    }

    fn time_out(&mut self, pending: Pending) -> StartResult {
        let failure = match pending.job.executes.get() {
            _ if pending.cancelled.is_some() => cancelled(),
            Some((_, program)) if pending.job.step() == Step::Execution => {
                hangs(&program.display().to_string(), Step::Execution)
            }
            Some(_) | None => hangs("its start hangs", pending.job.step()),
        };
        self.leave(pending, failure)
    }

    /// Waits no longer for a start.
    fn leave(&mut self, pending: Pending, failure: SpawnFailure) -> StartResult {
        let Pending { run, job, status, .. } = pending;
        job.child.cancel();
        // It is suspended, or waits for a file system. A process that is made later is killed when its thread returns.
        let cancelled = CancelledJob { status, ..CancelledJob::new(run, job) };
        cancelled.kill();
        if !cancelled.job.cancel() {
            self.cancelled.insert(run.number, cancelled);
        }
        StartResult::Failed(run, failure.into())
    }

    /// Cancels a start: kills its process if that has not executed its program. Returns the result if it is known
    /// at once.
    pub(super) fn cancel(&mut self, run: Run) -> Option<StartResult> {
        let pending = self.pending.get_mut(&run.number)?;
        if pending.job.executes.get().is_some() {
            pending.cancelled = Some(clock::now());
            pending.kill_unexecuted();
            return None;
        }
        let pending = self.pending.remove(&run.number)?;
        Some(self.leave(pending, cancelled()))
    }

    /// Handles a reaped child. Returns whether it was the process of a start.
    pub(super) fn reaped(&mut self, pid: Pid, status: Status) -> bool {
        let pending = self.pending.values_mut().map(|pending| (&pending.job, &mut pending.status));
        let cancelled = self.cancelled.values_mut().map(|cancelled| (&cancelled.job, &mut cancelled.status));
        let mut unreaped = pending.chain(cancelled).filter(|(_, status)| status.is_none());
        match unreaped.find(|(job, _)| job.child.is(pid)) {
            // A child that has ended may have executed its program before: the thread knows.
            Some((_, place)) => {
                *place = Some(status);
                true
            }
            None => false,
        }
    }

    /// Whether this is a process of a start.
    pub(super) fn has(&self, pid: Pid) -> bool {
        let cancelled = self.cancelled.values().map(|cancelled| &cancelled.job);
        self.pending.values().map(|pending| &pending.job).chain(cancelled).any(|job| job.child.is(pid))
    }
}

/// The thread that begins with the job ends it, or the supervisor, whichever is first.
type SharedHold = Arc<Mutex<Option<Hold>>>;

fn take(hold: &Mutex<Option<Hold>>) -> Option<Hold> {
    hold.lock().unwrap_or_else(PoisonError::into_inner).take()
}

fn is_held(hold: &Mutex<Option<Hold>>) -> bool {
    hold.lock().unwrap_or_else(PoisonError::into_inner).is_some()
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;
    use crate::spec::RuntimeLog;

    const RUN: Run = Run { instance: InstanceId(1), number: 1 };

    fn starting() -> Starting {
        Starting::new(HelperThreads::default())
    }

    #[tokio::test]
    async fn a_job_that_panics_fails_its_start_and_bars_no_later_one() {
        let mut starting = starting();
        for number in 1..=2 {
            let run = Run { number, ..RUN };
            starting.submit(run, "app", |_| panic!("on purpose"), || (), None).unwrap();
            let results = starting.wait().await;
            assert!(matches!(&*results, [StartResult::Failed(failed, _)] if *failed == run), "{results:?}");
            assert!(starting.is_empty() && starting.cancelled.is_empty());
        }
    }

    #[tokio::test]
    async fn a_start_whose_result_has_arrived_has_not_timed_out() {
        let mut starting = starting();
        for number in 1..=20 {
            let run = Run { number, ..RUN };
            let (done, is_done) = std::sync::mpsc::channel();
            let fails = |_: &StartProgress| Err(refused("start", &io::Error::other("on purpose")).into());
            starting.submit(run, "app", fails, move || done.send(()).unwrap(), None).unwrap();
            is_done.recv().unwrap();
            // As after a suspension of procrun.
            starting.pending.get_mut(&number).unwrap().cancelled = Some(clock::now() - KILL_TIMEOUT);
            let results = starting.wait().await;
            let [StartResult::Failed(_, failed)] = &*results else { panic!("{results:?}") };
            assert!(failed.failure.message.contains("on purpose"), "{failed:?}");
        }
    }

    #[tokio::test]
    async fn a_log_is_not_held_back_by_a_start_that_cannot_begin() {
        let mut starting = starting();
        let (end, hang) = std::sync::mpsc::channel::<()>();
        let hangs = move |_: &StartProgress| {
            let _ = hang.recv();
            Err(cancelled().into())
        };
        starting.submit(RUN, "app", hangs, || (), None).unwrap();
        let null = || std::fs::File::options().write(true).open("/dev/null").unwrap().into();
        let logs = crate::logs::Logs::start_with(&RuntimeLog::default(), null(), null()).unwrap();
        let second = Run { number: 2, ..RUN };
        starting.submit(second, "app", |_| Err(cancelled().into()), || (), Some(logs.hold())).unwrap();
        let released = async {
            while !starting.holds.is_empty() {
                starting.wait().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), released).await.expect("the only thread hangs");
        logs.finish().await.unwrap();
        drop(end);
    }
}
