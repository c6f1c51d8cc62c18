//! The machine with random orders of inputs.

use proptest::prelude::*;

use super::*;
use crate::{
    machine::{AppUpdate, Count, InitialState, NotifyMessage, RestartScope},
    spec::{Probe, ProbeTarget},
};

impl World {
    fn any_alive(&self, which: prop::sample::Index) -> Option<Run> {
        let alive: Vec<Run> = self.alive.iter().copied().collect();
        (!alive.is_empty()).then(|| *which.get(&alive))
    }

    /// Answers all starts that wait; an cancelled one may have executed its program already.
    fn answer_starts(&mut self, is_executed: bool) {
        self.spawns_wait = false;
        while let Some((run, _)) = self.starting.first_key_value() {
            self.answer_start(run.instance.0, is_executed);
        }
    }
}

#[derive(Debug, Clone)]
pub(super) enum Act {
    Exit { which: prop::sample::Index, code: u8, leftovers: bool },
    TreeGone(prop::sample::Index),
    Pass(u64),
    Stale(u32, u64),
    Apply(Vec<(u8, u32, bool)>),
    SpawnsFail(bool),
    SpawnsWait(bool),
    AnswersStart(prop::sample::Index, bool),
    Listens(prop::sample::Index),
    SaysReady(prop::sample::Index),
    ProbeResult(prop::sample::Index, bool),
    Notifies(prop::sample::Index, u8),
    Drained(prop::sample::Index),
    Changed(u8),
    Request(u8, Vec<u32>, i32),
    Due(u8),
    Rename(u8, u8),
    Exceeds(prop::sample::Index, u64),
    Short(Vec<u64>),
    Stop,
}

pub(super) fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        8 => (any::<prop::sample::Index>(), 0u8..4, prop::bool::weighted(0.3))
            .prop_map(|(which, code, leftovers)| Act::Exit { which, code, leftovers }),
        4 => any::<prop::sample::Index>().prop_map(Act::TreeGone),
        6 => prop_oneof![0u64..200, 0u64..20_000].prop_map(Act::Pass),
        1 => (0u32..6, 0u64..20).prop_map(|(instance, epoch)| Act::Stale(instance, epoch)),
        2 => prop::collection::vec((0u8..4, 1u32..4, any::<bool>()), 1..4).prop_map(Act::Apply),
        1 => any::<bool>().prop_map(Act::SpawnsFail),
        2 => any::<bool>().prop_map(Act::SpawnsWait),
        4 => (any::<prop::sample::Index>(), any::<bool>())
            .prop_map(|(which, is_executed)| Act::AnswersStart(which, is_executed)),
        4 => any::<prop::sample::Index>().prop_map(Act::Listens),
        2 => any::<prop::sample::Index>().prop_map(Act::Drained),
        2 => any::<prop::sample::Index>().prop_map(Act::SaysReady),
        6 => (any::<prop::sample::Index>(), any::<bool>()).prop_map(|(which, passes)| Act::ProbeResult(which, passes)),
        2 => (any::<prop::sample::Index>(), 0u8..5).prop_map(|(which, message)| Act::Notifies(which, message)),
        4 => (0u8..4).prop_map(Act::Changed),
        8 => (0u8..12, prop::collection::vec(0u32..12, 1..4), -3i32..4)
            .prop_map(|(kind, ids, count)| Act::Request(kind, ids, count)),
        2 => (0u8..4).prop_map(Act::Due),
        1 => (0u8..4, 0u8..4).prop_map(|(from, to)| Act::Rename(from, to)),
        4 => (any::<prop::sample::Index>(), 201u64..260).prop_map(|(which, used)| Act::Exceeds(which, used)),
        4 => prop::collection::vec(0u64..400, 1..8).prop_map(Act::Short),
        1 => Just(Act::Stop),
    ];
    prop::collection::vec(act, 1..80)
}

