//! Operations: the effect of each one, and its one answer.

use super::*;
use crate::machine::{AppUpdate, Count, InitialState, RestartScope};

fn cluster(count: u32) -> Plan {
    plan([AppSpec { instances: Instances::Count(count), ..cluster_app("a") }, app("other")])
}

fn forks(count: u32) -> Plan {
    plan([AppSpec { instances: Instances::Count(count), ..app("a") }, app("other")])
}

fn ids(ids: impl IntoIterator<Item = u32>) -> Vec<InstanceId> {
    ids.into_iter().map(InstanceId).collect()
}

/// The `pm_id`s of the instances of `a`.
fn list(world: &World) -> Vec<u32> {
    world.machine.instances().filter(|view| view.spec.name == "a").map(|view| view.pm_id).collect()
}

#[test]
fn a_stop_is_done_when_the_tree_is_gone_and_a_start_when_the_program_runs() {
    let mut world = World::new(forks(1));
    let stop = world.request(Operation::Act(Action::Stop, ids([0])));
    let run = world.run(0);
    world.exit(run, OK, true);
    assert_eq!(world.answer(stop), None);
    world.tree_gone(run);
    assert!(world.is_done(stop));
    assert_eq!(world.status(0), Status::Stopped);
    assert_eq!(world.end, None);
    let start = world.request(Operation::Act(Action::Start, ids([0])));
    assert!(world.is_done(start));
    let restarts = |world: &World| world.machine.instance(InstanceId(0)).unwrap().restarts;
    assert_eq!((world.status(0), restarts(&world)), (Status::Online, 0), "a start after a stop");
    let restart = world.request(Operation::Act(Action::Restart, ids([0])));
    world.exit_ok(0);
    assert!(world.is_done(restart));
    assert_eq!(restarts(&world), 1);
    let again = world.request(Operation::Act(Action::Start, ids([0])));
    assert!(world.is_done(again), "it runs already");
    assert_eq!(world.spawned.len(), 4);
}

#[test]
fn an_operation_waits_for_the_ready_message() {
    let mut world = World::new(plan([wait_ready_app("a")]));
    // It has not sent `ready` yet.
    let start = world.request(Operation::Act(Action::Start, ids([0])));
    let restart = world.request(Operation::Act(Action::Restart, ids([0])));
    let run = world.run(0);
    world.exit(run, OK, false);
    assert_eq!((world.answer(start), world.answer(restart)), (None, None));
    world.feed(Input::Ready(world.run(0), ReadinessSource::Message));
    assert!(world.is_done(start) && world.is_done(restart));

    // An instance that is late keeps starting, as without a command.
    let late = world.request(Operation::Act(Action::Restart, ids([0])));
    world.exit(world.run(0), OK, false);
    world.pass(Duration::from_secs(59));
    assert_eq!(world.answer(late), None);
    world.pass(Duration::from_secs(2));
    assert!(world.is_done(late));

    let crash = world.request(Operation::Act(Action::Restart, ids([0])));
    world.exit(world.run(0), OK, false);
    world.exit(world.run(0), FAILED, false);
    assert_eq!(world.answer(crash), None, "it is tried again at once");
    world.exit(world.run(0), FAILED, false);
    assert!(world.failure(crash).contains("did not start: exited with code 3"), "{}", world.failure(crash));
}

#[test]
fn a_failed_start_is_answered_at_once_with_the_reason() {
    let mut world = World::new(forks(1));
    let stop = world.request(Operation::Act(Action::Stop, ids([0])));
    world.exit_ok(0);
    assert!(world.is_done(stop));
    world.spawns_fail = true;
    let start = world.request(Operation::Act(Action::Start, ids([0])));
    assert!(world.failure(start).contains("gone"), "{}", world.failure(start));
    assert_eq!(world.status(0), Status::BackingOff);
}

