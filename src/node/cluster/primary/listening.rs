//! Which worker listens on which socket: opening, sharing and closing sockets.

use std::{collections::VecDeque, net::SocketAddr};

use super::{
    EADDRINUSE, EINVAL, EMFILE, MAX_HANDLES, MAX_LISTENERS, Primary,
    state::{Listener, Sent, State},
};
use crate::{
    machine::Run,
    node::cluster::{
        effect::{PrimaryEffect, ProtocolViolation},
        endpoint::Endpoint,
        message::{Answer, Handle, ListenerId, Outcome, Query},
        rate::Arrivals,
    },
    spec::Balance,
};

impl Primary {
    pub(super) fn query(&mut self, worker: Run, query: Query, out: &mut Vec<PrimaryEffect>) {
        let Query { seq, endpoint, descriptor: _, index, data } = query;
        let refuse = |errno| {
            let outcome = Outcome {
                listener: ListenerId(0),
                errno: Some(errno),
                data: None,
                handle: None,
                bound_to: None,
            };
            PrimaryEffect::Answer(worker, Answer { seq, to_query: Some(outcome) })
        };
        let Some(endpoint) = endpoint else {
            out.push(refuse(EINVAL));
            return;
        };
        let version = self.workers[&worker].version;
        let is_requested = |listener: &Listener| {
            listener.index == index
                && listener.endpoint.is_same_address(&endpoint)
                && (endpoint.is_shared_between_apps() || listener.apps.contains(&version.app))
        };
        if let Some((id, listener)) = self.listeners.iter_mut().find(|(_, listener)| is_requested(listener)) {
            let id = *id;
            if !listener.apps.contains(&version.app) {
                // The kernel does not let two users share a port either.
                if listener.user != self.workers[&worker].user {
                    out.push(refuse(EADDRINUSE));
                    return;
                }
                if let Some(other) = listener.apps.first() {
                    out.push(PrimaryEffect::SharesSocket(worker, endpoint, *other));
                }
                listener.apps.push(version.app);
            }
            if !listener.versions.contains(&version) {
                listener.versions.push(version);
            }
            if listener.data.is_none() {
                listener.data = data;
            }
            match &mut listener.state {
                State::Binding(requests) => requests.push((worker, seq)),
                State::Bound(_) => self.join(id, worker, seq, out),
            }
            return;
        }
        let of_app = self.listeners.values().filter(|listener| listener.apps.contains(&version.app));
        if of_app.count() >= MAX_LISTENERS {
            out.push(refuse(EMFILE));
            self.report(worker, ProtocolViolation::TooManyListeners, out);
            return;
        }
        self.last_listener += 1;
        let id = ListenerId(self.last_listener);
        let listener = Listener {
            endpoint: endpoint.clone(),
            index,
            data,
            apps: vec![version.app],
            user: self.workers[&worker].user,
            versions: vec![version],
            state: State::Binding(vec![(worker, seq)]),
            slots: Vec::new(),
            members: VecDeque::new(),
            returned: VecDeque::new(),
            watched: false,
            waiting: false,
            accepting: false,
            arrivals: Arrivals::default(),
            direct: None,
        };
        self.listeners.insert(id, listener);
        out.push(PrimaryEffect::Bind(id, endpoint, worker));
    }

    pub(super) fn bound(
        &mut self,
        id: ListenerId,
        result: Result<Option<SocketAddr>, i32>,
        out: &mut Vec<PrimaryEffect>,
    ) {
        if result == Err(EADDRINUSE) && self.close_conflicting(id, out) {
            return;
        }
        let Some(listener) = self.listeners.get_mut(&id) else { return };
        let state = match result {
            Ok(address) => State::Bound(address),
            Err(_) => State::Bound(None),
        };
        let State::Binding(requests) = std::mem::replace(&mut listener.state, state) else { return };
        match result {
            Ok(_) => {
                for (worker, seq) in requests {
                    self.join(id, worker, seq, out);
                }
                // The worker may have ended.
                self.close_outdated(out);
            }
            Err(errno) => {
                // The next request may succeed.
                let endpoint = self.listeners.remove(&id).map(|listener| listener.endpoint);
                for (worker, seq) in requests {
                    if self.workers.contains_key(&worker) {
                        if let Some(endpoint) = &endpoint {
                            out.push(PrimaryEffect::CannotListen(worker, endpoint.clone(), errno));
                        }
                        let outcome = Outcome {
                            listener: id,
                            errno: Some(errno),
                            data: None,
                            handle: None,
                            bound_to: None,
                        };
                        out.push(PrimaryEffect::Answer(worker, Answer { seq, to_query: Some(outcome) }));
                    }
                }
            }
        }
    }

