//! Questions to the supervisor, paced so that no number of HTTP requests takes its time.
//!
//! One question is under way at a time. After each one the server rests for a multiple of the time that the answer
//! took. Requests for the same thing share one answer: a request gets any answer whose question was asked after the
//! request had arrived.

use std::{future::Future, io, sync::Arc, time::Duration};

use hyper::StatusCode;
use tokio::{
    sync::{Mutex, Semaphore},
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

/// Questions of one kind.
#[derive(Debug)]
pub(super) struct Queries {
    connector: Connector,
    pace: Pace,
    places: Semaphore,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    link: Option<Link>,
    /// When the next question may be asked.
    rested: Instant,
}

impl Queries {
    pub(super) fn new(connector: Connector, pace: Pace) -> Self {
        let state = State { link: None, rested: now() };
        Self { connector, pace, places: Semaphore::new(MAX_WAITING), state: Mutex::new(state) }
    }

    /// Asks the supervisor. An answer that reports a failure is a problem.
    pub(super) async fn ask(&self, request: &Request) -> Result<Answer, Problem> {
        let Ok(_place) = self.places.try_acquire() else {
            return Err(Problem::busy("too many requests wait for the supervisor"));
        };
        let asking = async {
            let mut state = self.state.lock().await;
            sleep_until(state.rested).await;
            // A link whose answer is not awaited cannot be used again.
            let link = state.link.take();
            let asked = now();
            let (answer, link) = exchange(&self.connector, link, request).await?;
            state.rested = now() + self.pace.rest(now() - asked);
            state.link = Some(link);
            Ok(answer)
        };
        within_patience(asking).await.and_then(|answer| match answer {
            Answer::Failed(error) => Err(refused(error)),
            answer => Ok(answer),
        })
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
        let mut last = self.last.lock().await;
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

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::{super::link::connector, *};

    #[test]
    fn the_rest_after_a_question_grows_with_the_time_it_took() {
        let pace = Pace { least: Duration::from_millis(10), times: 4 };
        assert_eq!(pace.rest(Duration::from_millis(1)), Duration::from_millis(10));
        assert_eq!(pace.rest(Duration::from_millis(50)), Duration::from_millis(200));
        assert_eq!(pace.rest(Duration::from_secs(60)), Duration::from_secs(1));
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
