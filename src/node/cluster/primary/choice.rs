//! Which worker gets a connection.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    net::IpAddr,
};

use super::{Connection, Listener, Primary, Worker};
use crate::{machine::Run, spec::Balance};

/// How many connections a worker may have that it has not yet taken, while all have as many: of a burst that
/// waits in the kernel, each worker would get as much as it is fast.
const WINDOW: usize = 16;

/// With this number of connections that it has not accepted, a worker waits longer for its turn than others. With fewer it is
/// as good as idle, and the turn alone decides: which worker is faster by some microseconds is chance. With
/// more, connections would wait behind a busy worker while another is idle.
const BUSY: usize = 4;

/// The same with `balance = "sticky"`. No other worker is to take them, so more may wait. Beyond that
/// the worker counts as hung, and its clients go to the next one.
const STICKY_WINDOW: usize = 32;

/// Which worker is to get a connection.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Choice {
    Worker(Run),
    /// One may take it later.
    NoWorker,
    /// All that could have refused it.
    Refused,
}

impl Worker {
    pub(super) fn window(&self) -> usize {
        match self.balance {
            Balance::Auto | Balance::RoundRobin | Balance::Shared => WINDOW,
            Balance::Sticky => STICKY_WINDOW,
        }
    }

    /// Whether procrun accepts for it.
    fn is_handed_connections(&self) -> bool {
        match self.balance {
            Balance::Auto | Balance::RoundRobin | Balance::Sticky => true,
            Balance::Shared => false,
        }
    }

    /// The larger, the sooner it gets a connection from there.
    fn preference(&self, origin: Option<IpAddr>) -> (bool, u64) {
        match (self.balance, origin) {
            (Balance::Sticky, Some(origin)) => (true, rank(origin, self.place)),
            (Balance::Auto | Balance::RoundRobin | Balance::Shared | Balance::Sticky, _) => {
                (false, u64::MAX - (self.load() / BUSY) as u64)
            }
        }
    }
}

/// Rendezvous hashing: of all places the one with the greatest rank is that of a client. When a place
/// comes or goes, no client moves between two others.
fn rank(origin: IpAddr, place: u32) -> u64 {
    let mut hasher = DefaultHasher::new();
    (origin.to_canonical(), place).hash(&mut hasher);
    hasher.finish()
}

impl Primary {
    /// The preferred one among the workers with room, by default the one in turn among those that are
    /// the least busy. One that is leaving gets a connection only when none stays. One
    /// that accepts for itself gets only what procrun has accepted already, when none stays that procrun
    /// accepts for: the application has changed its balance. `None` asks for a connection that is not
    /// accepted yet.
    pub(super) fn choose(&self, listener: &Listener, connection: Option<&Connection>) -> Choice {
        let in_hand = connection.is_some();
        let (refused_by, origin) =
            connection.map_or((&[][..], None), |it| (it.refused_by.as_slice(), it.origin));
        let members = || listener.members.iter().filter_map(|run| Some((*run, self.workers.get(run)?)));
        let takes: &dyn Fn(&Worker) -> bool =
            if members().any(|(_, it)| it.is_handed_connections() && !it.leaving) {
                &|it| it.is_handed_connections() && !it.leaving
            } else if members().any(|(_, it)| !it.leaving) {
                &|it| in_hand && !it.leaving
            } else if members().any(|(_, it)| it.is_handed_connections()) {
                &Worker::is_handed_connections
            } else {
                &|_| in_hand
            };
        let mut best = None;
        let (mut any, mut willing) = (false, false);
        for (run, worker) in members().filter(|(_, worker)| takes(worker)) {
            any = true;
            if refused_by.contains(&run) {
                continue;
            }
            willing = true;
            let preference = worker.preference(origin);
            if worker.load() < worker.window() && best.is_none_or(|(_, most)| preference > most) {
                best = Some((run, preference));
            }
        }
        match best {
            Some((run, _)) => Choice::Worker(run),
            None if any && !willing => Choice::Refused,
            None => Choice::NoWorker,
        }
    }
}
