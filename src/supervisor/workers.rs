//! The process table: which process runs which instance, and the pipes they write to.
//!
//! Spawn-and-register and reap-and-look-up both happen here, in the supervisor's own turn, so no
//! exit can come before its process is known.

mod checking;

use std::{
    cell::{Cell, RefCell},
    collections::{HashMap, HashSet},
    hash::{BuildHasher, RandomState},
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::Arc,
};

use tracing::{debug, info, warn};

use super::{
    failed_start::{refused, spawn_failure},
    held::Held,
    input::Input,
    launch::{self, Environment, Prepared},
    log_files,
    package::Packages,
    pid_file::PidFile,
    starting::{Outcome, Start, Starting},
    stop_targets::{self, StartedAs},
};
use crate::{
    health::Notify,
    logs::{Label, Logs},
    machine::{Ending, Event, Generation, InstanceId, InstanceView, Machine, Run, SpawnFailure, Subject},
    node::Hub,
    spec::{ProgramKind, Signal, Stdin, StopSignalScope},
    sys::{
        descriptor_reserve,
        inspect::IgnoredSignals,
        pipes::{self, Budget},
        process::{self, OpenFiles},
        reap::{self, Pid, Status},
        spawn::{self, Launch, Spawned},
        tree::{self, Identity, Member, Root, RunMark, Trees},
    },
};

/// All processes that procrun has started for instances.
pub(super) struct Workers {
    inherited: Environment,
    open_files: OpenFiles,
    null: OwnedFd,
    logs: Logs,
    budget: Budget,
    packages: Packages,
    places: HashMap<InstanceId, Place>,
    by_pid: HashMap<Pid, Run>,
    /// Tells the workers of this procrun from those of another one below or above it.
    token: u64,
    /// Counts the programs that have asked instances how they are.
    checks: u64,
    /// The children that procrun had before it was procrun (`sh -c "db & exec procrun …"`).
    elders: HashSet<Pid>,
    /// Runs whose main process has ended and whose tree has not.
    sweeping: HashSet<Run>,
    /// The process trees of all runs that have not ended.
    trees: Trees<Run>,
    /// Processes that have not executed their program yet.
    starting: Starting,
}

/// What belongs to an instance as long as it is in the list.
struct Place {
    /// What people call it.
    who: Subject,
    /// The write ends. procrun keeps them, so the pipes outlive each single process and an
    /// orphan that still writes never gets SIGPIPE.
    out: OwnedFd,
    err: OwnedFd,
    pipe_memory: usize,
    process: Option<Process>,
    pid_file: Option<PidFile>,
}

/// Why there is no standard input to write to.
pub(super) enum NoInput {
    /// The instance has no process.
    NoProcess,
    /// The process reads `/dev/null`.
    Null,
}

/// A run that only has to be started, or why it cannot be.
pub(super) struct Ready(Run, Result<Prepared, SpawnFailure>);

struct Process {
    run: Run,
    pid: Pid,
    /// Each run has a new pipe and never reads what an earlier one left. `None`: the process reads
    /// `/dev/null`, or has ended.
    stdin: Option<Input>,
    started_as: StartedAs,
    /// Of the application when this process started.
    version: Option<Arc<str>>,
    /// procrun has sent SIGKILL to it.
    killed: Cell<bool>,
    /// The processes below it that have got the stop signal.
    asked: RefCell<HashSet<Identity>>,
    /// It has been reaped: its id may be somebody else's by now.
    reaped: bool,
}

impl Workers {
    /// An empty table that expects so many instances.
    pub(super) fn new(
        inherited: Environment,
        open_files: OpenFiles,
        logs: Logs,
        expected: usize,
    ) -> io::Result<Self> {
        Ok(Self {
            inherited,
            open_files,
            null: spawn::dev_null()?,
            logs,
            budget: Budget::new(expected * 2),
            packages: Packages::default(),
            places: HashMap::new(),
            by_pid: HashMap::new(),
            checks: 0,
            token: RandomState::new().hash_one(open_files.hard()),
            elders: if process::is_pid1() { HashSet::new() } else { tree::children().into_iter().collect() },
            sweeping: HashSet::new(),
            trees: Trees::new(),
            starting: Starting::default(),
        })
    }