pub(super) fn random_plan(apps: &[(u8, u32, bool)]) -> Plan {
    let mut by_name = BTreeMap::new();
    for (name, instances, other) in apps {
        let mut spec = if name % 2 == 0 { cluster_app(&name.to_string()) } else { app(&name.to_string()) };
        spec.instances = Instances::Count(*instances);
        spec.restart.max_restarts = 4;
        spec.stop.kill_timeout = MS(3000);
        spec.stop.drain = Some(MS(1500));
        spec.reload.listen_timeout = MS(2500);
        spec.reload.max_parallel = 1 + instances % 3;
        spec.reload.wait_ready = *name == 2;
        spec.watch = (*name != 3).then(Box::default);
        if name % 3 != 0 {
            let mut probe = Probe::new(ProbeTarget::Shell("true".to_owned()));
            (probe.retries, probe.start_period) = (1 + instances % 2, MS(1000));
            probe.interval = MS(700);
            spec.health.liveness = (name % 2 == 0).then(|| Box::new(probe.clone()));
            spec.health.readiness = (name % 2 == 1).then(|| Box::new(probe));
            spec.health.heartbeat = other.then_some(MS(5000));
        }
        if *other {
            spec.namespace = "other".to_owned();
            spec.restart.on_errored = OnErrored::Exit;
        }
        spec.restart.ends_on_success = name % 2 == 1 && *instances == 2;
        spec.order.oneshot = *name == 1 && *other;
        by_name.insert(*name, if *name == 3 { due::by_time(spec) } else { spec });
    }
    // Some depend on all that have a lower number, so there is no dependency cycle.
    let present: Vec<u8> = by_name.keys().copied().collect();
    for (name, _, other) in apps.iter().filter(|(_, instances, other)| *other || *instances == 3) {
        let before = present.iter().filter(|before| *before < name).map(|before| {
            let condition = if *other { Condition::best_of(&by_name[before]) } else { Condition::Started };
            Dependency { app: before.to_string(), condition }
        });
        let depends_on = before.collect();
        by_name.entry(*name).and_modify(|spec| spec.order.depends_on = depends_on);
    }
    plan(by_name.into_values())
}

fn operation(kind: u8, ids: &[u32], count: i32) -> Operation {
    let all: Vec<InstanceId> = ids.iter().copied().map(InstanceId).collect();
    match kind {
        0 => Operation::Act(Action::Start, all),
        1 => Operation::Act(Action::Stop, all),
        2 => Operation::Act(Action::Restart, all),
        3 | 4 => Operation::Act(Action::Reload, all),
        5 => Operation::Scale { app: (ids[0] % 4).to_string(), count: Count::By(count) },
        6 => Operation::Scale { app: (ids[0] % 4).to_string(), count: Count::To(count.unsigned_abs()) },
        7 => Operation::Act(Action::Delete, all),
        8..=10 => {
            let apps = ids.iter().zip(1..).map(|(id, at)| ((id % 4) as u8, at, id / 4 == 1));
            let update = random_plan(&apps.collect::<Vec<_>>()).apps.into_iter().map(|app| AppUpdate {
                app,
                selected: (0..12).map(InstanceId).filter(|_| count > 0).collect(),
                sets_count: count == 2,
                reruns_tasks: count != 1,
                initial_state: match count {
                    -2 => InitialState::Stopped,
                    -3 => InitialState::ScaledToZero,
                    _ => InitialState::Started,
                },
            });
            let scope =
                [RestartScope::Changed, RestartScope::Reload, RestartScope::Restart][usize::from(kind - 8)];
            Operation::UpdateApps { apps: update.collect(), cpus: 2, scope }
        }
        _ => Operation::Act(Action::Signal(Signal::USR1), all),
    }
}

