//! The start of an instance on a helper thread: from the look-up of its files to the execution of its program.
//!
//! The process and its connections (output, input, channel, notification socket) are made here, so that a start
//! costs one hand-over to a thread. The supervisor takes them over when the program is executed; if the start
//! fails they are closed with it.

use std::{
    io,
    os::fd::{AsFd as _, BorrowedFd, OwnedFd},
    sync::Arc,
};

use super::{
    failed_start::{cancelled, refused, spawn_failure},
    launch::{self, Prepared, Resources},
    listen_sockets::Socket,
    start_progress::{StartProgress, Step},
    start_target::Target,
};
use crate::{
    health,
    machine::{Run, SpawnFailure},
    node::Script,
    spec::{AppSpec, ProgramKind, Stdin},
    sys::{
        channel,
        pipes::{self, Pipe, PipeMemory},
        reap::Pid,
        run_cgroups::NewCgroup,
        spawn::{self, Launch},
        tree::RunMark,
    },
};

/// User and group of a file, unless they are procrun's.
type Owner = Option<(u32, u32)>;

/// The start of an instance.
pub(super) struct StartJob {
    pub(super) run: Run,
    pub(super) target: Target,
    /// The mark that the processes of the run inherit.
    pub(super) mark: RunMark,
    pub(super) resources: Arc<Resources>,
    /// The write ends of the pipes of an earlier run, if this run is to have them.
    pub(super) outputs: Option<[Arc<OwnedFd>; 2]>,
    /// Makes a cgroup for the run, if it gets one.
    pub(super) cgroup: Box<dyn FnOnce() -> Option<NewCgroup> + Send>,
}

/// A process that executes its program, or has ended since.
#[derive(Debug)]
pub(super) struct Started {
    pub(super) pid: Pid,
    pub(super) prepared: Prepared,
    pub(super) connections: Connections,
}

/// The supervisor's ends of the connections with a process.
#[derive(Debug)]
pub(super) struct Connections {
    /// The pipes for stdout and stderr, unless those of an earlier run are used.
    pub(super) outputs: Option<[Output; 2]>,
    /// The write end of its standard input; `None`: it reads `/dev/null`.
    pub(super) stdin: Option<OwnedFd>,
    /// Node's IPC channel.
    pub(super) channel: Option<OwnedFd>,
    /// The socket of sd_notify(3).
    pub(super) notify: Option<OwnedFd>,
}

/// A pipe for the output of an instance.
#[derive(Debug)]
pub(super) struct Output {
    pub(super) read: OwnedFd,
    pub(super) write: Arc<OwnedFd>,
    pub(super) memory: PipeMemory,
}

impl Output {
    fn open(resources: &Resources, owner: Owner) -> Result<Self, SpawnFailure> {
        let pipe = pipes::open(&resources.budget, owner);
        let (Pipe { read, write }, memory) =
            pipe.map_err(|error| refused("make its output pipes", &error))?;
        Ok(Self { read, write: Arc::new(write), memory })
    }
}

/// A start that has failed.
#[derive(Debug)]
pub(super) struct Failed {
    pub(super) failure: SpawnFailure,
    /// The sockets that were opened for it: the next start has the same.
    pub(super) sockets: Vec<Arc<Socket>>,
}

impl From<SpawnFailure> for Failed {
    fn from(failure: SpawnFailure) -> Self {
        Self { failure, sockets: Vec::new() }
    }
}

impl StartJob {
    /// Starts the process. May never end.
    pub(super) fn run(self, progress: &StartProgress) -> Result<Started, Failed> {
        let mark = self.mark.clone();
        let prepared = launch::prepare(&self.target, mark, &self.resources, progress)?;
        let sockets = prepared.sockets.clone();
        self.execute(prepared, progress).map_err(|failure| Failed { failure, sockets })
    }

