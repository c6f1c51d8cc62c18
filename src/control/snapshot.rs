//! What a supervisor reports of itself and its instances.
//!
//! Times are in milliseconds since 1970 and sizes in bytes, as in PM2.

use serde::{Deserialize, Serialize};

use super::trees::ProcessInfo;
use crate::{config::is_secret, spec::AppSpec};
pub use crate::{
    machine::Status,
    node::{Delay, EventLoop, HTTP_BOUNDS, HttpRequests, NodeSample},
};

/// A supervisor and its instances.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Overview {
    /// The supervisor itself.
    pub supervisor: SupervisorSummary,
    /// Its instances by id; empty in the answer to a ping.
    pub instances: Vec<InstanceSummary>,
    /// The container and the machine, if they were requested.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub surroundings: Option<Box<Surroundings>>,
}

/// The container and the machine in which a supervisor runs.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Surroundings {
    /// The container.
    pub container: Container,
    /// The machine.
    pub machine: Machine,
}

/// Usage and limits of the container. A figure that its kernel does not provide is `None`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Container {
    /// Percent of one core.
    pub cpu: Option<f64>,
    /// Limit in CPUs.
    pub cpu_quota: Option<f64>,
    /// Memory in bytes that cannot be reclaimed.
    pub memory: Option<u64>,
    /// Memory limit in bytes.
    pub memory_limit: Option<u64>,
    /// Processes and threads.
    pub tasks: Option<u64>,
}

/// Resources of the machine.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    /// CPUs.
    pub cpus: u32,
    /// Load averages over 1, 5 and 15 minutes.
    pub load: [f64; 3],
    /// Memory in bytes.
    pub memory: u64,
    /// Available memory in bytes.
    pub available: u64,
}

/// A supervisor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SupervisorSummary {
    /// Its process id, in its own PID namespace.
    pub pid: u32,
    /// Its version.
    pub version: String,
    /// The target of its command line; `None` in the background.
    pub target: Option<String>,
    /// Its start.
    pub started_at: u64,
    /// It is stopping everything: no instance is ready any more.
    #[serde(default)]
    pub stopping: bool,
    /// The parts of it that have failed, as text: `cannot serve the control socket`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failing: Vec<String>,
    /// The number of its instances.
    pub instances: usize,
    /// Its own CPU usage in percent of one core; `None`: not measured.
    pub cpu: Option<f64>,
    /// Its own memory in bytes; `None`: not measured.
    pub memory: Option<u64>,
}

/// One instance: a row of `list`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InstanceSummary {
    /// PM2's `pm_id`.
    pub id: u32,
    /// Its application.
    pub name: String,
    /// The application's namespace.
    pub namespace: String,
    /// Its number in the application, from 0.
    pub number: u32,
    /// `fork` or `cluster`.
    pub mode: String,
    /// The process id of its main process, if it runs.
    pub pid: Option<i32>,
    /// PM2's word for its state.
    pub status: Status,
    /// Whether it can serve now; `None`: nothing reports that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready: Option<bool>,
    /// Whether its `health` probe passes; `None` without a probe.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub healthy: Option<bool>,
    /// Why it does not serve, if that is known: it cannot listen, fails a probe, or has exited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// The start of its process.
    pub started_at: Option<u64>,
    /// The time since the start of its process, in milliseconds.
    pub uptime: Option<u64>,
    /// The number of its restarts.
    pub restarts: u64,
    /// Percent of one core; `None`: not known.
    pub cpu: Option<f64>,
    /// Memory of its process tree in bytes; `None`: not known.
    pub memory: Option<u64>,
    /// The version of the application in its `package.json` when the process started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// User of its processes, if the configuration names one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// It restarts when watched files change. After a stop by a command it does not.
    #[serde(default)]
    pub watching: bool,
    /// Why its last process exited: `exit 1`, `SIGKILL`, or the exit reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_exit: Option<String>,
    /// What its Node process has measured of itself; only in answers that request it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<Box<NodeSample>>,
}

impl InstanceSummary {
    /// What its status does not show: it runs, but is unhealthy or not ready.
    pub fn flaw(&self) -> Option<&'static str> {
        self.status.flaw(self.healthy, self.ready)
    }

    /// Its status with its flaw.
    pub fn state(&self) -> String {
        self.status.with_flaw(self.flaw())
    }
}

/// All details of one instance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InstanceDetails {
    /// The row of `list`.
    pub brief: InstanceSummary,
    /// Processes of its tree.
    pub processes: Option<u32>,
    /// Threads of its tree.
    pub threads: Option<u32>,
    /// PSS of its tree in bytes; `None`: not known.
    pub pss: Option<u64>,
    /// Open files of its tree; `None`: not known.
    pub open_files: Option<u64>,
    /// The directory of its cgroup, if it has one of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cgroup: Option<String>,
    /// The number of instances of its application.
    pub instances: u32,
    /// When it was added to the list.
    pub created_at: u64,
    /// Unstable runs in a row.
    pub unstable_restarts: u64,
    /// The signals of readiness of its process: `listening`, `ready`, `probe`.
    pub ready_signals: Vec<String>,
    /// The `STATUS=` that its process has sent to the notification socket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status_text: Option<String>,
    /// It has exited by itself for good, with a failure.
    pub failed: bool,
    /// Whether its task is completed; `None`: it is not a task (`oneshot`).
    #[serde(default)]
    pub completed: Option<bool>,
    /// The dependencies for which its start waits: `db (ready)`.
    #[serde(default)]
    pub waiting_for: Vec<String>,
    /// The processes of its tree, parents before their children. Empty if all instances were requested.
    #[serde(default)]
    pub tree: Vec<ProcessInfo>,
    /// The last exits of its processes, the latest one last.
    pub exits: Vec<ExitInfo>,
    /// The file that runs, absolute if it is known: PM2's `pm_exec_path`.
    pub exec_path: String,
    /// The program that runs the script, if there is one.
    pub interpreter: Option<String>,
    /// The stop signal of a command.
    pub stop_signal: String,
    /// The next scheduled restart.
    #[serde(default)]
    pub next_cron: Option<u64>,
    /// `NODE_ENV` of its processes.
    #[serde(default)]
    pub node_env: Option<String>,
    /// The log file of its stdout.
    pub out_file: Option<String>,
    /// The log file of its stderr.
    pub error_file: Option<String>,
    /// The log file of both.
    pub log_file: Option<String>,
    /// The file that contains its process id.
    pub pid_file: Option<String>,
    /// The variables of the configuration, secrets masked.
    pub env: Vec<(String, String)>,
    /// The configuration of its application, without variables. Arguments are those of this instance.
    pub app: Box<AppSpec>,
}

/// The exit of a process of an instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExitInfo {
    /// The time of the exit.
    pub at: u64,
    /// The exit reason: `exit`, `signal`, `spawn-failed`, `oom`, or why procrun stopped the process, such as
    /// `command`, `watch` or `memory`.
    pub reason: String,
    /// The exit code that a shell reports.
    pub code: u8,
    /// The exit in words.
    pub text: String,
    /// The time from start to exit, in milliseconds.
    pub uptime: u64,
}

/// Shown in place of a secret.
pub const MASK: &str = "********";

/// The value of a variable, or [`MASK`] if it looks like a secret.
pub fn masked(name: &str, value: &str) -> String {
    if is_secret(name, value) { MASK.to_owned() } else { value.to_owned() }
}
