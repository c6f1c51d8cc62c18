//! The spec of one application.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    fmt::Display,
    path::{Path, PathBuf},
    sync::Arc,
};

use serde::{Deserialize, Serialize};

use super::{
    HealthSpec, Limits, Listen, LogSpec, MemoryLimit, Order, ProgramKind, Quorum, ReloadPolicy,
    RestartPolicy, Schedule, Signal, StopPolicy, WatchSpec, placeholder,
};

/// The settings of one application: what to execute, how many instances, and what to do after an exit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppSpec {
    /// Unique within the plan; not empty, no control characters.
    pub name: String,
    /// PM2's `namespace`, `default` unless set.
    pub namespace: String,
    /// What to execute.
    pub exec: Exec,
    /// The number of instances.
    pub instances: Instances,
    /// PM2's `exec_mode`.
    pub exec_mode: ExecMode,
    /// Whether each process gets Node's IPC channel (`ipc`).
    #[serde(default = "yes")]
    pub ipc: bool,
    /// Whether Node workers report figures of their runtime (`node_metrics`).
    #[serde(default = "yes")]
    pub node_metrics: bool,
    /// How the instances of a cluster share their connections.
    pub balance: Balance,
    /// The sockets that procrun opens and passes to each worker, in the order of their descriptors (`listen`).
    pub listen: Vec<Listen>,
    /// The environment, without the variables that procrun adds.
    pub env: EnvSpec,
    /// The user and group of its processes.
    pub identity: Identity,
    /// Resource limits, priority and privileges.
    #[serde(default)]
    pub limits: Limits,
    /// Whether it starts with procrun (`autostart`).
    pub autostart: bool,
    /// The application's dependencies, and whether it is a task (`depends_on`, `oneshot`).
    #[serde(default)]
    pub order: Order,
    /// When it restarts.
    pub restart: RestartPolicy,
    /// An instance whose process tree uses more memory restarts (`max_memory_restart`).
    pub max_memory: Option<MemoryLimit>,
    /// When it restarts on a schedule (`cron_restart`).
    pub schedule: Option<Schedule>,
    /// How a reload replaces its workers, and when they are ready.
    pub reload: ReloadPolicy,
    /// How its processes stop.
    pub stop: StopPolicy,
    /// The format and the files of its output.
    pub logs: LogSpec,
    /// A file that contains the process id while the application runs (`pid_file`). It may contain placeholders;
    /// without them, several instances get `-<id>` before the extension.
    pub pid_file: Option<PathBuf>,
    /// The health and readiness probes of its workers, and their notifications.
    pub health: HealthSpec,
    /// How many instances must be ready before the application is (`ready_when`); `None`: all.
    #[serde(default)]
    pub ready_when: Option<Quorum>,
    /// Restart or reload when these files change (`watch`).
    pub watch: Option<Box<WatchSpec>>,
}

/// What to execute. The program is looked up at each start, not when the configuration is read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exec {
    /// PM2's `script`: a path (relative to `cwd`), a name in `PATH`, or a shell line.
    pub script: String,
    /// Arguments for the program.
    pub args: Vec<String>,
    /// Working directory, absolute.
    pub cwd: PathBuf,
    /// The program that runs the script.
    pub interpreter: Interpreter,
    /// Arguments between interpreter and script (`interpreter_args`, `node_args`).
    pub interpreter_args: Vec<String>,
    /// Whether Node gets `--enable-source-maps` (PM2's `source_map_support`); `None`: if there is a map beside
    /// the script.
    pub source_maps: Option<bool>,
    /// The standard input of its processes (`stdin`).
    #[serde(default)]
    pub stdin: Stdin,
}

impl Exec {
    /// What the instance with this number executes: the same, with values instead of placeholders.
    #[must_use]
    pub fn of_instance(&self, number: u32) -> Self {
        let words = |words: &[String]| {
            words.iter().map(|word| placeholder::in_value(word, number).into_owned()).collect()
        };
        Self { args: words(&self.args), interpreter_args: words(&self.interpreter_args), ..self.clone() }
    }
}

/// The standard input of a process (`stdin`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Stdin {
    /// A pipe that stays open while the process runs, as under PM2: programs that exit at the end of their
    /// input (esbuild and tailwindcss with `--watch`) keep running.
    #[default]
    Open,
    /// `/dev/null`: a read is at the end of the input.
    Null,
}

impl Stdin {
    /// The default. A task that asks a question would wait forever, so its input is empty.
    pub fn default_for(oneshot: bool) -> Self {
        if oneshot { Self::Null } else { Self::Open }
    }

    /// The value of the key.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Null => "null",
        }
    }
}