    /// Gets these runs ready. All pipes are made before the first process, so that the log knows all
    /// names before the first line.
    pub(super) fn prepare_all(&mut self, machine: &Machine, runs: &[Run], node: &mut Hub) -> Vec<Ready> {
        let views = runs.iter().filter_map(|run| Some((*run, machine.instance(run.instance)?)));
        views.map(|(run, view)| Ready(run, self.prepare(&view, run, node))).collect()
    }

    /// Starts a run and says what became of it; `None`: that comes with [`Self::turn`].
    pub(super) fn spawn(
        &mut self,
        ready: Ready,
        node: &mut Hub,
        held: &mut Held,
        notify: &mut Notify,
    ) -> Option<Event> {
        let Ready(run, prepared) = ready;
        match prepared.and_then(|prepared| self.start(run, prepared, node, held, notify)) {
            Ok(Some(kind)) => Some(self.started((run, Ok(kind)))),
            Ok(None) => None,
            Err(failure) => {
                self.release_unused(run.instance);
                Some(Event::SpawnFailed(run, failure))
            }
        }
    }

    /// Waits until starts have ended that did not end at once. Cancel-safe.
    ///
    /// # Errors
    /// What epoll_wait(2) says.
    pub(super) async fn turn(&mut self) -> io::Result<Vec<Event>> {
        let outcomes = self.starting.turn().await?;
        Ok(outcomes.into_iter().map(|outcome| self.started(outcome)).collect())
    }

    /// The starts that have ended by now. To be taken in before what workers say: a worker that says it is
    /// ready executes its program.
    pub(super) fn ended_starts(&mut self) -> Vec<Event> {
        self.starting.look().into_iter().map(|outcome| self.started(outcome)).collect()
    }

    fn started(&mut self, (run, outcome): Outcome) -> Event {
        match outcome {
            Ok(kind) => {
                self.show_online(run);
                Event::Started(run, kind)
            }
            Err(failure) => Event::SpawnFailed(run, failure),
        }
    }

    fn show_online(&self, run: Run) {
        let Some(place) = self.places.get(&run.instance) else { return };
        let Some(process) = place.process.as_ref().filter(|process| process.run == run) else { return };
        let (who, app, id, pid) = (&place.who, &*place.who.spec.name, place.who.pm_id, process.pid);
        info!(app, id, pid, "{who} is online, pid {pid}");
        if who.generation == Generation::Settled && !process.reaped {
            place.write_pid_file(pid);
        }
    }

    /// Closes the pipes of an instance that has never had a process. In a shortage of descriptors the
    /// pipes of instances that cannot start would leave nothing for those that could.
    fn release_unused(&mut self, id: InstanceId) {
        if self.places.get(&id).is_some_and(|place| place.process.is_none()) {
            self.forget(id);
        }
    }

    fn prepare(
        &mut self,
        view: &InstanceView<'_>,
        run: Run,
        node: &mut Hub,
    ) -> Result<Prepared, SpawnFailure> {
        let mark = RunMark::of_run(launch::MARKER, self.token, run.number);
        let mut prepared = launch::prepare(view, mark, &self.inherited)?;
        if view.spec.is_cluster() {
            prepared.own_inspector_port(view.number)?;
        }
        let takes_preload = view.spec.has_channel() && prepared.takes_preload();
        if takes_preload && prepared.command.kind == ProgramKind::PackageRunner {
            if let Some(script) = node.forwarder() {
                prepared.forward_channel(script, view.spec.listen.len())?;
            }
        } else if takes_preload {
            let script = match (view.spec.is_cluster(), view.spec.stop.drain) {
                (true, Some(_)) => node.preload(),
                // Nothing is loaded into it then.
                (true, None) => None,
                (false, _) => node.reporter(),
            };
            if let Some(script) = script {
                prepared.preload(script)?;
            }
        }
        if view.spec.health.heartbeat.is_some()
            && prepared.takes_preload()
            && let Some(script) = node.beater()
        {
            prepared.preload(script)?;
        }
        self.open_place(view, &prepared).map_err(|error| refused("make its output pipes", &error))?;
        Ok(prepared)
    }