#[test]
fn a_restart_forgets_unstable_runs() {
    let mut world = World::new(forks(2));
    world.exit(world.run(0), FAILED, false);
    assert_eq!(world.machine.instance(InstanceId(0)).unwrap().unstable_runs, 1);
    let restart = world.request(Operation::Act(Action::Restart, ids([0, 1])));
    world.exit_ok(0);
    assert_eq!(world.answer(restart), None);
    world.exit_ok(1);
    assert!(world.is_done(restart));
    let view = world.machine.instance(InstanceId(0)).unwrap();
    assert_eq!((view.unstable_runs, view.restarts, view.past_runs.len()), (0, 2, 2));
    assert!(world.steps.iter().filter(|ticket| **ticket == restart).count() > 2, "its steps were reported");
}

#[test]
fn a_restart_that_is_stopped_has_failed() {
    let mut world = World::new(forks(1));
    let restart = world.request(Operation::Act(Action::Restart, ids([0])));
    let stop = world.request(Operation::Act(Action::Stop, ids([0])));
    world.exit_ok(0);
    assert!(world.failure(restart).contains("did not start"));
    assert!(world.is_done(stop));
}

#[test]
fn a_start_during_the_stop_starts_it_again() {
    let mut world = World::new(forks(1));
    let stop = world.request(Operation::Act(Action::Stop, ids([0])));
    let start = world.request(Operation::Act(Action::Start, ids([0])));
    world.exit_ok(0);
    assert!(world.is_done(stop) && world.is_done(start));
    assert_eq!(world.status(0), Status::Online);
}

#[test]
fn the_stop_of_an_unkillable_process_fails() {
    let mut world = World::new(forks(1));
    let stop = world.request(Operation::Act(Action::Stop, ids([0])));
    world.pass(MS(20_000));
    assert!(world.failure(stop).contains("SIGKILL"));
}

#[test]
fn a_reload_replaces_all_and_is_done_when_the_last_predecessor_is_gone() {
    let mut world = World::new(cluster(2));
    world.listen(0);
    world.listen(1);
    let reload = world.request(Operation::Act(Action::Reload, ids([0, 1])));
    world.listen(3);
    world.exit_ok(0);
    world.listen(4);
    assert_eq!(world.answer(reload), None);
    world.exit_ok(1);
    assert!(world.is_done(reload));
    assert_eq!(list(&world), [0, 1]);
}

#[test]
fn reloads_during_a_reload_are_one_that_comes_after_it() {
    let mut world = World::new(cluster(1));
    world.listen(0);
    let first = world.request(Operation::Act(Action::Reload, ids([0])));
    let second = world.request(Operation::Act(Action::Reload, ids([0])));
    let third = world.request(Operation::Act(Action::Reload, ids([2])));
    world.listen(2);
    world.exit_ok(0);
    assert!(world.is_done(first));
    assert_eq!((world.answer(second), world.answer(third)), (None, None));
    world.listen(3);
    world.exit_ok(2);
    assert!(world.is_done(second) && world.is_done(third));
    assert_eq!(world.spawned.len(), 4);
}

#[test]
fn a_failed_reload_is_reported_and_nothing_is_errored() {
    let mut world = World::new(cluster(2));
    world.listen(0);
    world.listen(1);
    let reload = world.request(Operation::Act(Action::Reload, ids([0, 1])));
    world.exit(world.run(3), FAILED, false);
    assert!(world.failure(reload).contains("code 3"), "{}", world.failure(reload));
    assert_eq!([world.status(0), world.status(1)], [Status::Online; 2]);
}

#[test]
fn a_stop_aborts_a_reload() {
    let mut world = World::new(cluster(1));
    world.listen(0);
    let reload = world.request(Operation::Act(Action::Reload, ids([0])));
    let queued = world.request(Operation::Act(Action::Reload, ids([0])));
    let stop = world.request(Operation::Act(Action::Stop, ids([0])));
    assert!(world.failure(queued).contains("was stopped"));
    world.exit_ok(0);
    assert!(world.is_done(stop));
    assert_eq!(world.answer(reload), None, "its successor still ends");
    world.exit_ok(2);
    assert!(world.failure(reload).contains("the app was stopped"));
    assert_eq!((list(&world), world.status(0)), (vec![0], Status::Stopped));
}

