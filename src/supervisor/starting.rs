//! Starts under way, from the look at the program's files to the execution of the program.
//!
//! A start has two jobs for the [`HelperThreads`]: what is to be executed is looked up
//! ([`super::launch::prepare`]), and a process is made that executes it ([`spawn::spawn`]). Between them the
//! supervisor makes what connects it with the process. Either job may hang: on a file system that does not
//! answer, or because another process has stopped the child (SIGSTOP). After [`START_TIMEOUT`] the child is
//! killed and the start has failed. The thread continues when its call returns.

use std::{
    collections::HashMap,
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering::SeqCst},
    },
    time::Duration,
};

use nix::libc;
use tokio::{
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    time::{Instant, sleep_until},
};

use super::{
    actor,
    failed_start::{hangs, refused, spawn_failure},
    helper_threads::{self, HelperThreads, Purpose},
    launch::{Prepared, Step},
};
use crate::{
    machine::{Event, InstanceId, Run, SpawnFailure},
    sys::{
        inspect, process,
        reap::{Pid, Status},
        spawn::{self, ChildId},
    },
};

/// How long each job of a start may take.
const START_TIMEOUT: Duration = Duration::from_secs(5);
/// How long SIGKILL may take to end a child that is to be abandoned.
const KILL_TIMEOUT: Duration = Duration::from_secs(1);
/// When it is tried again to kill a child that is about to be made.
const KILL_RETRY: Duration = Duration::from_millis(5);
/// After this time an abandoned job counts as one that hangs.
const HANGS_AFTER: Duration = Duration::from_secs(1);

/// What a helper thread has done.
#[derive(Debug)]
pub(super) enum JobResult {
    /// What is to be executed is known.
    Prepared(Run, Result<Box<Prepared>, SpawnFailure>),
    /// The program is executed, or the process has ended.
    Executed(Run, Box<Prepared>, Result<Pid, spawn::Error>),
    /// The job has panicked, which has been reported.
    Panicked(Run),
}

/// How a start goes on.
#[derive(Debug)]
pub(super) enum StartProgress {
    /// It is time to make its process.
    Prepared(Run, Box<Prepared>),
    /// Its program is executed.
    Executed(Executed),
    /// It has failed.
    Failed(Run, SpawnFailure),
}

/// A run that executes its program, or has ended since.
#[derive(Debug)]
pub(super) struct Executed {
    pub(super) run: Run,
    pub(super) pid: Pid,
    pub(super) prepared: Box<Prepared>,
    /// What it has said meanwhile.
    pub(super) said: Vec<Event>,
    /// How it has ended, if it has been reaped.
    pub(super) status: Option<Status>,
}

/// What a helper thread and the supervisor both know of a job.
#[derive(Debug, Default)]
pub(super) struct Job {
    state: AtomicU8,
    step: AtomicU8,
    begun: std::sync::OnceLock<Instant>,
    pub(super) child: ChildId,
}

impl Job {
    const WAITS: u8 = 0;
    const BEGUN: u8 = 1;
    const CANCELLED: u8 = 2;

    /// The thread begins with it; false if it is not to be done any more.
    fn begin(&self) -> bool {
        let _ = self.begun.set(actor::now());
        self.state.compare_exchange(Self::WAITS, Self::BEGUN, SeqCst, SeqCst).is_ok()
    }

    /// Whether it has been cancelled before a thread began with it.
    fn cancel(&self) -> bool {
        self.state.compare_exchange(Self::WAITS, Self::CANCELLED, SeqCst, SeqCst).is_ok()
    }

    fn is_cancelled(&self) -> bool {
        self.state.load(SeqCst) == Self::CANCELLED
    }

    fn has_begun(&self) -> bool {
        self.state.load(SeqCst) == Self::BEGUN
    }

    /// What the thread does now.
    pub(super) fn enter(&self, step: Step) {
        self.step.store(step as u8, SeqCst);
    }

    fn step(&self) -> Step {
        Step::from_number(self.step.load(SeqCst))
    }
}

/// All starts under way.
pub(super) struct Starting {
    helpers: HelperThreads,
    sender: UnboundedSender<JobResult>,
    receiver: UnboundedReceiver<JobResult>,
    /// By the number of the run.
    pending: HashMap<u64, Pending>,
    /// Abandoned jobs whose thread has not returned, by the number of the run.
    left: HashMap<u64, AbandonedJob>,
}

