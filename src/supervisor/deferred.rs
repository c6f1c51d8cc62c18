//! Requests that continue when helper threads have answered. The supervisor goes on meanwhile.

use std::{future::Future, time::Duration};

use tokio::{sync::oneshot, task::JoinSet};

use super::{clock, helper_threads::HelperThreads};
use crate::sys::clock::after;

/// The requests that wait for helper threads, each with its continuation `C`. A request has a time limit, and comes
/// from a client or a signal.
pub(super) struct Deferred<C>(JoinSet<C>);

impl<C> Default for Deferred<C> {
    fn default() -> Self {
        Self(JoinSet::new())
    }
}

impl<C: Send + 'static> Deferred<C> {
    /// Continues with the result of this future.
    pub(super) fn add(&mut self, request: impl Future<Output = C> + Send + 'static) {
        self.0.spawn(request);
    }

    /// Continues with the answer of a helper thread; `None`: it has not come within `limit`.
    pub(super) fn add_answer<T: Send + 'static>(
        &mut self,
        helpers: &HelperThreads,
        mut answer: oneshot::Receiver<T>,
        limit: Duration,
        then: impl FnOnce(Option<T>) -> C + Send + 'static,
    ) {
        let (helpers, until) = (helpers.clone(), after(clock::now().into(), limit).into());
        self.add(async move { then(helpers.receive(&mut answer, until).await) });
    }

    /// Waits until a request can continue. Cancel-safe.
    pub(super) async fn next(&mut self) -> C {
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
