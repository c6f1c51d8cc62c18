//! The cluster primary: Node's protocol between the one who holds the listening sockets and the
//! workers who answer on them, pure.
//!
//! [`Primary::step`] takes one [`Event`] and says what is to be done as [`Effect`]s. It has no
//! socket, no descriptor and no process: sockets and connections are numbers here, and `node`
//! knows what they stand for. One primary serves all applications: as under one Node primary, two that
//! listen on the same port share it.
//!
//! Node's own primary has one message more, `disconnect`. It is never sent: a worker that gets it
//! calls `close` on its servers, which cuts the connections that wait for their next request, also
//! when that is on its way. A worker is drained by procrun's own script instead (`node/drain.cjs`),
//! and one in which that does not run gets its signal, which an application expects.

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
    /// The application.
    pub app: u32,
    /// Its versions are counted.
    pub number: u32,
}

/// A listening socket of the primary; what Node's messages call `key`. Never 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ListenerId(pub u32);

/// An accepted connection that no worker has taken yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u32);

/// What a server says of itself (TLS ticket keys), as JSON.
pub type Data = Arc<str>;

/// Where a server wants to listen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    /// A TCP port.
    Tcp {
        /// A numeric address; `None` is all of them.
        address: Option<String>,
        /// 0 is any free one.
        port: u16,
        /// Not IPv4 too.
        only_v6: bool,
        /// How many connections may wait, at least 1.
        backlog: i32,
    },
    /// A UDP port.
    Udp {
        /// A numeric address.
        address: String,
        /// 0 is any free one.
        port: u16,
        /// Not IPv4 too.
        only_v6: bool,
        /// The application's `reuseAddr`.
        reuse: bool,
    },
    /// A unix socket.
    Unix {
        /// Its file.
        path: String,
        /// `readableAll`.
        readable: bool,
        /// `writableAll`.
        writable: bool,
        /// How many connections may wait, at least 1.
        backlog: i32,
    },
    /// A socket that every worker of the application was given at its start. The workers accept
    /// from it themselves, whatever their balance: they have it anyway.
    Held {
        /// Where it listens, as it is written.
        address: String,
    },
}

impl Endpoint {
    /// Whether two servers with the same `index` mean one socket. As in Node, how it is to be
    /// opened does not matter: the first to ask decides.
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

    /// Whether servers of two applications that want it mean one socket.
    fn is_one_for_all(&self) -> bool {
        match self {
            Self::Tcp { port, .. } | Self::Udp { port, .. } => *port != 0,
            Self::Unix { .. } => true,
            Self::Held { .. } => false,
        }
    }

    /// Where it is, for people.
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

    /// Whether both may want the same port or file.
    fn is_in_the_way_of(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Tcp { port, .. }, Self::Tcp { port: other, .. })
            | (Self::Udp { port, .. }, Self::Udp { port: other, .. }) => port == other,
            (Self::Unix { path, .. }, Self::Unix { path: other, .. }) => path == other,
            // One that is held is not opened: nothing is in its way.
            (Self::Tcp { .. } | Self::Udp { .. } | Self::Unix { .. } | Self::Held { .. }, _) => false,
        }
    }
}

/// The path of a unix socket; an abstract one, which holds a NUL, as the manuals write it.
fn path_for_people(path: &str) -> String {
    path.split_once('\0').map_or_else(|| path.to_owned(), |(_, name)| format!("@{name}"))
}

/// A message about clustering from a worker.
#[derive(Debug, Clone, PartialEq)]
pub enum WorkerMessage {
    /// Its JavaScript runs.
    Online,
    /// It wants to listen.
    Query(Query),
    /// It listens.
    Listening {
        /// Where, for people.
        address: String,
    },
    /// It has closed a server.
    Close {
        /// Which; `None` if that was no number of a socket.
        listener: Option<ListenerId>,
    },
    /// It wants to leave by itself.
    Leaving {
        /// The number to answer to.
        seq: u64,
    },
    /// It has taken a connection, or not.
    Ack {
        /// The number of the message that handed it over.
        seq: u64,
        /// Whether it serves it; else it is for another.
        accepted: bool,
    },
    /// It can be drained: procrun's own script runs in it.
    Drains,
    /// It has finished the connections it had.
    Drained,
    /// It can accept for itself when it is told to: procrun's own script runs in it.
    Accepts,
    /// It has accepted connections since it was told to, or since it last said so.
    Accepted {
        /// From which socket.
        listener: ListenerId,
        /// How many.
        count: u32,
    },
    /// It was told to accept for itself and leaves that to the primary.
    Declines {
        /// From which socket.
        listener: ListenerId,
    },
    /// Something else.
    Unknown,
}

/// A worker's wish to listen.
#[derive(Debug, Clone, PartialEq)]
pub struct Query {
    /// The number to answer to.
    pub seq: u64,
    /// Where; `None` is something that this primary cannot do.
    pub endpoint: Option<Endpoint>,
    /// The descriptor of a stream socket that it has instead of an address. Whoever knows what its
    /// descriptors are says so in `endpoint`.
    pub descriptor: Option<usize>,
    /// Tells several servers on one address apart.
    pub index: u64,
    /// What the server says of itself.
    pub data: Option<Data>,
}

