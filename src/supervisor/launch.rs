//! From a spec to what the kernel needs: program, arguments, environment, identity.
//!
//! It is computed at each start, independently of earlier ones.

use std::{
    collections::BTreeMap,
    ffi::{CString, OsStr, OsString},
    os::{fd::OwnedFd, unix::ffi::OsStringExt},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use super::{
    failed_start::{kind_of, no_variables, not_allowed, not_found},
    helper_threads::HelperThreads,
    inspector,
    listen_sockets::{OpenSockets, Socket},
    package::Packages,
    start_progress::{StartProgress, Step},
};
use crate::{
    config::{EX_CONFIG, WEB_TOKEN, env_file_variables},
    machine::{FailureKind, InstanceView, SpawnFailure},
    node::Scripts,
    program::{self, Command, LookupContext},
    spec::{AppSpec, Exec, ExecMode, InheritEnv, PrincipalRef, Probe, ProbeTarget, ProgramKind},
    sys::{
        accounts::{self, Credentials, Key},
        limits::{Limits, Rlimit},
        pipes::Budget,
        process::OpenFiles,
        run_cgroups::NewCgroup,
        spawn::{channel_number, forwarded_channel_number},
        tree::RunMark,
    },
};

/// What a worker gets from procrun's own environment, by name.
pub(super) type Environment = BTreeMap<OsString, OsString>;

/// The variable by which every process of a worker's tree can be told.
pub(super) const MARKER: &str = "PROCRUN_RUN";

/// The variable in which Node's channel is kept for the children of npm and its like (`node/forward.cjs`).
const FORWARDED_CHANNEL: &str = "PROCRUN_CHANNEL_FD";

/// Variables by which another program communicates with procrun itself; a worker must not answer them.
const NOT_INHERITED: [&str; 11] = [
    FORWARDED_CHANNEL,
    "NODE_CHANNEL_FD",
    "NODE_CHANNEL_SERIALIZATION_MODE",
    "NODE_UNIQUE_ID",
    "NOTIFY_SOCKET",
    "WATCHDOG_PID",
    "WATCHDOG_USEC",
    "LISTEN_FDS",
    "LISTEN_PID",
    "LISTEN_PIDFDID",
    "LISTEN_FDNAMES",
];

/// An instance, as far as its start depends on it.
#[derive(Debug, Clone)]
pub(super) struct Target {
    spec: Arc<AppSpec>,
    number: u32,
    pm_id: u32,
    siblings: u32,
}

impl Target {
    pub(super) fn spec(&self) -> &AppSpec {
        &self.spec
    }

    /// The number of the instance in its application.
    pub(super) fn number(&self) -> u32 {
        self.number
    }

    /// The same with the variables of the files that could not be read with the configuration.
    fn with_env_files(&self) -> Result<Self, SpawnFailure> {
        if self.spec.env.unread_files.is_empty() {
            return Ok(self.clone());
        }
        let mut spec = AppSpec::clone(&self.spec);
        for file in &self.spec.env.unread_files {
            let variables = env_file_variables(file).map_err(no_variables)?;
            let variables = variables.into_iter().filter(|(name, _)| !file.keeps.contains(name));
            spec.env.vars.extend(variables);
        }
        Ok(Self { spec: Arc::new(spec), ..*self })
    }
}

impl From<&InstanceView<'_>> for Target {
    fn from(view: &InstanceView<'_>) -> Self {
        let InstanceView { spec, number, pm_id, siblings, .. } = *view;
        Self { spec: Arc::clone(spec), number, pm_id, siblings }
    }
}

