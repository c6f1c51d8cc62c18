//! The figures from which the HTTP server makes metrics.

use serde::{Deserialize, Serialize};

use super::snapshot::{InstanceSummary, SupervisorSummary};
use crate::machine::{StatusReport, Tallies};

/// The state of everything in numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Metrics {
    /// The supervisor.
    pub supervisor: SupervisorSummary,
    /// Its instances by id.
    pub instances: Vec<InstanceFigures>,
    /// Whether everything is ready.
    pub status: StatusReport,
    /// Counts of events.
    pub tallies: Tallies,
    /// Log lines of all instances; `None`: they are not counted.
    pub log_lines: Option<u64>,
    /// Bytes that were written to stdout and stderr.
    pub log_bytes: u64,
}

/// An instance in numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InstanceFigures {
    /// The row of `list`.
    pub brief: InstanceSummary,
    /// Unstable runs in a row.
    pub unstable: u64,
    /// Milliseconds of CPU time that its process tree has used.
    pub cpu_time: Option<u64>,
    /// Processes of its tree.
    pub processes: Option<u32>,
    /// Threads of its tree.
    pub threads: Option<u32>,
}
