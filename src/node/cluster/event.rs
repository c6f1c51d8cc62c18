//! The inputs of the primary.

use std::net::{IpAddr, SocketAddr};

use super::message::{ConnectionId, ListenerId, WorkerMessage};
use crate::{machine::Run, spec::Balance};

/// One version of one application.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Version {
    /// The number of the application.
    pub app: u32,
    /// The number of the version; versions are counted.
    pub number: u32,
}

/// An input of the primary.
#[derive(Debug, Clone, PartialEq)]
pub enum PrimaryEvent {
    /// A worker has been started.
    Joined {
        /// The worker's run.
        worker: Run,
        /// How it gets its connections.
        balance: Balance,
        /// The id of its slot in the process list: its successor has the same.
        slot: u32,
        /// The worker's version: another one may listen elsewhere.
        version: Version,
        /// The id of its user: a socket is not shared between users.
        user: u32,
    },
    /// No worker runs this version of the application any more, and none will.
    Outdated(Version),
    /// A worker has sent a message.
    WorkerMessage(Run, WorkerMessage),
    /// The oldest descriptor that this worker has not confirmed has arrived.
    HandleAck(Run),
    /// That descriptor was lost.
    HandleNack(Run),
    /// A worker is about to be stopped.
    Retiring(Run),
    /// A worker must finish its connections and accept no more.
    Drain(Run),
    /// A worker or its channel has ended, and its messages have been handled.
    Gone(Run),
    /// A socket has been opened; its address, if it is an internet socket.
    Bound(ListenerId, Option<SocketAddr>),
    /// A socket could not be opened, with a positive errno.
    BindFailed(ListenerId, i32),
    /// Connections may be waiting.
    Waiting(ListenerId),
    /// A connection has been accepted; its address, if it is an internet socket.
    Accepted(ListenerId, ConnectionId, Option<IpAddr>),
    /// A connection to this socket that probes this worker, as `Primary::reach` returned it.
    Probe(Run, ListenerId, ConnectionId),
    /// No connection is waiting.
    QueueEmpty(ListenerId),
    /// A connection could not be accepted; it is still waiting.
    AcceptFailed(ListenerId),
    /// No worker of this application runs and none will.
    AppUnused(u32),
}
