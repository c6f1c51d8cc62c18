//! The places for connections: a fixed number, and which connection leaves when all are taken.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use hyper::http::Extensions;
use tokio::{
    sync::{Notify, OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

/// How often a full server looks for an idle connection while a client waits.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// What happens when a client connects and no place is free.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhenFull {
    /// It waits in the kernel's backlog.
    Wait,
    /// The oldest connection without a request in progress is closed for it. Idle and slow clients cannot keep
    /// others from being served.
    CloseIdle,
}

/// The places of a server.
#[derive(Debug, Clone)]
pub(super) struct Places {
    free: Arc<Semaphore>,
    count: usize,
    when_full: WhenFull,
    taken: Arc<Mutex<Taken>>,
}

/// The connections that may have to leave, by age.
#[derive(Debug, Default)]
struct Taken {
    last: u64,
    by_age: BTreeMap<u64, Arc<Occupant>>,
}

#[derive(Debug, Default)]
struct Occupant {
    /// Requests in progress.
    requests: AtomicUsize,
    leave: Notify,
}

/// The place of one connection. It is free again when this is dropped.
#[derive(Debug)]
pub(super) struct Place {
    _permit: OwnedSemaphorePermit,
    occupant: Option<(u64, Arc<Occupant>, Arc<Mutex<Taken>>)>,
}

/// A request in progress, until the last clone is dropped. A handler whose answer is a stream keeps one with its
/// body, or the connection counts as idle.
#[derive(Debug, Clone)]
pub struct InProgress(#[expect(dead_code, reason = "it counts until it is dropped")] Arc<Counted>);

#[derive(Debug)]
struct Counted(Arc<Occupant>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.requests.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Places {
    pub(super) fn new(count: usize, when_full: WhenFull) -> Self {
        Self { free: Arc::new(Semaphore::new(count)), count, when_full, taken: Arc::default() }
    }

    /// A place for a connection that has not been accepted yet; `None`: it gets one afterwards.
    pub(super) async fn before_accept(&self) -> Option<Place> {
        match self.when_full {
            WhenFull::Wait => Some(Place { _permit: self.permit().await, occupant: None }),
            WhenFull::CloseIdle => None,
        }
    }

    /// A place for an accepted connection.
    pub(super) async fn of_accepted(&self) -> Place {
        let permit = loop {
            if self.free.available_permits() == 0 {
                self.close_oldest_idle();
            }
            // Meanwhile a connection may become idle, of which no event tells.
            if let Ok(permit) = timeout(LOOK_AGAIN, self.permit()).await {
                break permit;
            }
        };
        let occupant = Arc::<Occupant>::default();
        let mut taken = lock(&self.taken);
        taken.last += 1;
        let age = taken.last;
        taken.by_age.insert(age, occupant.clone());
        Place { _permit: permit, occupant: Some((age, occupant, self.taken.clone())) }
    }

    fn close_oldest_idle(&self) {
        let taken = lock(&self.taken);
        let is_idle = |occupant: &&Arc<Occupant>| occupant.requests.load(Ordering::Relaxed) == 0;
        if let Some(oldest) = taken.by_age.values().find(is_idle) {
            oldest.leave.notify_one();
        }
    }

    /// Waits until no connection is left.
    pub(super) async fn all_free(&self) {
        let all = u32::try_from(self.count).unwrap_or(u32::MAX);
        let _ = self.free.acquire_many(all).await;
    }

    async fn permit(&self) -> OwnedSemaphorePermit {
        self.free.clone().acquire_owned().await.expect("it is never closed")
    }
}

impl Place {
    /// A request has arrived.
    pub(super) fn begin(&self, extensions: &mut Extensions) {
        if let Some((_, occupant, _)) = &self.occupant {
            occupant.requests.fetch_add(1, Ordering::Relaxed);
            extensions.insert(InProgress(Arc::new(Counted(occupant.clone()))));
        }
    }

    /// Waits until the connection must make room for another one.
    pub(super) async fn must_close(&self) {
        match &self.occupant {
            Some((_, occupant, _)) => occupant.leave.notified().await,
            None => std::future::pending().await,
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some((age, _, taken)) = &self.occupant {
            lock(taken).by_age.remove(age);
        }
    }
}

fn lock(taken: &Mutex<Taken>) -> MutexGuard<'_, Taken> {
    // Nothing under the lock leaves it half changed.
    taken.lock().unwrap_or_else(PoisonError::into_inner)
}
