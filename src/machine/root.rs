//! The root of the supervision tree: which instances there are, and whether the container lives on.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use super::{
    Time,
    event::{Effect, Event, InstanceId, Notice, Readiness, Run, StopCause, StopRequest, Timer, Wanted},
    instance::{Instance, Status, Step, Stop, Then, Verdict},
};
use crate::spec::{
    AppChange, AppSpec, ExitCode, OnErrored, Plan, Signal,
    diff::{diff, same_but_instances},
};

/// A second request to stop counts as "now!" only after this: terminals and wrappers such as npm
/// deliver one Ctrl-C twice.
const IMPATIENCE: Duration = Duration::from_millis(500);

/// The supervision tree: the applications of a plan, their instances, and the fate of the whole.
#[derive(Debug)]
pub struct Machine {
    plan: Plan,
    instances: BTreeMap<InstanceId, Instance>,
    phase: Phase,
    /// Counts the instances that failed for good.
    failures: u64,
    next_id: u32,
    runs: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Nothing has been started yet.
    Waiting,
    Running,
    Stopping {
        /// When somebody asked for it; not yet, if an `errored` application began it.
        asked: Option<Time>,
        killed: bool,
        code: ExitCode,
    },
    Ended,
}

/// What others may know of one instance.
#[derive(Debug, Clone)]
pub struct InstanceView<'a> {
    /// Its id.
    pub id: InstanceId,
    /// 0 for the first instance of its application.
    pub number: u32,
    /// How many instances its application has now.
    pub siblings: u32,
    /// What it runs.
    pub spec: &'a Arc<AppSpec>,
    /// PM2's word for its state.
    pub status: Status,
    /// Which signs its present run has given that it can do its work.
    pub readiness: Readiness,
}

impl Machine {
    /// A tree for `plan` in which nothing runs yet: [`Event::Boot`] starts it. `cpus` is what
    /// `instances = "max"` means, at least 1.
    pub fn new(plan: Plan, cpus: u32) -> Self {
        let mut machine = Self {
            instances: BTreeMap::new(),
            phase: Phase::Waiting,
            failures: 0,
            next_id: 0,
            runs: 0,
            plan,
        };
        machine.populate(cpus);
        machine
    }

    fn populate(&mut self, cpus: u32) {
        for wanted in self.plan.apps.iter().flat_map(|app| wanted(app, cpus)).collect::<Vec<_>>() {
            self.add(wanted);
        }
    }

