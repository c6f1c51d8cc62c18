//! Updates of applications: what restarts, how, and when the operation is answered.

use super::*;
use crate::machine::{AppUpdate, InitialState, RestartScope};

fn cluster(count: u32, version: &str) -> AppSpec {
    AppSpec { instances: Instances::Count(count), namespace: version.to_owned(), ..cluster_app("a") }
}

fn forks(count: u32, version: &str) -> AppSpec {
    AppSpec { instances: Instances::Count(count), namespace: version.to_owned(), ..app("a") }
}

fn update(app: AppSpec, selected: impl IntoIterator<Item = u32>) -> AppUpdate {
    AppUpdate {
        app: Arc::new(app),
        selected: selected.into_iter().map(InstanceId).collect(),
        sets_count: false,
        reruns_tasks: true,
        initial_state: InitialState::Started,
    }
}

fn update_apps(update: AppUpdate, scope: RestartScope) -> Operation {
    Operation::UpdateApps { apps: vec![update], cpus: 2, scope }
}

impl World {
    /// Whether it was answered at once.
    fn request_and_complete(&mut self, operation: Operation) -> bool {
        let ticket = self.request(operation);
        self.is_done(ticket)
    }
}

/// The `pm_id`s and versions of the current instances of `a`.
fn list(world: &World) -> Vec<(u32, String)> {
    let is_current = |view: &crate::machine::InstanceView<'_>| {
        view.spec.name == "a" && view.generation == Generation::Current
    };
    let views = world.machine.instances().filter(is_current);
    let mut list: Vec<_> = views.map(|view| (view.pm_id, view.spec.namespace.clone())).collect();
    list.sort();
    list
}

fn version(name: &str, ids: impl IntoIterator<Item = u32>) -> Vec<(u32, String)> {
    ids.into_iter().map(|id| (id, name.to_owned())).collect()
}

fn serving(count: u32) -> World {
    let mut world = World::new(plan([cluster(count, "old"), app("other")]));
    for instance in 0..count {
        world.listen(instance);
    }
    world
}

#[test]
fn a_change_of_a_cluster_is_answered_after_its_reload() {
    for scope in [RestartScope::Changed, RestartScope::Reload, RestartScope::Restart] {
        let mut world = serving(2);
        let ticket = world.request(update_apps(update(cluster(3, "new"), [0, 1]), scope));
        world.listen(3);
        world.exit_ok(0);
        world.listen(4);
        assert_eq!(world.answer(ticket), None, "the last predecessor is alive");
        world.exit_ok(1);
        assert!(world.is_done(ticket), "{scope:?}");
        assert_eq!(list(&world), version("new", [0, 1, 3]), "one more is there after it");
    }
}

#[test]
fn a_change_with_an_aborted_reload_fails_and_the_old_version_keeps_serving() {
    let mut world = serving(2);
    let ticket = world.request(update_apps(update(cluster(2, "new"), [0, 1]), RestartScope::Restart));
    world.exit(world.run(3), FAILED, false);
    assert!(world.failure(ticket).contains("the old version keeps serving"), "{}", world.failure(ticket));
    assert_eq!(list(&world), version("old", [0, 1]));
}

#[test]
fn a_restart_without_a_change_is_at_once_and_a_reload_is_not() {
    let mut world = serving(2);
    let restart = world.request(update_apps(update(cluster(2, "old"), [0, 1]), RestartScope::Restart));
    assert_eq!([world.status(0), world.status(1)], [Status::Stopping; 2]);
    world.exit_ok(0);
    assert_eq!(world.answer(restart), None);
    world.exit_ok(1);
    assert!(world.is_done(restart));
    world.listen(0);
    world.listen(1);
    let reload = world.request(update_apps(update(cluster(2, "old"), [1]), RestartScope::Reload));
    assert_eq!([world.status(0), world.status(1)], [Status::Online; 2]);
    world.listen(3);
    world.exit_ok(1);
    assert!(world.is_done(reload));
    assert!(world.exists(0), "the other one was not selected");
    let nothing = world.request(update_apps(update(cluster(2, "old"), []), RestartScope::Changed));
    assert!(world.is_done(nothing));
    assert_eq!(world.spawned.len(), 6);
}

