//! Starts of workers: what connects procrun with a process, and the process table's entry for it.

use std::{
    cell::{Cell, RefCell},
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::Arc,
};

use super::{
    super::{
        failed_start::refused,
        input::Input,
        launch::{self, Prepared, Target},
        listen_sockets::ListenSockets,
        log_files,
        starting::{Executed, Job, StartProgress},
        stop_targets::StartedAs,
    },
    InstanceSlot, Process, Workers, cgroups, checking,
};
use crate::{
    health::Notify,
    logs::Label,
    machine::{Event, Generation, InstanceId, InstanceView, Machine, Run, SpawnFailure},
    node::Hub,
    spec::{ProgramKind, Stdin},
    sys::{
        pipes, process,
        reap::{Pid, Status},
        run_cgroups::NewCgroup,
        spawn::{self, Launch},
        tree::{self, Root, RunMark},
    },
};

/// Outcomes of starts.
#[derive(Debug, Default)]
pub(in crate::supervisor) struct StartOutcomes {
    pub(in crate::supervisor) events: Vec<Event>,
    /// Processes that have been reaped before their start had come back.
    pub(in crate::supervisor) dead: Vec<(Pid, Status)>,
}

impl Workers {
    /// Begins to start these runs. [`Self::turn`] reports the results. Returns events for starts that have
    /// already failed.
    pub(in crate::supervisor) fn start_all(&mut self, machine: &Machine, runs: &[Run]) -> Vec<Event> {
        let views = runs.iter().filter_map(|run| Some((*run, machine.instance(run.instance)?)));
        views
            .filter_map(|(run, view)| self.prepare(machine, run, &view).err().map(|it| self.failed(run, it)))
            .collect()
    }

    fn prepare(&mut self, machine: &Machine, run: Run, view: &InstanceView<'_>) -> Result<(), SpawnFailure> {
        let mark = RunMark::of_run(launch::MARKER, self.token, run.number);
        let target = Target::from(view);
        let resources = self.resources.clone();
        let (cgroups, wanted) = (self.cgroups.clone(), machine.plan().runtime.cgroup);
        let reporter = self.reporter.clone();
        let prepare = move |job: &Job| {
            let mut prepared = launch::prepare(&target, mark, &resources, job)?;
            prepared.cgroup = cgroups::of_run(&cgroups, wanted, &reporter);
            Ok(prepared)
        };
        self.starting.prepare(run, &view.spec.name, prepare)
    }

    /// Waits until starts go on. Cancel-safe.
    pub(in crate::supervisor) async fn turn(&mut self) -> Vec<StartProgress> {
        self.starting.turn().await
    }

    /// Takes starts one step further.
    pub(in crate::supervisor) fn advance(
        &mut self,
        news: Vec<StartProgress>,
        machine: &Machine,
        node: &mut Hub,
        listen_sockets: &mut ListenSockets,
        notify: &mut Notify,
    ) -> StartOutcomes {
        let mut begun = StartOutcomes::default();
        for news in news {
            match news {
                StartProgress::Prepared(run, prepared) => {
                    let Some(view) = machine.instance(run.instance) else { continue };
                    if let Err(failure) = self.execute(&view, run, prepared, node, listen_sockets, notify) {
                        begun.events.push(self.failed(run, failure));
                    }
                }
                StartProgress::Executed(executed) => self.executed(executed, &mut begun),
                StartProgress::Failed(run, failure) => begun.events.push(self.failed(run, failure)),
            }
        }
        begun
    }

    fn executed(&mut self, executed: Executed, begun: &mut StartOutcomes) {
        let Executed { run, pid, prepared, said, status } = executed;
        let kind = prepared.command.kind;
        self.register(run, pid, *prepared, status.is_some());
        self.write_pid_file(run);
        begun.events.push(Event::Started(run, kind, pid));
        begun.events.extend(said);
        begun.dead.extend(status.map(|status| (pid, status)));
    }

    fn failed(&mut self, run: Run, failure: SpawnFailure) -> Event {
        if let Some(place) = self.slots.get_mut(&run.instance) {
            place.stdin = None;
        }
        self.release_unused(run.instance);
        Event::SpawnFailed(run, failure)
    }

