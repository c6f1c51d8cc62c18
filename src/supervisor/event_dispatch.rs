//! Every event passes here, once, on the supervisor's thread: it is logged, counted, kept and sent.
//!
//! A new consumer inside procrun is called in [`EventDispatch::dispatch`], which must not block; or it follows the
//! [`EventLog`] by sequence number, as the clients of `procrun events` do.

use super::{
    event_log::{EventFilter, EventFollowers, EventLog, Recent},
    log_event::log_event,
};
use crate::{
    control::{Answer, ClientId, Server},
    logs,
    machine::{Tallies, events::Notice},
};

/// The consumers of events.
#[derive(Debug, Default)]
pub(super) struct EventDispatch {
    log: EventLog,
    followers: EventFollowers,
    /// Counts of events, if there is an HTTP server.
    tallies: Option<Box<Tallies>>,
}

impl EventDispatch {
    /// Logs, counts and keeps an event. If it is a step of operations, sends it to the clients that wait for them.
    /// [`Self::send_new`] sends it to the clients that follow events.
    pub(super) fn dispatch(&mut self, notice: Notice, waiting: &[ClientId], server: Option<&mut Server>) {
        log_event(&notice);
        if let Some(tallies) = &mut self.tallies {
            tallies.count(&notice);
        }
        if !notice.data.is_kept() {
            return;
        }
        let is_step = notice.data.is_step();
        let event = self.log.keep(notice, logs::wall_clock());
        if let Some(server) = server.filter(|_| is_step && !waiting.is_empty()) {
            let step = Answer::Step(event);
            for client in waiting {
                server.answer(*client, &step);
            }
        }
    }

    /// Counts events from now on.
    pub(super) fn start_tallies(&mut self) {
        self.tallies = Some(Box::default());
    }

    /// The counts of events so far.
    pub(super) fn tallies(&self) -> Tallies {
        self.tallies.as_deref().cloned().unwrap_or_default()
    }

    /// Lets a client follow the events that match this filter.
    pub(super) fn follow(&mut self, client: ClientId, filter: EventFilter, recent: Recent, stream: bool) {
        self.followers.add(client, filter, recent, stream, &self.log);
    }

    /// Whether an event of an application of this name is kept.
    pub(super) fn knows_app(&self, name: &str) -> bool {
        self.log.knows_app(name)
    }

    /// Sends new events to the clients that follow them.
    pub(super) fn send_new(&mut self, server: &mut Server) {
        self.followers.send(&self.log, server);
    }
}
