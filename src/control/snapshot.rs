//! What is shown of a supervisor and its instances.
//!
//! Times are in milliseconds since 1970 and sizes in bytes, as PM2 has them.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::trees::ProcessInfo;
use crate::config::is_secret;
pub use crate::machine::Status;

/// The supervisor and its instances in brief.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Overview {
    /// The supervisor itself.
    pub supervisor: About,
    /// Its instances by id; nothing in the answer to a ping.
    pub instances: Vec<Brief>,
    /// Where it runs, if that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub surroundings: Option<Box<Surroundings>>,
}

/// Where a supervisor runs.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Surroundings {
    /// The container.
    pub container: Container,
    /// The machine.
    pub machine: Machine,
}

/// What the container uses and may use. What its kernel does not say is `None`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
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
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
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

/// A supervisor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct About {
    /// Its process id, in its own PID namespace.
    pub pid: u32,
    /// Its version.
    pub version: String,
    /// What it was told to run; `None` in the background.
    pub target: Option<String>,
    /// When it was started.
    pub started_at: u64,
    /// It was asked to stop: nothing is ready any more.
    #[serde(default)]
    pub stopping: bool,
    /// The parts of it that do not work at present, as text: `cannot serve the control socket`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failing: Vec<String>,
    /// How many instances it has.
    pub instances: usize,
    /// Percent of one core that it uses itself; `None`: not looked at.
    pub cpu: Option<f64>,
    /// Bytes of memory that it uses itself; `None`: not looked at.
    pub memory: Option<u64>,
}

/// One instance in brief: a row of `list`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Brief {
    /// PM2's `pm_id`.
    pub id: u32,
    /// Its application.
    pub name: String,
    /// The application's namespace.
    pub namespace: String,
    /// Its place in the application, from 0.
    pub number: u32,
    /// `fork` or `cluster`.
    pub mode: String,
    /// Its main process, if it has one.
    pub pid: Option<i32>,
    /// PM2's word for its state.
    pub status: Status,
    /// Whether it can do its work now; `None`: it has no way to tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready: Option<bool>,
    /// Whether it passes `[apps.health]`; `None` without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub healthy: Option<bool>,
    /// Why it does not do its work, where that is known: it cannot listen, fails a check, or has ended so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// Since when its process runs.
    pub started_at: Option<u64>,
    /// How long that is, in milliseconds.
    pub uptime: Option<u64>,
    /// How often it was started again.
    pub restarts: u64,
    /// Percent of one core; `None`: not known.
    pub cpu: Option<f64>,
    /// Bytes of memory of its tree; `None`: not known.
    pub memory: Option<u64>,
    /// Of the application, by its `package.json` when the process started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// User of its processes, if the configuration names one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// It restarts when watched files change. After a stop by a command it does not.
    #[serde(default)]
    pub watching: bool,
    /// Why its last process ended: `exit 1`, `SIGKILL`, or the word for procrun's own reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_end: Option<String>,
}

impl Brief {
    /// What its status does not say: it is there, but not well or not ready.
    pub fn flaw(&self) -> Option<&'static str> {
        match (self.status, self.healthy, self.ready) {
            // Who has passed once and fails is on its way out.
            (Status::Online, Some(false), _) => Some("not healthy yet"),
            (Status::Online, _, Some(false)) => Some("not ready"),
            _ => None,
        }
    }

    /// Its status with that.
    pub fn state(&self) -> String {
        let status = self.status.word();
        self.flaw().map_or_else(|| status.to_owned(), |flaw| format!("{status}, {flaw}"))
    }
}

