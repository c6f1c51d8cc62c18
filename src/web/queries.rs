//! Questions to the supervisor, paced so that no number of HTTP requests takes its time.
//!
//! One question takes a turn at a time. After each one the server rests for a multiple of the time that the answer
//! took. An urgent question waits for one other question at most. Requests for the same thing share one answer: a
//! request gets any answer whose question was asked after the request had arrived.

use std::{
    collections::HashMap,
    future::Future,
    io,
    sync::{Arc, PoisonError, Weak},
    time::Duration,
};

use hyper::StatusCode;
use tokio::{
    sync::{Mutex, MutexGuard, Semaphore},
    time::{Instant, sleep_until, timeout},
};

use super::{
    clock::now,
    link::{Connector, Link},
    problem::Problem,
};
use crate::control::{Answer, Request};

/// How long a request waits for the supervisor.
const PATIENCE: Duration = Duration::from_secs(5);
/// Requests that wait for a question of the same kind.
const MAX_WAITING: usize = 64;

/// How long the server rests after a question.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    /// At least this time.
    pub(super) least: Duration,
    /// This multiple of the time that the answer took.
    pub(super) times: u32,
}

impl Pace {
    const MAX: Duration = Duration::from_secs(1);

    fn rest(self, took: Duration) -> Duration {
        took.saturating_mul(self.times).clamp(self.least, Self::MAX)
    }
}

/// Whether questions of a kind wait for those of other kinds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Urgency {
    /// They are asked before all ordinary ones.
    Urgent,
    Ordinary,
}

/// The turns of questions of several kinds.
#[derive(Debug)]
pub(super) struct Turns {
    pace: Pace,
    /// When the next question may be asked.
    rested: Mutex<Instant>,
    /// Of all ordinary questions only one at a time waits for a turn.
    ordinary: Mutex<()>,
}

/// The turn of a question. It ends when this is dropped.
#[derive(Debug)]
struct Turn<'a> {
    pace: Pace,
    began: Instant,
    rested: MutexGuard<'a, Instant>,
    _ordinary: Option<MutexGuard<'a, ()>>,
}

impl Turns {
    pub(super) fn new(pace: Pace) -> Arc<Self> {
        Arc::new(Self { pace, rested: Mutex::new(now()), ordinary: Mutex::new(()) })
    }

    async fn wait(&self, urgency: Urgency) -> Turn<'_> {
        let ordinary = match urgency {
            Urgency::Urgent => None,
            Urgency::Ordinary => Some(self.ordinary.lock().await),
        };
        let rested = self.rested.lock().await;
        sleep_until(*rested).await;
        Turn { pace: self.pace, began: now(), rested, _ordinary: ordinary }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let now = now();
        *self.rested = now + self.pace.rest(now - self.began);
    }
}

/// Questions of one kind.
#[derive(Debug)]
pub(super) struct Queries {
    connector: Connector,
    turns: Arc<Turns>,
    urgency: Urgency,
    places: Semaphore,
    link: Mutex<Option<Link>>,
}

impl Queries {
    pub(super) fn new(connector: Connector, turns: Arc<Turns>, urgency: Urgency) -> Self {
        Self { connector, turns, urgency, places: Semaphore::new(MAX_WAITING), link: Mutex::new(None) }
    }

    /// Asks the supervisor. An answer that reports a failure is a problem.
    pub(super) async fn ask(&self, request: &Request) -> Result<Answer, Problem> {
        let Ok(_place) = self.places.try_acquire() else {
            return Err(Problem::busy("too many requests wait for the supervisor"));
        };
        let asking = async {
            let _turn = self.turns.wait(self.urgency).await;
            // A link whose answer is not awaited cannot be used again.
            let mut kept = self.link.lock().await;
            let (answer, link) = exchange(&self.connector, kept.take(), request).await?;
            *kept = Some(link);
            Ok(answer)
        };
        within_patience(asking).await.and_then(|answer| match answer {
            Answer::Failed(error) => Err(refused(error)),
            answer => Ok(answer),
        })
    }

    /// Opens a link for a stream, and reads the first answers. Both are one question.
    pub(super) async fn open<T>(
        &self,
        request: &Request,
        first: impl AsyncFnOnce(&mut Link) -> io::Result<T>,
    ) -> Result<(Link, T), Problem> {
        let Ok(_place) = self.places.try_acquire() else {
            return Err(Problem::busy("too many requests wait for the supervisor"));
        };
        let _turn = within_patience(async { Ok(self.turns.wait(self.urgency).await) }).await?;
        within_patience(async {
            let mut link = self.connector.ask(request).await?;
            let first = first(&mut link).await?;
            Ok((link, first))
        })
        .await
    }
}

async fn exchange(
    connector: &Connector,
    link: Option<Link>,
    request: &Request,
) -> io::Result<(Answer, Link)> {
    let mut link = match link {
        Some(mut link) => match link.ask(request).await {
            Ok(()) => link,
            // The supervisor had closed it.
            Err(_) => connector.ask(request).await?,
        },
        None => connector.ask(request).await?,
    };
    let answer = link.answer().await?;
    Ok((answer, link))
}

