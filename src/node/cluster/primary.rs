//! The primary: which worker listens on which socket, and which one gets the next connection.

mod choice;
mod direct;
mod listening;
mod probe;
mod state;

use std::collections::{BTreeMap, VecDeque};

use super::{
    effect::{PrimaryEffect, ProtocolViolation},
    event::PrimaryEvent,
    message::{Answer, ListenerId, Outcome, WorkerMessage},
};
use crate::{
    machine::{Run, Time},
    spec::Balance,
};
use choice::{Choice, choose};
pub use probe::Reach;
use state::{Connection, DrainState, Listener, Pending, Sent, Worker};

/// Maximum number of times that a lost descriptor is sent again (Node: 3).
const MAX_RETRIES: u8 = 3;
/// Maximum number of sockets of one application.
const MAX_LISTENERS: usize = 256;
/// Maximum number of descriptors that a worker has not confirmed.
const MAX_HANDLES: usize = 1024;

const EINVAL: i32 = 22;
const EMFILE: i32 = 24;
const EADDRINUSE: i32 = 98;

/// The primary of all applications.
#[derive(Debug, Default)]
pub struct Primary {
    workers: BTreeMap<Run, Worker>,
    listeners: BTreeMap<ListenerId, Listener>,
    last_listener: u32,
    last_seq: u64,
}

impl Primary {
    /// Handles one event and appends its effects to `out`.
    pub fn step(&mut self, now: Time, event: PrimaryEvent, out: &mut Vec<PrimaryEffect>) {
        match event {
            PrimaryEvent::Joined { worker, balance, slot, version, user } => {
                let worker_state = Worker {
                    balance,
                    slot,
                    version,
                    user,
                    leaving: false,
                    listening: false,
                    drain: DrainState::Unsupported,
                    accepts: false,
                    reported: 0,
                    handles: VecDeque::new(),
                    pending: VecDeque::new(),
                };
                self.workers.insert(worker, worker_state);
            }
            PrimaryEvent::Outdated(version) => {
                for listener in self.listeners.values_mut() {
                    listener.versions.retain(|other| *other != version);
                }
                self.close_outdated(out);
            }
            PrimaryEvent::WorkerMessage(worker, message) => self.worker_message(now, worker, message, out),
            PrimaryEvent::HandleAck(worker) => {
                if let Some(state) = self.workers.get_mut(&worker)
                    && state.handles.pop_front().is_none()
                {
                    self.report(worker, ProtocolViolation::UnexpectedAck, out);
                }
            }
            PrimaryEvent::HandleNack(worker) => self.handle_lost(now, worker, out),
            PrimaryEvent::Retiring(worker) => self.set_leaving(worker, out),
            PrimaryEvent::Drain(worker) => {
                self.set_leaving(worker, out);
                if let Some(state) = self.workers.get_mut(&worker)
                    && state.drain == DrainState::Possible
                {
                    state.drain = DrainState::Requested;
                    out.push(PrimaryEffect::Drain(worker));
                }
            }
            PrimaryEvent::Gone(worker) => self.worker_gone(worker, out),
            PrimaryEvent::Bound(id, address) => self.bound(id, Ok(address), out),
            PrimaryEvent::BindFailed(id, errno) => self.bound(id, Err(errno), out),
            PrimaryEvent::Waiting(id) => {
                if let Some(listener) = self.listeners.get_mut(&id) {
                    listener.waiting = true;
                    self.dispatch(id, out);
                    self.unwatch(id, out);
                }
            }
            PrimaryEvent::Probe(worker, listener, connection) => {
                self.probe(worker, listener, connection, out);
            }
            PrimaryEvent::Accepted(id, connection, origin) => {
                let connection =
                    Connection { id: connection, origin, refused_by: Vec::new(), is_probe: false };
                match self.listeners.get_mut(&id) {
                    Some(listener) => {
                        listener.accepting = false;
                        listener.returned.push_back(connection);
                        self.count_arrival(now, id, out);
                        self.dispatch(id, out);
                    }
                    None => out.push(PrimaryEffect::Release(connection.id)),
                }
            }
            PrimaryEvent::QueueEmpty(id) => {
                if let Some(listener) = self.listeners.get_mut(&id) {
                    (listener.accepting, listener.waiting) = (false, false);
                }
            }
            PrimaryEvent::AcceptFailed(id) => {
                if let Some(listener) = self.listeners.get_mut(&id) {
                    listener.accepting = false;
                }
            }
            PrimaryEvent::AppUnused(app) => {
                let mut unused = Vec::new();
                for (id, listener) in &mut self.listeners {
                    let was_used = listener.apps.contains(&app);
                    listener.apps.retain(|other| *other != app);
                    listener.versions.retain(|version| version.app != app);
                    if was_used && listener.apps.is_empty() {
                        unused.push(*id);
                    }
                }
                for id in unused {
                    self.close(id, out);
                }
            }
        }
        #[cfg(debug_assertions)]
        self.check();
    }

