//! Starts of workers: the resources that they get, and the entries of their processes in the process table.

use std::{
    cell::{Cell, RefCell},
    io,
    os::fd::OwnedFd,
    sync::Arc,
};

use super::{
    super::{
        environment::MARKER,
        failed_start::refused,
        input::StdinWriter,
        launch::Prepared,
        listen_sockets::ListenSockets,
        log_files,
        start_job::{Connections, Failed, Output, StartJob, Started},
        start_target::Target,
        starting::StartResult,
        stop_targets::StartedAs,
    },
    InstanceSlot, Process, Workers, cgroups,
};
use crate::{
    health::Notify,
    logs::Label,
    machine::{Generation, Input, InstanceView, Machine, Run, SpawnFailure},
    node::Hub,
    sys::{
        process,
        reap::{Pid, Status},
        run_cgroups::NewCgroup,
        tree::{self, Root, RunMark},
    },
};

/// Outcomes of starts.
#[derive(Debug, Default)]
pub(in crate::supervisor) struct StartOutcomes {
    pub(in crate::supervisor) inputs: Vec<Input>,
    /// Processes that have been reaped before their start had come back.
    pub(in crate::supervisor) dead: Vec<(Pid, Status)>,
}

/// The parts of the supervisor that a start needs, and connects with its process.
pub(in crate::supervisor) struct StartContext<'a> {
    pub(in crate::supervisor) machine: &'a Machine,
    pub(in crate::supervisor) node: &'a mut Hub,
    pub(in crate::supervisor) listen_sockets: &'a mut ListenSockets,
    pub(in crate::supervisor) notify: &'a mut Notify,
}

impl Workers {
    /// Begins to start these runs. [`Self::wait`] reports the results. Returns inputs for starts that have
    /// already failed.
    pub(in crate::supervisor) fn start_all(
        &mut self,
        runs: &[Run],
        context: &mut StartContext<'_>,
    ) -> Vec<Input> {
        let mut failed = Vec::new();
        for run in runs {
            if let Some(view) = context.machine.instance(run.instance)
                && let Err(failure) = self.start(*run, &view, context)
            {
                failed.push(Input::SpawnFailed(*run, failure));
            }
        }
        failed
    }

    fn start(
        &mut self,
        run: Run,
        view: &InstanceView<'_>,
        context: &mut StartContext<'_>,
    ) -> Result<(), SpawnFailure> {
        let spec = view.spec;
        if spec.has_channel() {
            context.node.set_up().map_err(|error| refused("make its IPC channel", &error))?;
        }
        if spec.health.notify {
            context.notify.set_up().map_err(|error| refused("make its notification socket", &error))?;
        }
        let (cgroups, wanted) = (self.cgroups.clone(), context.machine.plan().runtime.cgroup);
        let (for_next, event_sender) = (cgroups.clone(), self.event_sender.clone());
        let outputs = self.outputs(view);
        let is_labelled = outputs.is_none() && !spec.logs.disabled;
        let job = StartJob {
            run,
            target: Target::from(view),
            mark: RunMark::of_run(MARKER, self.token, run.number),
            resources: Arc::clone(&self.resources),
            outputs,
            cgroup: Box::new(move || cgroups::of_run(&cgroups, wanted, &event_sender)),
        };
        let after = move || cgroups::prepare(&for_next, wanted);
        // The thread gets the other CPU first.
        let held = Some(self.logs.hold());
        self.starting.submit(run, &spec.name, move |progress| job.run(progress), after, held)?;
        if is_labelled {
            self.logs.expect(label(view));
        }
        Ok(())
    }

    /// The pipes that an earlier run has left for this instance, unless its settings for them have changed.
    fn outputs(&self, view: &InstanceView<'_>) -> Option<[Arc<OwnedFd>; 2]> {
        let slot = self.slots.get(&view.id)?;
        let (old, new) = (&slot.subject.spec, view.spec);
        let is_same = old.name == new.name && old.logs == new.logs && old.identity == new.identity;
        is_same.then(|| [Arc::clone(&slot.out), Arc::clone(&slot.err)])
    }

    /// Waits until starts have ended. Cancel-safe.
    pub(in crate::supervisor) async fn wait(&mut self) -> Vec<StartResult> {
        self.starting.wait().await
    }

    /// Handles starts that have ended.
    pub(in crate::supervisor) fn advance(
        &mut self,
        results: Vec<StartResult>,
        context: &mut StartContext<'_>,
    ) -> StartOutcomes {
        let mut outcomes = StartOutcomes::default();
        for result in results {
            match result {
                StartResult::Started(run, started, status) => {
                    self.started(run, *started, status, context, &mut outcomes);
                }
                StartResult::Failed(run, Failed { failure, sockets }) => {
                    if let Some(view) = context.machine.instance(run.instance)
                        && !sockets.is_empty()
                    {
                        context.listen_sockets.keep(view.spec, sockets);
                    }
                    outcomes.inputs.push(Input::SpawnFailed(run, failure));
                }
            }
        }
        outcomes
    }

    fn started(
        &mut self,
        run: Run,
        started: Started,
        status: Option<Status>,
        context: &mut StartContext<'_>,
        outcomes: &mut StartOutcomes,
    ) {
        let Started { pid, mut prepared, connections } = started;
        let kind = prepared.command.kind;
        let connected = match context.machine.instance(run.instance) {
            Some(view) => self.connect(&view, run, &mut prepared, connections, context),
            None => Err(refused("supervise it", &io::Error::other("its instance was removed"))),
        };
        let stdin = match connected {
            Ok(stdin) => stdin,
            Err(failure) => {
                self.kill_unconnected(run, pid, prepared, status.is_some());
                outcomes.inputs.push(Input::SpawnFailed(run, failure));
                return;
            }
        };
        self.register(run, pid, prepared, stdin, status.is_some());
        self.write_pid_file(run);
        outcomes.inputs.push(Input::Started(run, kind, pid));
        outcomes.dead.extend(status.map(|status| (pid, status)));
    }

