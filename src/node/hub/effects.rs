//! Carries out what the primary decides: opens, watches and closes sockets, accepts connections and hands them
//! over.

use std::{io, os::fd::AsFd, time::Duration};

use nix::libc;
use tokio::time::Instant;

use super::{
    super::{
        cluster::{ListenerId, PrimaryEffect, PrimaryEvent, wire},
        listener::{Listener, Opening},
        versions::Versions,
    },
    Hub, HubEvent,
    messages::{Attached, listen_failure},
    token::token_of_listener,
};
use crate::{
    machine::ReadinessSource,
    sys::{poll::Readiness, sockets::SocketFile},
};

/// Pause after accepting or sending has failed for lack of descriptors or memory: the kernel sends no event when
/// they are available again.
const RETRY_PAUSE: Duration = Duration::from_millis(100);

impl Hub {
    /// Passes an event to the primary and carries out its effects.
    pub(super) fn drive(&mut self, event: PrimaryEvent) {
        let mut effects = std::mem::take(&mut self.effects);
        self.step(event, &mut effects);
        let mut done = 0;
        while done < effects.len() {
            let effect = effects[done].clone();
            done += 1;
            self.carry_out(effect, &mut effects);
        }
        effects.clear();
        self.effects = effects;
    }

    fn step(&mut self, event: PrimaryEvent, out: &mut Vec<PrimaryEffect>) {
        let now = self.clock.now();
        self.primary.step(now, event, out);
    }

    fn carry_out(&mut self, effect: PrimaryEffect, out: &mut Vec<PrimaryEffect>) {
        match effect {
            PrimaryEffect::Bind(id, endpoint, worker) => {
                let worker = self.workers.get(&worker.number);
                let (app, owner, held_sockets) = worker.map_or((None, None, Vec::new()), |worker| {
                    (worker.app, worker.owner, worker.held_sockets.clone())
                });
                let opening = Opening { listener: id, endpoint, app, owner };
                if opening.has_file() {
                    self.opening.insert(id);
                    self.events.push(HubEvent::OpenSocket(opening));
                    return;
                }
                let mut opened = opening.open_with(&held_sockets);
                if opened.as_ref().is_err_and(is_in_use) && self.end_versions(Versions::end_now) {
                    opened = opening.open_with(&held_sockets);
                }
                let event = self.add_listener(id, opened);
                self.step(event, out);
            }
            PrimaryEffect::Close(id) => {
                self.opening.remove(&id);
                if let Some(listener) = self.listeners.remove(&id) {
                    if let Some(poller) = &self.poller {
                        poller.remove(listener.socket().as_fd());
                    }
                    self.closed_files.extend(listener.into_file());
                }
            }
            PrimaryEffect::Watch(id) => {
                if let (Some(poller), Some(listener)) = (&self.poller, self.listeners.get(&id)) {
                    // Fails only for lack of memory; then the workers wait for connections in vain.
                    let _ = poller.add(listener.socket().as_fd(), token_of_listener(id), Readiness::Arrival);
                }
            }
            PrimaryEffect::Unwatch(id) => {
                if let (Some(poller), Some(listener)) = (&self.poller, self.listeners.get(&id)) {
                    poller.remove(listener.socket().as_fd());
                }
            }
            PrimaryEffect::Accept(id) => {
                let event = self.accept(id);
                self.step(event, out);
            }
            PrimaryEffect::Answer(run, answer) => {
                let mut bytes = std::mem::take(&mut self.outgoing);
                answer.encode(&mut bytes);
                let shared = answer.to_query.filter(|outcome| outcome.handle.is_some());
                let with = shared.map(|outcome| Attached::Listener(outcome.listener));
                self.send(run, &bytes, with);
                bytes.clear();
                self.outgoing = bytes;
            }
            PrimaryEffect::Hand { worker, listener, seq, connection } => {
                let mut bytes = std::mem::take(&mut self.outgoing);
                wire::encode_connection(listener, seq, &mut bytes);
                self.send(worker, &bytes, Some(Attached::Connection(connection)));
                bytes.clear();
                self.outgoing = bytes;
            }
            PrimaryEffect::LetAccept { worker, listener, backlog, handed } => {
                let mut bytes = std::mem::take(&mut self.outgoing);
                wire::encode_accept(listener, backlog, handed, &mut bytes);
                self.send(worker, &bytes, Some(Attached::Listener(listener)));
                bytes.clear();
                self.outgoing = bytes;
                self.events.push(HubEvent::Accepts(worker, true));
            }
            PrimaryEffect::StopAccepting { worker, listener } => {
                let mut bytes = std::mem::take(&mut self.outgoing);
                wire::encode_stop_accepting(listener, &mut bytes);
                self.send(worker, &bytes, None);
                bytes.clear();
                self.outgoing = bytes;
                self.events.push(HubEvent::Accepts(worker, false));
            }
            PrimaryEffect::Release(connection) => self.connections.release(connection),
            PrimaryEffect::Listening(run, address) => {
                self.events.push(HubEvent::Ready(run, ReadinessSource::Listening));
                self.events.push(HubEvent::Listens(run, address));
            }
            PrimaryEffect::CannotListen(run, endpoint, errno) => {
                let failure = listen_failure(endpoint.describe(), errno);
                self.events.push(HubEvent::CannotListen { run, failure, is_handled: false });
            }
            PrimaryEffect::SharesSocket(run, endpoint, with) => {
                if let Some(app) = self.apps.get(&with) {
                    self.events.push(HubEvent::SharesSocket(run, endpoint.describe(), app.name.clone()));
                }
            }
            PrimaryEffect::Drain(run) => {
                self.send(run, wire::DRAIN, None);
            }
            PrimaryEffect::HasDrained(run) => self.events.push(HubEvent::Drained(run)),
            PrimaryEffect::Report(run, violation) => {
                self.events.push(HubEvent::ProtocolViolation(run, violation.describe()));
            }
            PrimaryEffect::Disconnect(run, violation) => {
                self.disconnect(run, violation.describe().to_owned());
            }
        }
    }

