//! Draining: a replaced worker finishes its connections before it is stopped.

use super::*;

/// A cluster of this number of workers, all of which listen.
fn cluster(count: u32) -> World {
    let mut world = World::new(of(count));
    for instance in 0..count {
        world.feed(Input::Ready(world.run(instance), ReadinessSource::Listening));
    }
    world
}

fn of(count: u32) -> Plan {
    let spec = AppSpec { instances: Instances::Count(count), ..cluster_app("a") };
    plan([spec, app("other")])
}

/// The kinds of the stops of an instance.
fn stops(world: &World) -> Vec<StopKind> {
    let stop = |notice: &Notice| match &notice.data {
        EventData::Stopping { stop, .. } => Some(*stop),
        _ => None,
    };
    world.reports.iter().filter_map(stop).collect()
}

#[test]
fn a_surplus_worker_gets_its_signal_after_its_drain() {
    let mut world = cluster(2);
    world.feed(Input::Apply { plan: of(1), cpus: 2 });
    assert_eq!((world.status(1), stops(&world)), (Status::Stopping, vec![]));
    world.feed(Input::Drained(world.run(1)));
    assert_eq!(stops(&world), [StopKind::Drained]);
    world.pass(MS(7999));
    assert!(world.killed.is_empty(), "kill_timeout counts from the signal");
    world.exit(world.run(1), OK, false);
    assert!(world.machine.instance(InstanceId(1)).is_none());
}

#[test]
fn a_worker_that_never_drains_gets_its_signal_at_the_deadline() {
    let mut world = cluster(2);
    world.feed(Input::Apply { plan: of(1), cpus: 2 });
    world.pass(MS(9999));
    assert_eq!(stops(&world), []);
    world.pass(MS(1));
    assert_eq!(stops(&world), [StopKind::NotDrained]);
    world.feed(Input::Drained(world.run(1)));
    assert_eq!(stops(&world).len(), 1, "one signal");
    world.pass(MS(8000));
    assert_eq!(world.killed.len(), 1);
}

#[test]
fn an_instance_that_ends_while_it_drains_has_ended() {
    let mut world = cluster(2);
    world.feed(Input::Apply { plan: of(1), cpus: 2 });
    let run = world.run(1);
    world.exit(run, FAILED, true);
    assert_eq!(world.status(1), Status::Stopping, "its leftovers must end too");
    world.tree_gone(run);
    assert!(world.machine.instance(InstanceId(1)).is_none());
    assert_eq!(world.end, None);
}

#[test]
fn a_shutdown_does_not_wait_for_a_drain() {
    let mut world = cluster(2);
    world.feed(Input::Apply { plan: of(1), cpus: 2 });
    world.stop(Signal::TERM);
    assert_eq!(stops(&world), [StopKind::Shutdown; 3]);
    for instance in 0..3 {
        world.exit(world.run(instance), OK, false);
    }
    assert_eq!(world.end, Some(0));
}

#[test]
fn an_instance_without_connections_or_drain_gets_its_signal_at_once() {
    let mut world = World::new(of(2));
    world.feed(Input::Apply { plan: of(1), cpus: 2 });
    assert_eq!(stops(&world), [StopKind::Removed], "it has never listened");

    let off = |count| {
        let mut spec = AppSpec { instances: Instances::Count(count), ..cluster_app("a") };
        spec.stop.drain = None;
        plan([spec])
    };
    let mut world = World::new(off(2));
    world.feed(Input::Ready(world.run(1), ReadinessSource::Listening));
    world.feed(Input::Apply { plan: off(1), cpus: 2 });
    assert_eq!(stops(&world), [StopKind::Removed]);
}

#[test]
fn an_instance_that_is_started_while_it_drains_comes_back() {
    let mut world = cluster(2);
    world.feed(Input::Apply { plan: of(1), cpus: 2 });
    world.feed(Input::Apply { plan: of(2), cpus: 2 });
    assert_eq!(stops(&world), [], "its clients have not been answered yet");
    world.feed(Input::Drained(world.run(1)));
    world.exit(world.run(1), OK, false);
    assert_eq!(world.status(1), Status::Online);
}