/// All there is to know of one instance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "as many as PM2 has switches")]
pub struct Detail {
    /// The row of `list`.
    pub brief: Brief,
    /// Processes of its tree.
    pub processes: Option<u32>,
    /// Threads of its tree.
    pub threads: Option<u32>,
    /// Bytes of memory of its tree where what is shared counts in parts; `None`: not known.
    pub pss: Option<u64>,
    /// Open files of its tree; `None`: not known.
    pub open_files: Option<u64>,
    /// The directory of its cgroup, if it has one of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cgroup: Option<String>,
    /// How many instances its application has.
    pub siblings: u32,
    /// When it came into the list.
    pub created_at: u64,
    /// Unstable runs in a row.
    pub unstable_restarts: u64,
    /// Which signs it has given that it can do its work.
    pub signs: Vec<String>,
    /// What its last check said, if that was a failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub complaint: Option<String>,
    /// What it says of itself (`STATUS=`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub says: Option<String>,
    /// It has ended by itself for good, and not well.
    pub failed: bool,
    /// Whether its task is done; `None`: it is no task (`oneshot`).
    #[serde(default)]
    pub completed: Option<bool>,
    /// What it waits for at its start: `db (ready)`.
    #[serde(default)]
    pub waits_for: Vec<String>,
    /// What it depends on, in the same words.
    #[serde(default)]
    pub depends_on: Vec<String>,
    /// The processes of its tree, parents before their children. Empty too when all instances are asked for.
    #[serde(default)]
    pub tree: Vec<ProcessInfo>,
    /// The last ends of its processes, the latest last.
    pub endings: Vec<EndingInfo>,
    /// What is run, as it is written.
    pub script: String,
    /// The file that is run, absolute where that is known.
    pub exec_path: String,
    /// Its arguments.
    pub args: Vec<String>,
    /// Its working directory.
    pub cwd: String,
    /// What runs the script, if that is said.
    pub interpreter: Option<String>,
    /// Arguments of the interpreter.
    pub interpreter_args: Vec<String>,
    /// User of its processes, if that is said.
    pub user: Option<String>,
    /// What the kernel allows it otherwise than procrun, by the names of the keys.
    pub limits: Vec<(String, String)>,
    /// How it is asked and what it has to say of itself, by the names of the keys.
    #[serde(default)]
    pub checks: Vec<(String, String)>,
    /// The variable that holds its number.
    pub instance_var: String,
    /// Where its stdout goes besides.
    pub out_file: Option<String>,
    /// Where its stderr goes besides.
    pub error_file: Option<String>,
    /// Where both go besides.
    pub log_file: Option<String>,
    /// Where its process id stands.
    pub pid_file: Option<String>,
    /// Whether it is started again when it ends.
    pub autorestart: bool,
    /// Milliseconds; a shorter run is unstable.
    pub min_uptime: u64,
    /// The number of unstable runs in a row before it is errored.
    pub max_restarts: u32,
    /// As it is written; more memory than that, and it is started anew.
    pub max_memory_restart: Option<String>,
    /// Milliseconds before each restart, if that is said.
    #[serde(default)]
    pub restart_delay: Option<u64>,
    /// When it is started anew by time, as it is written.
    #[serde(default)]
    pub cron: Option<String>,
    /// By the clock of which place, if that is said.
    #[serde(default)]
    pub cron_timezone: Option<String>,
    /// When that is next.
    #[serde(default)]
    pub next_cron: Option<u64>,
    /// `NODE_ENV` of its processes.
    #[serde(default)]
    pub node_env: Option<String>,
    /// Whether it starts with the supervisor.
    #[serde(default)]
    pub autostart: bool,
    /// Whether instances share their log files.
    #[serde(default)]
    pub merge_logs: bool,
    /// Whether a stop ends the whole tree.
    #[serde(default)]
    pub treekill: bool,
    /// It is started anew when these files change.
    #[serde(default)]
    pub watch: Vec<String>,
    /// It says itself when it is ready (`wait_ready`).
    #[serde(default)]
    pub wait_ready: bool,
    /// The same in bytes; `None` too if it is a share.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_memory_bytes: Option<u64>,
    /// The signal of a command that ends it.
    pub stop_signal: String,
    /// Milliseconds from that signal to SIGKILL.
    pub kill_timeout: u64,
    /// Exit codes that are final.
    pub stop_exit_codes: Vec<u8>,
    /// The variables of the configuration, secrets masked.
    pub env: Vec<(String, String)>,
}

/// How a process of an instance ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndingInfo {
    /// When.
    pub at: u64,
    /// The word for it: `exit`, `signal` or `spawn-failed`, `oom` where the kernel had no memory, or
    /// procrun's own reason to end it: `command`, `watch`, `cron`, `config`, `memory`, `health`, `heartbeat`
    /// or `reload`.
    pub reason: String,
    /// The code that a shell reports.
    pub code: u8,
    /// For people.
    pub text: String,
    /// Milliseconds from start to end.
    pub uptime: u64,
}

/// What is shown in place of a secret.
pub const MASK: &str = "********";

/// The value of a variable, or [`MASK`] if it looks like a secret.
pub fn masked(name: &str, value: &str) -> String {
    if is_secret(name, value) { MASK.to_owned() } else { value.to_owned() }
}