#[test]
fn a_selected_stopped_instance_starts_and_another_does_not() {
    let mut world = World::new(plan([forks(3, "old"), app("other")]));
    let stop = world.request(Operation::Act(Action::Stop, vec![InstanceId(1), InstanceId(2)]));
    world.exit_ok(1);
    world.exit_ok(2);
    assert!(world.is_done(stop));
    let start = world.request(update_apps(update(forks(3, "old"), [0, 1]), RestartScope::Changed));
    assert!(world.is_done(start));
    assert_eq!([0, 1, 2].map(|id| world.status(id)), [Status::Online, Status::Online, Status::Stopped]);
    let restart = world.request(update_apps(update(forks(3, "new"), [0]), RestartScope::Restart));
    world.exit_ok(0);
    world.exit_ok(1);
    assert!(world.is_done(restart));
    assert_eq!([0, 1, 2].map(|id| world.status(id)), [Status::Online, Status::Online, Status::Stopped]);
    assert_eq!(list(&world), version("new", 0..3));
}

#[test]
fn a_new_file_replaces_fork_instances_one_after_the_other() {
    let mut world = World::new(plan([forks(3, "old"), app("other")]));
    let apply = |world: &mut World, version| {
        world.feed(Input::Apply { plan: plan([forks(3, version), app("other")]), cpus: 2 });
    };
    apply(&mut world, "new");
    for (instance, other) in [(0, 1), (1, 2)] {
        assert_eq!([world.status(instance), world.status(other)], [Status::Stopping, Status::Online]);
        world.exit_ok(instance);
        world.pass(MS(1000));
    }
    world.exit_ok(2);
    world.pass(MS(1000));
    assert_eq!(list(&world), version("new", 0..3));
    assert_eq!(world.machine.plan().apps[0].namespace, "new");

    // A failed restart spares the others.
    let others = [world.run(1), world.run(2)];
    apply(&mut world, "broken");
    world.exit_ok(0);
    world.exit(world.run(0), FAILED, false);
    assert!(world.reports.iter().any(|notice| matches!(notice.data, EventData::ReloadAborted { .. })));
    world.pass(MS(20_000));
    assert_eq!([world.run(1), world.run(2)], others);
    apply(&mut world, "new");
    world.exit_ok(0);
    world.pass(MS(1000));
    assert_eq!((list(&world), [world.run(1), world.run(2)]), (version("new", 0..3), others));
}

#[test]
fn requests_during_a_reload_run_once_after_it() {
    let mut world = serving(1);
    let first = world.request(update_apps(update(cluster(1, "new"), []), RestartScope::Changed));
    let same = world.request(update_apps(update(cluster(1, "new"), []), RestartScope::Changed));
    let newer = world.request(update_apps(update(cluster(1, "newer"), [2]), RestartScope::Reload));
    let newest = world.request(update_apps(update(cluster(1, "newest"), []), RestartScope::Changed));
    world.listen(2);
    world.exit_ok(0);
    assert!(world.is_done(first) && world.is_done(same));
    assert_eq!((world.answer(newer), world.answer(newest)), (None, None));
    world.listen(3);
    world.exit_ok(2);
    assert!(world.is_done(newer) && world.is_done(newest));
    assert_eq!((list(&world), world.spawned.len()), (version("newest", [0]), 4));
}

#[test]
fn a_stop_during_a_reload_drops_the_queued_restart() {
    let mut world = serving(1);
    world.feed(Input::Apply { plan: plan([cluster(1, "new"), app("other")]), cpus: 2 });
    let restart = world.request(update_apps(update(cluster(1, "new"), [0]), RestartScope::Restart));
    let stop = world.request(Operation::Act(Action::Stop, vec![InstanceId(0)]));
    world.exit_ok(0);
    world.exit_ok(2);
    assert!(world.is_done(stop));
    assert!(world.failure(restart).contains("was stopped"), "{}", world.failure(restart));
    assert_eq!(world.status(0), Status::Stopped);
}

#[test]
fn a_stop_of_one_instance_lets_the_others_drain() {
    let drains = |version| {
        let mut spec = cluster(2, version);
        spec.stop.drain = Some(MS(5000));
        spec.reload.max_parallel = 2;
        spec
    };
    let mut world = World::new(plan([drains("old"), app("other")]));
    world.listen(0);
    world.listen(1);
    world.feed(Input::Apply { plan: plan([drains("new"), app("other")]), cpus: 2 });
    world.listen(3);
    world.listen(4);
    let stopping = |world: &World| -> Vec<u32> {
        let stopping = world.reports.iter().filter_map(|notice| match &notice.data {
            EventData::Stopping { .. } => notice.subject.instance.map(|id| id.0),
            _ => None,
        });
        stopping.collect()
    };
    assert_eq!(stopping(&world), [0_u32; 0], "both old ones drain");
    world.request(Operation::Act(Action::Stop, vec![InstanceId(4)]));
    assert_eq!(stopping(&world), [1, 4], "both of its slot, and no other");
}

