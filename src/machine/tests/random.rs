//! The machine against random event orders.

use proptest::prelude::*;

use super::*;
use crate::machine::Sign;

impl World {
    fn any_alive(&self, which: prop::sample::Index) -> Option<Run> {
        let alive: Vec<Run> = self.alive.iter().copied().collect();
        (!alive.is_empty()).then(|| *which.get(&alive))
    }
}

#[derive(Debug, Clone)]
enum Act {
    Exit { which: prop::sample::Index, code: u8, leftovers: bool },
    TreeGone(prop::sample::Index),
    Pass(u64),
    Stale(u32, u64),
    Apply(Vec<(u8, u32, bool)>),
    SpawnsFail(bool),
    Listens(prop::sample::Index),
    Drained(prop::sample::Index),
    Stop,
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        8 => (any::<prop::sample::Index>(), 0u8..4, prop::bool::weighted(0.3))
            .prop_map(|(which, code, leftovers)| Act::Exit { which, code, leftovers }),
        4 => any::<prop::sample::Index>().prop_map(Act::TreeGone),
        6 => prop_oneof![0u64..200, 0u64..20_000].prop_map(Act::Pass),
        1 => (0u32..6, 0u64..20).prop_map(|(instance, epoch)| Act::Stale(instance, epoch)),
        2 => prop::collection::vec((0u8..4, 1u32..4, any::<bool>()), 1..4).prop_map(Act::Apply),
        1 => any::<bool>().prop_map(Act::SpawnsFail),
        4 => any::<prop::sample::Index>().prop_map(Act::Listens),
        2 => any::<prop::sample::Index>().prop_map(Act::Drained),
        1 => Just(Act::Stop),
    ];
    prop::collection::vec(act, 1..80)
}

fn random_plan(apps: &[(u8, u32, bool)]) -> Plan {
    let mut by_name = BTreeMap::new();
    for (name, instances, other) in apps {
        let mut spec = if name % 2 == 0 { cluster_app(&name.to_string()) } else { app(&name.to_string()) };
        spec.instances = Instances::Count(*instances);
        spec.restart.max_restarts = 4;
        spec.stop.kill_timeout = MS(3000);
        if *other {
            spec.namespace = "other".to_owned();
            spec.restart.on_errored = OnErrored::Exit;
        }
        by_name.insert(*name, spec);
    }
    plan(by_name.into_values())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    /// Never two processes for one instance, no start after a stop, nothing done after the end,
    /// and no end with a process left: `World` asserts these on every effect. Here: every stop
    /// ends within `kill_timeout` plus a step, and every started run is accounted for.
    #[test]
    fn any_order_of_events_keeps_the_promises(
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
            match act {
                Act::Exit { which, code, leftovers } => {
                    if let Some(run) = world.any_alive(which) {
                        world.exit(run, Ending::Exited(code), leftovers);
                    }
                }
                Act::TreeGone(which) => {
                    let left: Vec<_> = world.left.iter().copied().collect();
                    if !left.is_empty() {
                        world.tree_gone(*which.get(&left));
                    }
                }
                Act::Pass(millis) => world.pass(MS(millis)),
                Act::Stale(instance, epoch) => {
                    let timer = Timer { instance: InstanceId(instance), epoch };
                    if !world.timers.contains_key(&timer) {
                        world.feed(Event::TimerFired(timer));
                    }
                }
                Act::Apply(apps) => {
                    if world.stop_asked.is_none() {
                        world.feed(Event::Apply { plan: random_plan(&apps), cpus: 2 });
                    }
                }
                Act::SpawnsFail(fail) => world.spawns_fail = fail,
                Act::Listens(which) => {
                    if let Some(run) = world.any_alive(which) {
                        world.feed(Event::Ready(run, Sign::Listening));
                    }
                }
                Act::Drained(which) => {
                    if let Some(run) = world.any_alive(which) {
                        world.feed(Event::Drained(run));
                    }
                }
                Act::Stop => world.stop(Signal::TERM),
            }
        }
        if world.end.is_none() {
            world.stop(Signal::TERM);
            if obedient {
                for run in world.alive.clone() {
                    world.exit(run, OK, false);
                }
                for run in world.left.clone() {
                    world.tree_gone(run);
                }
            }
            // The kill_timeout of these apps, and a step for SIGKILL or for giving up.
            world.pass(MS(3000 + 2000));
        }
        prop_assert!(world.end.is_some(), "the stop has not ended");
        let spawned: BTreeSet<_> = world.spawned.iter().map(|(_, run)| *run).collect();
        prop_assert_eq!(spawned.len(), world.spawned.len(), "a run number was used twice");
    }
}