/// All of a start that is known before the process is made.
#[derive(Debug)]
pub(super) struct Prepared {
    /// What the instance executes, without placeholders.
    exec: Exec,
    pub(super) command: Command,
    pub(super) program: CString,
    pub(super) argv: Vec<CString>,
    pub(super) env: Vec<CString>,
    pub(super) cwd: CString,
    pub(super) credentials: Option<Credentials>,
    pub(super) limits: Limits,
    pub(super) mark: RunMark,
    /// The cgroup of the run, if it gets one.
    pub(super) cgroup: Option<NewCgroup>,
    /// A package runner below it must leave the channel to the application.
    pub(super) may_start_runner: bool,
    /// The descriptor of its channel, if it has one.
    pub(super) channel: usize,
    /// Of the application, as it starts.
    pub(super) version: Option<Arc<str>>,
    /// The script as a file, if it is one.
    pub(super) script: Option<Arc<Path>>,
    /// Its `PORT`: that of probes that name none.
    pub(super) port: Result<u16, String>,
    /// What it listens on.
    pub(super) sockets: Vec<Arc<Socket>>,
}

impl Prepared {
    /// User and group of its files, unless they are procrun's.
    pub(super) fn owner(&self) -> Option<(u32, u32)> {
        self.credentials.as_ref().map(|credentials| (credentials.uid, credentials.gid))
    }

    /// Whether the program is Node itself and may read a file that its application did not name.
    pub(super) fn takes_preload(&self) -> bool {
        let forbids = |word: &[u8]| matches!(word, b"--permission" | b"--experimental-permission");
        let options = self.env.iter().filter_map(|entry| entry.to_bytes().strip_prefix(b"NODE_OPTIONS="));
        let mut words = options.flat_map(|options| options.split(u8::is_ascii_whitespace));
        let mut args = self.exec.interpreter_args.iter().map(String::as_bytes);
        self.command.takes_node_options && !words.any(forbids) && !args.any(forbids)
    }

    /// Gives a worker of a cluster its own port for Node's inspector, if it is to have one.
    pub(super) fn own_inspector_port(&mut self, worker: u32) -> Result<(), SpawnFailure> {
        if !self.command.takes_node_options {
            return Ok(());
        }
        let of_environment =
            self.env.iter().filter_map(|entry| entry.to_str().ok()?.strip_prefix("NODE_OPTIONS="));
        let of_environment = of_environment.flat_map(str::split_whitespace);
        let options = of_environment.chain(self.exec.interpreter_args.iter().map(String::as_str));
        if let Some(option) = inspector::own_port(options, worker) {
            // The last one counts, and the command line counts more than NODE_OPTIONS.
            let own: Vec<&[u8]> = self.exec.interpreter_args.iter().map(String::as_bytes).collect();
            let is_own = |words: &[CString]| words.iter().map(|word| word.to_bytes()).eq(own.iter().copied());
            let own_start = if own.is_empty() { None } else { self.argv.windows(own.len()).position(is_own) };
            let at = own_start.map_or(1, |start| start + own.len());
            self.argv.insert(at, c_string(OsStr::new(&option))?);
        }
        Ok(())
    }

    /// Leaves the channel to what npm and its like start; `script` gives it to them.
    pub(super) fn forward_channel(&mut self, script: &Path, sockets: usize) -> Result<(), SpawnFailure> {
        self.hide_channel(sockets)?;
        self.preload(script)
    }

    /// The same where a program that is not for Node starts them: the first Node below it runs `script`.
    pub(super) fn forward_channel_below(
        &mut self,
        script: &Path,
        sockets: usize,
    ) -> Result<(), SpawnFailure> {
        const OPTIONS: &[u8] = b"NODE_OPTIONS=";
        let Some(script) = script.to_str().filter(|path| !path.contains([' ', '\t', '\n', '"', '\\'])) else {
            // It would be several words there.
            return Ok(());
        };
        self.hide_channel(sockets)?;
        let mut options = OsString::from(format!("NODE_OPTIONS=--require {script}"));
        if let Some(at) = self.env.iter().position(|entry| entry.to_bytes().starts_with(OPTIONS)) {
            let own = OsString::from_vec(self.env.swap_remove(at).into_bytes().split_off(OPTIONS.len()));
            options.push(" ");
            options.push(own);
        }
        self.env.push(c_string(&options)?);
        Ok(())
    }

