//! Probes of one worker. A connection to a shared port would reach any of its workers, so the primary hands
//! the connection of the probe to the probed worker.

use std::net::{IpAddr, SocketAddr};

use super::{
    Primary,
    state::{Connection, Listener, Pending, Sent, State, Worker},
};
use crate::{
    machine::Run,
    node::cluster::{
        effect::PrimaryEffect,
        endpoint::Endpoint,
        message::{ConnectionId, ListenerId},
    },
};

/// Maximum probes that a worker has not accepted. Further probes fail, because each holds a descriptor.
const MAX_PROBES: usize = 4;

/// How a probe reaches one worker at an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// The primary hands it the connection, for this socket.
    Handed(ListenerId),
    /// The worker's predecessor listened there, and it does not yet: another worker would answer.
    NotYet,
    /// The worker has not accepted the connections of earlier probes.
    Full,
    /// By a connection to the address: no socket of the cluster listens there.
    Network,
}

impl Worker {
    /// The number of connections of clients that it has not acknowledged.
    pub(super) fn load(&self) -> usize {
        self.pending.iter().filter(|pending| !pending.connection.is_probe).count()
    }
}

impl Listener {
    /// Whether a connection to this address arrives here. A probe of another machine does not
    /// concern the cluster.
    fn is_bound_to(&self, address: SocketAddr) -> bool {
        let State::Bound(Some(bound)) = self.state else { return false };
        let is_stream = match self.endpoint {
            Endpoint::Tcp { .. } | Endpoint::Held { .. } => true,
            Endpoint::Udp { .. } | Endpoint::Unix { .. } => false,
        };
        let (bound_ip, ip): (IpAddr, IpAddr) = (bound.ip().to_canonical(), address.ip().to_canonical());
        is_stream
            && bound.port() == address.port()
            && (bound_ip == ip || bound_ip.is_unspecified() && ip.is_loopback())
    }
}

impl Primary {
    /// How a probe reaches a worker, at the first of these addresses where it can.
    pub fn reach(&self, worker: Run, addresses: &[SocketAddr]) -> Reach {
        let Some(state) = self.workers.get(&worker) else { return Reach::Network };
        let is_probed = |listener: &Listener| addresses.iter().any(|address| listener.is_bound_to(*address));
        let probed = || self.listeners.iter().filter(|(_, listener)| is_probed(listener));
        if let Some((id, _)) = probed().find(|(_, listener)| listener.members.contains(&worker)) {
            let probes = state.pending.len() - state.load();
            return if probes < MAX_PROBES { Reach::Handed(*id) } else { Reach::Full };
        }
        let slot = (state.version.app, state.slot);
        if probed().any(|(_, listener)| listener.slots.contains(&slot)) {
            return Reach::NotYet;
        }
        Reach::Network
    }

    /// Hands the connection of a probe to the probed worker.
    pub(super) fn probe(
        &mut self,
        worker: Run,
        id: ListenerId,
        connection: ConnectionId,
        out: &mut Vec<PrimaryEffect>,
    ) {
        let is_member = self.listeners.get(&id).is_some_and(|listener| listener.members.contains(&worker));
        let Some(state) = self.workers.get_mut(&worker).filter(|_| is_member) else {
            out.push(PrimaryEffect::Release(connection));
            return;
        };
        self.last_seq += 1;
        let seq = self.last_seq;
        out.push(PrimaryEffect::Hand { worker, listener: id, seq, connection });
        let connection = Connection { id: connection, origin: None, refused_by: Vec::new(), is_probe: true };
        state.handles.push_back((Sent::Connection(seq), 0));
        state.pending.push_back(Pending { seq, listener: id, connection });
    }
}