    /// Closes unused sockets that prevent another one from being opened. Returns whether there were any; then the
    /// caller tries again.
    pub(super) fn close_conflicting(&mut self, id: ListenerId, out: &mut Vec<PrimaryEffect>) -> bool {
        let Some(wanted) = self.listeners.get(&id).map(|listener| listener.endpoint.clone()) else {
            return false;
        };
        let Some(State::Binding(requests)) = self.listeners.get(&id).map(|listener| &listener.state) else {
            return false;
        };
        let Some((worker, _)) = requests.first().copied() else { return false };
        let Some(app) = self.workers.get(&worker).map(|it| it.version.app) else { return false };
        let is_conflicting = |listener: &Listener| {
            matches!(listener.state, State::Bound(_))
                && listener.members.is_empty()
                && listener.apps == [app]
                && listener.endpoint.conflicts_with(&wanted)
        };
        let conflicting: Vec<_> =
            self.listeners.iter().filter(|(_, it)| is_conflicting(it)).map(|(id, _)| *id).collect();
        for other in &conflicting {
            self.close(*other, out);
        }
        if !conflicting.is_empty() {
            out.push(PrimaryEffect::Bind(id, wanted, worker));
        }
        !conflicting.is_empty()
    }

    /// Answers a worker's request; the worker gets connections from now on.
    pub(super) fn join(&mut self, id: ListenerId, worker: Run, seq: u64, out: &mut Vec<PrimaryEffect>) {
        let (Some(listener), Some(state)) = (self.listeners.get_mut(&id), self.workers.get_mut(&worker))
        else {
            return;
        };
        let State::Bound(address) = listener.state else { return };
        let handle = match (&listener.endpoint, state.balance) {
            (Endpoint::Udp { .. }, _) => Some(Handle::Datagram),
            (Endpoint::Held { .. }, _) | (Endpoint::Tcp { .. } | Endpoint::Unix { .. }, Balance::Shared) => {
                Some(Handle::Stream)
            }
            (
                Endpoint::Tcp { .. } | Endpoint::Unix { .. },
                Balance::Auto | Balance::RoundRobin | Balance::Sticky,
            ) => None,
        };
        let outcome = Outcome {
            listener: id,
            errno: None,
            data: listener.data.clone(),
            handle,
            bound_to: if handle.is_some() { None } else { address },
        };
        let answer = Answer { seq, to_query: Some(outcome) };
        if !listener.members.contains(&worker) {
            listener.members.push_front(worker);
        }
        let slot = (state.version.app, state.slot);
        if !listener.slots.contains(&slot) {
            listener.slots.push(slot);
        }
        if handle.is_some() {
            state.handles.push_back((Sent::Answer(answer.clone()), 0));
            if state.handles.len() > MAX_HANDLES {
                out.push(PrimaryEffect::Disconnect(worker, ProtocolViolation::TooManyHandles));
                return;
            }
        }
        out.push(PrimaryEffect::Answer(worker, answer));
        if handle.is_none() && listener.direct.is_none() && !std::mem::replace(&mut listener.watched, true) {
            out.push(PrimaryEffect::Watch(id));
        }
        self.dispatch(id, out);
    }

    pub(super) fn closed_by(&mut self, worker: Run, id: Option<ListenerId>, out: &mut Vec<PrimaryEffect>) {
        let leaving = self.workers[&worker].leaving;
        let Some(listener) = id.and_then(|id| self.listeners.get_mut(&id)) else {
            // Two messages crossed: it closes what was closed before.
            return;
        };
        let before = listener.members.len();
        listener.members.retain(|member| *member != worker);
        if listener.members.len() == before {
            self.report(worker, ProtocolViolation::WrongListener, out);
        } else if listener.members.is_empty()
            && (!leaving || listener.is_held())
            && let Some(id) = id
        {
            // The application closes the server, and not because it exits.
            self.close(id, out);
        } else if let Some(id) = id {
            self.dispatch(id, out);
        }
    }

    /// Closes sockets on which no worker listens and which no version of the application needs, once a worker
    /// listens on another one. The sockets that each worker got at its start are not held here: they end with the
    /// last worker that listens on them.
    pub(super) fn close_outdated(&mut self, out: &mut Vec<PrimaryEffect>) {
        let listens = |app: &u32| self.workers.values().any(|it| it.listening && it.version.app == *app);
        let outdated = |listener: &Listener| {
            matches!(listener.state, State::Bound(_))
                && listener.members.is_empty()
                && (listener.is_held() || listener.versions.is_empty() && listener.apps.iter().any(listens))
        };
        let outdated: Vec<_> =
            self.listeners.iter().filter(|(_, it)| outdated(it)).map(|(id, _)| *id).collect();
        for id in outdated {
            self.close(id, out);
        }
    }

    pub(super) fn close(&mut self, id: ListenerId, out: &mut Vec<PrimaryEffect>) {
        let Some(listener) = self.listeners.remove(&id) else { return };
        out.push(PrimaryEffect::Close(id));
        out.extend(listener.returned.into_iter().map(|connection| PrimaryEffect::Release(connection.id)));
    }
}