    /// Gives the channel a name that no Node takes by itself.
    fn hide_channel(&mut self, sockets: usize) -> Result<(), SpawnFailure> {
        const OF_NODE: [&[u8]; 2] = [b"NODE_CHANNEL_FD=", b"NODE_CHANNEL_SERIALIZATION_MODE="];
        self.env.retain(|entry| !OF_NODE.iter().any(|name| entry.to_bytes().starts_with(name)));
        self.channel = forwarded_channel_number(sockets);
        self.env.push(c_string(OsStr::new(&format!("{FORWARDED_CHANNEL}={}", self.channel)))?);
        Ok(())
    }

    /// Lets Node run a script before the application's. Of Node's two ways this is the one that
    /// leaves everything else as it is: with `--import` it loads a CommonJS application as a module,
    /// which changes the order of ticks and promises, and the kind of an uncaught error.
    pub(super) fn preload(&mut self, script: &Path) -> Result<(), SpawnFailure> {
        self.argv.splice(1..1, [c"--require".to_owned(), c_string(script.as_os_str())?]);
        Ok(())
    }
}

impl Prepared {
    /// Tells the program where it can say how it is, and how often it has to.
    pub(super) fn notifies(&mut self, socket: &str, heartbeat: Option<Duration>) -> Result<(), SpawnFailure> {
        const OURS: [&[u8]; 3] = [b"NOTIFY_SOCKET=", b"WATCHDOG_PID=", b"WATCHDOG_USEC="];
        self.env.retain(|entry| !OURS.iter().any(|name| entry.to_bytes().starts_with(name)));
        self.env.push(c_string(OsStr::new(&format!("NOTIFY_SOCKET={socket}")))?);
        if let Some(heartbeat) = heartbeat {
            let entry = format!("WATCHDOG_USEC={}", heartbeat.as_micros());
            self.env.push(c_string(OsStr::new(&entry))?);
        }
        Ok(())
    }
}

/// A program that asks a worker how it is, ready to be started where and as whom that runs.
pub(super) struct Check {
    pub(super) program: CString,
    pub(super) argv: Vec<CString>,
    pub(super) env: Vec<CString>,
    pub(super) cwd: CString,
    pub(super) credentials: Option<Credentials>,
    pub(super) limits: Limits,
}

/// What is between procrun and the worker itself.
const OF_THE_WORKER: [&str; 5] =
    ["LISTEN_FDNAMES", "LISTEN_FDS", "NODE_CHANNEL_FD", "NODE_CHANNEL_SERIALIZATION_MODE", "NODE_UNIQUE_ID"];

/// Prepares a program that asks an instance; `marker` is `NAME=value` of [`MARKER`].
pub(super) fn check(
    instance: &Target,
    words: &[String],
    marker: &str,
    inherited: &Environment,
) -> Result<Check, SpawnFailure> {
    let instance = &instance.with_env_files()?;
    let spec = &*instance.spec;
    let credentials = credentials(spec)?;
    let mut env = environment(instance, inherited, credentials.as_ref());
    for name in OF_THE_WORKER {
        env.remove(OsStr::new(name));
    }
    let path = env.get(OsStr::new("PATH")).map(OsString::as_os_str);
    let program = program::command(&words[0], &spec.exec.cwd, path).map_err(not_found)?;
    let mut env = entries(env)?;
    env.push(c_string(OsStr::new(marker))?);
    Ok(Check {
        program: c_string(program.as_os_str())?,
        argv: words.iter().map(|word| c_string(OsStr::new(word))).collect::<Result<_, _>>()?,
        env,
        cwd: c_string(spec.exec.cwd.as_os_str())?,
        credentials,
        limits: limits(spec),
    })
}