/// PM2's `jlist`: what exporters, editors and playbooks read. Variables of the environment are
/// under `pm2_env.env` only, secrets masked; PM2 spreads them over `pm2_env` in clear.
/// `node_version` finds the version of the Node that runs a process; `user` is that of the supervisor.
pub fn jlist(
    details: &[Detail],
    mut node_version: impl FnMut(&Detail) -> Option<String>,
    user: Option<&str>,
) -> Value {
    Value::Array(details.iter().map(|detail| pm2_process(detail, node_version(detail), user)).collect())
}

fn pm2_process(detail: &Detail, node_version: Option<String>, user: Option<&str>) -> Value {
    let brief = &detail.brief;
    let env: serde_json::Map<String, Value> =
        detail.env.iter().map(|(name, value)| (name.clone(), Value::from(value.as_str()))).collect();
    let memory = brief.memory.unwrap_or(0);
    let mut process = json!({
        "pid": brief.pid.unwrap_or(0),
        "name": brief.name,
        "pm_id": brief.id,
        "monit": { "memory": memory, "cpu": brief.cpu.unwrap_or(0.0) },
        "pm2_env": {
            "name": brief.name,
            "namespace": brief.namespace,
            "pm_id": brief.id,
            "status": brief.status.pm2_word(),
            "restart_time": brief.restarts,
            "unstable_restarts": detail.unstable_restarts,
            "created_at": detail.created_at,
            "pm_uptime": brief.started_at.unwrap_or(0),
            "exec_mode": format!("{}_mode", brief.mode),
            "instances": detail.siblings,
            "pm_exec_path": detail.exec_path,
            "pm_cwd": detail.cwd,
            "args": detail.args,
            "exec_interpreter": detail.interpreter.as_deref().unwrap_or("none"),
            "node_args": detail.interpreter_args,
            "pm_out_log_path": detail.out_file.as_deref().unwrap_or("/dev/null"),
            "pm_err_log_path": detail.error_file.as_deref().unwrap_or("/dev/null"),
            "pm_pid_path": detail.pid_file.as_deref().unwrap_or(""),
            "autorestart": detail.autorestart,
            "min_uptime": detail.min_uptime,
            "max_restarts": detail.max_restarts,
            // PM2's is a number, but it has no shares.
            "max_memory_restart": detail.max_memory_bytes.map_or_else(
                || detail.max_memory_restart.clone().map_or(Value::Null, Value::from),
                Value::from,
            ),
            "kill_timeout": detail.kill_timeout,
            "instance_var": detail.instance_var,
            "exit_code": detail.endings.last().map_or(0, |ending| ending.code),
            "watch": brief.watching,
            "cron_restart": detail.cron,
            "restart_delay": detail.restart_delay.unwrap_or(0),
            "wait_ready": detail.wait_ready,
            "axm_actions": [],
            "axm_monitor": {},
            "axm_options": {},
            "axm_dynamic": {},
            "vizion_running": false,
            "env": env,
        },
    });
    let pm2_env = process["pm2_env"].as_object_mut().expect("it was made above");
    pm2_env.insert(detail.instance_var.clone(), brief.number.into());
    // The same as long as the instance is in the list, and no other one's.
    let unique_id = format!("{:x}-{}", detail.created_at, brief.id);
    for (key, value) in [
        ("version", Value::from(brief.version.as_deref().unwrap_or("N/A"))),
        ("NODE_ENV", Value::from(detail.node_env.as_deref())),
        ("next_cron", detail.next_cron.into()),
        ("username", Value::from(detail.user.as_deref().or(user))),
        ("exit_reason", Value::from(detail.endings.last().map(|ending| ending.reason.as_str()))),
        ("autostart", detail.autostart.into()),
        ("node_version", node_version.map_or(Value::Null, Value::from)),
        ("treekill", detail.treekill.into()),
        ("merge_logs", detail.merge_logs.into()),
        ("unique_id", unique_id.into()),
    ] {
        pm2_env.insert(key.to_owned(), value);
    }
    if let Some(ready) = brief.ready {
        pm2_env.insert("ready".to_owned(), ready.into());
    }
    if let Some(healthy) = brief.healthy {
        pm2_env.insert("healthy".to_owned(), healthy.into());
    }
    if let Some(problem) = &brief.problem {
        pm2_env.insert("problem".to_owned(), problem.as_str().into());
    }
    if let Some(path) = &detail.log_file {
        pm2_env.insert("pm_log_path".to_owned(), path.as_str().into());
    }
    process
}
