//! Reloads: successors, predecessors, and what remains after an abort.

use super::*;
use crate::machine::ReadinessFailure;

fn cluster(count: u32, version: &str) -> AppSpec {
    AppSpec { instances: Instances::Count(count), namespace: version.to_owned(), ..cluster_app("a") }
}

/// A cluster of this number of instances that listen, and another application.
fn serving(spec: AppSpec) -> World {
    let Instances::Count(count) = spec.instances else { unreachable!("a number") };
    let mut world = World::new(plan([spec, app("other")]));
    for instance in 0..count {
        world.listen(instance);
    }
    world
}

fn apply(world: &mut World, spec: AppSpec) {
    world.feed(Input::Apply { plan: plan([spec, app("other")]), cpus: 2 });
}

/// The generation, `pm_id` and version of the instances of `a`.
fn list(world: &World) -> Vec<(u32, Generation, String)> {
    let of_a = world.machine.instances().filter(|view| view.spec.name == "a");
    of_a.map(|view| (view.pm_id, view.generation, view.spec.namespace.clone())).collect()
}

fn current(world: &World) -> Vec<(u32, String)> {
    let mut current: Vec<_> = list(world)
        .into_iter()
        .filter(|(_, generation, _)| *generation == Generation::Current)
        .map(|(pm_id, _, version)| (pm_id, version))
        .collect();
    current.sort();
    current
}

fn failure(world: &World) -> Option<&ReloadAbortReason> {
    world.reports.iter().find_map(|notice| match &notice.data {
        EventData::ReloadAborted { reason, .. } => Some(reason),
        _ => None,
    })
}

fn version(name: &str, ids: impl IntoIterator<Item = u32>) -> Vec<(u32, String)> {
    ids.into_iter().map(|id| (id, name.to_owned())).collect()
}

#[test]
fn a_worker_ends_when_its_successor_listens() {
    let mut world = serving(cluster(2, "old"));
    apply(&mut world, cluster(2, "new"));
    assert_eq!((world.status(0), world.status(3)), (Status::Online, Status::Online), "both generations run");
    assert!(!world.exists(4), "one at a time");
    assert_eq!(world.machine.plan().apps[0].namespace, "old", "it is not done yet");
    world.listen(3);
    assert_eq!(world.status(0), Status::Stopping);
    assert!(!world.exists(4), "not before the first is gone");
    world.feed(Input::Drained(world.run(0)));
    world.exit_ok(0);
    assert_eq!(current(&world), [version("new", [0]), version("old", [1])].concat());
    world.listen(4);
    world.feed(Input::Drained(world.run(1)));
    world.exit_ok(1);
    assert_eq!(current(&world), version("new", [0, 1]));
    assert_eq!(world.machine.plan().apps[0].namespace, "new");
    let view = world.machine.instance(InstanceId(3)).unwrap();
    assert_eq!((view.number, view.restarts, view.created_at), (0, 1, Time::ZERO));
}

#[test]
fn max_parallel_instances_are_replaced_at_a_time() {
    let mut new = cluster(4, "new");
    new.reload.max_parallel = 3;
    let mut world = serving(cluster(4, "old"));
    apply(&mut world, new);
    assert_eq!(world.alive.len(), 5 + 3);
    for instance in [5, 6, 7] {
        world.listen(instance);
    }
    assert!(!world.exists(8));
    world.exit_ok(2);
    world.listen(8);
    for instance in [0, 1, 3] {
        world.exit_ok(instance);
    }
    assert_eq!(current(&world), version("new", 0..4));
    assert_eq!(list(&world).len(), 4);
}

#[test]
fn a_crashing_successor_is_removed_and_its_predecessor_keeps_serving() {
    let mut world = serving(cluster(2, "old"));
    apply(&mut world, cluster(2, "new"));
    world.exit(world.run(3), FAILED, false);
    assert_eq!(current(&world), version("old", [0, 1]));
    assert_eq!(list(&world).len(), 2);
    assert!(matches!(
        failure(&world),
        Some(ReloadAbortReason::NotReady { failure: ReadinessFailure::Ended { ending: FAILED, .. }, .. })
    ));
    world.pass(MS(100_000));
    assert_eq!((world.alive.len(), world.status(0), world.status(1)), (3, Status::Online, Status::Online));
    // The file is the same, and the instances still differ from it.
    apply(&mut world, cluster(2, "new"));
    world.listen(4);
    world.exit_ok(0);
    world.listen(5);
    world.exit_ok(1);
    assert_eq!(current(&world), version("new", [0, 1]));
}