    /// Whether it holds a socket.
    pub fn holds_sockets(&self) -> bool {
        !self.listeners.is_empty()
    }

    /// Whether this worker was requested to finish its connections and has not finished.
    pub fn is_draining(&self, worker: Run) -> bool {
        self.workers.get(&worker).is_some_and(|state| state.drain == DrainState::Requested)
    }

    fn worker_message(
        &mut self,
        now: Time,
        worker: Run,
        message: WorkerMessage,
        out: &mut Vec<PrimaryEffect>,
    ) {
        if !self.workers.contains_key(&worker) {
            return;
        }
        match message {
            WorkerMessage::Online => {}
            WorkerMessage::Query(query) => self.query(worker, query, out),
            WorkerMessage::Listening { address } => {
                if let Some(state) = self.workers.get_mut(&worker)
                    && !std::mem::replace(&mut state.listening, true)
                {
                    out.push(PrimaryEffect::Listening(worker, address));
                }
                self.close_outdated(out);
            }
            WorkerMessage::Close { listener } => self.closed_by(worker, listener, out),
            WorkerMessage::Leaving { seq } => {
                out.push(PrimaryEffect::Answer(worker, Answer { seq, to_query: None }));
                self.set_leaving(worker, out);
            }
            WorkerMessage::Ack { seq, accepted } => self.acknowledged(worker, seq, accepted, out),
            WorkerMessage::Drains => {
                if let Some(state) = self.workers.get_mut(&worker)
                    && state.drain == DrainState::Unsupported
                {
                    state.drain = DrainState::Possible;
                }
            }
            WorkerMessage::Drained => self.drained(worker, out),
            WorkerMessage::Accepts => {
                if let Some(state) = self.workers.get_mut(&worker) {
                    state.accepts = true;
                }
            }
            WorkerMessage::Accepted { listener, count } => {
                self.count_accepted(now, worker, listener, count, out);
            }
            WorkerMessage::Declines { listener } => self.declined(now, worker, listener, out),
            WorkerMessage::Unknown => self.report(worker, ProtocolViolation::UnknownAct, out),
        }
    }

    fn drained(&mut self, worker: Run, out: &mut Vec<PrimaryEffect>) {
        let Some(state) = self.workers.get_mut(&worker) else { return };
        match state.drain {
            DrainState::Requested => {
                state.drain = DrainState::Done;
                out.push(PrimaryEffect::HasDrained(worker));
            }
            DrainState::Unsupported | DrainState::Possible | DrainState::Done => {
                self.report(worker, ProtocolViolation::NotDraining, out);
            }
        }
    }

    fn set_leaving(&mut self, worker: Run, out: &mut Vec<PrimaryEffect>) {
        if let Some(state) = self.workers.get_mut(&worker) {
            state.leaving = true;
            self.dispatch_all(out);
        }
    }

