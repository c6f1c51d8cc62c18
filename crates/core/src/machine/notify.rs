//! What a worker reports of itself, by `NOTIFY_SOCKET` or Node's IPC channel.

use std::time::Duration;

use super::fault::{ListenFailure, Uncaught};

/// A report of a worker about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotifyMessage {
    /// A heartbeat (`WATCHDOG=1`): its event loop runs.
    Heartbeat,
    /// The worker sends a heartbeat at least at this interval from now on (`WATCHDOG_USEC`); zero: none.
    HeartbeatInterval(Duration),
    /// The worker has found a fault of its own (`WATCHDOG=trigger`).
    Fault,
    /// The worker's status text (`STATUS=`), one line; empty: none.
    Status(String),
    /// The worker is about to end (`STOPPING=1`).
    Stopping,
    /// The worker could not listen.
    ListenFailed {
        /// The address and the error.
        failure: ListenFailure,
        /// The application handles the error of this server, so it may keep running without the server.
        is_handled: bool,
    },
    /// The worker listens after an earlier failure.
    Listening,
    /// An error that it does not catch is about to end it.
    Uncaught(Uncaught),
}
