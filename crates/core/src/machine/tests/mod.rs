//! The machine on a virtual clock: `World` plays the supervisor and the processes.

mod changes;
mod drain;
mod due;
mod forecast;
mod health;
mod lifecycle;
mod listening;
mod memory;
mod operations;
mod order;
mod random;
mod reload;
mod shutdown;
mod specs;
mod versions;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use super::{
    Action, Effect, Ending, FailureKind, FollowUp, Generation, Input, InstanceId, Machine, Operation,
    ProbeKind, ReadinessSource, ReloadAbortReason, Reply, Run, ShutdownRequest, SpawnFailure, Status,
    StopKind, Ticket, Time, Timer, TimerKind,
    events::{EventData, Notice},
};
use crate::spec::{
    AppSpec, Backoff, Balance, Condition, Dependency, EnvSpec, Exec, ExecMode, HealthSpec, Identity,
    Instances, Interpreter, Limits, LogSpec, OnErrored, Order, Plan, ProgramKind, ReloadPolicy,
    RestartPolicy, Runtime, Signal, StopPolicy,
};

fn app(name: &str) -> AppSpec {
    AppSpec {
        name: name.to_owned(),
        namespace: "default".to_owned(),
        exec: Exec {
            script: "/bin/app".to_owned(),
            args: Vec::new(),
            cwd: PathBuf::from("/"),
            interpreter: Interpreter::None,
            interpreter_args: Vec::new(),
            source_maps: None,
            stdin: crate::spec::Stdin::Open,
        },
        instances: Instances::Count(1),
        exec_mode: ExecMode::Fork,
        ipc: true,
        node_metrics: true,
        balance: Balance::default(),
        listen: Vec::new(),
        env: EnvSpec::default(),
        identity: Identity::default(),
        limits: Limits::default(),
        autostart: true,
        order: Order::default(),
        restart: RestartPolicy::default(),
        reload: ReloadPolicy::default(),
        stop: StopPolicy::default(),
        logs: LogSpec::default(),
        max_memory: None,
        schedule: None,
        pid_file: None,
        health: HealthSpec::default(),
        ready_when: None,
        watch: None,
    }
}

/// A Node application whose instances are a cluster.
fn cluster_app(name: &str) -> AppSpec {
    let mut spec = AppSpec { exec_mode: ExecMode::Cluster, ..app(name) };
    spec.exec.script = "/app.js".to_owned();
    spec.exec.interpreter = Interpreter::Auto;
    spec
}

/// The application with these dependencies.
fn after(spec: AppSpec, others: &[(&str, Condition)]) -> AppSpec {
    let depends_on = others
        .iter()
        .map(|(app, condition)| Dependency { app: (*app).to_owned(), condition: *condition })
        .collect();
    AppSpec { order: Order { depends_on, ..spec.order }, ..spec }
}

/// A task.
fn task(name: &str) -> AppSpec {
    AppSpec { order: Order { oneshot: true, ..Order::default() }, ..app(name) }
}

/// An application with `wait_ready`.
fn wait_ready_app(name: &str) -> AppSpec {
    let mut spec = app(name);
    spec.exec.interpreter = Interpreter::Program("node".to_owned());
    spec.reload.wait_ready = true;
    spec
}

fn plan(apps: impl IntoIterator<Item = AppSpec>) -> Plan {
    Plan { apps: apps.into_iter().map(Arc::new).collect(), runtime: Runtime::default() }
}

/// The process id of every process.
const PID: i32 = 100;
const MS: fn(u64) -> Duration = Duration::from_millis;

/// Plays the supervisor and the processes, on a virtual clock.
struct World {
    machine: Machine,
    now: Time,
    /// Runs whose main process is alive.
    alive: BTreeSet<Run>,
    /// Runs with leftovers.
    left: BTreeSet<Run>,
    timers: BTreeMap<Timer, Time>,
    reports: Vec<Notice>,
    spawned: Vec<(Time, Run)>,
    killed: Vec<(Time, Run)>,
    replies: BTreeMap<Ticket, Option<Reply>>,
    /// The operations of which an event was a step.
    steps: Vec<Ticket>,
    end: Option<u8>,
    shutdown_at: Option<Time>,
    /// The kind of the next programs.
    kind: ProgramKind,
    /// The next starts fail.
    spawns_fail: bool,
    /// The next starts wait for `answer_start`.
    spawns_wait: bool,
    /// Runs whose start has not been answered yet, and whether it was cancelled.
    starting: BTreeMap<Run, bool>,
    /// The kind of such a failure.
    spawn_failure: FailureKind,
    /// The probes that have no result yet.
    probes: Vec<(Run, ProbeKind)>,
    /// SIGKILL ends the processes that it is sent to.
    kills_work: bool,
}