    fn acknowledged(&mut self, worker: Run, seq: u64, accepted: bool, out: &mut Vec<PrimaryEffect>) {
        let Some(state) = self.workers.get_mut(&worker) else { return };
        let Some(at) = state.pending.iter().position(|pending| pending.seq == seq) else {
            self.report(worker, ProtocolViolation::UnexpectedAck, out);
            return;
        };
        let Some(pending) = state.pending.remove(at) else { return };
        // An answer also confirms the descriptor.
        let is_acknowledged =
            |(sent, _): &(Sent, u8)| matches!(sent, Sent::Connection(other) if *other == seq);
        if let Some(at) = state.handles.iter().position(is_acknowledged) {
            state.handles.remove(at);
        }
        if accepted {
            out.push(PrimaryEffect::Release(pending.connection.id));
        } else {
            self.return_connection(worker, pending, out);
        }
        self.dispatch_to(worker, out);
    }

    /// Gives a connection that this worker refused to another worker.
    fn return_connection(&mut self, worker: Run, mut pending: Pending, out: &mut Vec<PrimaryEffect>) {
        match self.listeners.get_mut(&pending.listener) {
            Some(_) if pending.connection.is_probe => out.push(PrimaryEffect::Release(pending.connection.id)),
            Some(listener) => {
                pending.connection.refused_by.push(worker);
                listener.returned.push_back(pending.connection);
                self.dispatch(pending.listener, out);
            }
            None => out.push(PrimaryEffect::Release(pending.connection.id)),
        }
    }

    /// Gives a worker that can accept another connection one from any of its sockets.
    fn dispatch_to(&mut self, worker: Run, out: &mut Vec<PrimaryEffect>) {
        let mut next = self.listeners.range(..).next().map(|(id, _)| *id);
        while let Some(id) = next {
            let listener = &self.listeners[&id];
            if (listener.waiting || !listener.returned.is_empty()) && listener.members.contains(&worker) {
                self.dispatch(id, out);
            }
            next = self.listeners.range(ListenerId(id.0 + 1)..).next().map(|(id, _)| *id);
        }
    }

    fn handle_lost(&mut self, now: Time, worker: Run, out: &mut Vec<PrimaryEffect>) {
        let Some(state) = self.workers.get_mut(&worker) else { return };
        let Some((sent, lost)) = state.handles.pop_front() else {
            self.report(worker, ProtocolViolation::UnexpectedAck, out);
            return;
        };
        let may_retry = lost < MAX_RETRIES;
        match sent {
            Sent::Connection(seq) => {
                let Some(at) = state.pending.iter().position(|pending| pending.seq == seq) else { return };
                if may_retry && self.listeners.contains_key(&state.pending[at].listener) {
                    let Pending { listener, ref connection, .. } = state.pending[at];
                    let connection = connection.id;
                    state.handles.push_back((Sent::Connection(seq), lost + 1));
                    out.push(PrimaryEffect::Hand { worker, listener, seq, connection });
                } else if let Some(pending) = state.pending.remove(at) {
                    self.return_connection(worker, pending, out);
                }
            }
            Sent::Socket { listener, backlog, handed } => {
                // Otherwise it was requested to stop since then, or the socket was closed.
                if self.is_direct(worker, listener) && may_retry {
                    self.let_accept(worker, listener, backlog, handed, lost + 1, out);
                } else {
                    self.declined(now, worker, listener, out);
                }
            }
            Sent::Answer(answer) if may_retry => {
                state.handles.push_back((Sent::Answer(answer.clone()), lost + 1));
                out.push(PrimaryEffect::Answer(worker, answer));
            }
            Sent::Answer(Answer { seq, to_query }) => {
                let to_query = to_query.map(|outcome| Outcome {
                    errno: Some(EMFILE),
                    handle: None,
                    bound_to: None,
                    ..outcome
                });
                if let Some(listener) =
                    to_query.as_ref().and_then(|outcome| self.listeners.get_mut(&outcome.listener))
                {
                    listener.members.retain(|member| *member != worker);
                }
                out.push(PrimaryEffect::Answer(worker, Answer { seq, to_query }));
                self.dispatch_all(out);
            }
        }
    }

    fn worker_gone(&mut self, worker: Run, out: &mut Vec<PrimaryEffect>) {
        let Some(state) = self.workers.remove(&worker) else { return };
        for listener in self.listeners.values_mut() {
            listener.members.retain(|member| *member != worker);
        }
        for Pending { listener, connection, .. } in state.pending.into_iter().rev() {
            match self.listeners.get_mut(&listener) {
                Some(_) if connection.is_probe => out.push(PrimaryEffect::Release(connection.id)),
                Some(listener) => listener.returned.push_front(connection),
                None => out.push(PrimaryEffect::Release(connection.id)),
            }
        }
        self.dispatch_all(out);
        self.close_outdated(out);
    }