    fn execute(self, mut prepared: Prepared, progress: &StartProgress) -> Result<Started, SpawnFailure> {
        let Self { run, target, resources, outputs, cgroup, .. } = self;
        if progress.child.is_cancelled() {
            return Err(cancelled());
        }
        prepared.cgroup = cgroup();
        progress.enter(Step::Scripts);
        add_scripts(&mut prepared, &target, &resources)?;
        let spec = target.spec();
        let owner = prepared.owner();
        let (outputs, [stdout, stderr]) = if let Some(kept) = outputs {
            (None, kept)
        } else {
            let made = [Output::open(&resources, owner)?, Output::open(&resources, owner)?];
            let ends = [Arc::clone(&made[0].write), Arc::clone(&made[1].write)];
            (Some(made), ends)
        };
        let (read_end, stdin) = input(spec, &resources, owner)?;
        let (their_channel, channel) = if spec.has_channel() {
            let (own, of_worker) =
                channel::pair().map_err(|error| refused("make its IPC channel", &error))?;
            (Some(of_worker), Some(own))
        } else {
            (None, None)
        };
        let heartbeat = spec.health.heartbeat;
        let notify = if spec.health.notify {
            let bound = health::bind_notify_socket(run);
            let (socket, name) = bound.map_err(|error| refused("make its notification socket", &error))?;
            prepared.notifies(&name, heartbeat)?;
            Some(socket)
        } else {
            None
        };
        let sockets: Vec<BorrowedFd<'_>> = prepared.sockets.iter().map(|socket| socket.as_fd()).collect();
        // Without a descriptor for it, the run begins in procrun's own cgroup.
        let cgroup = prepared.cgroup.as_ref().and_then(|cgroup| Some((cgroup, cgroup.open().ok()?)));
        let launch = Launch {
            program: &prepared.program,
            argv: &prepared.argv,
            env: &prepared.env,
            cwd: &prepared.cwd,
            stdin: read_end.as_fd(),
            stdout: stdout.as_fd(),
            stderr: stderr.as_fd(),
            sockets: &sockets,
            watched: heartbeat.is_some(),
            channel: their_channel.as_ref().map(|channel| (channel.as_fd(), prepared.channel)),
            credentials: prepared.credentials.as_ref(),
            open_files: resources.open_files,
            limits: Some(&prepared.limits),
            cgroup: cgroup.as_ref().map(|(cgroup, dir)| cgroup.place(dir.as_fd())),
            mark: Some(prepared.mark.limit),
        };
        progress.enter(Step::Execution);
        progress.executes(&prepared.command.program);
        let pid = spawn::spawn(&launch, &progress.child)
            .map_err(|error| spawn_failure(&prepared.command.program, &prepared.limits, &error))?;
        drop(sockets);
        drop(cgroup);
        progress.enter(Step::Package);
        prepared.find_package(&resources.packages);
        let connections = Connections { outputs, stdin, channel, notify };
        Ok(Started { pid, prepared, connections })
    }
}

/// Lets Node run procrun's scripts before the application, and gives a worker of a cluster its inspector port.
fn add_scripts(prepared: &mut Prepared, target: &Target, resources: &Resources) -> Result<(), SpawnFailure> {
    let spec = target.spec();
    if spec.is_cluster() {
        prepared.own_inspector_port(target.number())?;
    }
    let takes_preload = prepared.takes_preload();
    let script = match (prepared.command.kind, spec.is_cluster(), spec.stop.drain) {
        _ if !spec.has_channel() => None,
        (ProgramKind::PackageRunner, ..) if takes_preload => Some(Script::Forward),
        _ if prepared.may_start_runner => Some(Script::Forward),
        _ if !takes_preload => None,
        (_, true, Some(_)) => Some(Script::Drain),
        // No script is loaded into a cluster worker without draining.
        (_, true, None) => None,
        (_, false, _) => Some(Script::Report),
    };
    if let Some((script, path)) = script.and_then(|script| Some((script, resources.scripts.path(script)?))) {
        match script {
            Script::Forward if takes_preload => prepared.forward_channel(&path, spec.listen.len())?,
            Script::Forward => prepared.forward_channel_below(&path, spec.listen.len())?,
            Script::Drain | Script::Report => {
                prepared.preload(&path)?;
                prepared.has_sampler = true;
            }
            Script::Heartbeat => prepared.preload(&path)?,
        }
    }
    if !takes_preload {
        return Ok(());
    }
    if spec.health.heartbeat.is_some()
        && let Some(path) = resources.scripts.path(Script::Heartbeat)
    {
        prepared.preload(&path)?;
    }
    Ok(())
}

/// The standard input of an instance, and its write end if it is a pipe.
fn input(
    spec: &AppSpec,
    resources: &Resources,
    owner: Owner,
) -> Result<(Arc<OwnedFd>, Option<OwnedFd>), SpawnFailure> {
    match spec.exec.stdin {
        Stdin::Null => Ok((Arc::clone(&resources.null), None)),
        Stdin::Open => {
            let pipe: io::Result<Pipe> = pipes::stdin(owner);
            let pipe = pipe.map_err(|error| refused("make its input pipe", &error))?;
            Ok((Arc::new(pipe.read), Some(pipe.write)))
        }
    }
}
