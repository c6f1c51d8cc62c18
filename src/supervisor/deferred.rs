//! Requests that continue when helper threads have answered. The supervisor goes on meanwhile.

use std::{future::Future, time::Duration};

use tokio::{sync::oneshot, task::JoinSet};

use super::{
    actor::{Supervisor, now},
    helper_threads::HelperThreads,
};
use crate::sys::clock::after;

/// How a request continues, in the supervisor's own turn.
pub(super) type Continuation = Box<dyn FnOnce(&mut Supervisor<'_>) + Send>;

/// The requests that wait for helper threads. Each has a time limit, and comes from a client or a signal.
#[derive(Default)]
pub(super) struct Deferred(JoinSet<Continuation>);

impl Deferred {
    /// Continues with what this brings.
    pub(super) fn add(&mut self, request: impl Future<Output = Continuation> + Send + 'static) {
        self.0.spawn(request);
    }

    /// Continues with the answer of a helper thread; `None`: it has not come within `limit`.
    pub(super) fn add_answer<T: Send + 'static>(
        &mut self,
        helpers: &HelperThreads,
        mut answer: oneshot::Receiver<T>,
        limit: Duration,
        then: impl FnOnce(&mut Supervisor<'_>, Option<T>) + Send + 'static,
    ) {
        let (helpers, until) = (helpers.clone(), after(now().into(), limit).into());
        self.add(async move {
            let answer = helpers.receive(&mut answer, until).await;
            Box::new(move |supervisor: &mut Supervisor<'_>| then(supervisor, answer)) as Continuation
        });
    }

    /// Waits until a request can continue. Cancel-safe.
    pub(super) async fn next(&mut self) -> Continuation {
        loop {
            match self.0.join_next().await {
                Some(Ok(continuation)) => return continuation,
                // It has panicked, which has been reported.
                Some(Err(_)) => {}
                None => return std::future::pending().await,
            }
        }
    }
}
