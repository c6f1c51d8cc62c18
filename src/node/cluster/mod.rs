//! The cluster primary: Node's protocol between the process that holds the listening sockets and the workers that
//! serve on them. Pure.
//!
//! [`Primary::step`] takes one [`Event`] and returns [`Effect`]s. It has no socket, no descriptor and no process:
//! sockets and connections are numbers here, which `node` maps to descriptors. One primary serves all
//! applications: as under one Node primary, two that listen on the same port share it.
//!
//! Node's own primary has one message more, `disconnect`. It is never sent: a worker that receives it calls
//! `close` on its servers, which cuts the connections that wait for their next request, even when that is on its
//! way. A worker is drained by procrun's own script instead (`node/drain.cjs`), and a worker without this script
//! gets its signal, which an application expects.

mod primary;
mod rate;
pub mod wire;

#[cfg(test)]
mod tests;

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

pub use primary::{Primary, Reach};

use self::wire::Answer;
use crate::{machine::Run, spec::Balance};

/// One version of one application.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Version {
    /// The number of the application.
    pub app: u32,
    /// The number of the version; versions are counted.
    pub number: u32,
}

/// A listening socket of the primary; what Node's messages call `key`. Never 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ListenerId(pub u32);

/// An accepted connection that no worker has accepted yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u32);

/// Data of a server (TLS ticket keys), as JSON.
pub type Data = Arc<str>;

/// The address on which a server wants to listen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    /// A TCP port.
    Tcp {
        /// A numeric address; `None` means all addresses.
        address: Option<String>,
        /// The port; 0 means any free one.
        port: u16,
        /// IPv6 only.
        only_v6: bool,
        /// Maximum number of connections that wait to be accepted, at least 1.
        backlog: i32,
    },
    /// A UDP port.
    Udp {
        /// A numeric address.
        address: String,
        /// The port; 0 means any free one.
        port: u16,
        /// IPv6 only.
        only_v6: bool,
        /// The application's `reuseAddr`.
        reuse: bool,
    },
    /// A unix socket.
    Unix {
        /// The path of its file.
        path: String,
        /// `readableAll`.
        readable: bool,
        /// `writableAll`.
        writable: bool,
        /// Maximum number of connections that wait to be accepted, at least 1.
        backlog: i32,
    },
    /// A socket that every worker of the application got at its start. The workers accept from it themselves,
    /// whatever their balance: they have it anyway.
    Held {
        /// The address as it is written in the configuration.
        address: String,
    },
}

impl Endpoint {
    /// Whether two servers with the same `index` share one socket. As in Node, their options do not matter: the
    /// first request decides.
    fn is_same_place(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Tcp { address, port, .. }, Self::Tcp { address: others, port: other, .. }) => {
                (address, port) == (others, other)
            }
            (Self::Udp { address, port, .. }, Self::Udp { address: others, port: other, .. }) => {
                (address, port) == (others, other)
            }
            (Self::Unix { path, .. }, Self::Unix { path: other, .. }) => path == other,
            (Self::Held { address }, Self::Held { address: other }) => address == other,
            (Self::Tcp { .. } | Self::Udp { .. } | Self::Unix { .. } | Self::Held { .. }, _) => false,
        }
    }

    /// Whether servers of two applications with this address share one socket.
    fn is_one_for_all(&self) -> bool {
        match self {
            Self::Tcp { port, .. } | Self::Udp { port, .. } => *port != 0,
            Self::Unix { .. } => true,
            Self::Held { .. } => false,
        }
    }

    /// The address for messages.
    pub fn describe(&self) -> String {
        match self {
            Self::Tcp { address: None, port, .. } => format!("port {port}"),
            Self::Tcp { address: Some(address), port, .. } if address.contains(':') => {
                format!("[{address}]:{port}")
            }
            Self::Tcp { address: Some(address), port, .. } => format!("{address}:{port}"),
            Self::Udp { address, port, .. } => format!("UDP {address}:{port}"),
            Self::Unix { path, .. } => path_for_people(path),
            Self::Held { address } => address.clone(),
        }
    }

    /// Whether both may need the same port or file.
    fn is_in_the_way_of(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Tcp { port, .. }, Self::Tcp { port: other, .. })
            | (Self::Udp { port, .. }, Self::Udp { port: other, .. }) => port == other,
            (Self::Unix { path, .. }, Self::Unix { path: other, .. }) => path == other,
            // A held socket is not opened, so nothing prevents it.
            (Self::Tcp { .. } | Self::Udp { .. } | Self::Unix { .. } | Self::Held { .. }, _) => false,
        }
    }
}

/// The path of a unix socket for messages; an abstract one, which contains a NUL, as in unix(7).
fn path_for_people(path: &str) -> String {
    path.split_once('\0').map_or_else(|| path.to_owned(), |(_, name)| format!("@{name}"))
}