#[test]
fn instances_that_cannot_overlap_restart_one_after_the_other() {
    let mut world = World::new(forks(2));
    let reload = world.request(Operation::Act(Action::Reload, ids([0, 1])));
    assert_eq!([world.status(0), world.status(1)], [Status::Stopping, Status::Online]);
    world.exit_ok(0);
    world.pass(MS(999));
    assert_eq!([world.status(0), world.status(1)], [Status::Online; 2]);
    world.pass(MS(1));
    assert_eq!(world.status(1), Status::Stopping);
    world.exit_ok(1);
    world.pass(MS(1000));
    assert!(world.is_done(reload));
}

#[test]
fn a_fork_instance_that_fails_its_reload_spares_the_others() {
    let mut world = World::new(forks(2));
    let other = world.run(1);
    let reload = world.request(Operation::Act(Action::Reload, ids([0, 1])));
    world.exit_ok(0);
    world.exit(world.run(0), FAILED, false);
    assert!(world.failure(reload).contains("none of the 2"), "{}", world.failure(reload));
    world.pass(MS(20_000));
    assert_eq!(world.run(1), other);
    assert_eq!(world.status(0), Status::Online, "its own restart policy applies");
}

#[test]
fn a_single_fork_instance_that_fails_its_reload_is_not_counted() {
    let mut world = World::new(forks(1));
    let reload = world.request(Operation::Act(Action::Reload, ids([0])));
    world.exit_ok(0);
    world.exit(world.run(0), FAILED, false);
    let why = world.failure(reload);
    assert!(why.ends_with("a (0) exited: code 3, up 0 ms; the restart policy of a applies"), "{why}");
}

#[test]
fn a_scale_adds_and_removes_at_the_end_of_the_list() {
    let mut world = World::new(cluster(2));
    let of_a = |count| Operation::Scale { app: "a".to_owned(), count };
    let up = world.request(of_a(Count::By(2)));
    assert!(world.is_done(up));
    assert_eq!(list(&world), [0, 1, 3, 4]);
    let down = world.request(of_a(Count::By(-9)));
    for instance in [1, 3, 4] {
        assert_eq!(world.answer(down), None);
        world.exit_ok(instance);
    }
    assert!(world.is_done(down));
    assert_eq!(list(&world), [0]);
    let too_many = world.request(of_a(Count::To(1001)));
    assert!(world.failure(too_many).contains("1000"));
    let unknown = world.request(Operation::Scale { app: "unknown".to_owned(), count: Count::To(1) });
    assert!(world.failure(unknown).contains("unknown"));
    let none = world.request(of_a(Count::To(0)));
    world.exit_ok(0);
    assert!(world.is_done(none));
    let one = world.request(of_a(Count::By(1)));
    assert!(world.is_done(one));
    assert_eq!(list(&world).len(), 1);
}

#[test]
fn a_scale_to_fewer_ends_the_newest_first() {
    let mut world = World::new(plan([AppSpec { instances: Instances::Count(3), ..app("a") }]));
    let delete = world.request(Operation::Act(Action::Delete, ids([0])));
    world.exit_ok(0);
    assert!(world.is_done(delete));
    let up = world.request(Operation::Scale { app: "a".to_owned(), count: Count::By(1) });
    assert!(world.is_done(up));
    let numbers = |world: &World| world.machine.instances().map(|view| view.number).collect::<Vec<_>>();
    assert_eq!((list(&world), numbers(&world)), (vec![1, 2, 3], vec![1, 2, 0]));
    let down = world.request(Operation::Scale { app: "a".to_owned(), count: Count::To(1) });
    world.exit_ok(2);
    world.exit_ok(3);
    assert!(world.is_done(down));
    assert_eq!(list(&world), [1], "the number does not count");
}