#[test]
fn a_successor_that_is_never_ready_is_stopped() {
    let mut new = cluster(1, "new");
    new.reload.listen_timeout = MS(5000);
    let mut world = serving(cluster(1, "old"));
    apply(&mut world, new);
    world.pass(MS(4999));
    assert_eq!(failure(&world), None);
    world.pass(MS(1));
    assert!(matches!(
        failure(&world),
        Some(ReloadAbortReason::NotReady {
            failure: ReadinessFailure::TimedOut { source: ReadinessSource::Listening, .. },
            ..
        })
    ));
    assert_eq!(world.status(2), Status::Stopping);
    world.exit_ok(2);
    assert_eq!(current(&world), version("old", [0]));
}

#[test]
fn a_successor_that_cannot_start_changes_nothing() {
    let mut world = serving(cluster(1, "old"));
    world.spawns_fail = true;
    apply(&mut world, cluster(1, "new"));
    assert_eq!(list(&world), [(0, Generation::Current, "old".to_owned())]);
    assert_eq!(world.status(0), Status::Online);
    assert_eq!(world.end, None);
}

#[test]
fn an_aborted_reload_reports_its_progress_and_the_file_can_revert_it() {
    let mut world = serving(cluster(2, "old"));
    apply(&mut world, cluster(2, "new"));
    world.listen(3);
    world.exit_ok(0);
    world.exit(world.run(4), FAILED, false);
    let message = world.reports.iter().find_map(|notice| match &notice.data {
        EventData::ReloadAborted { .. } => Some(notice.to_string()),
        _ => None,
    });
    assert!(message.is_some_and(|text| text.contains("1 of 2 run the new version")));
    assert_eq!(current(&world), [version("new", [0]), version("old", [1])].concat());
    apply(&mut world, cluster(2, "old"));
    world.listen(5);
    world.exit_ok(3);
    world.listen(6);
    world.exit_ok(1);
    assert_eq!(current(&world), version("old", [0, 1]));
}

#[test]
fn with_wait_ready_only_the_message_counts() {
    let spec = |version| {
        let mut spec = cluster(1, version);
        spec.reload.wait_ready = true;
        spec
    };
    let mut world = serving(spec("old"));
    assert_eq!(world.status(0), Status::Launching, "PM2's word for one that is not ready");
    world.feed(Input::Ready(world.run(0), ReadinessSource::Message));
    assert_eq!(world.status(0), Status::Online);
    apply(&mut world, spec("new"));
    world.listen(2);
    assert_eq!(world.status(0), Status::Online);
    world.feed(Input::Ready(world.run(2), ReadinessSource::Message));
    assert_eq!(world.status(0), Status::Stopping);
}

#[test]
fn without_a_reload_an_instance_that_is_not_ready_is_only_reported() {
    let mut spec = app("a");
    spec.reload.wait_ready = true;
    let mut world = World::new(plan([spec]));
    world.pass(MS(60_000));
    assert_eq!(world.status(0), Status::Online);
    assert!(matches!(world.last_report(), Some(EventData::NotReady { .. })));
}

#[test]
fn an_instance_that_never_listened_is_ready_after_min_uptime() {
    let mut world = World::new(plan([cluster(1, "old"), app("other")]));
    world.pass(MS(5000));
    apply(&mut world, cluster(1, "new"));
    world.pass(MS(999));
    assert_eq!(world.status(0), Status::Online);
    world.pass(MS(1));
    assert_eq!(world.status(0), Status::Stopping);
    world.exit_ok(0);
    assert_eq!(current(&world), version("new", [0]));
}

#[test]
fn a_predecessor_that_begins_to_listen_needs_a_successor_that_listens() {
    let mut world = World::new(plan([cluster(1, "old"), app("other")]));
    apply(&mut world, cluster(1, "new"));
    world.pass(MS(500));
    world.listen(0);
    world.pass(MS(10_000));
    assert_eq!(world.status(0), Status::Online);
    world.listen(2);
    assert_eq!(world.status(0), Status::Stopping);
}

#[test]
fn a_predecessor_that_crashes_during_its_reload_restarts_and_is_replaced() {
    let mut world = serving(cluster(1, "old"));
    apply(&mut world, cluster(1, "new"));
    world.exit(world.run(0), FAILED, false);
    assert_eq!(world.status(0), Status::Online);
    world.exit(world.run(0), FAILED, false);
    assert_eq!(world.status(0), Status::BackingOff);
    world.listen(2);
    assert_eq!(list(&world), [(0, Generation::Current, "new".to_owned())]);
}

