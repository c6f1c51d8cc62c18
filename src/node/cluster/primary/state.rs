//! What the primary knows of workers, sockets and connections.

use std::{
    collections::VecDeque,
    net::{IpAddr, SocketAddr},
};

use crate::{
    machine::Run,
    node::cluster::{
        endpoint::Endpoint,
        event::Version,
        message::{Answer, ConnectionId, Data, ListenerId},
        rate::{Arrivals, Reports},
    },
    spec::Balance,
};

#[derive(Debug)]
pub(super) struct Worker {
    pub(super) balance: Balance,
    /// The id of its slot in the process list.
    pub(super) slot: u32,
    pub(super) version: Version,
    pub(super) user: u32,
    /// Whether it is about to stop, or wants to exit.
    pub(super) leaving: bool,
    /// Whether it has listened.
    pub(super) listening: bool,
    pub(super) drain: DrainState,
    /// Whether it can accept connections by itself when requested.
    pub(super) accepts: bool,
    /// The protocol violations that were reported, a bit each.
    pub(super) reported: u8,
    /// Descriptors on their way, the oldest first, with the number of times that each was lost.
    pub(super) handles: VecDeque<(Sent, u8)>,
    /// Connections that it has not answered for, the oldest first.
    pub(super) pending: VecDeque<Pending>,
}

/// The progress of a drain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DrainState {
    /// The worker has not reported that it can be drained.
    Unsupported,
    Possible,
    Requested,
    Done,
}

/// What a descriptor was sent with; the numbers are those of the messages.
#[derive(Debug, Clone)]
pub(super) enum Sent {
    Connection(u64),
    Answer(Answer),
    /// The socket itself, to accept from.
    Socket {
        listener: ListenerId,
        backlog: i32,
        handed: u32,
    },
}

#[derive(Debug)]
pub(super) struct Pending {
    pub(super) seq: u64,
    pub(super) listener: ListenerId,
    pub(super) connection: Connection,
}

#[derive(Debug)]
pub(super) struct Connection {
    pub(super) id: ConnectionId,
    /// The address of its client.
    pub(super) origin: Option<IpAddr>,
    /// The workers that have refused it.
    pub(super) refused_by: Vec<Run>,
    /// Whether it is a probe of the worker that has it: no other worker may get it.
    pub(super) is_probe: bool,
}

#[derive(Debug)]
pub(super) struct Listener {
    pub(super) endpoint: Endpoint,
    pub(super) index: u64,
    pub(super) data: Option<Data>,
    /// The applications that have requested it.
    pub(super) apps: Vec<u32>,
    /// The user of the worker that requested it first.
    pub(super) user: u32,
    /// The versions that have requested it and may do so again.
    pub(super) versions: Vec<Version>,
    pub(super) state: State,
    /// The slots whose workers have listened, each with its application.
    pub(super) slots: Vec<(u32, u32)>,
    /// The workers that listen, the next in turn first.
    pub(super) members: VecDeque<Run>,
    /// Connections that workers refused, the oldest first.
    pub(super) returned: VecDeque<Connection>,
    pub(super) watched: bool,
    /// Whether connections may be waiting in the kernel.
    pub(super) waiting: bool,
    /// Whether a connection is being accepted.
    pub(super) accepting: bool,
    pub(super) arrivals: Arrivals,
    /// Set if the workers accept by themselves. procrun does not accept then.
    pub(super) direct: Option<DirectPeriod>,
}

#[derive(Debug)]
pub(super) enum State {
    /// Being opened for these workers, with the numbers of their requests.
    Binding(Vec<(Run, u64)>),
    Bound(Option<SocketAddr>),
}

impl Listener {
    pub(super) fn is_held(&self) -> bool {
        matches!(self.endpoint, Endpoint::Held { .. })
    }
}

/// A period in which the workers of a socket accept by themselves.
#[derive(Debug)]
pub(super) struct DirectPeriod {
    pub(super) reports: Reports,
    /// The number of connections that were handed out since they began to arrive fast.
    pub(super) handed: u32,
    /// The workers that have been told to accept.
    pub(super) notified: Vec<Run>,
}