/// An abandoned job.
struct AbandonedJob {
    instance: InstanceId,
    job: Arc<Job>,
    /// How its process has ended, if that has been reaped.
    status: Option<Status>,
}

impl AbandonedJob {
    fn new(run: Run, job: Arc<Job>) -> Self {
        Self { instance: run.instance, job, status: None }
    }

    /// Kills its process, unless that has been reaped. The process may have come after its start was given up.
    fn kill(&self) {
        if let Some(pid) = self.job.child.get().filter(|_| self.status.is_none()) {
            process::kill_with_group(pid);
        }
    }
}

struct Pending {
    run: Run,
    app: Arc<str>,
    job: Arc<Job>,
    submitted: Instant,
    /// The program of the process that is being made; `None`: it is looked up.
    program: Option<PathBuf>,
    /// Since when its process is to be killed.
    abandoned: Option<Instant>,
    is_killed: bool,
    said: Vec<Event>,
    status: Option<Status>,
}

impl Pending {
    /// When something is to be done about it. A job that waits for a thread has no end in time as long as
    /// threads take jobs.
    fn deadline(&self, helpers: &HelperThreads) -> Instant {
        let since = if let Some(begun) = self.job.begun.get().filter(|_| self.job.has_begun()) {
            *begun
        } else {
            let last_taken = helpers.last_taken(Purpose::Start, &self.app);
            self.submitted.max(last_taken.unwrap_or(self.submitted))
        };
        let deadline = since + START_TIMEOUT;
        self.abandoned.map_or(deadline, |at| deadline.min(at + KILL_TIMEOUT))
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
        Self { helpers, sender, receiver, pending: HashMap::new(), left: HashMap::new() }
    }

    /// The threads that do the work.
    pub(super) fn helpers(&self) -> &HelperThreads {
        &self.helpers
    }