/// Something that has happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// A worker has been started.
    Joined {
        /// Which.
        worker: Run,
        /// How its connections reach it.
        balance: Balance,
        /// Where it stands in the list: its successor stands there, too.
        place: u32,
        /// What it runs: another version may listen elsewhere.
        version: Version,
        /// The id of the user that it runs as: a socket is not shared between users.
        user: u32,
    },
    /// Nobody runs this version of the application and nobody will.
    Outdated(Version),
    /// A worker has said something.
    WorkerMessage(Run, WorkerMessage),
    /// The oldest descriptor that this worker has not confirmed has arrived.
    HandleAck(Run),
    /// It has got lost.
    HandleNack(Run),
    /// A worker has been asked to end.
    Retiring(Run),
    /// A worker is to finish the connections it has and take no more.
    Drain(Run),
    /// A worker or its channel is gone, and all that it had said has been taken in.
    Gone(Run),
    /// A socket has been opened; what it is bound to, if that is an address of the internet.
    Bound(ListenerId, Option<SocketAddr>),
    /// A socket could not be opened, with a positive errno.
    BindFailed(ListenerId, i32),
    /// Connections may be waiting.
    Waiting(ListenerId),
    /// A connection has been accepted; from which address, if that is one of the internet.
    Accepted(ListenerId, ConnectionId, Option<IpAddr>),
    /// A connection to this socket that probes this worker, as [`Primary::reach`] said.
    Probe(Run, ListenerId, ConnectionId),
    /// No connection is waiting.
    Drained(ListenerId),
    /// A connection could not be accepted; it still waits.
    AcceptFailed(ListenerId),
    /// No worker of this application runs and none will.
    Abandoned(u32),
}

/// Something to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Open a socket on behalf of a worker. Answered by [`Event::Bound`] or [`Event::BindFailed`].
    Bind(ListenerId, Endpoint, Run),
    /// Close it, with all connections that wait in it.
    Close(ListenerId),
    /// Say [`Event::Waiting`] whenever connections arrive from now on.
    Watch(ListenerId),
    /// Say it no more.
    Unwatch(ListenerId),
    /// Accept one connection. Answered by [`Event::Accepted`], [`Event::Drained`] or
    /// [`Event::AcceptFailed`].
    Accept(ListenerId),
    /// Send an answer to a worker; the listener's own descriptor with it if it has one.
    Answer(Run, Answer),
    /// Send a connection to a worker.
    Hand {
        /// To whom.
        worker: Run,
        /// Which server it is for.
        listener: ListenerId,
        /// The number that the worker answers to.
        seq: u64,
        /// What is handed over; procrun's own hold on it stays.
        connection: ConnectionId,
    },
    /// Send the listening socket itself to a worker, which accepts from it until it is told to stop.
    LetAccept {
        /// To whom.
        worker: Run,
        /// Which socket.
        listener: ListenerId,
        /// The backlog that it was opened with.
        backlog: i32,
        /// How many connections the worker was handed lately.
        handed: u32,
    },
    /// Tell a worker to accept no more for itself.
    StopAccepting {
        /// Whom.
        worker: Run,
        /// From which socket.
        listener: ListenerId,
    },
    /// Close procrun's own hold on a connection.
    Release(ConnectionId),
    /// A worker has begun to listen, here for the first time.
    Listening(Run, String),
    /// A worker could not listen there, with a positive errno.
    CannotListen(Run, Endpoint, i32),
    /// An application listens where another one does: its worker, where, and the other. Said once.
    SharesSocket(Run, Endpoint, u32),
    /// Ask a worker to finish the connections it has.
    Drain(Run),
    /// A worker that was asked to has finished them.
    HasDrained(Run),
    /// A worker breaks the rules; said once for each rule.
    Report(Run, ProtocolViolation),
    /// Close the channel of a worker that cannot be dealt with. Followed by [`Event::Gone`].
    Disconnect(Run, ProtocolViolation),
}

/// A rule that a worker broke.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProtocolViolation {
    /// A message about clustering that is in no Node.
    UnknownAct,
    /// An answer to nothing.
    WrongAnswer,
    /// A socket that is not its own.
    WrongListener,
    /// Too many sockets for one application.
    TooManyListeners,
    /// It confirms none of the descriptors it asked for.
    TooManyHandles,
    /// It has finished what nobody asked it to finish.
    NotDraining,
}

impl ProtocolViolation {
    /// For people.
    pub fn describe(self) -> &'static str {
        match self {
            Self::UnknownAct => "sent a cluster message that Node does not have",
            Self::WrongAnswer => "answered to something that was never sent",
            Self::WrongListener => "spoke of a socket that it does not have",
            Self::TooManyListeners => "asked for more sockets than one application may have",
            Self::TooManyHandles => "asked for descriptors without end and confirmed none",
            Self::NotDraining => "said that it is drained and was not asked to",
        }
    }
}