impl World {
    fn new(plan: Plan) -> Self {
        let mut world = Self {
            machine: Machine::new(plan, 2),
            now: Time::ZERO,
            alive: BTreeSet::new(),
            left: BTreeSet::new(),
            timers: BTreeMap::new(),
            reports: Vec::new(),
            spawned: Vec::new(),
            killed: Vec::new(),
            replies: BTreeMap::new(),
            steps: Vec::new(),
            end: None,
            shutdown_at: None,
            kind: ProgramKind::Other,
            spawns_fail: false,
            spawns_wait: false,
            starting: BTreeMap::new(),
            spawn_failure: FailureKind::Permanent,
            probes: Vec::new(),
            kills_work: false,
        };
        world.feed(Input::Boot);
        world
    }

    fn feed(&mut self, event: Input) {
        let mut events = vec![event];
        while let Some(event) = events.pop() {
            if matches!(event, Input::Shutdown(_)) {
                self.shutdown_at.get_or_insert(self.now);
            }
            let mut effects = Vec::new();
            let before = self.serving();
            self.machine.step(self.now, event, &mut effects);
            self.check_failed_reloads(&before, &effects);
            for effect in effects {
                let is_reply = matches!(effect, Effect::Reply(..));
                assert!(self.end.is_none() || is_reply, "nothing is done after the end: {effect:?}");
                match effect {
                    Effect::Spawn(run) => {
                        let of_same = |other: &Run| other.instance == run.instance;
                        assert!(!self.alive.iter().any(of_same), "two processes for one instance");
                        assert!(!self.left.iter().any(of_same), "a start before the old tree was gone");
                        assert!(
                            self.shutdown_at.is_none() || self.machine.is_closing(),
                            "a start after the stop"
                        );
                        assert!(!self.starting.keys().any(of_same), "two starts for one instance");
                        self.spawned.push((self.now, run));
                        if self.spawns_wait {
                            self.starting.insert(run, false);
                            continue;
                        }
                        events.push(if self.spawns_fail {
                            Input::SpawnFailed(
                                run,
                                SpawnFailure {
                                    code: 127,
                                    message: "gone".to_owned(),
                                    kind: self.spawn_failure,
                                },
                            )
                        } else {
                            self.alive.insert(run);
                            Input::Started(run, self.kind, PID)
                        });
                    }
                    Effect::CancelStart(run) => {
                        // A start that is answered at once is answered after the stop here.
                        if let Some(is_cancelled) = self.starting.get_mut(&run) {
                            assert!(!std::mem::replace(is_cancelled, true), "cancelled twice");
                        }
                    }
                    Effect::Probe(run, kind) => {
                        assert!(self.alive.contains(&run), "a probe of no process");
                        assert!(!self.probes.contains(&(run, kind)), "probed twice");
                        self.probes.push((run, kind));
                    }
                    Effect::KillTree(run) => self.killed.push((self.now, run)),
                    Effect::Signal(run, _) => assert!(self.alive.contains(&run), "a signal to no process"),
                    Effect::Retire(run) | Effect::Drain(run) | Effect::RequestStop(run, ..) => {
                        assert!(self.alive.contains(&run), "a message to no process");
                    }
                    Effect::StopLeftovers(run, _) => {
                        assert!(self.left.contains(&run), "there are no leftovers");
                    }
                    Effect::ArmTimer(timer, at) => {
                        self.timers.insert(timer, at);
                    }
                    Effect::Promote(run) => {
                        assert!(self.alive.contains(&run), "a run that is gone is not promoted");
                    }
                    Effect::Reply(ticket, reply) => self.take(ticket, reply),
                    Effect::Remove(id) => assert!(self.machine.instance(id).is_none()),
                    Effect::Report { notice, tickets } => {
                        if let EventData::Unkillable {} = notice.data {
                            // The machine has given up on it.
                            self.alive.retain(|run| Some(run.instance) != notice.subject.instance);
                            self.left.retain(|run| Some(run.instance) != notice.subject.instance);
                        }
                        for ticket in tickets {
                            assert!(self.replies[&ticket].is_none(), "{notice:?} after the answer");
                            self.steps.push(ticket);
                        }
                        self.reports.push(notice);
                    }
                    Effect::Exit(code) => {
                        let is_empty =
                            self.alive.is_empty() && self.left.is_empty() && self.starting.is_empty();
                        assert!(is_empty, "ended with processes left");
                        self.end = Some(code);
                    }
                }
            }
        }
    }

    /// The runs of the current instances that are online.
    fn serving(&self) -> Vec<Run> {
        let views = self.machine.instances();
        let online =
            views.filter(|view| view.generation == Generation::Current && view.status == Status::Online);
        online.filter_map(|view| self.alive.iter().find(|run| run.instance == view.id).copied()).collect()
    }

