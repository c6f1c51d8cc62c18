//! When workers with `balance = "auto"` accept by themselves: while connections are short and arrive so fast that
//! handing them out one by one would cost too much.
//!
//! This needs procrun's own script in each worker (`node/accept.cjs`). If the script does not run in one of them, or
//! one of them declines, procrun continues to hand connections out.

use super::{
    MAX_HANDLES, Primary,
    state::{DirectPeriod, Sent, Worker},
};
use crate::{
    machine::{Run, Time},
    node::cluster::{effect::PrimaryEffect, endpoint::Endpoint, message::ListenerId, rate::Reports},
    spec::Balance,
};

impl Primary {
    /// Counts a connection that procrun has accepted to hand it out.
    pub(super) fn count_arrival(&mut self, now: Time, id: ListenerId, out: &mut Vec<PrimaryEffect>) {
        let Some(listener) = self.listeners.get_mut(&id) else { return };
        if listener.direct.is_some() || !listener.arrivals.count(now) {
            return;
        }
        let handed = listener.arrivals.burst();
        let staying_workers = self.staying_workers(id);
        let all_can = !staying_workers.is_empty() && staying_workers.iter().all(|run| self.can_accept(*run));
        let Some(listener) = self.listeners.get_mut(&id) else { return };
        if !all_can {
            listener.arrivals.postpone(now);
            return;
        }
        listener.direct = Some(DirectPeriod { reports: Reports::new(now), handed, notified: Vec::new() });
        if std::mem::replace(&mut listener.watched, false) {
            out.push(PrimaryEffect::Unwatch(id));
        }
        self.update_direct(id, out);
    }

    /// The workers that listen and are not about to end.
    fn staying_workers(&self, id: ListenerId) -> Vec<Run> {
        let members = self.listeners.get(&id).into_iter().flat_map(|listener| &listener.members);
        members.filter(|run| self.workers.get(run).is_some_and(|it| !it.leaving)).copied().collect()
    }

    fn can_accept(&self, worker: Run) -> bool {
        let can = |it: &Worker| it.balance == Balance::Auto && it.accepts && it.handles.len() < MAX_HANDLES;
        self.workers.get(&worker).is_some_and(can)
    }

    /// Whether a worker has been told to accept by itself, and not to stop since then.
    pub(super) fn is_direct(&self, worker: Run, id: ListenerId) -> bool {
        let direct = self.listeners.get(&id).and_then(|listener| listener.direct.as_ref());
        direct.is_some_and(|direct| direct.notified.contains(&worker))
    }

    /// Tells the workers to accept or to stop, after the set of workers or their abilities have changed: all workers that
    /// stay accept, or none does.
    pub(super) fn update_direct(&mut self, id: ListenerId, out: &mut Vec<PrimaryEffect>) {
        let Some(listener) = self.listeners.get(&id) else { return };
        let Some(direct) = &listener.direct else { return };
        let backlog = match listener.endpoint {
            Endpoint::Tcp { backlog, .. } | Endpoint::Unix { backlog, .. } => backlog,
            Endpoint::Udp { .. } | Endpoint::Held { .. } => return,
        };
        let staying_workers = self.staying_workers(id);
        if staying_workers.is_empty()
            || !staying_workers.iter().all(|run| direct.notified.contains(run) || self.can_accept(*run))
        {
            self.accept_again(id, out);
            return;
        }
        let handed = direct.handed / u32::try_from(staying_workers.len()).unwrap_or(u32::MAX);
        let Some(listener) = self.listeners.get_mut(&id) else { return };
        let Some(direct) = &mut listener.direct else { return };
        direct.notified.retain(|run| {
            let stays = staying_workers.contains(run);
            if !stays && self.workers.contains_key(run) {
                out.push(PrimaryEffect::StopAccepting { worker: *run, listener: id });
            }
            stays
        });
        let new: Vec<Run> =
            staying_workers.into_iter().filter(|run| !direct.notified.contains(run)).collect();
        direct.notified.extend(&new);
        for worker in new {
            self.let_accept(worker, id, backlog, handed, 0, out);
        }
    }

    /// Sends the socket to a worker. It was lost this number of times.
    pub(super) fn let_accept(
        &mut self,
        worker: Run,
        listener: ListenerId,
        backlog: i32,
        handed: u32,
        lost: u8,
        out: &mut Vec<PrimaryEffect>,
    ) {
        if let Some(state) = self.workers.get_mut(&worker) {
            state.handles.push_back((Sent::Socket { listener, backlog, handed }, lost));
            out.push(PrimaryEffect::LetAccept { worker, listener, backlog, handed });
        }
    }

    /// Ends the period: procrun accepts again.
    pub(super) fn accept_again(&mut self, id: ListenerId, out: &mut Vec<PrimaryEffect>) {
        let Some(listener) = self.listeners.get_mut(&id) else { return };
        let Some(direct) = listener.direct.take() else { return };
        for worker in direct.notified.into_iter().filter(|run| self.workers.contains_key(run)) {
            out.push(PrimaryEffect::StopAccepting { worker, listener: id });
        }
        if !std::mem::replace(&mut listener.watched, true) {
            out.push(PrimaryEffect::Watch(id));
        }
    }

    /// A worker has accepted this number of connections since it was requested to, or since its last report.
    pub(super) fn count_accepted(
        &mut self,
        now: Time,
        worker: Run,
        id: ListenerId,
        count: u32,
        out: &mut Vec<PrimaryEffect>,
    ) {
        let Some(direct) = self.listeners.get_mut(&id).and_then(|listener| listener.direct.as_mut()) else {
            // The worker has not read the message to stop yet.
            return;
        };
        if direct.notified.contains(&worker) && direct.reports.add(now, count) {
            self.accept_again(id, out);
        }
    }

    /// Handles a worker that does not accept by itself: its connections are long, or it refuses some.
    pub(super) fn declined(&mut self, now: Time, worker: Run, id: ListenerId, out: &mut Vec<PrimaryEffect>) {
        let Some(listener) = self.listeners.get_mut(&id) else { return };
        if listener.direct.as_ref().is_some_and(|direct| direct.notified.contains(&worker)) {
            listener.arrivals.postpone(now);
            self.accept_again(id, out);
        }
    }
}