#[test]
fn ids_begin_at_0_again_when_the_list_is_empty() {
    let mut world = World::new(plan([app("b"), app("a")]));
    let add = |name: &str| Operation::UpdateApps {
        apps: vec![AppUpdate {
            app: Arc::new(app(name)),
            selected: Vec::new(),
            sets_count: false,
            reruns_tasks: true,
            initial_state: InitialState::Started,
        }],
        cpus: 2,
        scope: RestartScope::Changed,
    };
    world.request(Operation::Act(Action::Delete, ids([0])));
    world.exit_ok(0);
    world.request(add("c"));
    assert_eq!(world.machine.instances().last().unwrap().pm_id, 2, "others are left");
    world.request(Operation::Act(Action::Delete, ids([1, 2])));
    world.exit_ok(1);
    world.exit_ok(2);
    world.request(add("a"));
    assert_eq!(list(&world), [0]);
}

#[test]
fn a_rename_applies_to_instances_and_dependencies() {
    let mut world = World::new(plan([app("db"), after(app("a"), &[("db", Condition::Started)])]));
    let up = world.request(Operation::Scale { app: "db".to_owned(), count: Count::To(2) });
    assert!(world.is_done(up));
    world.feed(Input::Rename { from: "db".to_owned(), to: "store".to_owned() });
    assert!(world.machine.is_scaled("store") && !world.machine.is_scaled("db"));
    let names = |world: &World| world.machine.instances().map(|it| it.spec.name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&world), ["store", "a", "store"]);
    for planned in &world.machine.plan().apps {
        assert!(planned.name != "db" && planned.order.depends_on.iter().all(|other| other.app == "store"));
    }
    let restart = world.request(Operation::Act(Action::Restart, ids([0])));
    world.exit_ok(0);
    assert!(world.is_done(restart));
    let down = world.request(Operation::Scale { app: "store".to_owned(), count: Count::To(1) });
    world.exit_ok(2);
    assert!(world.is_done(down));
    // A file that has not changed has the old name.
    world.feed(Input::Apply {
        plan: plan([app("db"), after(app("a"), &[("db", Condition::Started)])]),
        cpus: 2,
    });
    world.exit_ok(0);
    let left = names(&world);
    assert!(left.contains(&"db".to_owned()) && !left.contains(&"store".to_owned()), "{left:?}");
}

#[test]
fn a_scale_lasts_until_the_file_has_another_number() {
    let mut world = World::new(cluster(2));
    let up = world.request(Operation::Scale { app: "a".to_owned(), count: Count::To(3) });
    assert!(world.is_done(up));
    world.feed(Input::Apply { plan: cluster(2), cpus: 2 });
    assert_eq!(list(&world).len(), 3, "the file is as it was");
    world.feed(Input::Apply { plan: cluster(4), cpus: 2 });
    assert_eq!(list(&world).len(), 4);
    world.feed(Input::Apply { plan: cluster(2), cpus: 2 });
    world.exit_ok(3);
    world.exit_ok(4);
    assert_eq!(list(&world).len(), 2);
}

#[test]
fn a_scale_during_a_reload_comes_after_it() {
    let mut world = World::new(cluster(1));
    world.listen(0);
    let reload = world.request(Operation::Act(Action::Reload, ids([0])));
    let scale = world.request(Operation::Scale { app: "a".to_owned(), count: Count::To(2) });
    assert_eq!(list(&world).len(), 2, "predecessor and successor");
    world.listen(2);
    world.exit_ok(0);
    assert!(world.is_done(reload) && world.is_done(scale));
    assert!(world.machine.instances().all(|view| view.generation == Generation::Current));
    assert_eq!(list(&world).len(), 2);
}