    /// Whether no start is under way.
    pub(super) fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }

    /// Looks up what a run is to execute. [`StartProgress::Prepared`] follows, or [`StartProgress::Failed`].
    ///
    /// # Errors
    /// There is no thread for it, or one still hangs in the last start of the instance.
    pub(super) fn prepare(
        &mut self,
        run: Run,
        app: &str,
        prepare: impl FnOnce(&Job) -> Result<Prepared, SpawnFailure> + Send + 'static,
    ) -> Result<(), SpawnFailure> {
        let now = actor::now();
        let hanging = self.left.values().find(|AbandonedJob { instance, job, .. }| {
            *instance == run.instance && job.begun.get().is_some_and(|begun| *begun + HANGS_AFTER <= now)
        });
        if let Some(AbandonedJob { job, .. }) = hanging {
            return Err(hangs("its last start still hangs", job.step()));
        }
        self.submit(run, app, None, move |job| JobResult::Prepared(run, prepare(job).map(Box::new)))
    }

    /// Makes the process of a run. [`StartProgress::Executed`] follows, or [`StartProgress::Failed`].
    ///
    /// # Errors
    /// There is no thread for it.
    pub(super) fn execute(
        &mut self,
        run: Run,
        app: &str,
        prepared: Box<Prepared>,
        spawn: impl FnOnce(&Prepared, &ChildId) -> Result<Pid, spawn::Error> + Send + 'static,
    ) -> Result<(), SpawnFailure> {
        let program = prepared.command.program.clone();
        self.submit(run, app, Some(program), move |job| {
            job.enter(Step::Execution);
            let result = spawn(&prepared, &job.child);
            JobResult::Executed(run, prepared, result)
        })
    }

    fn submit(
        &mut self,
        run: Run,
        app: &str,
        program: Option<PathBuf>,
        work: impl FnOnce(&Job) -> JobResult + Send + 'static,
    ) -> Result<(), SpawnFailure> {
        let (job, app) = (Arc::new(Job::default()), Arc::<str>::from(app));
        let (theirs, sender) = (Arc::clone(&job), self.sender.clone());
        let work = move || {
            if theirs.begin() {
                // Without a result, the instance could never start again.
                let done = catch_unwind(AssertUnwindSafe(|| work(&theirs)));
                // The receiver lives as long as procrun.
                let _ = sender.send(done.unwrap_or(JobResult::Panicked(run)));
            }
        };
        let cancelled = Arc::clone(&job);
        let work = helper_threads::Job::new(Purpose::Start, work).of_app(&app);
        let submitted = self.helpers.submit(work.unless(move || cancelled.is_cancelled()));
        submitted.map_err(|error| refused("create a thread for its start", &error))?;
        let pending = Pending {
            run,
            app,
            job,
            submitted: actor::now(),
            program,
            abandoned: None,
            is_killed: false,
            said: Vec::new(),
            status: None,
        };
        self.pending.insert(run.number, pending);
        Ok(())
    }

    /// Waits until a start goes on. Cancel-safe.
    pub(super) async fn turn(&mut self) -> Vec<StartProgress> {
        if self.pending.is_empty() && self.left.is_empty() {
            return std::future::pending().await;
        }
        let next = self.next();
        tokio::select! {
            Some(done) = self.receiver.recv() => self.take(done).into_iter().collect(),
            () = async { match next { Some(at) => sleep_until(at).await, None => std::future::pending().await } } => {
                self.look(actor::now())
            }
        }
    }

    /// When [`Self::look`] has something to do.
    fn next(&self) -> Option<Instant> {
        let wakes = self.pending.values().map(|pending| {
            let deadline = pending.deadline(&self.helpers);
            match pending.abandoned {
                Some(_) if pending.job.child.get().is_none() => deadline.min(actor::now() + KILL_RETRY),
                Some(_) | None => deadline,
            }
        });
        wakes.min()
    }

    fn take(&mut self, done: JobResult) -> Option<StartProgress> {
        let (JobResult::Prepared(run, _) | JobResult::Executed(run, ..) | JobResult::Panicked(run)) = done;
        let Some(pending) = self.pending.remove(&run.number) else {
            // It took too long, or was abandoned.
            if let Some(left) = self.left.remove(&run.number) {
                left.kill();
            }
            return None;
        };
        Some(match done {
            JobResult::Prepared(run, Ok(prepared)) => StartProgress::Prepared(run, prepared),
            JobResult::Prepared(run, Err(failure)) => StartProgress::Failed(run, failure),
            JobResult::Executed(run, _, Ok(_)) if pending.is_killed => {
                StartProgress::Failed(run, abandoned())
            }
            JobResult::Executed(run, prepared, Ok(pid)) => {
                let Pending { said, status, .. } = pending;
                StartProgress::Executed(Executed { run, pid, prepared, said, status })
            }
            JobResult::Executed(run, prepared, Err(error)) => {
                StartProgress::Failed(run, spawn_failure(&prepared.command.program, &prepared.limits, &error))
            }
            JobResult::Panicked(run) => {
                AbandonedJob { status: pending.status, ..AbandonedJob::new(run, pending.job) }.kill();
                StartProgress::Failed(
                    run,
                    refused("start it", &io::Error::other("a thread of procrun has panicked")),
                )
            }
        })
    }

    /// Abandons starts that timed out, and kills children that could not be killed when they were abandoned.
    fn look(&mut self, now: Instant) -> Vec<StartProgress> {
        for pending in self.pending.values_mut().filter(|pending| pending.abandoned.is_some()) {
            pending.kill_unexecuted();
        }
        let helpers = &self.helpers;
        let late = self.pending.extract_if(|_, pending| pending.deadline(helpers) <= now);
        let late: Vec<Pending> = late.map(|(_, pending)| pending).collect();
        late.into_iter().map(|pending| self.give_up(pending)).collect()
    }

    fn give_up(&mut self, pending: Pending) -> StartProgress {
        let Pending { run, job, program, status, abandoned: is_abandoned, .. } = pending;
        job.child.prevent();
        // It is stopped, or waits for a file system. One that comes later is killed when its thread comes back.
        let left = AbandonedJob { status, ..AbandonedJob::new(run, job) };
        left.kill();
        let failure = match program {
            _ if is_abandoned.is_some() => abandoned(),
            Some(program) => hangs(&program.display().to_string(), Step::Execution),
            None => hangs("its start hangs", left.job.step()),
        };
        if !left.job.cancel() {
            self.left.insert(run.number, left);
        }
        StartProgress::Failed(run, failure)
    }

    /// Nothing is needed of this start any more: kills its process if that has not executed its program.
    /// Returns what is known at once.
    pub(super) fn abandon(&mut self, run: Run) -> Option<StartProgress> {
        let pending = self.pending.get_mut(&run.number)?;
        if pending.program.is_some() && !pending.job.cancel() {
            pending.abandoned = Some(actor::now());
            pending.kill_unexecuted();
            return None;
        }
        let pending = self.pending.remove(&run.number)?;
        if !pending.job.cancel() && pending.job.has_begun() {
            self.left.insert(run.number, AbandonedJob::new(run, pending.job));
        }
        Some(StartProgress::Failed(run, abandoned()))
    }

    /// Takes in a reaped child; false if it is none of a start.
    pub(super) fn reaped(&mut self, pid: Pid, status: Status) -> bool {
        let pending = self.pending.values_mut().map(|pending| (&pending.job, &mut pending.status));
        let left = self.left.values_mut().map(|left| (&left.job, &mut left.status));
        let mut unreaped = pending.chain(left).filter(|(_, status)| status.is_none());
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
        let left = self.left.values().map(|left| &left.job);
        self.pending.values().map(|pending| &pending.job).chain(left).any(|job| job.child.is(pid))
    }

    /// Keeps messages of runs whose start is not known to have succeeded, and returns the rest. The program
    /// may be faster than the thread that reports its execution. Bounded: of each kind, the last message is kept.
    pub(super) fn keep_early(&mut self, events: Vec<Event>) -> Vec<Event> {
        if self.pending.is_empty() {
            return events;
        }
        let mut rest = Vec::new();
        for event in events {
            match event.speaker().and_then(|run| self.pending.get_mut(&run.number)) {
                Some(pending) => {
                    pending.said.retain(|earlier| !event.supersedes(earlier));
                    pending.said.push(event);
                }
                None => rest.push(event),
            }
        }
        rest
    }
}