fn port_in(value: Option<&OsStr>) -> Result<u16, String> {
    let Some(value) = value else { return Err("its environment has no PORT".to_owned()) };
    let text = value.to_string_lossy();
    match text.trim().parse() {
        Ok(port) if port > 0 => Ok(port),
        _ => Err(format!("its PORT is `{text}`, which is no port")),
    }
}

/// What procrun has that starts of all applications need.
#[derive(Debug)]
pub(super) struct Resources {
    pub(super) inherited: Arc<Environment>,
    pub(super) packages: Arc<Packages>,
    pub(super) sockets: OpenSockets,
    pub(super) helpers: HelperThreads,
    pub(super) scripts: Scripts,
    pub(super) budget: Budget,
    pub(super) null: Arc<OwnedFd>,
    pub(super) open_files: OpenFiles,
}

/// Prepares a run of an instance, whose processes inherit the mark. Looks at files, so it may never end.
pub(super) fn prepare(
    instance: &Target,
    mark: RunMark,
    resources: &Resources,
    progress: &StartProgress,
) -> Result<Prepared, SpawnFailure> {
    let Resources { inherited, packages, sockets, helpers, .. } = resources;
    progress.enter(Step::EnvFile);
    let instance = &instance.with_env_files()?;
    let spec = &*instance.spec;
    progress.enter(Step::Accounts);
    let credentials = credentials(spec)?;
    let mut env = environment(instance, inherited, credentials.as_ref());
    let around = LookupContext::new(|name| env.get(OsStr::new(name)).cloned());
    let port = port_in(env.get(OsStr::new("PORT")).map(OsString::as_os_str));
    progress.enter(Step::WorkingDirectory);
    program::check_cwd(&spec.exec.cwd).map_err(not_found)?;
    progress.enter(Step::Program);
    let exec = spec.exec.of_instance(instance.number);
    let command = program::resolve(&exec, spec.exec_mode, &around).map_err(not_found)?;
    if command.kind == ProgramKind::Python {
        // It keeps its output back unless told otherwise.
        env.entry("PYTHONUNBUFFERED".into()).or_insert_with(|| "1".into());
    }
    env.extend(command.vars.iter().cloned());
    let may_start_runner = spec.has_channel() && program::may_start_runner(&command, &exec.cwd);
    let mut env = entries(env)?;
    env.push(c_string(OsStr::new(&mark.entry))?);
    progress.enter(Step::Package);
    let version = packages.version(&spec.exec);
    let script = script_file(&exec).map(Arc::from);
    progress.enter(Step::Sockets);
    let owner = credentials.as_ref().map(|credentials| (credentials.uid, credentials.gid));
    let sockets = if spec.listen.is_empty() { Vec::new() } else { sockets.open(spec, owner, helpers)? };
    Ok(Prepared {
        program: c_string(command.program.as_os_str())?,
        argv: command.argv.iter().map(|arg| c_string(arg)).collect::<Result<_, _>>()?,
        env,
        cwd: c_string(spec.exec.cwd.as_os_str())?,
        credentials,
        limits: limits(spec),
        exec,
        command,
        mark,
        cgroup: None,
        may_start_runner,
        channel: channel_number(spec.listen.len()),
        version,
        script,
        port,
        sockets,
    })
}

fn entries(env: Environment) -> Result<Vec<CString>, SpawnFailure> {
    let entry = |(mut name, value): (OsString, OsString)| {
        name.push("=");
        name.push(value);
        c_string(&name)
    };
    env.into_iter().map(entry).collect()
}

/// The script as a file, if it is one: PM2's `pm_exec_path`.
pub(super) fn script_file(exec: &Exec) -> Option<PathBuf> {
    Some(exec.cwd.join(&exec.script)).filter(|file| file.is_file())
}

