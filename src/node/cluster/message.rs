//! The messages between a worker and the primary, as values. `wire` has their bytes.

use std::{net::SocketAddr, sync::Arc};

use super::endpoint::Endpoint;

const ENOTSUP: i32 = 95;

/// A listening socket of the primary; what Node's messages call `key`. Never 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ListenerId(pub u32);

/// An accepted connection that no worker has accepted yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u32);

/// Data of a server (TLS ticket keys), as JSON.
pub type Data = Arc<str>;

/// A message about clustering from a worker.
#[derive(Debug, Clone, PartialEq)]
pub enum WorkerMessage {
    /// The worker's JavaScript has started.
    Online,
    /// The worker requests to listen.
    Query(Query),
    /// The worker listens.
    Listening {
        /// The address for messages.
        address: String,
    },
    /// The worker has closed a server.
    Close {
        /// The server; `None` if the message had no number of a socket.
        listener: Option<ListenerId>,
    },
    /// The worker wants to exit by itself.
    Leaving {
        /// The number to answer to.
        seq: u64,
    },
    /// The worker has accepted or refused a connection.
    Ack {
        /// The number of the message that handed it over.
        seq: u64,
        /// Whether it serves the connection; otherwise another worker gets it.
        accepted: bool,
    },
    /// The worker can be drained: procrun's own script runs in it.
    Drains,
    /// The worker has finished its connections.
    Drained,
    /// The worker can accept by itself when requested: procrun's own script runs in it.
    Accepts,
    /// The worker has accepted connections by itself since the request, or since its last report.
    Accepted {
        /// The socket.
        listener: ListenerId,
        /// The number of connections.
        count: u32,
    },
    /// The worker was requested to accept by itself and leaves that to the primary.
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

/// An answer to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The request's own number.
    pub seq: u64,
    /// The result of a query; `None` for other requests.
    pub to_query: Option<Outcome>,
}

/// The result of a query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The socket that was found or created.
    pub listener: ListenerId,
    /// The reason of a failure, as a positive errno.
    pub errno: Option<i32>,
    /// The data of the server that requested the socket first.
    pub data: Option<Data>,
    /// The kind of descriptor that goes with the answer; `None`: connections will be handed over.
    pub handle: Option<Handle>,
    /// The address of the socket.
    pub bound_to: Option<SocketAddr>,
}

/// A kind of descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Handle {
    /// A TCP or unix socket.
    Stream,
    /// A UDP socket.
    Datagram,
}

impl Answer {
    /// Answers a request for a socket that is not supported: the application gets an error, and without an answer
    /// it would wait forever.
    pub fn not_supported(seq: u64) -> Self {
        let errno = Some(ENOTSUP);
        let listener = ListenerId(0);
        Self { seq, to_query: Some(Outcome { listener, errno, data: None, handle: None, bound_to: None }) }
    }
}