/// The failure of an abandoned start.
fn abandoned() -> SpawnFailure {
    refused("execute its program", &io::Error::other("it was stopped before"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::{Sign, Word};

    const RUN: Run = Run { instance: InstanceId(1), number: 1 };

    fn starting() -> Starting {
        Starting::new(HelperThreads::default())
    }

    #[tokio::test]
    async fn a_job_that_panics_fails_its_start_and_bars_no_later_one() {
        let mut starting = starting();
        for number in 1..=2 {
            let run = Run { number, ..RUN };
            starting.prepare(run, "app", |_| panic!("on purpose")).unwrap();
            let news = starting.turn().await;
            assert!(matches!(&*news, [StartProgress::Failed(failed, _)] if *failed == run), "{news:?}");
            assert!(starting.is_empty() && starting.left.is_empty());
        }
    }

    #[tokio::test]
    async fn early_messages_are_bounded_and_no_sign_of_readiness_is_lost() {
        let mut starting = starting();
        let (release, hang) = std::sync::mpsc::channel::<()>();
        let waits = move |_: &Job| {
            let _ = hang.recv();
            Err(abandoned())
        };
        starting.prepare(RUN, "app", waits).unwrap();
        let other = Run { number: 2, ..RUN };
        let status = |number: usize| Event::Notified(RUN, Word::Status(number.to_string()));
        for number in 0..1000 {
            let beat = Event::Notified(RUN, Word::Alive);
            let events = vec![beat.clone(), status(number), beat, Event::Ready(RUN, Sign::Listening)];
            assert!(starting.keep_early(events).is_empty());
        }
        let last = vec![Event::Ready(RUN, Sign::Message), Event::Ready(other, Sign::Message)];
        let rest = starting.keep_early(last);
        assert!(
            matches!(&*rest, [Event::Ready(run, _)] if *run == other),
            "the run is not starting: {rest:?}"
        );
        let said = &starting.pending[&RUN.number].said;
        assert!(
            matches!(
                &**said,
                [
                    Event::Notified(_, Word::Status(status)),
                    Event::Notified(_, Word::Alive),
                    Event::Ready(_, Sign::Listening),
                    Event::Ready(_, Sign::Message),
                ] if status == "999"
            ),
            "{said:?}"
        );
        drop(release);
        starting.turn().await;
    }
}
