//! Failures that a worker reports itself: its exit status does not show them.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A worker could not listen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListenFailure {
    /// The address, for messages: `port 3000`.
    pub address: String,
    /// The error, for messages.
    pub error: String,
    /// Whether another process listens there.
    pub is_in_use: bool,
}

impl ListenFailure {
    /// Another process listens there.
    pub(super) fn in_use(address: String) -> Self {
        Self { address, error: "Address already in use (EADDRINUSE)".to_owned(), is_in_use: true }
    }
}

/// `cannot listen on port 3000: Address already in use (EADDRINUSE)`.
impl fmt::Display for ListenFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot listen on {}: {}", self.address, self.error)
    }
}

/// An error in JavaScript that the application does not catch. Node ends the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Uncaught {
    /// A rejected promise without a handler.
    Rejection,
    /// Any other error.
    Exception,
}
