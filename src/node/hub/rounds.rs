//! The requests for samples of Node workers that have not been answered.

use std::collections::HashSet;

use tokio::{sync::oneshot, time::Instant};

use super::super::sample::NodeSample;

/// The requests that wait for samples.
#[derive(Debug, Default)]
pub(super) struct Samples {
    /// Whether workers count from their start on.
    pub(super) is_continuous: bool,
    pub(super) rounds: Vec<Round>,
}

/// A request that waits for samples of several workers.
#[derive(Debug)]
pub(super) struct Round {
    /// The numbers of their runs.
    pub(super) waiting: HashSet<u64>,
    pub(super) done: oneshot::Sender<()>,
}

/// The samples of one worker.
#[derive(Debug, Default)]
pub(super) struct WorkerSamples {
    /// Whether `metrics.cjs` runs in it.
    pub(super) is_possible: bool,
    /// Whether it has not answered a request.
    pub(super) is_requested: bool,
    pub(super) last: Option<(Instant, Box<NodeSample>)>,
}

impl WorkerSamples {
    pub(super) fn new(is_possible: bool) -> Self {
        Self { is_possible, ..Self::default() }
    }
}

impl Samples {
    /// A worker has answered, or never will.
    pub(super) fn complete(&mut self, number: u64) {
        let completed = self.rounds.extract_if(.., |round| {
            round.waiting.remove(&number);
            round.waiting.is_empty()
        });
        for round in completed {
            let _ = round.done.send(());
        }
    }
}
