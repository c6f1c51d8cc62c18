//! The outputs of the primary, and the violations of the protocol that it reports.

use super::{
    endpoint::Endpoint,
    message::{Answer, ConnectionId, ListenerId},
};
use crate::machine::Run;

/// An output of the primary, which `node` carries out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PrimaryEffect {
    /// Open a socket on behalf of a worker. Answered by `PrimaryEvent::Bound` or `PrimaryEvent::BindFailed`.
    Bind(ListenerId, Endpoint, Run),
    /// Close the socket with all connections that wait in it.
    Close(ListenerId),
    /// Report `PrimaryEvent::Waiting` whenever connections arrive from now on.
    Watch(ListenerId),
    /// Stop reporting `PrimaryEvent::Waiting`.
    Unwatch(ListenerId),
    /// Accept one connection. Answered by `PrimaryEvent::Accepted`, `PrimaryEvent::QueueEmpty` or
    /// `PrimaryEvent::AcceptFailed`.
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
    /// A worker has finished its connections after [`PrimaryEffect::Drain`].
    HasDrained(Run),
    /// A worker violates the protocol; reported once for each kind.
    Report(Run, ProtocolViolation),
    /// Close the channel of a worker that violates the protocol. Followed by `PrimaryEvent::Gone`.
    Disconnect(Run, ProtocolViolation),
}

/// A violation of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProtocolViolation {
    /// A message about clustering that Node does not have.
    UnknownAct,
    /// An acknowledgement of a handle that was not sent.
    UnexpectedAck,
    /// A socket that the application of the worker does not have.
    WrongListener,
    /// Too many sockets for one application.
    TooManyListeners,
    /// The worker confirms none of the descriptors that it requested.
    TooManyHandles,
    /// The worker reports the end of a drain that was not requested.
    NotDraining,
}

impl ProtocolViolation {
    /// The violation for messages.
    pub fn describe(self) -> &'static str {
        match self {
            Self::UnknownAct => "sent a cluster message that Node does not have",
            Self::UnexpectedAck => "acknowledged a handle that was never sent",
            Self::WrongListener => "named a socket that it does not have",
            Self::TooManyListeners => "requested more sockets than one application may have",
            Self::TooManyHandles => "requested descriptors and confirmed none",
            Self::NotDraining => "reported the end of a drain that was not requested",
        }
    }
}
