//! What a worker reports of itself, by `NOTIFY_SOCKET` or Node's IPC channel.

use std::time::Duration;

use super::fault::{ListenFailure, Uncaught};

/// What a run says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotifyMessage {
    /// Its loop turns.
    Heartbeat,
    /// It will say so at least so often from now on; zero is never.
    HeartbeatInterval(Duration),
    /// It has found a fault in itself.
    Fault,
    /// How it is, for people; one line.
    Status(String),
    /// It is about to end.
    Stopping,
    /// It could not listen somewhere.
    ListenFailed {
        /// Where and why.
        failure: ListenFailure,
        /// The application handles this error of this server, so that it may go on without the server.
        is_handled: bool,
    },
    /// It listens after it could not.
    Listening,
    /// It is about to end by an error that it did not catch.
    Uncaught(Uncaught),
}
