//! The health and readiness probes of an application's workers.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The probes of each worker of an application, its heartbeat and its notification socket.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct HealthSpec {
    /// A worker that fails it restarts (`health`).
    pub liveness: Option<Box<Probe>>,
    /// A worker that fails it is not ready, and keeps running (`readiness`).
    pub readiness: Option<Box<Probe>>,
    /// A worker without a heartbeat for this time restarts (`heartbeat`).
    pub heartbeat: Option<Duration>,
    /// Whether it gets a notification socket (`notify`), as services of systemd do.
    pub notify: bool,
}

/// A probe, and how often and with which timeout it runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// The target of the probe.
    pub target: ProbeTarget,
    /// The wait between a result and the next probe, at least 10 ms.
    pub interval: Duration,
    /// The time after which a probe without an answer has failed, at least 1 ms.
    pub timeout: Duration,
    /// The number of failures in a row that make a worker unhealthy, at least 1.
    pub retries: u32,
    /// The time after the start in which failures do not count, until the first success.
    pub start_period: Duration,
}

/// The target of a probe.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ProbeTarget {
    /// An HTTP request by GET; an answer of 200 to 399 is a success.
    Http {
        /// The address.
        at: ProbeAddress,
        /// Path and query: begins with a slash, printable ASCII.
        path: String,
    },
    /// A TCP connection; an accepted one is a success.
    Tcp(ProbeAddress),
    /// A program with its arguments; exit code 0 is a success. Not empty.
    Exec(Vec<String>),
    /// A shell line; exit code 0 is a success.
    Shell(String),
}

/// The address of a probe. Names are never resolved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeAddress {
    /// A numeric address (without brackets), or `localhost`, which is 127.0.0.1 and then ::1.
    pub host: String,
    /// `None`: the port in the worker's variable `PORT`.
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

    /// Whether there is no probe, heartbeat or notification socket.
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

    /// A probe of this target with the default times.
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
