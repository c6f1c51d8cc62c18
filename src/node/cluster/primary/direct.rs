//! When workers with `balance = "auto"` accept for themselves: while connections come so fast that
//! handing them out one by one would cost too much, and are short.
//!
//! It takes procrun's own script in each worker (`node/accept.cjs`). Where that does not run in one of
//! them, or one of them declines, procrun goes on handing out.

use super::{
    super::{Effect, Endpoint, ListenerId, rate::Reports},
    MAX_HANDLES, Primary, Sent,
};
use crate::{
    machine::{Run, Time},
    spec::Balance,
};

/// A time when the workers of a socket accept for themselves.
#[derive(Debug)]
pub(super) struct Direct {
    reports: Reports,
    /// How many connections were handed out since they began to come fast.
    handed: u32,
    /// Which workers have been told.
    told: Vec<Run>,
}

impl Primary {
    /// A connection has been accepted to be handed out.
    pub(super) fn count_arrival(&mut self, now: Time, id: ListenerId, out: &mut Vec<Effect>) {
        let Some(listener) = self.listeners.get_mut(&id) else { return };
        if listener.direct.is_some() || !listener.arrivals.count(now) {
            return;
        }
        let handed = listener.arrivals.in_a_row();
        let staying = self.staying(id);
        let can = !staying.is_empty() && staying.iter().all(|run| self.can_accept(*run));
        let Some(listener) = self.listeners.get_mut(&id) else { return };
        if !can {
            listener.arrivals.ask_again_later(now);
            return;
        }
        listener.direct = Some(Direct { reports: Reports::new(now), handed, told: Vec::new() });
        if std::mem::replace(&mut listener.watched, false) {
            out.push(Effect::Unwatch(id));
        }
        self.tell_to_accept(id, out);
    }

    /// Who listens and is not about to end.
    fn staying(&self, id: ListenerId) -> Vec<Run> {
        let members = self.listeners.get(&id).into_iter().flat_map(|listener| &listener.members);
        members.filter(|run| self.workers.get(run).is_some_and(|it| !it.leaving)).copied().collect()
    }

    fn can_accept(&self, worker: Run) -> bool {
        let can =
            |it: &super::Worker| it.balance == Balance::Auto && it.accepts && it.handles.len() < MAX_HANDLES;
        self.workers.get(&worker).is_some_and(can)
    }

    /// Whether a worker has been told to accept for itself, and not to stop since.
    pub(super) fn is_to_accept(&self, worker: Run, id: ListenerId) -> bool {
        let direct = self.listeners.get(&id).and_then(|listener| listener.direct.as_ref());
        direct.is_some_and(|direct| direct.told.contains(&worker))
    }

    /// Those who listen have changed, or what they can: each who stays accepts, or none does.
    pub(super) fn tell_to_accept(&mut self, id: ListenerId, out: &mut Vec<Effect>) {
        let Some(listener) = self.listeners.get(&id) else { return };
        let Some(direct) = &listener.direct else { return };
        let backlog = match listener.endpoint {
            Endpoint::Tcp { backlog, .. } | Endpoint::Unix { backlog, .. } => backlog,
            Endpoint::Udp { .. } | Endpoint::Held { .. } => return,
        };
        let staying = self.staying(id);
        if staying.is_empty() || !staying.iter().all(|run| direct.told.contains(run) || self.can_accept(*run))
        {
            self.hand_out_again(id, out);
            return;
        }
        let handed = direct.handed / u32::try_from(staying.len()).unwrap_or(u32::MAX);
        let Some(listener) = self.listeners.get_mut(&id) else { return };
        let Some(direct) = &mut listener.direct else { return };
        direct.told.retain(|run| {
            let still = staying.contains(run);
            if !still && self.workers.contains_key(run) {
                out.push(Effect::StopAccepting { worker: *run, listener: id });
            }
            still
        });
        let new: Vec<Run> = staying.into_iter().filter(|run| !direct.told.contains(run)).collect();
        direct.told.extend(&new);
        for worker in new {
            self.let_accept(worker, id, backlog, handed, 0, out);
        }
    }

    /// Sends the socket to a worker; it has got lost this often.
    pub(super) fn let_accept(
        &mut self,
        worker: Run,
        listener: ListenerId,
        backlog: i32,
        handed: u32,
        lost: u8,
        out: &mut Vec<Effect>,
    ) {
        if let Some(state) = self.workers.get_mut(&worker) {
            state.handles.push_back((Sent::Socket { listener, backlog, handed }, lost));
            out.push(Effect::LetAccept { worker, listener, backlog, handed });
        }
    }

    /// procrun accepts again itself.
    pub(super) fn hand_out_again(&mut self, id: ListenerId, out: &mut Vec<Effect>) {
        let Some(listener) = self.listeners.get_mut(&id) else { return };
        let Some(direct) = listener.direct.take() else { return };
        for worker in direct.told.into_iter().filter(|run| self.workers.contains_key(run)) {
            out.push(Effect::StopAccepting { worker, listener: id });
        }
        if !std::mem::replace(&mut listener.watched, true) {
            out.push(Effect::Watch(id));
        }
    }

    /// A worker has accepted this number of connections since it was requested to, or since its last report.
    pub(super) fn has_accepted(
        &mut self,
        now: Time,
        worker: Run,
        id: ListenerId,
        count: u32,
        out: &mut Vec<Effect>,
    ) {
        let Some(direct) = self.listeners.get_mut(&id).and_then(|listener| listener.direct.as_mut()) else {
            // It has not read yet that it is to stop.
            return;
        };
        if direct.told.contains(&worker) && direct.reports.add(now, count) {
            self.hand_out_again(id, out);
        }
    }

    /// A worker does not accept for itself: its connections are long, or it refuses some.
    pub(super) fn declines(&mut self, now: Time, worker: Run, id: ListenerId, out: &mut Vec<Effect>) {
        let Some(listener) = self.listeners.get_mut(&id) else { return };
        if listener.direct.as_ref().is_some_and(|direct| direct.told.contains(&worker)) {
            listener.arrivals.ask_again_later(now);
            self.hand_out_again(id, out);
        }
    }
}