    fn start(
        &mut self,
        run: Run,
        mut prepared: Prepared,
        node: &mut Hub,
        held: &mut Held,
        notify: &mut Notify,
    ) -> Result<Option<ProgramKind>, SpawnFailure> {
        let place = &self.places[&run.instance];
        // They are there, unless nobody knew that this would ever be started.
        held.open(&place.who.spec)?;
        held.announce();
        let sockets: Vec<BorrowedFd<'_>> = held.of(&place.who.spec).iter().map(AsFd::as_fd).collect();
        let owner = prepared.credentials.as_ref().map(|credentials| (credentials.uid, credentials.gid));
        let channel = if place.who.spec.has_channel() {
            Some(
                node.open(run, &place.who.spec, place.who.pm_id, owner)
                    .map_err(|error| refused("make its IPC channel", &error))?,
            )
        } else {
            None
        };
        let health = &place.who.spec.health;
        if health.notify
            && let Err(failure) =
                checking::give_notify_socket(&mut prepared, run, health.heartbeat, owner, notify)
        {
            node.ended(run);
            return Err(failure);
        }
        if !sockets.is_empty() && place.who.spec.is_cluster() {
            node.lend(run, held.lent_to(&place.who.spec));
        }
        let (read_end, stdin) = match place.who.spec.exec.stdin {
            Stdin::Null => (None, None),
            Stdin::Open => {
                let pipe = pipes::stdin(owner).map_err(|error| {
                    node.ended(run);
                    notify.ended(run);
                    refused("make its input pipe", &error)
                })?;
                (Some(pipe.read), Some(pipe.write))
            }
        };
        let Spawned { pid, report } = spawn::spawn(&Launch {
            program: &prepared.program,
            argv: &prepared.argv,
            env: &prepared.env,
            cwd: &prepared.cwd,
            stdin: read_end.as_ref().unwrap_or(&self.null).as_fd(),
            stdout: place.out.as_fd(),
            stderr: place.err.as_fd(),
            sockets: &sockets,
            watched: health.heartbeat.is_some(),
            channel: channel.as_ref().map(|channel| (channel.as_fd(), prepared.channel)),
            credentials: prepared.credentials.as_ref(),
            open_files: self.open_files,
            limits: Some(&prepared.limits),
            mark: Some(prepared.mark.limit),
        })
        .map_err(|error| {
            node.ended(run);
            notify.ended(run);
            spawn_failure(&prepared.command.program, &prepared.limits, &error)
        })?;
        let kind = prepared.command.kind;
        let program = prepared.command.program.clone();
        let limits = std::mem::take(&mut prepared.limits);
        self.register(run, pid, prepared, stdin);
        let Some(report) = report else { return Ok(Some(kind)) };
        self.starting.add(Start { run, pid, program, limits, kind }, report).map_err(|error| {
            node.ended(run);
            notify.ended(run);
            refused("watch its start", &error)
        })?;
        Ok(None)
    }