impl World {
    pub(super) fn act(&mut self, act: Act) {
        match act {
            Act::Exit { which, code, leftovers } => {
                if let Some(run) = self.any_alive(which) {
                    self.exit(run, Ending::Exited(code), leftovers);
                }
            }
            Act::TreeGone(which) => {
                let left: Vec<_> = self.left.iter().copied().collect();
                if !left.is_empty() {
                    self.tree_gone(*which.get(&left));
                }
            }
            Act::Pass(millis) => self.pass(MS(millis)),
            Act::Stale(instance, epoch) => {
                let timer = Timer { instance: InstanceId(instance), kind: TimerKind::State, epoch };
                if !self.timers.contains_key(&timer) {
                    self.feed(Input::TimerFired(timer));
                }
            }
            Act::Apply(apps) => {
                if self.shutdown_at.is_none() {
                    self.feed(Input::Apply { plan: random_plan(&apps), cpus: 2 });
                }
            }
            Act::SpawnsFail(fail) => self.spawns_fail = fail,
            Act::SpawnsWait(wait) => self.spawns_wait = wait,
            Act::AnswersStart(which, is_executed) => {
                let starting: Vec<Run> = self.starting.keys().copied().collect();
                if !starting.is_empty() {
                    self.answer_start(which.get(&starting).instance.0, is_executed);
                }
            }
            Act::Listens(which) => {
                if let Some(run) = self.any_alive(which) {
                    self.feed(Input::Ready(run, ReadinessSource::Listening));
                }
            }
            Act::ProbeResult(which, passes) => {
                if !self.probes.is_empty() {
                    let (run, kind) = self.probes.remove(which.index(self.probes.len()));
                    let result = if passes { Ok(()) } else { Err("no".to_owned()) };
                    self.feed(Input::Probed { run, kind, result });
                }
            }
            Act::Notifies(which, message) => {
                if let Some(run) = self.any_alive(which) {
                    let message = match message {
                        0 | 1 => NotifyMessage::Heartbeat,
                        2 => NotifyMessage::HeartbeatInterval(MS(900)),
                        3 => NotifyMessage::Fault,
                        _ => NotifyMessage::Stopping,
                    };
                    self.feed(Input::Notified(run, message));
                }
            }
            Act::SaysReady(which) => {
                if let Some(run) = self.any_alive(which) {
                    self.feed(Input::Ready(run, ReadinessSource::Message));
                }
            }
            Act::Drained(which) => {
                if let Some(run) = self.any_alive(which) {
                    self.feed(Input::Drained(run));
                }
            }
            Act::Changed(app) => {
                self.feed(Input::FilesChanged { app: app.to_string(), path: "x".to_owned() });
            }
            Act::Request(kind, ids, count) => {
                self.request(operation(kind, &ids, count));
            }
            Act::Rename(from, to) => {
                let (from, to) = (from.to_string(), to.to_string());
                if self.machine.rename_obstacle(&to).is_none() {
                    self.feed(Input::Rename { from, to });
                }
            }
            Act::Due(name) => self.due(&name.to_string()),
            Act::Exceeds(which, used) => {
                if let Some(run) = self.any_alive(which) {
                    self.exceeds(run.instance.0, used);
                }
            }
            Act::Short(mut sizes) => {
                sizes.sort_unstable_by(|one, other| other.cmp(one));
                self.short_of(self.alive.iter().copied().zip(sizes.into_iter().map(|it| it << 20)).collect());
            }
            Act::Stop => self.stop(Signal::TERM),
        }
    }

    /// The tickets without a final answer.
    fn unanswered(&self) -> Vec<Ticket> {
        self.replies.keys().copied().filter(|ticket| self.answer(*ticket).is_none()).collect()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, ..ProptestConfig::default() })]

    /// Never two processes for one instance, no start after a shutdown, nothing done after the end, no end with a
    /// process left, nothing after a final answer: `World` asserts these on every effect, and the machine its own
    /// invariants after every step. Here: every shutdown ends within 8 s plus a step for each stage, every operation
    /// has its answer then, and no run number is used twice.
    #[test]
    fn any_order_of_inputs_keeps_the_invariants(
        first in prop::collection::vec((0u8..4, 1u32..4, any::<bool>()), 1..4),
        acts in acts(),
        obedient: bool,
        kills_work: bool,
    ) {
        let mut world = World::new(random_plan(&first));
        world.kills_work = kills_work;
        for act in acts {
            if world.end.is_some() {
                break;
            }
            world.act(act);
        }
        if world.end.is_none() {
            world.stop(Signal::TERM);
            world.answer_starts(obedient);
            // One stage after the other.
            for _ in 0..if obedient { 4 } else { 0 } {
                for run in world.alive.clone() {
                    world.exit(run, OK, false);
                }
                for run in world.left.clone() {
                    world.tree_gone(run);
                }
            }
            // The whole budget, and for each stage a step for SIGKILL or for an unkillable process.
            world.pass(MS(8000 + 4 * 2100));
        }
        prop_assert!(world.end.is_some(), "the stop has not ended");
        prop_assert_eq!(world.unanswered(), []);
        let spawned: BTreeSet<_> = world.spawned.iter().map(|(_, run)| *run).collect();
        prop_assert_eq!(spawned.len(), world.spawned.len(), "a run number was used twice");
    }

    /// Every operation and every reload completes by itself, without a shutdown.
    #[test]
    fn no_operation_hangs(
        first in prop::collection::vec((0u8..4, 1u32..4, any::<bool>()), 1..4),
        acts in acts(),
        kills_work: bool,
    ) {
        let mut world = World::new(random_plan(&first));
        world.kills_work = kills_work;
        for act in acts {
            if world.end.is_some() {
                break;
            }
            if !matches!(act, Act::Stop) {
                world.act(act);
            }
        }
        world.answer_starts(kills_work);
        // Longer than all delays of 80 operations together, without another input.
        for _ in 0..80 * 4 * 2 {
            if world.unanswered().is_empty() && world.machine.reloads.is_idle() {
                break;
            }
            world.pass(MS(3000));
        }
        prop_assert_eq!(world.unanswered(), []);
        prop_assert!(world.machine.reloads.is_idle());
    }
}

