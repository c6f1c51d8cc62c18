//! The health and readiness probes of an application's workers.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The probes of each worker of an application, and its notifications.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct HealthSpec {
    /// A worker that fails it is restarted (`[apps.health]`).
    pub liveness: Option<Box<Probe>>,
    /// A worker that fails it is not ready, and keeps running (`[apps.readiness]`).
    pub readiness: Option<Box<Probe>>,
    /// A worker without a heartbeat for this time is restarted (`heartbeat`).
    pub heartbeat: Option<Duration>,
    /// It gets a socket by which it can say how it is (`notify`), as systemd's services do.
    pub notify: bool,
}

/// A probe, and how often and with which timeout it runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// The target of the probe.
    pub target: ProbeTarget,
    /// The wait between a result and the next probe, at least 10 ms.
    pub interval: Duration,
    /// An answer that takes longer is a failure, at least 1 ms.
    pub timeout: Duration,
    /// The number of failures in a row that make a worker unhealthy, at least 1.
    pub retries: u32,
    /// Failures so soon after the start do not count, until the first success.
    pub start_period: Duration,
}

/// The target of a probe.
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

/// The address of a probe. Names are never resolved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeAddress {
    /// A numeric address (without brackets), or `localhost`, which is 127.0.0.1 and then ::1.
    pub host: String,
    /// `None`: what the worker has in `PORT`.
    pub port: Option<u16>,
}

impl ProbeAddress {
    /// The default host.
    pub const LOCALHOST: &str = "localhost";
}

impl HealthSpec {
    /// The probe that decides whether a worker is ready: the readiness probe, else the health probe.
    pub fn gate(&self) -> Option<&Probe> {
        self.readiness.as_deref().or(self.liveness.as_deref())
    }

    /// Whether there is anything to ask or to hear.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl Probe {
    /// The default interval.
    pub const INTERVAL: Duration = Duration::from_secs(10);
    /// The default timeout: a probe that starts a program on a busy machine takes more than the one second of
    /// Kubernetes.
    pub const TIMEOUT: Duration = Duration::from_secs(5);
    /// The default number of retries.
    pub const RETRIES: u32 = 3;
    /// The default start period.
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