#[test]
fn a_change_during_a_reload_comes_after_it() {
    let mut world = serving(cluster(1, "old"));
    apply(&mut world, cluster(1, "new"));
    apply(&mut world, cluster(1, "newer"));
    apply(&mut world, cluster(2, "newest"));
    apply(&mut world, cluster(2, "newest"));
    assert_eq!(world.alive.len(), 3);
    world.listen(2);
    world.exit_ok(0);
    assert_eq!(current(&world), version("new", [0]));
    world.listen(3);
    world.exit_ok(2);
    assert_eq!(current(&world), version("newest", [0, 2]), "`other` is 1");
}

#[test]
fn the_same_file_during_a_reload_queues_nothing() {
    let mut world = serving(cluster(1, "old"));
    apply(&mut world, cluster(1, "new"));
    apply(&mut world, cluster(1, "new"));
    assert!(matches!(world.last_report(), Some(EventData::ReloadUnderWay {})), "{:?}", world.reports);
    world.listen(2);
    world.exit_ok(0);
    assert_eq!(world.spawned.len(), 3);
}

#[test]
fn an_app_that_is_removed_during_its_reload_stops_in_both_generations() {
    let mut world = serving(cluster(1, "old"));
    apply(&mut world, cluster(1, "new"));
    world.feed(Input::Apply { plan: plan([app("other")]), cpus: 2 });
    assert_eq!(failure(&world), Some(&ReloadAbortReason::Removed));
    world.exit_ok(0);
    world.exit_ok(2);
    assert_eq!(list(&world), []);
    assert_eq!(world.end, None);
}

#[test]
fn a_shutdown_during_a_reload_stops_both_generations() {
    let mut world = serving(cluster(2, "old"));
    apply(&mut world, cluster(2, "new"));
    world.listen(3);
    world.reports.clear();
    world.stop(Signal::TERM);
    let stopping = world
        .reports
        .iter()
        .filter(|notice| matches!(notice.data, EventData::Stopping { stop: StopKind::Shutdown, .. }));
    assert_eq!(stopping.count(), 4, "the one that drains too");
    for run in world.alive.clone() {
        world.exit(run, OK, false);
    }
    assert_eq!(world.end, Some(0));
}

#[test]
fn fewer_instances_of_a_new_version_are_not_replaced_first() {
    let mut world = serving(cluster(3, "old"));
    apply(&mut world, cluster(1, "new"));
    world.listen(4);
    world.exit_ok(0);
    assert_eq!(current(&world), [version("new", [0]), version("old", [1, 2])].concat());
    world.exit_ok(1);
    world.exit_ok(2);
    assert_eq!(current(&world), version("new", [0]));
    assert_eq!(world.spawned.len(), 4 + 1);
}

#[test]
fn a_new_file_restarts_instances_that_cannot_overlap() {
    let fork = |version: &str| AppSpec { namespace: version.to_owned(), ..app("a") };
    let mut world = World::new(plan([fork("old"), app("other")]));
    apply(&mut world, fork("new"));
    assert_eq!(world.status(0), Status::Stopping);
    world.exit_ok(0);
    assert_eq!(current(&world), version("new", [0]));
}

#[test]
fn a_successor_that_ends_soon_after_it_was_ready_aborts_the_reload() {
    let mut world = serving(cluster(3, "old"));
    apply(&mut world, cluster(3, "new"));
    world.listen(4);
    world.exit_ok(0);
    world.pass(MS(999));
    world.exit(world.run(4), FAILED, false);
    assert!(matches!(
        failure(&world),
        Some(ReloadAbortReason::NotReady { failure: ReadinessFailure::Ended { ending: FAILED, .. }, .. })
    ));
    assert_eq!(world.status(5), Status::Stopping, "it was coming");
    world.exit_ok(5);
    assert_eq!(current(&world), [version("new", [0]), version("old", [1, 2])].concat());
    assert_eq!(world.status(4), Status::Online, "it runs again, as everybody does");
}

#[test]
fn a_later_crash_or_one_of_the_last_successor_aborts_nothing() {
    let mut world = serving(cluster(2, "old"));
    apply(&mut world, cluster(2, "new"));
    world.listen(3);
    world.pass(MS(1000));
    world.exit(world.run(3), FAILED, false);
    world.exit_ok(0);
    world.listen(4);
    world.exit(world.run(4), FAILED, false);
    world.exit_ok(1);
    assert_eq!(failure(&world), None);
    assert_eq!(current(&world), version("new", [0, 1]));
}
