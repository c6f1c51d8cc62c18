//! Runs that failed and have not reported why: their last lines may show it.
//!
//! The log pump reads what such a run has written to its end, and answers with the last lines. The machine takes
//! the run to be online until then. The pump itself may wait for a reader of procrun's output, so the supervisor
//! waits for the answer at most [`MAX_WAIT`].

use std::{collections::VecDeque, time::Duration};

use tokio::{
    sync::oneshot,
    time::{Instant, timeout_at},
};

use super::workers::Ended;
use crate::{
    logs::Logs,
    machine::{ListenFailure, Run, address_in_use},
};

/// Maximum time from the end of a run until the machine learns of it.
const MAX_WAIT: Duration = Duration::from_millis(100);

/// The runs whose last lines the log pump has been asked for.
#[derive(Debug, Default)]
pub(super) struct Unexplained(VecDeque<Batch>);

/// Runs that ended in one turn of the supervisor.
#[derive(Debug)]
struct Batch {
    ended: Vec<Ended>,
    last_lines: oneshot::Receiver<Vec<String>>,
    deadline: Instant,
}

/// Runs that ended, and the failures that the last lines of some of them report.
#[derive(Debug)]
pub(super) struct Explained {
    pub(super) ended: Vec<Ended>,
    pub(super) failures: Vec<(Run, ListenFailure)>,
}

impl Unexplained {
    /// Requests the last lines of these runs. The pump must have been told that they ended.
    pub(super) fn request_lines(&mut self, ended: Vec<Ended>, logs: &Logs, now: Instant) {
        if !ended.is_empty() {
            let last_lines = logs.last_lines(ended.iter().map(|ended| ended.run.instance.0).collect());
            self.0.push_back(Batch { ended, last_lines, deadline: now + MAX_WAIT });
        }
    }

    /// Waits for the answer about the oldest batch, or until it is too late. Cancel-safe.
    pub(super) async fn explained(&mut self) -> Explained {
        let Some(batch) = self.0.front_mut() else { return std::future::pending().await };
        let answer = timeout_at(batch.deadline, &mut batch.last_lines).await;
        let last_lines = answer.ok().and_then(Result::ok).unwrap_or_default();
        let ended = self.0.pop_front().map(|batch| batch.ended).unwrap_or_default();
        let failures = ended.iter().zip(last_lines);
        let failures = failures.filter_map(|(ended, lines)| Some((ended.run, address_in_use(&lines)?)));
        Explained { failures: failures.collect(), ended }
    }
}
