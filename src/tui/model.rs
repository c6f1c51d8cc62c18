//! The data that the view shows.

use crate::control::snapshot::{Container, InstanceSummary, Machine, Overview};

/// A snapshot of everything.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Snapshot {
    /// In the order in which they are shown.
    pub processes: Vec<Process>,
    /// The container procrun runs in.
    pub container: Container,
    /// The machine.
    pub machine: Machine,
}

/// One instance.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Process {
    /// PM2's `pm_id`.
    pub id: u32,
    /// The process's application.
    pub name: String,
    /// PM2's word for its status.
    pub status: String,
    /// The process's main process.
    pub pid: Option<i32>,
    /// Milliseconds since its start.
    pub uptime: Option<u64>,
    /// The number of restarts.
    pub restarts: u64,
    /// Percent of one core.
    pub cpu: Option<f64>,
    /// Memory of its process tree in bytes.
    pub memory: Option<u64>,
}

/// A line that the selected process wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// Whether it was written to stderr.
    pub err: bool,
    /// The text, with any characters.
    pub text: String,
}

impl From<Overview> for Snapshot {
    fn from(overview: Overview) -> Self {
        let surroundings = *overview.surroundings.unwrap_or_default();
        Self {
            processes: overview.instances.into_iter().map(Process::from).collect(),
            container: surroundings.container,
            machine: surroundings.machine,
        }
    }
}

impl From<InstanceSummary> for Process {
    fn from(brief: InstanceSummary) -> Self {
        let InstanceSummary { id, name, status, pid, uptime, restarts, cpu, memory, .. } = brief;
        Self { id, name, status: status.word().to_owned(), pid, uptime, restarts, cpu, memory }
    }
}
