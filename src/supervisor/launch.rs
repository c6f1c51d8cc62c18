//! From a spec to the arguments of the kernel: program, arguments, environment, identity.
//!
//! It is computed at each start, independently of earlier ones.

use std::{
    ffi::{CString, OsStr, OsString},
    os::{fd::OwnedFd, unix::ffi::OsStringExt},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use super::{
    environment::{Environment, FORWARDED_CHANNEL, c_string, entries, environment, port_in},
    failed_start::not_found,
    helper_threads::HelperThreads,
    identity::credentials,
    inspector,
    listen_sockets::{OpenSockets, Socket},
    package::Packages,
    start_progress::{StartProgress, Step},
    start_target::Target,
};
use crate::{
    machine::SpawnFailure,
    node::Scripts,
    program::{self, Command, LookupContext},
    spec::{AppSpec, Exec, ProgramKind},
    sys::{
        accounts::Credentials,
        limits::{Limits, Rlimit},
        pipes::Budget,
        process::{self, OpenFiles},
        run_cgroups::NewCgroup,
        spawn::{channel_number, forwarded_channel_number},
        tree::RunMark,
    },
};

/// Everything that a start needs before the process is made.
#[derive(Debug)]
pub(super) struct Prepared {
    /// The program of the instance, without placeholders.
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
    /// The script that measures runs in it.
    pub(super) has_sampler: bool,
    /// The descriptor of its channel, if it has one.
    pub(super) channel: usize,
    /// The version of the application, once its program runs.
    pub(super) version: Option<Arc<str>>,
    /// The script as a file, if it is one, once its program runs.
    pub(super) script: Option<Arc<Path>>,
    /// The worker's `PORT`: that of probes that name none.
    pub(super) port: Result<u16, String>,
    /// The sockets of its `listen`.
    pub(super) sockets: Vec<Arc<Socket>>,
}

impl Prepared {
    /// Looks up what only users read: the program need not wait for it.
    pub(super) fn find_package(&mut self, packages: &Packages) {
        self.version = packages.version(&self.exec);
        self.script = script_file(&self.exec).map(Arc::from);
    }

    /// User and group of its files, unless they are procrun's.
    pub(super) fn owner(&self) -> Option<(u32, u32)> {
        self.credentials.as_ref().map(|credentials| (credentials.uid, credentials.gid))
    }

    /// The user id of its process.
    pub(super) fn user(&self) -> u32 {
        self.credentials.as_ref().map_or_else(process::user, |credentials| credentials.uid)
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

    /// The same where a program that is not Node starts them: the first Node below it runs `script`.
    pub(super) fn forward_channel_below(
        &mut self,
        script: &Path,
        sockets: usize,
    ) -> Result<(), SpawnFailure> {
        const OPTIONS: &[u8] = b"NODE_OPTIONS=";
        let Some(script) = script.to_str().filter(|path| !path.contains([' ', '\t', '\n', '"', '\\'])) else {
            // NODE_OPTIONS would split it.
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

    /// Gives the channel a name that Node does not use by itself.
    fn hide_channel(&mut self, sockets: usize) -> Result<(), SpawnFailure> {
        const CHANNEL_VARIABLES: [&[u8]; 2] = [b"NODE_CHANNEL_FD=", b"NODE_CHANNEL_SERIALIZATION_MODE="];
        self.env.retain(|entry| !CHANNEL_VARIABLES.iter().any(|name| entry.to_bytes().starts_with(name)));
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
    /// Gives the program its notification socket, and the interval of its heartbeat.
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

/// Resources of procrun for the starts of all applications.
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

/// Prepares a run of an instance, whose processes inherit the mark. Reads files, so it may never end.
pub(super) fn prepare(
    instance: &Target,
    mark: RunMark,
    resources: &Resources,
    progress: &StartProgress,
) -> Result<Prepared, SpawnFailure> {
    let Resources { inherited, sockets, helpers, .. } = resources;
    progress.enter(Step::EnvFile);
    let instance = &instance.with_env_files()?;
    let spec = instance.spec();
    progress.enter(Step::Accounts);
    let credentials = credentials(spec)?;
    let mut env = environment(instance, inherited, credentials.as_ref());
    let context = LookupContext::new(|name| env.get(OsStr::new(name)).cloned());
    let port = port_in(env.get(OsStr::new("PORT")).map(OsString::as_os_str));
    progress.enter(Step::WorkingDirectory);
    program::check_cwd(&spec.exec.cwd).map_err(not_found)?;
    progress.enter(Step::Program);
    let exec = spec.exec.of_instance(instance.number());
    let command = program::resolve(&exec, spec.exec_mode, &context).map_err(not_found)?;
    if command.kind == ProgramKind::Python {
        // Without it Python buffers its output.
        env.entry("PYTHONUNBUFFERED".into()).or_insert_with(|| "1".into());
    }
    env.extend(command.vars.iter().cloned());
    let may_start_runner = spec.has_channel() && program::may_start_runner(&command, &exec.cwd);
    let mut env = entries(env)?;
    env.push(c_string(OsStr::new(&mark.entry))?);
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
        has_sampler: false,
        channel: channel_number(spec.listen.len()),
        version: None,
        script: None,
        port,
        sockets,
    })
}

/// The script as a file, if it is one: PM2's `pm_exec_path`.
pub(super) fn script_file(exec: &Exec) -> Option<PathBuf> {
    Some(exec.cwd.join(&exec.script)).filter(|file| file.is_file())
}

/// The limits of the processes of an application.
pub(super) fn limits(spec: &AppSpec) -> Limits {
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