    /// Makes the pipes of an instance, or anew when what they depend on has changed.
    fn open_place(&mut self, view: &InstanceView<'_>, prepared: &Prepared) -> io::Result<()> {
        let file_owner = log_files::owner(prepared.credentials.as_ref());
        if let Some(place) = self.places.get_mut(&view.id) {
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
        let place = Place {
            who: view.subject(),
            out: out.write,
            err: err.write,
            pipe_memory: out_size + err_size,
            process: None,
            pid_file: log_files::pid_file(view, file_owner.as_ref()),
        };
        self.places.insert(view.id, place);
        Ok(())
    }

    fn register(&mut self, run: Run, pid: Pid, prepared: Prepared, stdin: Option<OwnedFd>) {
        let Some(place) = self.places.get_mut(&run.instance) else { return };
        self.by_pid.insert(pid, run);
        // The process is there: what this takes does not hold it up.
        let version = self.packages.version(&place.who.spec.exec);
        let (killed, asked) = (Cell::new(false), RefCell::default());
        let stdin = stdin.map(Input::new);
        let started_as = StartedAs::of(&prepared.program, &prepared.argv);
        let process = Process { run, pid, stdin, started_as, version, killed, asked, reaped: false };
        if let Some(earlier) = place.process.replace(process) {
            self.trees.remove(earlier.run);
        }
        let root = Root {
            user: prepared.credentials.map_or_else(process::user, |credentials| credentials.uid),
            outputs: [tree::pipe_inode(&place.out), tree::pipe_inode(&place.err)],
            keeps_orphans: place.who.spec.stop.treekill,
            ..Root::marked(pid, prepared.mark)
        };
        self.trees.insert(run, root);
    }

    /// A run has taken the place of its predecessor.
    pub(super) fn promote(&mut self, run: Run) {
        let Some(place) = self.places.get_mut(&run.instance) else { return };
        place.who.generation = Generation::Settled;
        if let Some(process) = place.process.as_ref().filter(|process| process.run == run && !process.reaped)
        {
            place.write_pid_file(process.pid);
        }
        let (file, pm_id) = (place.pid_file.clone(), place.who.pm_id);
        for (id, other) in &mut self.places {
            if *id != run.instance && other.who.pm_id == pm_id {
                other.who.generation = Generation::Leaving;
                // It is its successor's now.
                other.pid_file.take_if(|old| Some(&*old) == file.as_ref());
            }
        }
    }

    /// Sends a signal to the main process of a run, if it is there.
    pub(super) fn signal(&self, run: Run, signal: Signal) {
        if let Some(process) = self.process(run).filter(|process| !process.reaped) {
            process.killed.set(process.killed.get() || signal == Signal::KILL);
            // It may have ended meanwhile; that news is on its way.
            let _ = process::signal(process.pid, signal.number());
        }
    }

    /// Sends the stop signal of a run to the processes of this scope. SIGCONT follows: a suspended process
    /// (SIGSTOP) would not see the signal before it goes on. The trees must have been found in this turn.
    pub(super) fn request_end(&self, run: Run, signal: Signal, scope: StopSignalScope) {
        let Some(process) = self.process(run).filter(|process| !process.reaped) else { return };
        let _room = descriptor_reserve::make_room();
        let members = self.trees.members(run).filter(|member| !member.stat.is_zombie);
        let members: Vec<Member> = members.copied().collect();
        let targets = match scope {
            StopSignalScope::Auto => stop_targets::auto(process.pid, &process.started_as, &members),
            StopSignalScope::Main => {
                stop_targets::of(members.iter().filter(|member| member.pid == process.pid))
            }
            StopSignalScope::Group => {
                stop_targets::of(members.iter().filter(|member| member.stat.group == process.pid))
            }
            StopSignalScope::Tree => stop_targets::of(&members),
        };
        debug!("sending {signal} to {:?}, which reaches {:?}", targets.direct, targets.forwarded);
        let is_main = |target: &Identity| target.pid == process.pid;
        let send = |to: &Identity, signal: Signal| {
            // It is not reaped yet: its number is its own.
            if is_main(to) {
                process::signal(to.pid, signal.number())
            } else {
                tree::send_signal(*to, signal.number())
            }
        };
        let mut is_refused = false;
        for target in &targets.direct {
            let sent = send(target, signal);
            is_refused |= sent.is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied);
        }
        // Of another user (sudo): the main process may forward it. One that has ended needs none.
        if is_refused && !targets.direct.iter().any(is_main) {
            let _ = process::signal(process.pid, signal.number());
        }
        if targets.direct.is_empty() {
            // `/proc` cannot be read.
            self.signal(run, signal);
            self.signal(run, Signal::CONT);
        }
        let mut asked = process.asked.borrow_mut();
        for target in targets.direct.into_iter().chain(targets.forwarded) {
            let _ = send(&target, Signal::CONT);
            // One that ignores it has yet to be asked.
            if !is_main(&target) && !IgnoredSignals::of(target.pid).has(signal.number()) {
                asked.insert(target);
            }
        }
    }

    /// The version of the application that an instance runs or ran last.
    pub(super) fn version(&self, id: InstanceId) -> Option<&str> {
        self.places.get(&id)?.process.as_ref()?.version.as_deref()
    }

    /// The main process of an instance, if it has one.
    pub(super) fn pid(&self, id: InstanceId) -> Option<Pid> {
        let process = self.places.get(&id)?.process.as_ref()?;
        (!process.reaped).then_some(process.pid)
    }

    /// The standard input of the process of an instance.
    pub(super) fn input(&mut self, id: InstanceId) -> Result<&mut Input, NoInput> {
        let process = self.places.get_mut(&id).and_then(|place| place.process.as_mut());
        match process.filter(|process| !process.reaped) {
            None => Err(NoInput::NoProcess),
            Some(process) => process.stdin.as_mut().ok_or(NoInput::Null),
        }
    }

