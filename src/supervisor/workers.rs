//! The process table: which process runs which instance, and the pipes they write to.
//!
//! Processes are registered and reaped here, on the supervisor's thread. The end of a process whose start
//! has not come back yet is kept until it has (see `starting`), so no exit comes before its process is known.

mod cgroups;
mod checking;
mod ending;
mod signals;
mod starts;
mod sweep;

use std::{
    cell::{Cell, RefCell},
    collections::{HashMap, HashSet},
    hash::{BuildHasher, RandomState},
    os::fd::OwnedFd,
    path::Path,
    sync::Arc,
};

use self::sweep::Sweep;
pub(super) use self::{
    cgroups::prepare as prepare_cgroups,
    ending::Ended,
    starts::{StartContext, StartOutcomes},
};
use super::{
    environment::{Environment, full_environment},
    event_queue::EventSender,
    helper_threads::HelperThreads,
    input::{NoInput, StdinWriter},
    launch::Resources,
    pid_file::{PidFile, PidFiles},
    start_target::Target,
    starting::Starting,
    stop_targets::StartedAs,
};
use crate::{
    logs::Logs,
    machine::{Generation, InstanceId, InstanceView, Machine, Run, SpawnFailure, Subject},
    sys::{
        pipes::PipeMemory,
        process::{self},
        reap::Pid,
        run_cgroups::RunCgroups,
        tree::{self, Identity, Member, Trees},
    },
};

/// All processes that procrun has started for instances.
pub(super) struct Workers {
    resources: Arc<Resources>,
    logs: Logs,
    slots: HashMap<InstanceId, InstanceSlot>,
    by_pid: HashMap<Pid, Run>,
    /// Distinguishes the workers of this procrun from those of another one below or above it.
    token: u64,
    /// The number of exec probes that have been started.
    checks: u64,
    /// Children from before the `execve` of procrun (`sh -c "db & exec procrun …"`).
    preexisting_children: HashSet<Pid>,
    /// Runs whose main process has ended and whose tree has not.
    sweeping: HashMap<Run, Sweep>,
    /// The process trees of all runs that have not ended.
    trees: Trees<Run>,
    cgroups: RunCgroups,
    /// Runs that have not executed their program yet.
    starting: Starting,
    pid_files: PidFiles,
    event_sender: EventSender,
}

/// An instance as long as it is in the process list.
struct InstanceSlot {
    /// The name and id of its instance.
    subject: Subject,
    /// The write ends. procrun keeps them, so the pipes outlive each single process and an
    /// orphan that still writes never gets SIGPIPE.
    out: Arc<OwnedFd>,
    err: Arc<OwnedFd>,
    _memory: [PipeMemory; 2],
    process: Option<Process>,
    pid_file: Option<PidFile>,
}

struct Process {
    run: Run,
    pid: Pid,
    /// Each run has a new pipe and never reads what an earlier one left. `None`: the process reads
    /// `/dev/null`, or has ended.
    stdin: Option<StdinWriter>,
    started_as: StartedAs,
    /// The version of the application when this process started.
    version: Option<Arc<str>>,
    /// The script as a file, if it was one then.
    script: Option<Arc<Path>>,
    /// The port of probes that name none.
    port: Result<u16, String>,
    /// procrun has sent SIGKILL to it.
    killed: Cell<bool>,
    /// The processes below it that have received the stop signal.
    signalled: RefCell<HashSet<Identity>>,
    /// The main process has been reaped: its id may belong to another process now.
    reaped: bool,
}

impl Workers {
    /// An empty table.
    pub(super) fn new(
        resources: Resources,
        logs: Logs,
        cgroups: RunCgroups,
        event_sender: EventSender,
    ) -> Self {
        let helpers = resources.helpers.clone();
        Self {
            token: RandomState::new().hash_one(resources.open_files.hard()),
            resources: Arc::new(resources),
            event_sender: event_sender.clone(),
            logs,
            slots: HashMap::new(),
            by_pid: HashMap::new(),
            checks: 0,
            preexisting_children: if process::is_pid1() {
                HashSet::new()
            } else {
                tree::children().into_iter().collect()
            },
            sweeping: HashMap::new(),
            trees: Trees::new(),
            cgroups,
            starting: Starting::new(helpers),
            pid_files: PidFiles::new(event_sender),
        }
    }

    /// A run has taken the place of its predecessor.
    pub(super) fn promote(&mut self, run: Run) {
        let Some(slot) = self.slots.get_mut(&run.instance) else { return };
        slot.subject.generation = Generation::Current;
        if let Some(process) = slot.process.as_ref().filter(|process| process.run == run && !process.reaped) {
            slot.write_pid_file(&self.pid_files, self.starting.helpers(), process.pid);
        }
        let (file, pm_id) = (slot.pid_file.clone(), slot.subject.pm_id);
        for (id, other) in &mut self.slots {
            if *id != run.instance && other.subject.pm_id == pm_id {
                other.subject.generation = Generation::Predecessor;
                // The file belongs to the successor now.
                other.pid_file.take_if(|old| Some(&*old) == file.as_ref());
            }
        }
    }