    /// The plan it works by.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// All instances, by id.
    pub fn instances(&self) -> impl Iterator<Item = InstanceView<'_>> {
        self.instances.values().map(|instance| self.view_of(instance))
    }

    /// One instance.
    pub fn instance(&self, id: InstanceId) -> Option<InstanceView<'_>> {
        self.instances.get(&id).map(|instance| self.view_of(instance))
    }

    /// Whether an application has a process, or will have one by itself.
    pub fn is_app_alive(&self, name: &str) -> bool {
        self.instances.values().any(|instance| instance.spec.name == name && instance.is_alive())
    }

    /// Whether an application that reads like this has a process, or will have one by itself.
    pub fn is_any_alive(&self, is_meant: impl Fn(&AppSpec) -> bool) -> bool {
        self.instances.values().any(|instance| instance.is_alive() && is_meant(&instance.spec))
    }

    fn view_of<'a>(&self, instance: &'a Instance) -> InstanceView<'a> {
        let siblings = self.instances.values().filter(|other| other.spec.name == instance.spec.name).count();
        InstanceView {
            id: instance.id,
            number: instance.number,
            siblings: u32::try_from(siblings).unwrap_or(u32::MAX),
            spec: &instance.spec,
            status: instance.status(),
            readiness: instance.readiness,
        }
    }

    /// Takes in one event and appends to `out` what is to be done.
    pub fn step(&mut self, now: Time, event: Event, out: &mut Vec<Effect>) {
        if self.phase == Phase::Ended {
            return;
        }
        match event {
            Event::Boot => self.boot(now, out),
            Event::Started(run) => self.with(run, now, out, |instance, step| {
                instance.started(step);
                Verdict::Nothing
            }),
            Event::SpawnFailed(run, failure) => {
                self.with(run, now, out, |instance, step| instance.spawn_failed(step, failure));
            }
            Event::Ready(run, sign) => self.with(run, now, out, |instance, step| {
                instance.ready(step, sign);
                Verdict::Nothing
            }),
            Event::Exited { run, ending, leftovers } => {
                self.with(run, now, out, |instance, step| instance.exited(step, ending, leftovers));
            }
            Event::Drained(run) => self.with(run, now, out, |instance, step| {
                instance.drained(step, StopCause::Drained);
                Verdict::Nothing
            }),
            Event::TreeGone(run) => self.with(run, now, out, Instance::tree_gone),
            Event::TimerFired(Timer { instance, epoch }) => {
                self.with_instance(instance, now, out, |instance, step| instance.timer_fired(step, epoch));
            }
            Event::Stop(request) => self.stop_requested(now, request, out),
            Event::Forward(signal) => {
                out.extend(
                    self.instances
                        .values()
                        .filter_map(Instance::main_process)
                        .map(|run| Effect::Signal(run, signal)),
                );
            }
            Event::Apply { plan, cpus } => self.apply(now, plan, cpus, out),
        }
        self.settle(out);
        #[cfg(debug_assertions)]
        self.check();
    }

    fn boot(&mut self, now: Time, out: &mut Vec<Effect>) {
        if self.phase != Phase::Waiting {
            return;
        }
        self.phase = Phase::Running;
        for id in self.ids() {
            self.with_instance(id, now, out, |instance, step| {
                if instance.spec.autostart {
                    instance.start(step);
                }
                Verdict::Nothing
            });
        }
    }

    fn stop_requested(&mut self, now: Time, request: StopRequest, out: &mut Vec<Effect>) {
        match self.phase {
            Phase::Waiting | Phase::Running => self.shut_down(now, Some(request.signal), 0, out),
            Phase::Stopping { asked: None, killed, code } => {
                self.phase = Phase::Stopping { asked: Some(now), killed, code };
            }
            Phase::Stopping { asked: Some(asked), killed: false, code } if now.since(asked) > IMPATIENCE => {
                self.phase = Phase::Stopping { asked: Some(asked), killed: true, code };
                out.push(Effect::Say(Notice::KillingAll));
                for id in self.ids() {
                    self.with_instance(id, now, out, |instance, step| {
                        instance.kill(step);
                        Verdict::Nothing
                    });
                }
            }
            Phase::Stopping { .. } | Phase::Ended => {}
        }
    }

    /// Stops everything; procrun will end with `code`.
    fn shut_down(&mut self, now: Time, signal: Option<Signal>, code: ExitCode, out: &mut Vec<Effect>) {
        self.phase = Phase::Stopping { asked: signal.map(|_| now), killed: false, code };
        let alive = self.instances.values().filter(|instance| instance.run().is_some()).count();
        out.push(Effect::Say(Notice::ShuttingDown { alive }));
        for id in self.ids() {
            self.with_instance(id, now, out, |instance, step| {
                let kill_signal = instance.spec.stop.kill_signal.or(signal);
                let signal = kill_signal.unwrap_or_else(|| instance.spec.stop_signal());
                instance.stop(step, Stop { signal, cause: StopCause::Shutdown, then: Then::Stay })
            });
        }
    }

    fn apply(&mut self, now: Time, plan: Plan, cpus: u32, out: &mut Vec<Effect>) {
        match self.phase {
            Phase::Running => {}
            Phase::Waiting => {
                (self.plan, self.next_id) = (plan, 0);
                self.instances.clear();
                self.populate(cpus);
                return;
            }
            Phase::Stopping { .. } | Phase::Ended => return,
        }
        let changes = diff(&self.plan, &plan);
        self.plan = plan;
        for change in changes {
            let (name, wanted, restart) = match &change {
                AppChange::Add(app) => (&app.name, wanted(app, cpus).collect(), false),
                AppChange::Remove(app) => (&app.name, Vec::new(), false),
                AppChange::Replace { old, new } => {
                    (&new.name, wanted(new, cpus).collect(), !same_but_instances(old, new))
                }
            };
            self.converge(now, name, wanted, restart, out);
        }
    }

    /// Makes the instances of one application those that are wanted.
    fn converge(&mut self, now: Time, app: &str, wanted: Vec<Wanted>, restart: bool, out: &mut Vec<Effect>) {
        let present: Vec<(InstanceId, u32)> = self
            .instances
            .values()
            .filter(|instance| instance.spec.name == app)
            .map(|instance| (instance.id, instance.number))
            .collect();
        let stop =
            |instance: &Instance, cause, then| Stop { signal: instance.spec.stop_signal(), cause, then };
        for (id, number) in &present {
            let new = wanted.iter().find(|(wanted, _)| wanted == number).map(|(_, spec)| spec.clone());
            self.with_instance(*id, now, out, |instance, step| {
                let Some(spec) = new else {
                    return instance.stop(step, stop(instance, StopCause::Removed, Then::Remove));
                };
                // Whoever is on its way out has to come back when the file names it again.
                let again = instance.is_leaving() || restart && (instance.is_alive() || spec.autostart);
                let stop = stop(instance, StopCause::Changed, Then::Restart);
                let verdict = if again { instance.stop(step, stop) } else { Verdict::Nothing };
                instance.spec = spec;
                verdict
            });
        }
        for (number, spec) in wanted {
            if present.iter().all(|(_, present)| *present != number) {
                let autostart = spec.autostart;
                let id = self.add((number, spec));
                self.with_instance(id, now, out, |instance, step| {
                    if autostart {
                        instance.start(step);
                    }
                    Verdict::Nothing
                });
            }
        }
    }

    fn add(&mut self, (number, spec): Wanted) -> InstanceId {
        let id = InstanceId(self.next_id);
        self.next_id += 1;
        self.instances.insert(id, Instance::new(id, number, spec));
        id
    }

    fn ids(&self) -> Vec<InstanceId> {
        self.instances.keys().copied().collect()
    }

    /// Lets the instance of `run` take a step, unless the news is of an earlier run.
    fn with(
        &mut self,
        run: Run,
        now: Time,
        out: &mut Vec<Effect>,
        act: impl FnOnce(&mut Instance, &mut Step<'_>) -> Verdict,
    ) {
        if self.instances.get(&run.instance).and_then(Instance::run) == Some(run) {
            self.with_instance(run.instance, now, out, act);
        }
    }

    fn with_instance(
        &mut self,
        id: InstanceId,
        now: Time,
        out: &mut Vec<Effect>,
        act: impl FnOnce(&mut Instance, &mut Step<'_>) -> Verdict,
    ) {
        let Some(instance) = self.instances.get_mut(&id) else { return };
        let verdict = act(instance, &mut Step { now, out, runs: &mut self.runs });
        let on_errored = instance.spec.restart.on_errored;
        match verdict {
            Verdict::Nothing | Verdict::Ended(0) => {}
            Verdict::Removed => {
                self.instances.remove(&id);
                out.push(Effect::Forget(id));
            }
            Verdict::Ended(code) => {
                self.failures += 1;
                instance.failure.get_or_insert((self.failures, code));
            }
            Verdict::Errored(code) => {
                self.failures += 1;
                let (_, code) = *instance.failure.get_or_insert((self.failures, code.max(1)));
                if on_errored == OnErrored::Exit && self.phase == Phase::Running {
                    out.push(Effect::Say(Notice::Escalated { who: instance.subject(), code }));
                    self.shut_down(now, None, code, out);
                }
            }
        }
    }

    /// Ends the whole when nothing is alive any more.
    fn settle(&mut self, out: &mut Vec<Effect>) {
        if self.instances.values().any(Instance::is_alive) {
            return;
        }
        let code = match self.phase {
            Phase::Running if self.plan.runtime.auto_exit => {
                // The code of the first application that failed.
                self.instances
                    .values()
                    .filter_map(|instance| instance.failure)
                    .min()
                    .map_or(0, |(_, code)| code)
            }
            Phase::Stopping { code, .. } => code,
            Phase::Waiting | Phase::Running | Phase::Ended => return,
        };
        self.phase = Phase::Ended;
        out.push(Effect::End(code));
    }

    /// The slow truth, recomputed after each step of a debug build.
    #[cfg(debug_assertions)]
    fn check(&self) {
        let mut places: Vec<_> =
            self.instances.values().map(|instance| (&instance.spec.name, instance.number)).collect();
        let all = places.len();
        places.sort_unstable();
        places.dedup();
        assert!(
            places.len() == all
                || self.instances.values().any(|instance| instance.status() == Status::Stopping),
            "two instances have one place"
        );
        if self.phase == Phase::Ended {
            assert!(!self.instances.values().any(Instance::is_alive), "ended with something alive");
        }
        if matches!(self.phase, Phase::Stopping { .. }) {
            assert!(
                self.instances.values().all(|instance| instance.status() != Status::WaitingRestart),
                "something waits to restart during a stop"
            );
        }
    }
}

/// The instances that an application is to have.
fn wanted(app: &Arc<AppSpec>, cpus: u32) -> impl Iterator<Item = Wanted> {
    (0..app.instances.resolve(cpus)).map(|number| (number, app.clone()))
}
