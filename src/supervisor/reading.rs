//! Which reading of the ecosystem file is under way, and which requests it is for.
//!
//! One reading is under way at a time. Requests that arrive meanwhile share the next one.

use tokio::sync::oneshot;

use super::{helper_threads::HelperThreads, lookup::SingleLookup};
use crate::control::ClientId;

/// The reading that is under way.
#[derive(Debug, Default)]
pub(super) struct Reading {
    is_under_way: bool,
    files: SingleLookup,
    /// The requests that it is for.
    request: ReadRequest,
    /// The requests for the next reading.
    next: ReadRequest,
}

/// Requests to read the file again.
#[derive(Debug, Default)]
pub(super) struct ReadRequest {
    /// A signal has requested it.
    pub(super) by_signal: bool,
    /// The clients that have requested it, and whether it is a dry run.
    pub(super) clients: Vec<(ClientId, bool)>,
}

impl ReadRequest {
    /// By SIGHUP.
    pub(super) fn by_signal() -> Self {
        Self { by_signal: true, clients: Vec::new() }
    }

    /// By a command.
    pub(super) fn by_client(client: ClientId, is_dry_run: bool) -> Self {
        Self { by_signal: false, clients: vec![(client, is_dry_run)] }
    }

    pub(super) fn is_empty(&self) -> bool {
        !self.by_signal && self.clients.is_empty()
    }

    fn join(&mut self, other: Self) {
        self.by_signal |= other.by_signal;
        self.clients.extend(other.clients);
    }
}

impl Reading {
    /// Whether a reading for this request begins now. Otherwise the request is for the next one.
    pub(super) fn begin(&mut self, request: ReadRequest) -> bool {
        if self.is_under_way {
            self.next.join(request);
            return false;
        }
        self.is_under_way = true;
        self.request = request;
        true
    }

    /// Does a part of the reading on a helper thread. `None`: the last one hangs, or there is no thread.
    pub(super) fn submit<T: Send + 'static>(
        &self,
        helpers: &HelperThreads,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<oneshot::Receiver<T>> {
        self.files.begin(helpers, work)
    }

    /// The requests of the reading that is under way.
    pub(super) fn take_request(&mut self) -> ReadRequest {
        std::mem::take(&mut self.request)
    }

    /// Ends it. Returns the requests for the next reading.
    pub(super) fn end(&mut self) -> ReadRequest {
        self.is_under_way = false;
        std::mem::take(&mut self.next)
    }
}