    /// Handles the result for a socket that [`HubEvent::OpenSocket`] requested.
    pub fn opened(&mut self, opening: Opening, result: io::Result<Listener>) {
        let id = opening.listener;
        if !self.opening.remove(&id) {
            // The request was withdrawn.
            self.closed_files.extend(result.ok().and_then(Listener::into_file));
        } else if result.as_ref().is_err_and(is_in_use) && self.end_versions(Versions::end_now) {
            self.opening.insert(id);
            self.events.push(HubEvent::OpenSocket(opening));
        } else {
            let event = self.add_listener(id, result);
            self.drive(event);
        }
    }

    /// The files of unix sockets that have been closed: dropping one removes the file, which may block.
    pub fn closed_files(&mut self) -> Vec<SocketFile> {
        std::mem::take(&mut self.closed_files)
    }

    fn add_listener(&mut self, id: ListenerId, opened: io::Result<Listener>) -> PrimaryEvent {
        match opened {
            Ok(listener) => {
                let bound_to = listener.bound_to();
                self.listeners.insert(id, listener);
                PrimaryEvent::Bound(id, bound_to)
            }
            Err(error) => PrimaryEvent::BindFailed(id, error.raw_os_error().unwrap_or(libc::EINVAL)),
        }
    }

    /// Operations that fail in a shortage are retried later.
    pub(super) fn schedule_retry(&mut self) {
        self.retry_at.get_or_insert_with(|| Instant::now() + RETRY_PAUSE);
    }

    fn accept(&mut self, id: ListenerId) -> PrimaryEvent {
        let Some(listener) = self.listeners.get_mut(&id) else { return PrimaryEvent::QueueEmpty(id) };
        match listener.accept() {
            Ok((socket, origin)) => PrimaryEvent::Accepted(id, self.connections.hold(socket), origin),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => PrimaryEvent::QueueEmpty(id),
            Err(error) => {
                let app = listener.app.and_then(|app| self.apps.get_mut(&app));
                if let Some(app) = app.filter(|_| listener.set_failing()) {
                    self.events.push(HubEvent::CannotAccept(app.name.clone(), error.to_string()));
                }
                if !self.failing_listeners.contains(&id) {
                    self.failing_listeners.push(id);
                }
                self.schedule_retry();
                PrimaryEvent::AcceptFailed(id)
            }
        }
    }
}

/// Whether sockets of an earlier version, of any application, may occupy the address.
fn is_in_use(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::AddrInUse
}