    /// The run of an instance that has a process: its main process, or what that has left behind.
    pub(super) fn run_with_processes(&self, id: InstanceId) -> Option<Run> {
        let process = self.places.get(&id)?.process.as_ref()?;
        (!process.reaped || self.sweeping.contains(&process.run)).then_some(process.run)
    }

    /// The process tree of an instance, as it was found last.
    pub(super) fn members(&self, id: InstanceId) -> impl Iterator<Item = &Member> {
        let process = self.places.get(&id).and_then(|place| place.process.as_ref());
        process.into_iter().flat_map(|process| self.trees.members(process.run))
    }

    /// The process trees, to be found by whatever measures them.
    pub(super) fn current_trees(&mut self, machine: &Machine) -> &mut Trees<Run> {
        let runs: Vec<Run> = self.trees.keys().collect();
        self.trees_of(&runs, machine)
    }

    /// The same for what concerns these runs alone. An app's `treekill` may have changed since its start.
    pub(super) fn trees_of(&mut self, runs: &[Run], machine: &Machine) -> &mut Trees<Run> {
        for run in runs {
            if let Some(spec) = machine.spec(run.instance) {
                self.trees.set_keeps_orphans(*run, spec.stop.treekill);
            }
        }
        &mut self.trees
    }

    /// The runs that have a main process.
    pub(super) fn running(&self) -> Vec<Run> {
        let processes = self.places.values().filter_map(|place| place.process.as_ref());
        processes.filter(|process| !process.reaped).map(|process| process.run).collect()
    }

    /// Whether procrun itself has sent SIGKILL to a run.
    pub(super) fn was_killed(&self, run: Run) -> bool {
        self.process(run).is_some_and(|process| process.killed.get())
    }

    /// What the instances say.
    pub(super) fn logs(&self) -> &Logs {
        &self.logs
    }

    /// The variables that a start of this instance would give it.
    pub(super) fn environment(&self, view: &InstanceView<'_>) -> Result<Environment, SpawnFailure> {
        launch::shown_environment(view, &self.inherited)
    }

    fn process(&self, run: Run) -> Option<&Process> {
        self.places.get(&run.instance)?.process.as_ref().filter(|process| process.run == run)
    }

    /// SIGKILL to everything that belongs to these runs.
    pub(super) fn kill_trees(&mut self, runs: &[Run], machine: &Machine) {
        let processes = runs.iter().filter_map(|run| self.process(*run));
        for process in processes.filter(|process| !process.reaped) {
            process.killed.set(true);
            // The kernel kills a group in one go, however fast it forks, and needs no `/proc`.
            let _ = process::signal(process.pid, Signal::KILL.number());
            let _ = process::signal_group(process.pid, Signal::KILL.number());
        }
        self.trees_of(runs, machine).kill(runs);
    }

    /// Sends a signal to what an ended run has left behind and what has not got the stop signal yet, and
    /// watches for its end. The trees must have been found in this turn.
    pub(super) fn sweep(&mut self, run: Run, signal: Signal) {
        let Some(process) = self.process(run) else { return };
        let asked = process.asked.take();
        let is_new = |member: &Member| !asked.contains(&member.identity());
        self.trees.signal(run, signal.number(), is_new);
        // A stopped process (SIGSTOP) would not see the signal before it goes on.
        self.trees.signal(run, Signal::CONT.number(), is_new);
        self.sweeping.insert(run);
    }

