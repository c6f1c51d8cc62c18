//! Which worker gets a connection.

use std::{
    collections::BTreeMap,
    hash::{DefaultHasher, Hash, Hasher},
    net::IpAddr,
};

use super::state::{Connection, Listener, Worker};
use crate::{machine::Run, spec::Balance};

/// Maximum number of connections that a worker has not accepted. The rest of a burst waits in the kernel, from which
/// each worker gets connections according to its speed.
const WINDOW: usize = 16;

/// A worker with this number of connections that it has not accepted counts as busier than one with fewer. Below it,
/// workers alternate (round robin): smaller differences are noise. If the number were larger, connections would wait
/// behind a busy worker while another is idle.
const BUSY_STEP: usize = 4;

/// As [`WINDOW`] with `balance = "sticky"`. No other worker may accept them, so more may wait. Beyond this number
/// the worker counts as hung, and its clients go to the next one.
const STICKY_WINDOW: usize = 32;

/// The worker for a connection.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Choice {
    Worker(Run),
    /// A worker may accept it later.
    NoWorker,
    /// All workers that could accept it have refused it.
    Refused,
}

impl Worker {
    pub(super) fn window(&self) -> usize {
        match self.balance {
            Balance::Auto | Balance::RoundRobin | Balance::Shared => WINDOW,
            Balance::Sticky => STICKY_WINDOW,
        }
    }

    /// Whether procrun accepts connections for it.
    fn is_handed_connections(&self) -> bool {
        match self.balance {
            Balance::Auto | Balance::RoundRobin | Balance::Sticky => true,
            Balance::Shared => false,
        }
    }

    /// The worker with the largest value gets a connection from this address.
    fn preference(&self, origin: Option<IpAddr>) -> (bool, u64) {
        match (self.balance, origin) {
            (Balance::Sticky, Some(origin)) => (true, rank(origin, self.slot)),
            (Balance::Auto | Balance::RoundRobin | Balance::Shared | Balance::Sticky, _) => {
                (false, u64::MAX - (self.load() / BUSY_STEP) as u64)
            }
        }
    }
}

/// Rendezvous hashing: a client goes to the slot with the highest rank. When a slot comes or goes, no client moves
/// between two others.
fn rank(origin: IpAddr, slot: u32) -> u64 {
    let mut hasher = DefaultHasher::new();
    (origin.to_canonical(), slot).hash(&mut hasher);
    hasher.finish()
}

/// The preferred worker among those that accept more connections (`window`). By default round robin decides among the
/// least busy ones.
///
/// A leaving worker gets a connection only when no other stays. A worker that accepts by itself gets only connections
/// that procrun has accepted already, when no worker stays that procrun accepts for: the application has changed its
/// balance. Without a `connection`, the question is about one that is not accepted yet.
pub(super) fn choose(
    listener: &Listener,
    connection: Option<&Connection>,
    workers: &BTreeMap<Run, Worker>,
) -> Choice {
    let is_accepted = connection.is_some();
    let (refused_by, origin) = connection.map_or((&[][..], None), |it| (it.refused_by.as_slice(), it.origin));
    let members = || listener.members.iter().filter_map(|run| Some((*run, workers.get(run)?)));
    let is_candidate: &dyn Fn(&Worker) -> bool =
        if members().any(|(_, it)| it.is_handed_connections() && !it.leaving) {
            &|it| it.is_handed_connections() && !it.leaving
        } else if members().any(|(_, it)| !it.leaving) {
            &|it| is_accepted && !it.leaving
        } else if members().any(|(_, it)| it.is_handed_connections()) {
            &Worker::is_handed_connections
        } else {
            &|_| is_accepted
        };
    let mut best = None;
    let (mut any_candidate, mut any_willing) = (false, false);
    for (run, worker) in members().filter(|(_, worker)| is_candidate(worker)) {
        any_candidate = true;
        if refused_by.contains(&run) {
            continue;
        }
        any_willing = true;
        let preference = worker.preference(origin);
        if worker.load() < worker.window() && best.is_none_or(|(_, largest)| preference > largest) {
            best = Some((run, preference));
        }
    }
    match best {
        Some((run, _)) => Choice::Worker(run),
        None if any_candidate && !any_willing => Choice::Refused,
        None => Choice::NoWorker,
    }
}