/// The kind of a random application.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sort {
    Plain,
    WaitReady,
    Task,
}

/// Applications with their dependencies: only those with a lower number.
fn orders() -> impl Strategy<Value = Vec<(Sort, Vec<bool>)>> {
    let sort = prop_oneof![Just(Sort::Plain), Just(Sort::WaitReady), Just(Sort::Task)];
    prop::collection::vec((sort, prop::collection::vec(prop::bool::weighted(0.3), 12)), 1..12)
}

/// The numbers of the dependencies of this one.
fn needs(order: &[(Sort, Vec<bool>)], number: usize) -> impl Iterator<Item = usize> {
    (0..number).filter(move |before| order[number].1[*before])
}

/// Whether one depends on the other, also indirectly.
fn reaches(order: &[(Sort, Vec<bool>)], from: usize, to: usize) -> bool {
    needs(order, from).any(|next| next == to || reaches(order, next, to))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// With any dependencies, any order in the file and any order of inputs, each application starts once, none before
    /// its dependencies are satisfied, and all stop in reverse order.
    #[test]
    fn any_order_of_applications_starts_and_stops(
        order in orders(),
        seed: u64,
        picks in prop::collection::vec(any::<prop::sample::Index>(), 60),
    ) {
        let mut apps: Vec<AppSpec> = order
            .iter()
            .enumerate()
            .map(|(number, (sort, _))| {
                let depends_on: Vec<(String, Condition)> = needs(&order, number)
                    .map(|before| {
                        let condition = match order[before].0 {
                            Sort::Plain => Condition::Started,
                            Sort::WaitReady => Condition::Ready,
                            Sort::Task => Condition::Completed,
                        };
                        (before.to_string(), condition)
                    })
                    .collect();
                let depends_on: Vec<_> = depends_on.iter().map(|(app, it)| (app.as_str(), *it)).collect();
                let name = number.to_string();
                let spec = match sort {
                    Sort::Plain => app(&name),
                    Sort::WaitReady => wait_ready_app(&name),
                    Sort::Task => task(&name),
                };
                after(spec, &depends_on)
            })
            .collect();
        // The order of the file has no effect.
        let count = apps.len();
        apps.rotate_left(usize::try_from(seed % count as u64).unwrap());
        if seed % 2 == 0 {
            apps.reverse();
        }
        let names: Vec<usize> = apps.iter().map(|app| app.name.parse().unwrap()).collect();
        let mut world = World::new(plan(apps));
        world.machine.plan.runtime.auto_exit = false;
        let number = |run: &Run| names[run.instance.0 as usize];
        let mut picks = picks.into_iter().cycle();
        let mut is_so = BTreeSet::new();
        let mut seen = 0;
        loop {
            for (_, run) in &world.spawned[seen..] {
                prop_assert!(needs(&order, number(run)).all(|before| is_so.contains(&before)));
                if order[number(run)].0 == Sort::Plain {
                    is_so.insert(number(run));
                }
            }
            seen = world.spawned.len();
            let open: Vec<Run> =
                world.alive.iter().copied().filter(|run| !is_so.contains(&number(run))).collect();
            if open.is_empty() {
                break;
            }
            let run = *picks.next().unwrap().get(&open);
            is_so.insert(number(&run));
            match order[number(&run)].0 {
                Sort::Task => world.exit(run, OK, false),
                Sort::Plain | Sort::WaitReady => world.feed(Input::Ready(run, ReadinessSource::Message)),
            }
        }
        prop_assert_eq!(world.spawned.len(), count, "all start, once");

        world.stop(Signal::TERM);
        while world.end.is_none() {
            let alive: Vec<usize> = world.alive.iter().map(number).collect();
            let views = world.machine.instances().filter(|view| view.status == Status::Stopping);
            let stopping: Vec<usize> = views.map(|view| names[view.id.0 as usize]).collect();
            let free = |of: usize| !alive.iter().any(|other| reaches(&order, *other, of));
            prop_assert!(stopping.iter().all(|of| free(*of)), "stopped before its dependents are gone");
            prop_assert!(alive.iter().all(|of| stopping.contains(of) || !free(*of)), "not stopped in time");
            let runs: Vec<Run> = world.alive.iter().copied().filter(|it| stopping.contains(&number(it))).collect();
            prop_assert!(!runs.is_empty(), "nothing moves it on");
            let run = *picks.next().unwrap().get(&runs);
            world.exit(run, OK, false);
        }
    }
}