/// Looks whether the program, the working directory and the user of an application are there, and
/// whether it may have its limits. Returns whom it runs as.
pub(super) fn preflight(
    spec: &AppSpec,
    mode: ExecMode,
    inherited: &Environment,
) -> Result<Option<Credentials>, SpawnFailure> {
    let credentials = credentials(spec)?;
    program::resolve(&spec.exec, mode, &around(spec, inherited)).map_err(not_found)?;
    find_port(spec, inherited)?;
    limits(spec).check().map_err(|refusal| not_allowed(&refusal))?;
    Ok(credentials)
}

/// The variables of an application that have a say in what it executes, before it has an instance.
pub(super) fn around(spec: &AppSpec, inherited: &Environment) -> LookupContext {
    LookupContext::new(|name| {
        let of_caller = spec.env.caller.as_ref().and_then(|caller| caller.get(name));
        let said = spec.env.vars.get(name).or(of_caller).map(OsString::from);
        said.or_else(|| inherited.get(OsStr::new(name)).cloned())
    })
}

/// What the kernel is to be asked for.
fn limits(spec: &AppSpec) -> Limits {
    let of = &spec.limits;
    let resources = of.resources.iter();
    Limits {
        resources: resources
            .filter_map(|(resource, limit)| Rlimit::new(resource.name(), limit.soft, limit.hard))
            .collect(),
        nice: of.nice,
        oom_score_adj: of.oom_score_adj,
        umask: of.umask,
        no_new_privileges: of.no_new_privileges,
    }
}

/// The value that a variable has in the processes of an application, unless procrun sets it.
pub(super) fn variable(spec: &AppSpec, inherited: &Environment, name: &str) -> Option<OsString> {
    let inherits = spec.env.inherit.takes(name);
    let said = spec.env.of_instance(0).find(|(said, _)| *said == name);
    let said = said.map(|(_, value)| OsString::from(value.into_owned()));
    said.or_else(|| match &spec.env.caller {
        Some(caller) => caller.get(name).filter(|_| inherits).map(OsString::from),
        None => inherited.get(OsStr::new(name)).filter(|_| inherits).cloned(),
    })
}

/// Looks whether there is a port to ask at, if one is needed.
fn find_port(spec: &AppSpec, inherited: &Environment) -> Result<(), SpawnFailure> {
    let health = [("health", &spec.health.liveness), ("readiness", &spec.health.readiness)];
    let asks = |probe: &Probe| matches!(&probe.target, ProbeTarget::Http { at, .. } if at.port.is_none());
    let Some((key, _)) = health.into_iter().find(|(_, probe)| probe.as_deref().is_some_and(asks)) else {
        return Ok(());
    };
    if !spec.env.unread_files.is_empty() {
        // It may be in one of them.
        return Ok(());
    }
    port_in(variable(spec, inherited, "PORT").as_deref()).map(drop).map_err(|why| SpawnFailure {
        code: EX_CONFIG,
        message: format!(
            "`{key}` asks for a path at the app's own port, but {why}\n  hint: set `port`, or write the whole URL"
        ),
        kind: FailureKind::Permanent,
    })
}

/// Which account is missing, and what to do about it.
fn missing_account(error: &accounts::Error) -> String {
    let hint = match error {
        accounts::Error::NoUser(_) => {
            "add the user to the image (`useradd`), or give its number: `user = 1000`"
        }
        accounts::Error::NoGroup(_) => {
            "add the group to the image (`groupadd`), or give its number: `gid = 1000`"
        }
        accounts::Error::Unreadable { .. } => return error.to_string(),
    };
    format!("{error}\n  hint: {hint}")
}

/// The variables of an instance with all that files tell. Reads files, so it may never end.
pub(super) fn full_environment(
    instance: &Target,
    inherited: &Environment,
) -> Result<Environment, SpawnFailure> {
    let instance = instance.with_env_files()?;
    let credentials = credentials(&instance.spec)?;
    Ok(environment(&instance, inherited, credentials.as_ref()))
}

