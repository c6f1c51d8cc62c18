//! How an application's workers are asked whether they do their work.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What is asked of each worker of an application, and what it may say by itself.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct HealthSpec {
    /// Who fails it is restarted (`[apps.health]`).
    pub liveness: Option<Box<Probe>>,
    /// Who fails it does not count as ready, and goes on (`[apps.readiness]`).
    pub readiness: Option<Box<Probe>>,
    /// Who has said nothing of its loop for so long is restarted (`heartbeat`).
    pub heartbeat: Option<Duration>,
    /// It gets a socket by which it can say how it is (`notify`), as systemd's services do.
    pub notify: bool,
}

/// One question, and how often and how patiently it is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// What is asked.
    pub target: ProbeTarget,
    /// How long to wait after an answer before it is asked again, at least 10 ms.
    pub interval: Duration,
    /// An answer that takes longer is a failure, at least 1 ms.
    pub timeout: Duration,
    /// So many failures in a row are believed, at least 1.
    pub retries: u32,
    /// Failures so soon after the start do not count, until the first success.
    pub start_period: Duration,
}

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ProbeTarget {
    /// An HTTP request by GET; an answer of 200 to 399 is a success.
    Http {
        /// Where.
        at: ProbeAddress,
        /// Path and query, with a slash at the front; printable ASCII.
        path: String,
    },
    /// A TCP connection that is accepted.
    Tcp(ProbeAddress),
    /// A program that ends with 0; not empty.
    Exec(Vec<String>),
    /// A shell line that ends with 0.
    Shell(String),
}

/// Where a question goes. No name is ever looked up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeAddress {
    /// A numeric address (without brackets), or `localhost`, which is 127.0.0.1 and then ::1.
    pub host: String,
    /// `None`: what the worker has in `PORT`.
    pub port: Option<u16>,
}

impl ProbeAddress {
    /// The host that is meant where none is said.
    pub const LOCALHOST: &str = "localhost";
}

impl HealthSpec {
    /// The question whose answer says whether a worker is ready: its own, or else that about its
    /// health.
    pub fn gate(&self) -> Option<&Probe> {
        self.readiness.as_deref().or(self.liveness.as_deref())
    }

    /// Whether there is anything to ask or to hear.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl Probe {
    /// Unless something else is said.
    pub const INTERVAL: Duration = Duration::from_secs(10);
    /// Unless something else is said: a probe that starts a program on a busy machine takes more
    /// than Kubernetes' one second.
    pub const TIMEOUT: Duration = Duration::from_secs(5);
    /// Unless something else is said.
    pub const RETRIES: u32 = 3;
    /// Unless something else is said.
    pub const START_PERIOD: Duration = Duration::from_secs(30);

    /// This question, as often as is usual.
    pub fn new(target: ProbeTarget) -> Self {
        Self {
            target,
            interval: Self::INTERVAL,
            timeout: Self::TIMEOUT,
            retries: Self::RETRIES,
            start_period: Self::START_PERIOD,
        }
    }
}
