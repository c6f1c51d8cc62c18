//! Samples of Node workers: requests to `metrics.cjs`, and the wait for the answers.
//!
//! A worker has at most one request that it has not answered, so a worker that hangs costs one message and one
//! wait.

use std::{collections::HashSet, time::Duration};

use tokio::{sync::oneshot, time::Instant};

use super::{
    super::{cluster::wire, sample::NodeSample},
    Hub,
    rounds::Round,
};
use crate::machine::Run;

/// The age from which a sample is not shown any more: its worker does not answer.
const MAX_AGE: Duration = Duration::from_secs(30);

impl Hub {
    /// Has workers count requests and garbage collections from their start on. Otherwise they begin at the first
    /// request for a sample.
    pub fn measure_from_start(&mut self) {
        self.samples.is_continuous = true;
    }

    /// Lets a worker that has started count from now on, if that is requested.
    pub(super) fn begin_to_measure(&mut self, run: Run, is_enabled: bool) {
        if self.samples.is_continuous && is_enabled {
            self.send(run, wire::MEASURE, None);
        }
    }

    /// Requests samples of these runs. The result comes when all have answered or ended; `None`: there is nothing
    /// to wait for.
    pub fn request_samples(&mut self, is_wanted: impl Fn(Run) -> bool) -> Option<oneshot::Receiver<()>> {
        self.samples.rounds.retain(|round| !round.done.is_closed());
        let rounds = &self.samples.rounds;
        let mut waiting = HashSet::new();
        let mut unasked = Vec::new();
        for (number, worker) in &mut self.workers {
            let can_answer = worker.samples.is_possible && !worker.disconnected && !worker.is_blocked;
            if !can_answer || !is_wanted(worker.run) {
                continue;
            }
            if !std::mem::replace(&mut worker.samples.is_requested, true) {
                unasked.push(worker.run);
                waiting.insert(*number);
            } else if rounds.iter().any(|round| round.waiting.contains(number)) {
                waiting.insert(*number);
            }
        }
        for run in unasked {
            if !self.send(run, wire::SAMPLE, None) {
                waiting.remove(&run.number);
            }
        }
        if waiting.is_empty() {
            return None;
        }
        let (done, receiver) = oneshot::channel();
        self.samples.rounds.push(Round { waiting, done });
        Some(receiver)
    }

    /// The last sample of a run, unless it is out of date.
    pub fn sample(&self, run: Run) -> Option<&NodeSample> {
        let (at, sample) = self.workers.get(&run.number)?.samples.last.as_ref()?;
        (at.elapsed() < MAX_AGE).then_some(sample)
    }

    /// A worker has sent a sample.
    pub(super) fn sampled(&mut self, run: Run, sample: Box<NodeSample>) {
        let Some(worker) = self.workers.get_mut(&run.number) else { return };
        // A worker may send more than was requested.
        if std::mem::replace(&mut worker.samples.is_requested, false) {
            worker.samples.last = Some((Instant::now(), sample));
            self.samples.complete(run.number);
        }
    }
}