    /// A start is not needed any more. Returns what is known of it at once.
    pub(in crate::supervisor) fn abandon_start(&mut self, run: Run) -> Option<Event> {
        match self.starting.abandon(run)? {
            StartProgress::Failed(run, failure) => Some(self.failed(run, failure)),
            StartProgress::Prepared(..) | StartProgress::Executed(_) => None,
        }
    }

    /// Keeps back what runs say whose start has not come back, and returns the rest.
    pub(in crate::supervisor) fn keep_early(&mut self, events: Vec<Event>) -> Vec<Event> {
        self.starting.keep_early(events)
    }

    /// Whether starts are under way.
    pub(in crate::supervisor) fn is_starting(&self) -> bool {
        !self.starting.is_empty()
    }

    fn write_pid_file(&self, run: Run) {
        let Some(place) = self.slots.get(&run.instance) else { return };
        let Some(process) = place.process.as_ref().filter(|process| process.run == run) else { return };
        if place.who.generation == Generation::Settled && !process.reaped {
            place.write_pid_file(&self.pid_files, self.starting.helpers(), process.pid);
        }
    }

    /// Closes the pipes of an instance that has never had a process. In a shortage of descriptors the
    /// pipes of instances that cannot start would leave nothing for those that could.
    fn release_unused(&mut self, id: InstanceId) {
        if self.slots.get(&id).is_some_and(|place| place.process.is_none()) {
            self.forget(id);
        }
    }

    /// Makes the links to a process, then the process.
    fn execute(
        &mut self,
        view: &InstanceView<'_>,
        run: Run,
        mut prepared: Box<Prepared>,
        node: &mut Hub,
        listen_sockets: &mut ListenSockets,
        notify: &mut Notify,
    ) -> Result<(), SpawnFailure> {
        let spec = view.spec;
        if spec.is_cluster() {
            prepared.own_inspector_port(view.number)?;
        }
        let takes_preload = spec.has_channel() && prepared.takes_preload();
        if takes_preload && prepared.command.kind == ProgramKind::PackageRunner {
            if let Some(script) = node.forwarder() {
                prepared.forward_channel(script, spec.listen.len())?;
            }
        } else if prepared.may_start_runner {
            if let Some(script) = node.forwarder() {
                prepared.forward_channel_below(script, spec.listen.len())?;
            }
        } else if takes_preload {
            let script = match (spec.is_cluster(), spec.stop.drain) {
                (true, Some(_)) => node.preload(),
                // Nothing is loaded into it then.
                (true, None) => None,
                (false, _) => node.reporter(),
            };
            if let Some(script) = script {
                prepared.preload(script)?;
            }
        }
        if spec.health.heartbeat.is_some()
            && prepared.takes_preload()
            && let Some(script) = node.beater()
        {
            prepared.preload(script)?;
        }
        self.open_place(view, &prepared).map_err(|error| refused("make its output pipes", &error))?;
        listen_sockets.keep(spec, std::mem::take(&mut prepared.sockets));
        let sockets = listen_sockets.of(spec).iter().map(|socket| socket.as_fd().try_clone_to_owned());
        let sockets: Vec<OwnedFd> =
            sockets.collect::<io::Result<_>>().map_err(|error| refused("hand its sockets over", &error))?;
        let owner = prepared.credentials.as_ref().map(|credentials| (credentials.uid, credentials.gid));
        let channel = if spec.has_channel() {
            let channel = node.open(run, spec, view.pm_id, owner);
            Some(channel.map_err(|error| refused("make its IPC channel", &error))?)
        } else {
            None
        };
        let heartbeat = spec.health.heartbeat;
        if spec.health.notify {
            checking::give_notify_socket(&mut prepared, run, heartbeat, owner, notify)?;
        }
        if !sockets.is_empty() && spec.is_cluster() {
            node.lend(run, listen_sockets.lent_to(spec));
        }
        let place = self.slots.get_mut(&run.instance).expect("it has just been opened");
        let (read_end, stdin) = match spec.exec.stdin {
            Stdin::Null => (Arc::clone(&self.null), None),
            Stdin::Open => {
                let pipe = pipes::stdin(owner).map_err(|error| refused("make its input pipe", &error))?;
                (Arc::new(pipe.read), Some(pipe.write))
            }
        };
        place.stdin = stdin;
        let (out, err) = (Arc::clone(&place.out), Arc::clone(&place.err));
        let open_files = self.open_files;
        self.starting.execute(run, &spec.name, prepared, move |prepared, child| {
            let sockets: Vec<BorrowedFd<'_>> = sockets.iter().map(AsFd::as_fd).collect();
            // Without a descriptor for it, the run begins in procrun's own cgroup.
            let cgroup = prepared.cgroup.as_ref().and_then(|cgroup| Some((cgroup, cgroup.open().ok()?)));
            let launch = Launch {
                program: &prepared.program,
                argv: &prepared.argv,
                env: &prepared.env,
                cwd: &prepared.cwd,
                stdin: read_end.as_fd(),
                stdout: out.as_fd(),
                stderr: err.as_fd(),
                sockets: &sockets,
                watched: heartbeat.is_some(),
                channel: channel.as_ref().map(|channel| (channel.as_fd(), prepared.channel)),
                credentials: prepared.credentials.as_ref(),
                open_files,
                limits: Some(&prepared.limits),
                cgroup: cgroup.as_ref().map(|(cgroup, dir)| cgroup.place(dir.as_fd())),
                mark: Some(prepared.mark.limit),
            };
            spawn::spawn(&launch, child)
        })
    }

