//! The machine on a virtual clock: the world around it, in which the other files try it.

mod drain;
mod lifecycle;
mod random;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use super::{
    Effect, Ending, Event, InstanceId, Machine, Next, Notice, Run, SpawnFailure, Status, StopRequest,
    Subject, Time, Timer,
};
use crate::spec::{
    AppSpec, Backoff, Balance, EnvSpec, Exec, ExecMode, Identity, Instances, Interpreter, LogSpec, OnErrored,
    Plan, RestartPolicy, Runtime, Signal, StopPolicy,
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
            source_maps: false,
        },
        instances: Instances::Count(1),
        exec_mode: ExecMode::Fork,
        balance: Balance::default(),
        listen: Vec::new(),
        env: EnvSpec::default(),
        identity: Identity::default(),
        autostart: true,
        restart: RestartPolicy::default(),
        stop: StopPolicy::default(),
        logs: LogSpec::default(),
        pid_file: None,
    }
}

/// A Node application whose instances are a cluster.
fn cluster_app(name: &str) -> AppSpec {
    let mut spec = AppSpec { exec_mode: ExecMode::Cluster, ..app(name) };
    spec.exec.script = "/app.js".to_owned();
    spec.exec.interpreter = Interpreter::Auto;
    spec
}

fn plan(apps: impl IntoIterator<Item = AppSpec>) -> Plan {
    Plan { apps: apps.into_iter().map(Arc::new).collect(), runtime: Runtime::default() }
}

const MS: fn(u64) -> Duration = Duration::from_millis;

/// The world around the machine: processes that do what they are told, on a virtual clock.
struct World {
    machine: Machine,
    now: Time,
    /// Runs whose main process lives.
    alive: BTreeSet<Run>,
    /// Runs whose main process has ended and whose tree has not.
    left: BTreeSet<Run>,
    timers: BTreeMap<Timer, Time>,
    said: Vec<Notice>,
    spawned: Vec<(Time, Run)>,
    killed: Vec<(Time, Run)>,
    end: Option<u8>,
    stop_asked: Option<Time>,
    /// The next spawns fail.
    spawns_fail: bool,
    /// SIGKILL ends what it is sent to.
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
            said: Vec::new(),
            spawned: Vec::new(),
            killed: Vec::new(),
            end: None,
            stop_asked: None,
            spawns_fail: false,
            kills_work: false,
        };
        world.feed(Event::Boot);
        world
    }

    fn feed(&mut self, event: Event) {
        let mut events = vec![event];
        while let Some(event) = events.pop() {
            if matches!(event, Event::Stop(_)) {
                self.stop_asked.get_or_insert(self.now);
            }
            let mut effects = Vec::new();
            self.machine.step(self.now, event, &mut effects);
            for effect in effects {
                assert!(self.end.is_none(), "nothing is done after the end: {effect:?}");
                match effect {
                    Effect::Spawn(run) => {
                        let of_same = |other: &Run| other.instance == run.instance;
                        assert!(!self.alive.iter().any(of_same), "two processes for one instance");
                        assert!(!self.left.iter().any(of_same), "a start before the old tree was gone");
                        assert!(self.stop_asked.is_none(), "a start after the stop");
                        self.spawned.push((self.now, run));
                        events.push(if self.spawns_fail {
                            Event::SpawnFailed(
                                run,
                                SpawnFailure { code: 127, message: "gone".to_owned(), permanent: true },
                            )
                        } else {
                            self.alive.insert(run);
                            Event::Started(run)
                        });
                    }
                    Effect::KillTree(run) => self.killed.push((self.now, run)),
                    Effect::Signal(run, _) => assert!(self.alive.contains(&run), "a signal to nobody"),
                    Effect::Retire(run) | Effect::Drain(run) | Effect::Shutdown(run, _) => {
                        assert!(self.alive.contains(&run), "a word to nobody");
                    }
                    Effect::SweepTree(run, _) => assert!(self.left.contains(&run), "nothing to sweep"),
                    Effect::Arm(timer, at) => {
                        self.timers.insert(timer, at);
                    }
                    Effect::Forget(id) => assert!(self.machine.instance(id).is_none()),
                    Effect::Say(notice) => {
                        if let Notice::Unkillable { who: Subject { id: instance, .. } } = notice {
                            // Given up: it is nobody's any more.
                            self.alive.retain(|run| run.instance != instance);
                            self.left.retain(|run| run.instance != instance);
                        }
                        self.said.push(notice);
                    }
                    Effect::End(code) => {
                        assert!(self.alive.is_empty() && self.left.is_empty(), "ended with processes left");
                        self.end = Some(code);
                    }
                }
            }
        }
    }

    fn exit(&mut self, run: Run, ending: Ending, leftovers: bool) {
        if self.alive.remove(&run) {
            if leftovers {
                self.left.insert(run);
            }
            self.feed(Event::Exited { run, ending, leftovers });
        }
    }

    fn tree_gone(&mut self, run: Run) {
        if self.left.remove(&run) {
            self.feed(Event::TreeGone(run));
        }
    }

    /// Lets time pass, with all timers that run out meanwhile.
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
            self.feed(Event::TimerFired(timer));
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
        self.feed(Event::Stop(StopRequest { signal }));
    }
}

const OK: Ending = Ending::Exited(0);
const FAILED: Ending = Ending::Exited(3);