/// The program that runs the script.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Interpreter {
    /// By the extension and the first bytes of the script.
    Auto,
    /// Execute the script itself (`interpreter = "none"`).
    None,
    /// This program: a path or a name in `PATH`.
    Program(String),
    /// procrun itself: the script is built in ([`serve`](super::serve)).
    BuiltIn,
}

/// The number of instances of an application.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Instances {
    /// Exactly this number, 1 to 1,000.
    Count(u32),
    /// One per CPU less this number (`max` and `0` are 0, `-1` is 1), at least 1.
    CpusMinus(u32),
}

/// PM2's `exec_mode`, as the worker sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ExecMode {
    /// A plain process.
    Fork,
    /// A Node cluster worker.
    Cluster,
}

impl ExecMode {
    /// PM2's word for it, as in the worker's environment.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fork => "fork_mode",
            Self::Cluster => "cluster_mode",
        }
    }
}

/// How the connections to a Node cluster reach its workers (`balance`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Balance {
    /// Round robin; while short connections arrive fast, the workers accept from the shared socket.
    #[default]
    Auto,
    /// procrun accepts connections and passes them to the workers in turn.
    RoundRobin,
    /// All workers accept from the one socket that procrun holds.
    Shared,
    /// procrun accepts connections, and the client's address selects the worker.
    Sticky,
}

impl Balance {
    /// The value of the key.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::RoundRobin => "round-robin",
            Self::Shared => "shared",
            Self::Sticky => "sticky",
        }
    }
}

/// The environment of an application, without the variables that procrun adds.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct EnvSpec {
    /// The variables that are inherited.
    pub inherit: InheritEnv,
    /// The environment that is inherited: that of the command that has added the application to a running procrun;
    /// `None`: procrun's own. It is sent beside the applications, because many have the same.
    #[serde(skip)]
    pub caller: Option<Arc<BTreeMap<String, String>>>,
    /// The variables that a JavaScript file has set in its own environment, then `env_file`, `env` and
    /// `env_<name>`: the later wins. No NUL, no `=` in a name.
    pub vars: BTreeMap<String, String>,
    /// PM2's `instance_var`: the variable that holds the instance's number.
    pub instance_var: String,
    /// PM2's `increment_var`: a variable of `vars` whose number grows by one with each instance.
    pub increment_var: Option<String>,
    /// The files of `env_file` that could not be read with the configuration, in their order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unread_files: Vec<UnreadFile>,
}

/// An `env_file` that could not be read with the configuration, because its file system did not answer. Each start
/// reads it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnreadFile {
    /// The directory's absolute path.
    pub path: PathBuf,
    /// Whether the application cannot start without it.
    pub required: bool,
    /// The variables that the file does not change, because settings with precedence set them.
    pub keeps: BTreeSet<String>,
}

impl EnvSpec {
    /// The variables of the instance with this number, without placeholders: `increment_var` has its own value
    /// in each.
    pub fn of_instance(&self, number: u32) -> impl Iterator<Item = (&String, Cow<'_, str>)> {
        self.vars.iter().map(move |(name, value)| {
            let value = placeholder::in_value(value, number);
            let first =
                self.increment_var.as_ref().filter(|it| *it == name).and(value.trim().parse::<i64>().ok());
            let value = match first {
                Some(first) => Cow::Owned(first.saturating_add(number.into()).to_string()),
                None => value,
            };
            (name, value)
        })
    }
}

/// The variables that are inherited (PM2's `filter_env`).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum InheritEnv {
    /// All of it.
    #[default]
    All,
    /// All but the variables whose names contain one of these.
    Without(Vec<String>),
    /// All but the variable of exactly this name: the meaning of a string in PM2's files.
    WithoutName(String),
    /// Nothing.
    Nothing,
}

impl InheritEnv {
    /// Whether a variable of this name is inherited.
    pub fn takes(&self, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::Without(parts) => !parts.iter().any(|part| name.contains(part.as_str())),
            Self::WithoutName(left_out) => name != left_out,
            Self::Nothing => false,
        }
    }
}

/// The user and group of the processes. `None`: those of procrun.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Identity {
    /// `uid` or `user`.
    pub user: Option<PrincipalRef>,
    /// `gid`.
    pub group: Option<PrincipalRef>,
}

/// A user or group, by number or by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum PrincipalRef {
    /// By number.
    Id(u32),
    /// By a name of `/etc/passwd` or `/etc/group`.
    Name(String),
}