#[test]
fn a_set_number_of_instances_overrides_a_scale() {
    let mut world = serving(1);
    let scale = world.request(Operation::Scale { app: "a".to_owned(), count: crate::machine::Count::To(3) });
    assert!(world.is_done(scale));
    let kept = world.request(update_apps(update(cluster(1, "old"), []), RestartScope::Changed));
    assert!(world.is_done(kept));
    assert_eq!(list(&world).len(), 3);
    let sets_count = AppUpdate { sets_count: true, ..update(cluster(1, "old"), []) };
    let fewer = world.request(update_apps(sets_count, RestartScope::Changed));
    assert_eq!(world.answer(fewer), None, "two are too many");
    world.exit_ok(2);
    world.exit_ok(3);
    assert!(world.is_done(fewer));
    assert_eq!(list(&world), version("old", [0]));
}

#[test]
fn a_new_app_may_be_stopped_or_have_no_instance() {
    let mut world = World::new(plan([app("other")]));
    let ticket = world.request(update_apps(
        AppUpdate { initial_state: InitialState::Stopped, ..update(forks(2, "x"), []) },
        RestartScope::Changed,
    ));
    assert!(world.is_done(ticket));
    assert_eq!([world.status(1), world.status(2)], [Status::Stopped; 2]);
    assert!(world.machine.plan().apps[1].autostart, "it reads as it did");
    let other = AppSpec { name: "b".to_owned(), ..forks(2, "x") };
    let empty = world.request(update_apps(
        AppUpdate { initial_state: InitialState::ScaledToZero, ..update(other, []) },
        RestartScope::Changed,
    ));
    assert!(world.is_done(empty));
    assert_eq!(world.machine.instances().count(), 3);
    let scale = world.request(Operation::Scale { app: "b".to_owned(), count: crate::machine::Count::By(1) });
    assert!(world.is_done(scale));
    assert_eq!(world.status(3), Status::Online);
}

#[test]
fn a_task_is_interrupted_or_rerun_only_if_selected_or_its_file_has_changed() {
    let migrate = |version: &str| {
        let mut spec = task("a");
        spec.exec.args = vec![version.to_owned()];
        spec
    };
    let with_environment = || {
        let mut spec = migrate("old");
        spec.restart.max_restarts = 3;
        spec.env.caller = Some(Arc::new([("A".to_owned(), "1".to_owned())].into()));
        spec
    };
    for scope in [RestartScope::Changed, RestartScope::Reload, RestartScope::Restart] {
        let mut world = World::new(plan([migrate("old"), app("b")]));
        let by_command = AppUpdate { reruns_tasks: false, ..update(migrate("newer"), []) };
        let by_file = update(migrate("new"), []);

        // While it runs.
        assert!(world.request_and_complete(update_apps(update(with_environment(), []), scope)));
        assert!(world.request_and_complete(update_apps(by_command.clone(), scope)));
        assert!(world.reports.iter().all(|notice| !matches!(notice.data, EventData::RerunPending {})));
        assert!(world.request_and_complete(update_apps(by_file.clone(), scope)));
        assert!(matches!(world.last_report(), Some(EventData::RerunPending {})), "{:?}", world.reports);
        assert_eq!(world.spawned.len(), 2, "{scope:?}: it was interrupted");
        world.exit_ok(0);
        assert_eq!(world.spawned.len(), 3, "{scope:?}: as it reads now, once it has ended");
        world.exit_ok(0);
        assert_eq!(world.machine.instance(InstanceId(0)).unwrap().completed, Some(true));

        // When it has completed.
        world.request_and_complete(update_apps(by_file.clone(), scope));
        world.request_and_complete(update_apps(by_command, scope));
        assert_eq!(world.spawned.len(), 3, "{scope:?}: it was done already");
        world.request_and_complete(update_apps(by_file, scope));
        assert_eq!(world.spawned.len(), 4, "{scope:?}: it is another task now");
    }
}

#[test]
fn the_reload_of_a_task_is_complete_when_the_task_has_completed() {
    let mut world = World::new(plan([task("a"), app("b")]));
    world.exit_ok(0);
    let ticket = world.request(Operation::Act(Action::Reload, vec![InstanceId(0)]));
    assert_eq!(world.answer(ticket), None);
    world.exit_ok(0);
    assert!(world.is_done(ticket), "{:?}", world.replies);
    let failed = world.request(Operation::Act(Action::Reload, vec![InstanceId(0)]));
    world.exit(world.run(0), FAILED, false);
    assert!(world.failure(failed).contains("code 3"), "{:?}", world.replies);
}