#[test]
fn a_deleted_app_is_forgotten_until_a_file_names_it_again() {
    let mut world = World::new(forks(2));
    let one = world.request(Operation::Act(Action::Delete, ids([0])));
    world.exit_ok(0);
    assert!(world.is_done(one));
    world.feed(Input::Apply { plan: forks(2), cpus: 2 });
    assert_eq!(list(&world), [1], "the file is as it was");
    let all = world.request(Operation::Act(Action::Delete, ids([1])));
    world.exit_ok(1);
    assert!(world.is_done(all));
    assert!(world.machine.plan().apps.iter().all(|app| app.name != "a"));
    world.feed(Input::Apply { plan: forks(2), cpus: 2 });
    assert_eq!(list(&world).len(), 2);
}

#[test]
fn a_delete_fails_if_the_file_adds_the_app_before_it_is_gone() {
    let mut world = World::new(forks(1));
    let delete = world.request(Operation::Act(Action::Delete, ids([0])));
    world.feed(Input::Apply { plan: forks(1), cpus: 2 });
    assert!(world.failure(delete).contains("added again"));
    world.exit_ok(0);
    assert_eq!(world.status(0), Status::Online);
}

#[test]
fn a_reset_forgets_the_restarts() {
    let mut world = World::new(forks(1));
    world.pass(MS(10));
    world.exit(world.run(0), FAILED, false);
    let reset = world.request(Operation::Act(Action::Reset, ids([0])));
    assert!(world.is_done(reset));
    let view = world.machine.instance(InstanceId(0)).unwrap();
    assert_eq!((view.restarts, view.unstable_runs, view.created_at), (0, 0, world.now));
}

#[test]
fn a_signal_needs_a_process() {
    let mut world = World::new(forks(1));
    let sent = world.request(Operation::Act(Action::Signal(Signal::USR2), ids([0])));
    assert!(world.is_done(sent));
    let stop = world.request(Operation::Act(Action::Stop, ids([0])));
    world.exit_ok(0);
    assert!(world.is_done(stop));
    let lost = world.request(Operation::Act(Action::Signal(Signal::USR2), ids([0])));
    assert!(world.failure(lost).contains("is not running"));
    let missing = world.request(Operation::Act(Action::Signal(Signal::USR2), ids([77])));
    assert!(world.failure(missing).contains("left the list"));
}

#[test]
fn a_shutdown_answers_every_operation() {
    let mut world = World::new(cluster(1));
    world.listen(0);
    let reload = world.request(Operation::Act(Action::Reload, ids([0])));
    let scale = world.request(Operation::Scale { app: "a".to_owned(), count: Count::To(3) });
    let restart = world.request(Operation::Act(Action::Restart, ids([1])));
    world.stop(Signal::TERM);
    let late = world.request(Operation::Act(Action::Start, ids([0])));
    assert!(world.failure(late).contains("being stopped"));
    assert!(world.failure(reload).contains("procrun is stopping"));
    assert!(world.failure(scale).contains("procrun is stopping"));
    for run in world.alive.clone() {
        world.exit(run, OK, false);
    }
    assert!(world.failure(restart).contains("did not start"));
    assert_eq!(world.end, Some(0));
    let after = world.request(Operation::Act(Action::Start, ids([0])));
    assert!(world.failure(after).contains("about to end"));
}

#[test]
fn the_number_of_past_runs_is_bounded() {
    let mut world = World::new(forks(1));
    for code in 0..9 {
        world.pass(MS(20_000));
        world.exit(world.run(0), Ending::Exited(code), false);
    }
    let past_runs = world.machine.instance(InstanceId(0)).unwrap().past_runs.to_vec();
    let codes: Vec<u8> = past_runs.iter().map(|past| past.ending.code()).collect();
    assert_eq!(codes, [4, 5, 6, 7, 8]);
}