    /// Creates the pipes of an instance, again if its settings for them have changed.
    fn open_place(&mut self, view: &InstanceView<'_>, prepared: &Prepared) -> io::Result<()> {
        let file_owner = log_files::owner(prepared.credentials.as_ref());
        if let Some(place) = self.slots.get_mut(&view.id) {
            let (old, new) = (&place.who.spec, view.spec);
            if old.name == new.name && old.logs == new.logs && old.identity == new.identity {
                place.who = view.subject();
                place.pid_file = log_files::pid_file(view, file_owner.as_ref());
                return Ok(());
            }
            self.forget(view.id);
        }
        let owner = prepared.credentials.as_ref().map(|credentials| (credentials.uid, credentials.gid));
        let (out, out_size) = pipes::open(&mut self.budget, owner)?;
        let (err, err_size) =
            pipes::open(&mut self.budget, owner).inspect_err(|_| self.budget.give_back(out_size))?;
        let label = Label { key: view.id.0, id: view.pm_id, name: view.spec.name.clone() };
        self.logs.add(label, log_files::sinks(view, file_owner.as_ref()), out.read, err.read);
        let place = InstanceSlot {
            who: view.subject(),
            out: Arc::new(out.write),
            err: Arc::new(err.write),
            pipe_memory: out_size + err_size,
            process: None,
            stdin: None,
            pid_file: log_files::pid_file(view, file_owner.as_ref()),
        };
        self.slots.insert(view.id, place);
        Ok(())
    }

    /// Adds a process to the table. The id of a reaped process may belong to another process already, so
    /// nothing is sent to it.
    fn register(&mut self, run: Run, pid: Pid, prepared: Prepared, reaped: bool) {
        let Some(place) = self.slots.get_mut(&run.instance) else { return };
        self.by_pid.insert(pid, run);
        let (stdin, version) = (place.stdin.take().map(Input::new), prepared.version);
        let (script, port) = (prepared.script, prepared.port);
        let (killed, asked) = (Cell::new(false), RefCell::default());
        let started_as = StartedAs::of(&prepared.program, &prepared.argv);
        let process = Process { run, pid, stdin, started_as, version, script, port, killed, asked, reaped };
        if let Some(earlier) = place.process.replace(process) {
            self.trees.remove(earlier.run);
        }
        let root = Root {
            user: prepared.credentials.map_or_else(process::user, |credentials| credentials.uid),
            outputs: [tree::pipe_inode(&place.out), tree::pipe_inode(&place.err)],
            keeps_orphans: place.who.spec.stop.treekill,
            cgroup: prepared.cgroup.and_then(NewCgroup::into_run).map(Arc::new),
            ..Root::marked(pid, prepared.mark)
        };
        self.trees.insert(run, root);
        if reaped {
            self.trees.main_ended(run);
        }
    }
}