    fn dispatch_all(&mut self, out: &mut Vec<PrimaryEffect>) {
        for id in self.listeners.keys().copied().collect::<Vec<_>>() {
            self.dispatch(id, out);
        }
    }

    /// Hands out refused connections, and accepts more while a worker can take one.
    fn dispatch(&mut self, id: ListenerId, out: &mut Vec<PrimaryEffect>) {
        self.update_direct(id, out);
        loop {
            let Some(listener) = self.listeners.get(&id) else { return };
            let Some(connection) = listener.returned.front() else { break };
            let choice = choose(listener, Some(connection), &self.workers);
            let Some(listener) = self.listeners.get_mut(&id) else { return };
            match choice {
                Choice::NoWorker => return,
                Choice::Refused => {
                    if let Some(connection) = listener.returned.pop_front() {
                        out.push(PrimaryEffect::Release(connection.id));
                    }
                }
                Choice::Worker(worker) => {
                    let Some(connection) = listener.returned.pop_front() else { return };
                    // The worker moves to the end of the queue.
                    listener.members.retain(|member| *member != worker);
                    listener.members.push_back(worker);
                    self.last_seq += 1;
                    let seq = self.last_seq;
                    out.push(PrimaryEffect::Hand { worker, listener: id, seq, connection: connection.id });
                    if let Some(state) = self.workers.get_mut(&worker) {
                        state.handles.push_back((Sent::Connection(seq), 0));
                        state.pending.push_back(Pending { seq, listener: id, connection });
                    }
                }
            }
        }
        let Some(listener) = self.listeners.get(&id) else { return };
        if listener.waiting
            && !listener.accepting
            && listener.direct.is_none()
            && matches!(choose(listener, None, &self.workers), Choice::Worker(_))
            && let Some(listener) = self.listeners.get_mut(&id)
        {
            listener.accepting = true;
            out.push(PrimaryEffect::Accept(id));
        }
    }

    /// Stops the wake-ups for connections that the workers accept themselves.
    fn unwatch(&mut self, id: ListenerId, out: &mut Vec<PrimaryEffect>) {
        let Some(listener) = self.listeners.get_mut(&id) else { return };
        let is_shared = |run: &Run| self.workers.get(run).is_some_and(|it| it.balance == Balance::Shared);
        if listener.watched && !listener.members.is_empty() && listener.members.iter().all(is_shared) {
            listener.watched = false;
            out.push(PrimaryEffect::Unwatch(id));
        }
    }

    fn report(&mut self, worker: Run, violation: ProtocolViolation, out: &mut Vec<PrimaryEffect>) {
        let Some(state) = self.workers.get_mut(&worker) else { return };
        let bit = 1 << violation as u8;
        if state.reported & bit == 0 {
            state.reported |= bit;
            out.push(PrimaryEffect::Report(worker, violation));
        }
    }

    /// Recomputes the invariants slowly, after each step of a debug build.
    #[cfg(debug_assertions)]
    fn check(&self) {
        for (run, worker) in &self.workers {
            assert!(worker.load() <= worker.window(), "{run:?} has too many connections");
        }
        for (id, listener) in &self.listeners {
            let known = |run| self.workers.contains_key(run);
            assert!(listener.members.iter().all(known), "{id:?} has a member that does not exist");
            let mut members: Vec<_> = listener.members.iter().collect();
            members.sort_unstable();
            members.dedup();
            assert_eq!(members.len(), listener.members.len(), "{id:?} has a member twice");
            assert!(!(listener.direct.is_some() && listener.watched), "{id:?} is accepted from twice");
            if let Some(connection) = listener.returned.front() {
                let choice = choose(listener, Some(connection), &self.workers);
                assert_eq!(
                    choice,
                    Choice::NoWorker,
                    "{id:?}: a connection waits although a worker could accept it"
                );
            }
        }
    }
}
