//! What a run reports of its own failure, which its exit status does not say.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A run could not listen somewhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListenFailure {
    /// Where, for people: `port 3000`.
    pub place: String,
    /// Why, for people.
    pub error: String,
    /// Another process listens there.
    pub is_in_use: bool,
}

impl ListenFailure {
    /// Another process listens there.
    pub(super) fn in_use(place: String) -> Self {
        Self { place, error: "Address already in use (EADDRINUSE)".to_owned(), is_in_use: true }
    }
}

/// `cannot listen on port 3000: Address already in use (EADDRINUSE)`.
impl fmt::Display for ListenFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot listen on {}: {}", self.place, self.error)
    }
}

/// An error in JavaScript that the application does not catch. Node ends the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Uncaught {
    /// A rejected promise without a handler.
    Rejection,
    /// Any other.
    Exception,
}

impl fmt::Display for Uncaught {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rejection => "unhandled promise rejection",
            Self::Exception => "uncaught exception",
        })
    }
}