    /// A failed reload does not affect instances that serve, unless another change was requested.
    fn check_failed_reloads(&self, before: &[Run], effects: &[Effect]) {
        let reported = |wanted: &dyn Fn(&EventData) -> bool| {
            effects
                .iter()
                .any(|effect| matches!(effect, Effect::Report { notice, .. } if wanted(&notice.data)))
        };
        let fails = |data: &EventData| {
            matches!(
                data,
                EventData::ReloadAborted { rolling: true, reason: ReloadAbortReason::NotReady { .. }, .. }
            )
        };
        let is_other_change = |data: &EventData| {
            matches!(
                data,
                EventData::ReloadStarted { .. }
                    | EventData::Stopping {
                        stop: StopKind::Restarted
                            | StopKind::FilesChanged
                            | StopKind::Changed
                            | StopKind::Removed
                            | StopKind::ScaledDown,
                        ..
                    }
                    | EventData::Draining { stop: StopKind::Removed | StopKind::ScaledDown, .. }
            )
        };
        if reported(&fails) && !reported(&is_other_change) {
            let after = self.serving();
            // A successor that was ready and has ended is the reason of the failure.
            let is_reason = |run: &Run| {
                reported(&|data: &EventData| {
                    matches!(data, EventData::ReloadAborted { reason: ReloadAbortReason::NotReady { instance, .. }, .. }
                    if instance.instance == Some(run.instance))
                })
            };
            let spared = |run: &Run| after.contains(run) || is_reason(run);
            assert!(before.iter().all(spared), "a failed reload ended an instance that served");
        }
    }

    fn take(&mut self, ticket: Ticket, reply: Reply) {
        let answer = self.replies.get_mut(&ticket).expect("it was requested");
        assert!(answer.is_none(), "{answer:?} and then {reply:?}");
        *answer = Some(reply);
    }

    /// Requests an operation.
    fn request(&mut self, operation: Operation) -> Ticket {
        let ticket = Ticket(self.replies.len() as u64);
        self.replies.insert(ticket, None);
        self.feed(Input::Operate(ticket, operation));
        ticket
    }

    /// The final answer, if there is one yet.
    fn answer(&self, ticket: Ticket) -> Option<&Reply> {
        self.replies[&ticket].as_ref()
    }

    fn last_report(&self) -> Option<&EventData> {
        self.reports.last().map(|notice| &notice.data)
    }

    fn is_done(&self, ticket: Ticket) -> bool {
        self.answer(ticket) == Some(&Reply::Done)
    }

    /// The error of an operation that failed.
    #[track_caller]
    fn failure(&self, ticket: Ticket) -> &str {
        match self.answer(ticket) {
            Some(Reply::Failed(why)) => why,
            other => panic!("no failure: {other:?}"),
        }
    }

    fn listen(&mut self, instance: u32) {
        self.feed(Input::Ready(self.run(instance), ReadinessSource::Listening));
    }

    /// The process of an instance ends with 0, without leftovers.
    fn exit_ok(&mut self, instance: u32) {
        self.exit(self.run(instance), OK, false);
    }

    /// Answers the start of an instance that waits: its program is executed, or it fails.
    fn answer_start(&mut self, instance: u32, is_executed: bool) {
        let run = *self.starting.keys().find(|run| run.instance == InstanceId(instance)).expect("it starts");
        self.starting.remove(&run);
        if is_executed {
            self.alive.insert(run);
            self.feed(Input::Started(run, self.kind, PID));
        } else {
            let failure =
                SpawnFailure { code: 126, message: "cancelled".to_owned(), kind: FailureKind::Shortage };
            self.feed(Input::SpawnFailed(run, failure));
        }
    }

    fn exists(&self, instance: u32) -> bool {
        self.machine.instance(InstanceId(instance)).is_some()
    }

    fn exit(&mut self, run: Run, ending: Ending, leftovers: bool) {
        if self.alive.remove(&run) {
            if leftovers {
                self.left.insert(run);
            }
            self.feed(Input::Exited { run, ending, leftovers });
        }
    }

    fn tree_gone(&mut self, run: Run) {
        if self.left.remove(&run) {
            self.feed(Input::TreeGone(run));
        }
    }

    /// Lets time pass, and fires the timers that are due meanwhile.
    fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        while let Some((timer, at)) = self
            .timers
            .iter()
            .map(|(timer, at)| (*timer, *at))
            .filter(|(_, at)| *at <= until)
            .min_by_key(|it| it.1)
        {
            self.timers.remove(&timer);
            self.now = self.now.max(at);
            self.feed(Input::TimerFired(timer));
            if self.kills_work {
                for (_, run) in std::mem::take(&mut self.killed) {
                    self.exit(run, Ending::Signaled { signal: Signal::KILL, core_dumped: false }, false);
                    self.tree_gone(run);
                }
            }
        }
        self.now = until;
    }

    fn run(&self, instance: u32) -> Run {
        *self.alive.iter().find(|run| run.instance == InstanceId(instance)).expect("its process lives")
    }

    fn status(&self, instance: u32) -> Status {
        self.machine.instance(InstanceId(instance)).expect("the instance is there").status
    }

    fn stop(&mut self, signal: Signal) {
        self.feed(Input::Shutdown(ShutdownRequest { signal }));
    }
}

const OK: Ending = Ending::Exited(0);
const FAILED: Ending = Ending::Exited(3);