impl AppSpec {
    /// The same spec after an application was renamed: this one, or one that it depends on.
    pub fn with_renamed(self: &Arc<Self>, from: &str, to: &str) -> Arc<Self> {
        let depends = self.order.depends_on.iter().any(|other| other.app == from);
        if self.name != from && !depends {
            return self.clone();
        }
        let mut new = Self::clone(self);
        let names = new.order.depends_on.iter_mut().map(|other| &mut other.app).chain([&mut new.name]);
        for name in names.filter(|name| *name == from) {
            to.clone_into(name);
        }
        Arc::new(new)
    }

    /// Whether its instances are workers of a Node cluster whose primary is procrun. If the program cannot be such a
    /// worker, the start fails.
    pub fn is_cluster(&self) -> bool {
        self.exec_mode == ExecMode::Cluster
    }

    /// Whether its processes have Node's IPC channel. A worker of a cluster needs it.
    pub fn has_channel(&self) -> bool {
        self.ipc || self.is_cluster()
    }

    /// Whether a predecessor and its successor can serve at the same time, because procrun holds the sockets.
    /// Otherwise the predecessor must exit before the successor starts.
    pub fn can_overlap(&self) -> bool {
        self.is_cluster() || !self.listen.is_empty()
    }

    /// The path of a file for one instance, by its number and its id. Without a placeholder PM2's rule applies:
    /// `-<id>` before the extension if several instances would share the file. All instances share a device, such
    /// as `/dev/stdout`.
    fn path_of_instance(&self, path: &Path, number: impl Display, id: impl Display) -> PathBuf {
        if let Some(text) = path.to_str().filter(|text| placeholder::is_in(text)) {
            return placeholder::in_path(text, &self.name, number, id).into();
        }
        if self.instances == Instances::Count(1) || path.starts_with("/dev") {
            return path.to_owned();
        }
        let mut name = path.file_stem().unwrap_or_default().to_owned();
        name.push(format!("-{id}"));
        if let Some(extension) = path.extension() {
            name.push(".");
            name.push(extension);
        }
        path.with_file_name(name)
    }

    /// The log file of one instance for a `path` of [`LogFiles`](super::LogFiles). With `merge_logs` all instances
    /// share it, unless it contains placeholders.
    pub fn log_file_of_instance(&self, path: &Path, number: impl Display, id: impl Display) -> PathBuf {
        let has_placeholder = path.to_str().is_some_and(placeholder::is_in);
        if self.logs.files.merge && !has_placeholder {
            return path.to_owned();
        }
        self.path_of_instance(path, number, id)
    }

    /// The pid file of one instance.
    pub fn pid_file_of_instance(&self, number: impl Display, id: impl Display) -> Option<PathBuf> {
        self.pid_file.as_ref().map(|path| self.path_of_instance(path, number, id))
    }

    /// The stop signal if procrun itself got no signal; `kind` is the kind of its program.
    pub fn stop_signal(&self, kind: ProgramKind) -> Signal {
        self.stop.kill_signal.unwrap_or_else(|| kind.stop_signal())
    }
}

/// The default of a boolean that is true by default.
fn yes() -> bool {
    true
}

impl Instances {
    /// The number of processes on a machine with this number of CPUs, at least 1.
    pub fn resolve(self, cpus: u32) -> u32 {
        match self {
            Self::Count(count) => count.max(1),
            Self::CpusMinus(less) => cpus.saturating_sub(less).max(1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn increment_var_has_its_own_value_in_each_instance() {
        let vars =
            [("HOST", "a"), ("PORT", " 3000 ")].map(|(name, value)| (name.to_owned(), value.to_owned()));
        let env = |increment_var: &str| EnvSpec {
            vars: vars.clone().into(),
            increment_var: Some(increment_var.to_owned()),
            ..EnvSpec::default()
        };
        let of = |env: &EnvSpec, number| -> Vec<String> {
            env.of_instance(number).map(|(name, value)| format!("{name}={value}")).collect()
        };
        assert_eq!(of(&env("PORT"), 2), ["HOST=a", "PORT=3002"]);
        assert_eq!(of(&env("HOST"), 2), ["HOST=a", "PORT= 3000 "], "not a number");
        assert_eq!(of(&env("NONE"), 2), ["HOST=a", "PORT= 3000 "]);
    }

    #[test]
    fn a_part_of_a_name_and_a_whole_name_are_two_filters() {
        let parts = InheritEnv::Without(vec!["AWS".into(), "TOKEN".into()]);
        assert!(!parts.takes("AWS_REGION") && !parts.takes("MY_TOKEN") && parts.takes("HOME"));
        let name = InheritEnv::WithoutName("AWS".into());
        assert!(name.takes("AWS_REGION") && !name.takes("AWS"));
    }
}
