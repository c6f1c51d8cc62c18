//! Starts under way: processes that change their user and have not executed their program yet.
//!
//! Such a process runs with the rights of the application's user, so any process of that user can stop it
//! for ever. The supervisor therefore never waits for it: the report of the start comes in like all news,
//! and a process that does not report within [`START_TIMEOUT`] is killed.

use std::{collections::HashMap, io, os::fd::AsFd, path::PathBuf, time::Duration};

use nix::{errno::Errno, libc};
use tokio::time::{Instant, sleep_until};

use super::{actor, failed_start::spawn_failure};
use crate::{
    machine::{Run, SpawnFailure},
    spec::ProgramKind,
    sys::{
        limits::Limits,
        poll::{Happened, Poller, When},
        process,
        reap::Pid,
        spawn::{self, Report, Stage},
    },
};

/// How long a process may take from its creation to the execution of its program.
const START_TIMEOUT: Duration = Duration::from_secs(5);

/// How a start ended.
pub(super) type Outcome = (Run, Result<ProgramKind, SpawnFailure>);

/// A process that has just been made.
#[derive(Debug)]
pub(super) struct Start {
    pub(super) run: Run,
    pub(super) pid: Pid,
    /// What it is to execute, to be named when that fails.
    pub(super) program: PathBuf,
    pub(super) limits: Limits,
    pub(super) kind: ProgramKind,
}

/// All starts under way. It is empty, and costs nothing, until the first worker with a user of its own.
#[derive(Debug, Default)]
pub(super) struct Starting {
    poller: Option<Poller>,
    /// By the number of the run.
    pending: HashMap<u64, Pending>,
    happened: Vec<Happened>,
}

#[derive(Debug)]
struct Pending {
    start: Start,
    report: Report,
    deadline: Instant,
}

impl Pending {
    fn failure(&self, error: &spawn::Error) -> SpawnFailure {
        spawn_failure(&self.start.program, &self.start.limits, error)
    }
}

impl Starting {
    /// Takes in a process that has just been made.
    ///
    /// # Errors
    /// The kernel has no room to watch one more; the process is killed.
    pub(super) fn add(&mut self, start: Start, report: Report) -> io::Result<()> {
        let watched = self.watch(start.run, &report);
        if watched.is_err() {
            let _ = process::signal(start.pid, libc::SIGKILL);
            return watched;
        }
        let deadline = actor::now() + START_TIMEOUT;
        self.pending.insert(start.run.number, Pending { start, report, deadline });
        Ok(())
    }

    fn watch(&mut self, run: Run, report: &Report) -> io::Result<()> {
        let poller = match &mut self.poller {
            Some(poller) => poller,
            none => none.insert(Poller::new()?),
        };
        poller.add(report.as_fd(), run.number, When::Readable)
    }

    /// Waits until starts have ended. Cancel-safe.
    ///
    /// # Errors
    /// What epoll_wait(2) says.
    pub(super) async fn turn(&mut self) -> io::Result<Vec<Outcome>> {
        let Some(deadline) = self.pending.values().map(|pending| pending.deadline).min() else {
            return std::future::pending().await;
        };
        let Some(poller) = &self.poller else { return std::future::pending().await };
        tokio::select! {
            result = poller.wait(&mut self.happened) => result?,
            () = sleep_until(deadline) => return Ok(self.give_up(actor::now())),
        }
        let tokens: Vec<u64> = self.happened.drain(..).map(|happened| happened.token).collect();
        Ok(tokens.into_iter().filter_map(|token| self.settle(token)).collect())
    }

    /// The starts that have ended by now.
    pub(super) fn look(&mut self) -> Vec<Outcome> {
        let tokens: Vec<u64> = self.pending.keys().copied().collect();
        tokens.into_iter().filter_map(|token| self.settle(token)).collect()
    }

    /// How the start of a run went whose process has been reaped; `None`: that is known already.
    pub(super) fn reaped(&mut self, run: Run) -> Option<Outcome> {
        self.settle(run.number)
    }

    fn settle(&mut self, token: u64) -> Option<Outcome> {
        let outcome = self.pending.get(&token)?.report.outcome()?;
        let pending = self.pending.remove(&token)?;
        self.forget(&pending.report);
        let kind = pending.start.kind;
        Some((pending.start.run, outcome.map(|()| kind).map_err(|error| pending.failure(&error))))
    }

    /// A child that has not executed its program yet may hold a copy of the pipe, so that closing it alone
    /// would leave it in the set.
    fn forget(&self, report: &Report) {
        if let Some(poller) = &self.poller {
            poller.remove(report.as_fd());
        }
    }

    fn give_up(&mut self, now: Instant) -> Vec<Outcome> {
        let late: Vec<Pending> =
            self.pending.extract_if(|_, it| it.deadline <= now).map(|(_, it)| it).collect();
        late.into_iter()
            .map(|pending| {
                // It is stopped, or waits for a file system. It is not reaped yet, so the id is its own.
                let _ = process::signal(pending.start.pid, libc::SIGKILL);
                self.forget(&pending.report);
                let error = spawn::Error { stage: Stage::Fork, source: Errno::ETIMEDOUT.into() };
                (pending.start.run, Err(pending.failure(&error)))
            })
            .collect()
    }
}