    /// Kills a process that runs and cannot be supervised, with everything that it has started.
    fn kill_unconnected(&mut self, run: Run, pid: Pid, prepared: Prepared, reaped: bool) {
        // The id of a reaped process may belong to another one.
        if !reaped {
            process::kill_with_group(pid);
        }
        let user = prepared.user();
        let cgroup = prepared.cgroup.and_then(NewCgroup::into_run).map(Arc::new);
        self.trees.insert(run, Root { user, cgroup, ..Root::marked(pid, prepared.mark) });
        if reaped {
            self.trees.main_ended(run);
        }
        self.trees.kill(&[run]);
        self.trees.remove(run);
    }

    /// Cancels a start. Returns its end if that is known at once.
    pub(in crate::supervisor) fn cancel_start(&mut self, run: Run) -> Option<Input> {
        match self.starting.cancel(run)? {
            StartResult::Failed(run, Failed { failure, .. }) => Some(Input::SpawnFailed(run, failure)),
            StartResult::Started(..) => None,
        }
    }

    /// Whether starts are under way.
    pub(in crate::supervisor) fn is_starting(&self) -> bool {
        !self.starting.is_empty()
    }

    fn write_pid_file(&self, run: Run) {
        let Some(slot) = self.slots.get(&run.instance) else { return };
        let Some(process) = slot.process.as_ref().filter(|process| process.run == run) else { return };
        if slot.subject.generation == Generation::Current && !process.reaped {
            slot.write_pid_file(&self.pid_files, self.starting.helpers(), process.pid);
        }
    }

    /// Takes over the connections with a process. Returns the write end of its standard input.
    fn connect(
        &mut self,
        view: &InstanceView<'_>,
        run: Run,
        prepared: &mut Prepared,
        connections: Connections,
        context: &mut StartContext<'_>,
    ) -> Result<Option<OwnedFd>, SpawnFailure> {
        let (spec, owner) = (view.spec, prepared.owner());
        let Connections { outputs, stdin, channel, notify } = connections;
        context.listen_sockets.keep(spec, std::mem::take(&mut prepared.sockets));
        if let Some(channel) = channel {
            let added = context.node.add(run, spec, view.pm_id, owner, channel, prepared.has_sampler);
            added.map_err(|error| refused("make its IPC channel", &error))?;
            if !spec.listen.is_empty() && spec.is_cluster() {
                context.node.set_held_sockets(run, context.listen_sockets.lent_to(spec));
            }
        }
        if let Some(socket) = notify {
            let added = context.notify.add(run, socket, owner.map(|(uid, _)| uid));
            added.map_err(|error| refused("make its notification socket", &error))?;
        }
        self.take_outputs(view, prepared, outputs);
        Ok(stdin)
    }

    /// Has the log pump read the output of an instance, from new pipes or from the pipes of an earlier run.
    fn take_outputs(&mut self, view: &InstanceView<'_>, prepared: &Prepared, outputs: Option<[Output; 2]>) {
        let file_owner = log_files::owner(prepared.credentials.as_ref());
        let pid_file = log_files::pid_file(view, file_owner.as_ref());
        let Some([out, err]) = outputs else {
            if let Some(slot) = self.slots.get_mut(&view.id) {
                slot.subject = view.subject();
                slot.pid_file = pid_file;
            }
            return;
        };
        self.forget(view.id);
        self.logs.add(label(view), log_files::sinks(view, file_owner.as_ref()), out.read, err.read);
        let slot = InstanceSlot {
            subject: view.subject(),
            out: out.write,
            err: err.write,
            _memory: [out.memory, err.memory],
            process: None,
            pid_file,
        };
        self.slots.insert(view.id, slot);
    }

    /// Adds a process to the table. The id of a reaped process may belong to another process already, so
    /// nothing is sent to it.
    fn register(&mut self, run: Run, pid: Pid, prepared: Prepared, stdin: Option<OwnedFd>, reaped: bool) {
        let Some(slot) = self.slots.get_mut(&run.instance) else { return };
        self.by_pid.insert(pid, run);
        let user = prepared.user();
        let (stdin, version) = (stdin.map(StdinWriter::new), prepared.version);
        let (script, port) = (prepared.script, prepared.port);
        let (killed, signalled) = (Cell::new(false), RefCell::default());
        let started_as = StartedAs::of(&prepared.program, &prepared.argv);
        let process =
            Process { run, pid, stdin, started_as, version, script, port, killed, signalled, reaped };
        if let Some(earlier) = slot.process.replace(process) {
            self.trees.remove(earlier.run);
        }
        let root = Root {
            user,
            outputs: [tree::pipe_inode(&slot.out), tree::pipe_inode(&slot.err)],
            keeps_orphans: slot.subject.spec.stop.treekill,
            cgroup: prepared.cgroup.and_then(NewCgroup::into_run).map(Arc::new),
            ..Root::marked(pid, prepared.mark)
        };
        self.trees.insert(run, root);
        if reaped {
            self.trees.main_ended(run);
        }
    }
}

/// How the lines of an instance are labelled.
fn label(view: &InstanceView<'_>) -> Label {
    Label { key: view.id.0, id: view.pm_id, name: view.spec.name.clone() }
}