    /// The version of the application that an instance runs or ran last.
    pub(super) fn version(&self, id: InstanceId) -> Option<&str> {
        self.slots.get(&id)?.process.as_ref()?.version.as_deref()
    }

    /// The main process of an instance, if it has one.
    pub(super) fn pid(&self, id: InstanceId) -> Option<Pid> {
        let process = self.slots.get(&id)?.process.as_ref()?;
        (!process.reaped).then_some(process.pid)
    }

    /// The standard input of the process of an instance.
    pub(super) fn input(&mut self, id: InstanceId) -> Result<&mut StdinWriter, NoInput> {
        let process = self.slots.get_mut(&id).and_then(|slot| slot.process.as_mut());
        match process.filter(|process| !process.reaped) {
            None => Err(NoInput::NoProcess),
            Some(process) => process.stdin.as_mut().ok_or(NoInput::Null),
        }
    }

    /// The run of an instance that has a process: its main process or a leftover.
    pub(super) fn run_with_processes(&self, id: InstanceId) -> Option<Run> {
        let process = self.slots.get(&id)?.process.as_ref()?;
        (!process.reaped || self.sweeping.contains_key(&process.run)).then_some(process.run)
    }

    /// The process tree of an instance, as it was read last.
    pub(super) fn members(&self, id: InstanceId) -> impl Iterator<Item = &Member> {
        let process = self.slots.get(&id).and_then(|slot| slot.process.as_ref());
        process.into_iter().flat_map(|process| self.trees.members(process.run))
    }

    /// The process trees; the caller reads them.
    pub(super) fn current_trees(&mut self, machine: &Machine) -> &mut Trees<Run> {
        let runs: Vec<Run> = self.trees.keys().collect();
        self.trees_of(&runs, machine)
    }

    /// The same for these runs. An app's `treekill` may have changed since its start.
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
        let processes = self.slots.values().filter_map(|slot| slot.process.as_ref());
        processes.filter(|process| !process.reaped).map(|process| process.run).collect()
    }

    /// Whether procrun itself has sent SIGKILL to a run.
    pub(super) fn was_killed(&self, run: Run) -> bool {
        self.process(run).is_some_and(|process| process.killed.get())
    }

    /// The output of the instances.
    pub(super) fn logs(&self) -> &Logs {
        &self.logs
    }

    /// Looks up the variables that a start of this instance would give it. Reads files, so it may never end.
    pub(super) fn environment(
        &self,
        view: &InstanceView<'_>,
    ) -> impl FnOnce() -> Result<Environment, SpawnFailure> + Send + 'static {
        let (target, inherited) = (Target::from(view), Arc::clone(&self.resources.inherited));
        move || full_environment(&target, &inherited)
    }

    /// Whether an instance has ever had a process.
    pub(super) fn has_started(&self, id: InstanceId) -> bool {
        self.slots.get(&id).is_some_and(|slot| slot.process.is_some())
    }

    /// The script of an instance as its last start has found it, if it was a file.
    pub(super) fn script(&self, id: InstanceId) -> Option<&Path> {
        self.slots.get(&id)?.process.as_ref()?.script.as_deref()
    }

    /// Lets the log pump write the lines that wait for starts.
    pub(super) fn release_logs(&mut self) {
        self.starting.release();
    }

    /// The threads for calls that may hang.
    pub(super) fn helpers(&self) -> &HelperThreads {
        self.starting.helpers()
    }

    /// Waits until pid files are written and removed, up to a time limit.
    pub(super) fn finish_pid_files(&self) {
        self.pid_files.finish(self.helpers());
    }

    /// The pid files that are being written and removed.
    pub(super) fn pid_files(&self) -> &PidFiles {
        &self.pid_files
    }

    fn process(&self, run: Run) -> Option<&Process> {
        self.slots.get(&run.instance)?.process.as_ref().filter(|process| process.run == run)
    }

    /// Releases everything that belongs to an instance.
    pub(super) fn forget(&mut self, id: InstanceId) {
        if let Some(slot) = self.slots.remove(&id) {
            if let Some(process) = &slot.process {
                self.trees.remove(process.run);
            }
            self.sweeping.retain(|run, _| run.instance != id);
            self.logs.remove(id.0);
        }
    }
}

impl InstanceSlot {
    fn write_pid_file(&self, files: &PidFiles, helpers: &HelperThreads, pid: Pid) {
        if let Some(file) = &self.pid_file {
            files.write(helpers, file, &self.subject, pid);
        }
    }

    /// The file of a successor that is not settled belongs to its predecessor.
    fn remove_pid_file(&self, files: &PidFiles, helpers: &HelperThreads) {
        if let Some(file) =
            self.pid_file.as_ref().filter(|_| self.subject.generation != Generation::Successor)
        {
            files.remove(helpers, file, &self.subject.spec.name);
        }
    }
}