/// A message about clustering from a worker.
#[derive(Debug, Clone, PartialEq)]
pub enum WorkerMessage {
    /// Its JavaScript has started.
    Online,
    /// It requests to listen.
    Query(Query),
    /// It listens.
    Listening {
        /// The address for messages.
        address: String,
    },
    /// It has closed a server.
    Close {
        /// The server; `None` if the message had no number of a socket.
        listener: Option<ListenerId>,
    },
    /// It wants to exit by itself.
    Leaving {
        /// The number to answer to.
        seq: u64,
    },
    /// It has accepted or refused a connection.
    Ack {
        /// The number of the message that handed it over.
        seq: u64,
        /// Whether it serves the connection; otherwise another worker gets it.
        accepted: bool,
    },
    /// It can be drained: procrun's own script runs in it.
    Drains,
    /// It has finished its connections.
    Drained,
    /// It can accept by itself when requested: procrun's own script runs in it.
    Accepts,
    /// It has accepted connections by itself since the request, or since its last report.
    Accepted {
        /// The socket.
        listener: ListenerId,
        /// The number of connections.
        count: u32,
    },
    /// It was requested to accept by itself and leaves that to the primary.
    Declines {
        /// The socket.
        listener: ListenerId,
    },
    /// Any other message.
    Unknown,
}

/// A worker's request to listen.
#[derive(Debug, Clone, PartialEq)]
pub struct Query {
    /// The number to answer to.
    pub seq: u64,
    /// The address; `None`: this primary does not support it.
    pub endpoint: Option<Endpoint>,
    /// The number of a descriptor that it listens on instead of an address. If the worker got it from procrun,
    /// `endpoint` is [`Endpoint::Held`].
    pub descriptor: Option<usize>,
    /// Distinguishes several servers on one address.
    pub index: u64,
    /// Data of the server.
    pub data: Option<Data>,
}

/// An input of the primary.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// A worker has been started.
    Joined {
        /// Its run.
        worker: Run,
        /// How it gets its connections.
        balance: Balance,
        /// Its slot in the process list: its successor has the same.
        place: u32,
        /// Its version: another one may listen elsewhere.
        version: Version,
        /// The id of its user: a socket is not shared between users.
        user: u32,
    },
    /// No worker runs this version of the application, and none will.
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
    /// A connection to this socket that probes this worker, as [`Primary::reach`] returned it.
    Probe(Run, ListenerId, ConnectionId),
    /// No connection is waiting.
    Drained(ListenerId),
    /// A connection could not be accepted; it is still waiting.
    AcceptFailed(ListenerId),
    /// No worker of this application runs and none will.
    Abandoned(u32),
}

/// An output of the primary, which `node` carries out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Open a socket on behalf of a worker. Answered by [`Event::Bound`] or [`Event::BindFailed`].
    Bind(ListenerId, Endpoint, Run),
    /// Close the socket with all connections that wait in it.
    Close(ListenerId),
    /// Report [`Event::Waiting`] whenever connections arrive from now on.
    Watch(ListenerId),
    /// Stop reporting [`Event::Waiting`].
    Unwatch(ListenerId),
    /// Accept one connection. Answered by [`Event::Accepted`], [`Event::Drained`] or
    /// [`Event::AcceptFailed`].
    Accept(ListenerId),
    /// Send an answer to a worker, with the listener's own descriptor if the answer has one.
    Answer(Run, Answer),
    /// Send a connection to a worker.
    Hand {
        /// The receiver.
        worker: Run,
        /// The server that it is for.
        listener: ListenerId,
        /// The number that the worker answers to.
        seq: u64,
        /// The connection; procrun keeps its own descriptor.
        connection: ConnectionId,
    },
    /// Send the listening socket itself to a worker, which accepts from it until it is told to stop.
    LetAccept {
        /// The receiver.
        worker: Run,
        /// The socket.
        listener: ListenerId,
        /// The backlog that it was opened with.
        backlog: i32,
        /// The number of connections that the worker was handed lately.
        handed: u32,
    },
    /// Tell a worker to stop accepting by itself.
    StopAccepting {
        /// The receiver.
        worker: Run,
        /// The socket.
        listener: ListenerId,
    },
    /// Close procrun's own descriptor of a connection.
    Release(ConnectionId),
    /// A worker has begun to listen on this address, for the first time.
    Listening(Run, String),
    /// A worker could not listen on this address, with a positive errno.
    CannotListen(Run, Endpoint, i32),
    /// A worker listens on the same address as another application. Reported once.
    SharesSocket(Run, Endpoint, u32),
    /// Request a worker to finish its connections.
    Drain(Run),
    /// A worker has finished its connections after [`Effect::Drain`].
    HasDrained(Run),
    /// A worker violates the protocol; reported once for each kind.
    Report(Run, ProtocolViolation),
    /// Close the channel of a worker that violates the protocol. Followed by [`Event::Gone`].
    Disconnect(Run, ProtocolViolation),
}

/// A violation of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProtocolViolation {
    /// A message about clustering that Node does not have.
    UnknownAct,
    /// An answer without a request.
    WrongAnswer,
    /// A socket of another application.
    WrongListener,
    /// Too many sockets for one application.
    TooManyListeners,
    /// It confirms none of the descriptors that it requested.
    TooManyHandles,
    /// It reports the end of a drain that was not requested.
    NotDraining,
}

impl ProtocolViolation {
    /// The violation for messages.
    pub fn describe(self) -> &'static str {
        match self {
            Self::UnknownAct => "sent a cluster message that Node does not have",
            Self::WrongAnswer => "acknowledged a handle that was never sent",
            Self::WrongListener => "named a socket that it does not have",
            Self::TooManyListeners => "requested more sockets than one application may have",
            Self::TooManyHandles => "requested descriptors and confirmed none",
            Self::NotDraining => "reported the end of a drain that was not requested",
        }
    }
}
