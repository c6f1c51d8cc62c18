//! What is shown.

/// Everything at one moment.
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
    /// Its application.
    pub name: String,
    /// PM2's word for its state.
    pub status: String,
    /// Its main process.
    pub pid: Option<i32>,
    /// How long it runs, in milliseconds.
    pub uptime: Option<u64>,
    /// How often it was started again.
    pub restarts: u64,
    /// Percent of one core.
    pub cpu: Option<f64>,
    /// Bytes of its tree.
    pub memory: Option<u64>,
}

/// What the container uses and may use; what is not known is not shown.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Container {
    /// Percent of one core.
    pub cpu: Option<f64>,
    /// CPUs it may use.
    pub cpu_quota: Option<f64>,
    /// Bytes that cannot be had back.
    pub memory: Option<u64>,
    /// Bytes it may use.
    pub memory_limit: Option<u64>,
    /// Processes and threads.
    pub tasks: Option<u64>,
}

/// What the machine has and uses.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Machine {
    /// CPUs.
    pub cpus: u32,
    /// Over 1, 5 and 15 minutes.
    pub load: [f64; 3],
    /// Bytes of memory.
    pub memory: u64,
    /// Bytes that could be had.
    pub available: u64,
}

/// A line that the selected process wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// To stderr.
    pub err: bool,
    /// Any text.
    pub text: String,
}