    /// Takes in the processes that have been reaped and says what that means.
    pub(super) fn reaped(&mut self, dead: &[(Pid, Status)], machine: &Machine) -> Vec<Event> {
        let ended: Vec<_> = dead
            .iter()
            .filter_map(|(pid, status)| self.by_pid.remove(pid).map(|run| (run, *status)))
            .collect();
        debug!("reaped {} workers and {} orphans", ended.len(), dead.len() - ended.len());
        if ended.is_empty() && self.sweeping.is_empty() {
            return Vec::new();
        }
        for (run, _) in &ended {
            self.trees.main_ended(*run);
        }
        let concerned: Vec<Run> =
            ended.iter().map(|(run, _)| *run).chain(self.sweeping.iter().copied()).collect();
        self.trees_of(&concerned, machine);
        let left: HashSet<Run> = self.orphans().into_iter().filter_map(|(_, owner)| owner).collect();
        let mut events = Vec::with_capacity(ended.len());
        for (run, status) in ended {
            // A start that was given up may end when its successor runs already.
            if let Some(place) = self.places.get_mut(&run.instance)
                && let Some(process) = place.process.as_mut().filter(|process| process.run == run)
            {
                self.logs.run_ended(run.instance.0);
                process.reaped = true;
                // Nothing writes to it any more; a descendant that still reads finds the end.
                process.stdin = None;
                place.remove_pid_file();
            }
            let leftovers = left.contains(&run);
            if !leftovers {
                self.trees.remove(run);
            }
            match self.starting.reaped(run) {
                None => events.push(Event::Exited { run, ending: ending(status), leftovers }),
                Some(outcome) => {
                    let began = self.started(outcome);
                    let failed = matches!(began, Event::SpawnFailed(..));
                    events.push(began);
                    if !failed {
                        events.push(Event::Exited { run, ending: ending(status), leftovers });
                    }
                }
            }
        }
        let swept: Vec<Run> = self.sweeping.iter().filter(|run| !left.contains(run)).copied().collect();
        for run in swept {
            self.sweeping.remove(&run);
            self.trees.remove(run);
            events.push(Event::TreeGone(run));
        }
        events
    }

    /// The children of procrun that it has not started as workers, and to which run each belongs. Whatever
    /// was below a main process that has ended is below one of them.
    fn orphans(&self) -> Vec<(Identity, Option<Run>)> {
        // The end of the last worker is what most of these questions are about.
        if !reap::has_children() {
            return Vec::new();
        }
        let is_known = |pid: &Pid| self.by_pid.contains_key(pid) || self.elders.contains(pid);
        let adopted: Vec<Pid> = tree::children().into_iter().filter(|pid| !is_known(pid)).collect();
        let owners = self.trees.owners_of_orphans(&adopted).into_iter();
        owners.map(|(orphan, owner)| (orphan, owner.map(|(run, _)| run))).collect()
    }

    /// Sends a signal to the orphans that belong to no worker.
    pub(super) fn signal_strays(&self, signal: Signal) {
        for stray in self.strays() {
            let _ = tree::send_signal(stray, signal.number());
        }
    }

    /// SIGKILL to the orphans that belong to no worker, and to all below them.
    pub(super) fn kill_strays(&self) {
        tree::kill(self.strays().into_iter().map(|stray| Root::of_leader(stray.pid)));
    }

    /// The orphans that belong to no worker.
    pub(super) fn strays(&self) -> Vec<Identity> {
        let is_ending =
            |run: &Run| self.process(*run).is_some_and(|it| !it.reaped) || self.sweeping.contains(run);
        let orphans = self.orphans().into_iter();
        orphans.filter(|(_, owner)| !owner.as_ref().is_some_and(is_ending)).map(|(stray, _)| stray).collect()
    }

    /// Releases what belongs to an instance.
    pub(super) fn forget(&mut self, id: InstanceId) {
        if let Some(place) = self.places.remove(&id) {
            if let Some(process) = &place.process {
                self.trees.remove(process.run);
            }
            self.sweeping.retain(|run| run.instance != id);
            self.budget.give_back(place.pipe_memory);
            self.logs.remove(id.0);
        }
    }
}

impl Place {
    fn write_pid_file(&self, pid: Pid) {
        let (who, app, id) = (&self.who, &*self.who.spec.name, self.who.pm_id);
        if let Some(file) = &self.pid_file
            && let Err(error) = file.write(pid)
        {
            warn!(app, id, "cannot write {who}'s pid file {}: {error}", file.path.display());
        }
    }

    /// That of a successor which has not got its place is its predecessor's.
    fn remove_pid_file(&self) {
        if let Some(file) = self.pid_file.as_ref().filter(|_| self.who.generation != Generation::Coming) {
            file.remove();
        }
    }
}

fn ending(status: Status) -> Ending {
    match status {
        Status::Exited(code) => Ending::Exited(code),
        Status::Signaled { signal, core_dumped } => Ending::Signaled {
            // A process cannot be ended by a number that is no signal; 32 and 33 are glibc's own.
            signal: Signal::from_number(signal).unwrap_or(Signal::KILL),
            core_dumped,
        },
    }
}