pub(super) async fn within_patience<T>(work: impl Future<Output = io::Result<T>>) -> Result<T, Problem> {
    match timeout(PATIENCE, work).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            format!("the supervisor has not answered: {error}"),
        )),
        Err(_) => Err(Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            format!("the supervisor has not answered for {} s", PATIENCE.as_secs()),
        )),
    }
}

/// The supervisor has refused a request.
pub(super) fn refused(error: crate::control::RequestError) -> Problem {
    let problem = Problem::new(StatusCode::CONFLICT, error.message);
    match error.hint {
        Some(hint) => problem.hint(hint),
        None => problem,
    }
}

/// An answer that requests share.
#[derive(Debug)]
pub(super) struct Shared<T> {
    last: Mutex<Option<Kept<T>>>,
}

#[derive(Debug)]
struct Kept<T> {
    asked: Instant,
    /// The number of changes of the supervisor before the question.
    changes: u64,
    value: Arc<T>,
}

impl<T> Shared<T> {
    pub(super) fn new() -> Self {
        Self { last: Mutex::new(None) }
    }

    /// The last value if it was asked for after this call, or if nothing has changed and it is not older than
    /// `valid`; else a new one.
    pub(super) async fn get(
        &self,
        connector: &Connector,
        valid: Duration,
        ask: impl AsyncFnOnce() -> Result<T, Problem>,
    ) -> Result<Arc<T>, Problem> {
        let arrived = now();
        let mut last = within_patience(async { Ok(self.last.lock().await) }).await?;
        let changes = connector.changes();
        if let Some(kept) = &*last
            && (kept.asked >= arrived || kept.changes == changes && now() < kept.asked + valid)
        {
            return Ok(kept.value.clone());
        }
        let asked = now();
        let value = Arc::new(ask().await?);
        *last = Some(Kept { asked, changes, value: value.clone() });
        Ok(value)
    }
}

/// Answers that requests for the same targets share while one of them waits.
#[derive(Debug)]
pub(super) struct SharedByTarget<T>(std::sync::Mutex<HashMap<String, Weak<Shared<T>>>>);

impl<T> SharedByTarget<T> {
    pub(super) fn new() -> Self {
        Self(std::sync::Mutex::default())
    }

    pub(super) fn of(&self, target: &str) -> Arc<Shared<T>> {
        // Nothing under the lock leaves it half changed.
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(shared) = all.get(target).and_then(Weak::upgrade) {
            return shared;
        }
        all.retain(|_, shared| shared.strong_count() > 0);
        let shared = Arc::new(Shared::new());
        all.insert(target.to_owned(), Arc::downgrade(&shared));
        shared
    }
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};

    use super::{super::link::connector, *};

    #[test]
    fn the_rest_after_a_question_grows_with_the_time_it_took() {
        let pace = Pace { least: Duration::from_millis(10), times: 4 };
        assert_eq!(pace.rest(Duration::from_millis(1)), Duration::from_millis(10));
        assert_eq!(pace.rest(Duration::from_millis(50)), Duration::from_millis(200));
        assert_eq!(pace.rest(Duration::from_secs(60)), Duration::from_secs(1));
    }

    #[test]
    fn an_urgent_question_waits_for_one_ordinary_question_at_most() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let turns = Turns::new(Pace { least: Duration::ZERO, times: 0 });
            let order = RefCell::new(Vec::new());
            let ask = async |urgency, name| {
                let _turn = turns.wait(urgency).await;
                order.borrow_mut().push(name);
                tokio::task::yield_now().await;
            };
            tokio::join!(
                ask(Urgency::Ordinary, "a"),
                ask(Urgency::Ordinary, "b"),
                ask(Urgency::Ordinary, "c"),
                ask(Urgency::Urgent, "urgent"),
            );
            assert_eq!(*order.borrow(), ["a", "urgent", "b", "c"]);
        });
    }

    #[test]
    fn requests_for_the_same_target_share_an_answer_while_they_wait() {
        let shared = SharedByTarget::<u32>::new();
        let (first, second) = (shared.of("api"), shared.of("api"));
        assert!(Arc::ptr_eq(&first, &second) && !Arc::ptr_eq(&first, &shared.of("web")));
        drop((first, second));
        let _third = shared.of("api");
        assert_eq!(shared.0.lock().unwrap().len(), 1, "nothing is kept without a request");
    }

    #[test]
    fn requests_share_an_answer_until_the_supervisor_changes() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (connector, links) = connector();
            let (shared, asked) = (Shared::new(), Cell::new(0));
            let get = async || {
                let ask = async || {
                    asked.set(asked.get() + 1);
                    Ok(asked.get())
                };
                *shared.get(&connector, Duration::from_secs(600), ask).await.unwrap()
            };
            assert_eq!((get().await, get().await), (1, 1));
            links.has_changed();
            assert_eq!((get().await, get().await), (2, 2));
            // Both have arrived before the question.
            links.has_changed();
            assert_eq!(tokio::join!(get(), get()), (3, 3));
            let failed = shared.get(&connector, Duration::ZERO, async || Err(Problem::not_found())).await;
            assert!(failed.is_err());
            assert_eq!(get().await, 3, "a failure is not kept");
        });
    }
}