fn credentials(spec: &AppSpec) -> Result<Option<Credentials>, SpawnFailure> {
    let identity = &spec.identity;
    let (user, group) = (identity.user.as_ref().map(as_key), identity.group.as_ref().map(as_key));
    accounts::resolve(user, group).map_err(|error| SpawnFailure {
        code: 126,
        message: missing_account(&error),
        kind: match &error {
            accounts::Error::NoUser(_) | accounts::Error::NoGroup(_) => FailureKind::Permanent,
            accounts::Error::Unreadable { source, .. } => kind_of(source, FailureKind::Permanent),
        },
    })
}

fn as_key(principal: &PrincipalRef) -> Key<'_> {
    match principal {
        PrincipalRef::Id(id) => Key::Id(*id),
        PrincipalRef::Name(name) => Key::Name(name),
    }
}

/// PM2's order: the caller's environment, what PM2 itself adds, then the application's own.
/// Without the run's marker.
fn environment(instance: &Target, inherited: &Environment, credentials: Option<&Credentials>) -> Environment {
    let spec = &*instance.spec;
    let mut env: Environment = match &spec.env.caller {
        None => inherited
            .iter()
            .filter(|(name, _)| inherits(&spec.env.inherit, name))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect(),
        Some(caller) => caller
            .iter()
            .filter(|(name, _)| inherits(&spec.env.inherit, OsStr::new(name)))
            .map(|(name, value)| (name.into(), value.into()))
            .collect(),
    };
    // It lets a client control procrun.
    env.remove(OsStr::new(WEB_TOKEN));
    let mut set = |name: &str, value: String| env.insert(name.into(), value.into());
    if let Some(account) = credentials.and_then(|credentials| credentials.account.as_ref()) {
        set("HOME", account.home.to_string_lossy().into_owned());
        set("USER", account.name.clone());
        set("LOGNAME", account.name.clone());
        if !account.shell.is_empty() {
            set("SHELL", account.shell.clone());
        }
    }
    // What a shell would say after `cd`; the caller's would be wrong.
    set("PWD", spec.exec.cwd.to_string_lossy().into_owned());
    set("name", spec.name.clone());
    set("namespace", spec.namespace.clone());
    set("exec_mode", spec.exec_mode.as_str().to_owned());
    set("instances", instance.siblings.to_string());
    set("pm_id", instance.pm_id.to_string());
    set(&spec.env.instance_var, instance.number.to_string());
    for (name, value) in spec.env.of_instance(instance.number) {
        set(name, value.into_owned());
    }
    if !spec.listen.is_empty() {
        // `LISTEN_PID` is written when the process is there.
        let names: Vec<&str> = spec.listen.iter().map(|socket| socket.name.as_str()).collect();
        set("LISTEN_FDS", spec.listen.len().to_string());
        set("LISTEN_FDNAMES", names.join(":"));
    }
    if spec.has_channel() {
        set("NODE_CHANNEL_FD", channel_number(spec.listen.len()).to_string());
        set("NODE_CHANNEL_SERIALIZATION_MODE", "json".to_owned());
    }
    if spec.is_cluster() {
        // What `cluster.worker.id` says: the same after a restart.
        set("NODE_UNIQUE_ID", (instance.number + 1).to_string());
    }
    if !spec.listen.is_empty() {
        env.remove(OsStr::new("LISTEN_PID"));
        env.remove(OsStr::new("LISTEN_PIDFDID"));
    }
    env
}

fn inherits(inherit: &InheritEnv, name: &OsStr) -> bool {
    if NOT_INHERITED.iter().any(|not| name == *not) || name == MARKER {
        return false;
    }
    inherit.takes(&name.to_string_lossy())
}

fn c_string(text: &OsStr) -> Result<CString, SpawnFailure> {
    CString::new(text.to_owned().into_vec()).map_err(|_| SpawnFailure {
        code: 126,
        kind: FailureKind::Permanent,
        message: format!("`{}` holds a NUL byte, which no program can be given", text.display()),
    })
}
