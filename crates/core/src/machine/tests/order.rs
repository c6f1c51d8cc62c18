//! The order of starts, and instances that are blocked.

use super::*;
use crate::machine::Count;

const STARTED: Condition = Condition::Started;
const READY: Condition = Condition::Ready;
const COMPLETED: Condition = Condition::Completed;

/// `db` has `wait_ready`, `migrate` is a task after it, `api` depends on both; the file has them in the opposite order.
fn stack() -> Plan {
    plan([
        after(app("api"), &[("db", READY), ("migrate", COMPLETED)]),
        after(task("migrate"), &[("db", READY)]),
        wait_ready_app("db"),
    ])
}

const API: u32 = 0;
const MIGRATE: u32 = 1;
const DB: u32 = 2;

fn ids(ids: impl IntoIterator<Item = u32>) -> Vec<InstanceId> {
    ids.into_iter().map(InstanceId).collect()
}

impl World {
    fn sends_ready(&mut self, instance: u32) {
        self.feed(Input::Ready(self.run(instance), ReadinessSource::Message));
    }

    fn started(&self) -> Vec<u32> {
        self.spawned.iter().map(|(_, run)| run.instance.0).collect()
    }

    fn blocked(&self) -> Vec<(u32, String)> {
        let blocked = self.reports.iter().filter_map(|notice| match &notice.data {
            EventData::Blocked { obstacle } => {
                Some((notice.subject.instance.expect("an instance").0, obstacle.clone()))
            }
            _ => None,
        });
        blocked.collect()
    }
}

#[test]
fn each_app_starts_when_its_dependencies_are_satisfied() {
    let mut world = World::new(stack());
    assert_eq!(world.started(), [DB]);
    assert_eq!(world.status(API), Status::WaitingForDependencies);
    assert_eq!(world.machine.waits_for(InstanceId(API)), ["db (ready)", "migrate (completed)"]);
    world.sends_ready(DB);
    assert_eq!(world.started(), [DB, MIGRATE]);
    assert_eq!(world.machine.waits_for(InstanceId(API)), ["migrate (completed)"]);
    world.exit_ok(MIGRATE);
    assert_eq!(world.started(), [DB, MIGRATE, API]);
    let task = world.machine.instance(InstanceId(MIGRATE)).unwrap();
    assert_eq!((task.status, task.completed, task.failed), (Status::Stopped, Some(true), false));
    assert_eq!(world.end, None);
}

#[test]
fn a_wait_is_reported_once() {
    let mut world = World::new(stack());
    world.sends_ready(DB);
    world.exit_ok(MIGRATE);
    let waits_reported = |id: u32| {
        world
            .reports
            .iter()
            .filter(|it| {
                matches!(it.data, EventData::Waiting { .. }) && it.subject.instance == Some(InstanceId(id))
            })
            .count()
    };
    assert_eq!((waits_reported(API), waits_reported(MIGRATE), waits_reported(DB)), (1, 1, 0));
}

#[test]
fn a_restart_of_a_dependency_restarts_no_other_app_and_a_crash_does_not_wait() {
    let mut world = World::new(stack());
    world.sends_ready(DB);
    world.exit_ok(MIGRATE);
    world.request(Operation::Act(Action::Restart, ids([DB])));
    world.exit_ok(DB);
    assert_eq!(world.started(), [DB, MIGRATE, API, DB]);
    // The database is not ready now.
    world.exit(world.run(API), FAILED, false);
    assert_eq!(world.status(API), Status::Online);
    assert_eq!(world.started(), [DB, MIGRATE, API, DB, API]);
}

#[test]
fn a_failing_task_is_retried_and_in_the_end_no_dependent_starts() {
    let mut task = after(task("migrate"), &[]);
    task.restart.max_restarts = 3;
    let mut world = World::new(plan([task, after(app("api"), &[("migrate", COMPLETED)])]));
    for _ in 0..2 {
        // Longer than `min_uptime`: a failed task counts as failed anyway.
        world.pass(MS(5000));
        world.exit(world.run(0), FAILED, false);
        assert_eq!(world.status(1), Status::WaitingForDependencies);
        world.pass(MS(15_000));
    }
    world.exit(world.run(0), FAILED, false);
    assert_eq!(world.blocked(), [(1, "migrate (0) is errored".to_owned())]);
    assert_eq!(world.end, Some(3), "the container ends with the code of the task");
}

#[test]
fn a_failed_task_without_autorestart_is_errored_at_once() {
    let mut task = task("migrate");
    task.restart.autorestart = false;
    let api = after(app("api"), &[("migrate", COMPLETED)]);
    let mut world = World::new(plan([task, api, app("other")]));
    world.exit(world.run(0), FAILED, false);
    assert_eq!((world.status(0), world.status(1)), (Status::Errored, Status::Stopped));
    assert_eq!(world.blocked().len(), 1);
    assert_eq!(world.end, None, "another one runs");
    world.exit_ok(2);
    assert_eq!(world.blocked().len(), 1, "reported once");
}

#[test]
fn a_blocked_critical_app_ends_the_container_with_the_code_of_its_dependency() {
    let mut task = task("migrate");
    task.restart.autorestart = false;
    let mut api = after(app("api"), &[("migrate", COMPLETED)]);
    api.restart.on_errored = OnErrored::Exit;
    // It waits too, and must not start during a shutdown.
    let late = after(app("late"), &[("other", STARTED), ("migrate", COMPLETED)]);
    let mut world = World::new(plan([task, api, late, app("other")]));
    world.exit(world.run(0), FAILED, false);
    let escalated = |it: &Notice| {
        matches!(it.data, EventData::EndedContainer { code: 3 }) && it.subject.instance == Some(InstanceId(1))
    };
    assert_eq!(world.reports.iter().filter(|it| escalated(it)).count(), 1);
    world.exit_ok(3);
    assert_eq!((world.started(), world.end), (vec![0, 3], Some(3)));
}

#[test]
fn a_critical_task_ends_the_container_with_its_code() {
    let mut task = task("migrate");
    task.restart.autorestart = false;
    task.restart.on_errored = OnErrored::Exit;
    let mut world = World::new(plan([task, after(app("api"), &[("migrate", COMPLETED)]), app("other")]));
    world.exit(world.run(0), FAILED, false);
    world.exit_ok(2);
    assert_eq!(world.end, Some(3));
    assert_eq!(world.started(), [0, 2]);
}

#[test]
fn a_completed_task_ends_procrun_only_with_the_others() {
    let mut once = app("once");
    once.restart.autorestart = false;
    let mut world = World::new(plan([task("migrate"), after(once, &[("migrate", COMPLETED)])]));
    world.exit(world.run(0), OK, true);
    assert_eq!(world.status(1), Status::WaitingForDependencies, "its tree is still there");
    let run = *world.left.first().unwrap();
    world.tree_gone(run);
    assert_eq!(world.status(1), Status::Online);
    assert_eq!(world.end, None);
    world.exit_ok(1);
    assert_eq!(world.end, Some(0));
}

#[test]
fn a_blocked_app_starts_when_the_obstacle_is_gone() {
    let mut broken = task("migrate");
    broken.restart.autorestart = false;
    let plan_of = |task: AppSpec| plan([task, after(app("api"), &[("migrate", COMPLETED)]), app("other")]);
    let mut world = World::new(plan_of(broken.clone()));
    world.exit(world.run(0), FAILED, false);
    broken.exec.args.push("mended".to_owned());
    world.feed(Input::Apply { plan: plan_of(broken), cpus: 1 });
    assert_eq!(world.status(1), Status::WaitingForDependencies);
    world.exit_ok(0);
    assert_eq!(world.status(1), Status::Online);
    assert!(!world.machine.instance(InstanceId(1)).unwrap().failed);
}

#[test]
fn an_impossible_start_is_answered_and_a_requested_one_starts_its_dependencies() {
    let mut world = World::new(stack());
    let stop = world.request(Operation::Act(Action::Stop, ids([API, MIGRATE, DB])));
    world.exit_ok(DB);
    assert!(world.is_done(stop));
    // A restart affects no other application.
    let restart = world.request(Operation::Act(Action::Restart, ids([API])));
    assert!(world.failure(restart).contains("was stopped"), "{}", world.failure(restart));
    let start = world.request(Operation::Act(Action::Start, ids([API])));
    assert_eq!(world.answer(start), None);
    world.sends_ready(DB);
    world.exit_ok(MIGRATE);
    assert!(world.is_done(start));
    assert_eq!(world.status(API), Status::Online);
}

#[test]
fn every_operation_is_answered() {
    let mut world = World::new(stack());
    let start = world.request(Operation::Act(Action::Start, ids([API])));
    world.pass(MS(59_000));
    assert_eq!(world.answer(start), None);
    world.pass(MS(2000));
    assert!(world.failure(start).contains("still waits"), "{}", world.failure(start));
    let late = |it: &Notice| matches!(it.data, EventData::Waiting { waited: Some(_), .. });
    assert_eq!(world.reports.iter().filter(|it| late(it)).count(), 2, "api and migrate");
    world.sends_ready(DB);
    world.exit_ok(MIGRATE);
    assert_eq!(world.status(API), Status::Online, "it starts all the same");
}

#[test]
fn a_completed_task_is_not_repeated_for_another_app() {
    let mut world = World::new(stack());
    world.sends_ready(DB);
    world.exit_ok(MIGRATE);
    world.request(Operation::Act(Action::Stop, ids([API])));
    world.exit_ok(API);
    let start = world.request(Operation::Act(Action::Start, ids([API])));
    assert!(world.is_done(start));
    assert_eq!(world.started(), [DB, MIGRATE, API, API]);
    // A start by name starts it.
    let again = world.request(Operation::Act(Action::Restart, ids([MIGRATE])));
    assert!(world.is_done(again));
    assert_eq!(world.started(), [DB, MIGRATE, API, API, MIGRATE]);
}

#[test]
fn a_reload_of_a_dependent_app_does_not_wait() {
    let mut world = World::new(plan([task("migrate"), after(cluster_app("web"), &[("migrate", COMPLETED)])]));
    world.exit_ok(0);
    world.listen(1);
    // While the migration runs again.
    world.request(Operation::Act(Action::Restart, ids([0])));
    let reload = world.request(Operation::Act(Action::Reload, ids([1])));
    world.listen(2);
    world.exit_ok(1);
    assert!(world.is_done(reload));
}

#[test]
fn new_apps_start_in_order_with_dependencies_that_were_never_started() {
    let mut world = World::new(plan([app("other")]));
    let without_probes = AppSpec { autostart: false, ..wait_ready_app("db") };
    let new = plan([app("other"), after(app("api"), &[("db", READY)]), without_probes]);
    world.feed(Input::Apply { plan: new, cpus: 1 });
    assert_eq!(world.started(), [0, 2]);
    world.sends_ready(2);
    assert_eq!(world.started(), [0, 2, 1]);
}

#[test]
fn all_instances_of_a_dependency_count() {
    let db = AppSpec { instances: Instances::Count(2), ..cluster_app("db") };
    let mut world = World::new(plan([after(app("api"), &[("db", READY)]), db]));
    world.listen(1);
    assert_eq!(world.status(0), Status::WaitingForDependencies);
    world.listen(2);
    assert_eq!(world.status(0), Status::Online);
    // Another instance waits like the first.
    world.request(Operation::Scale { app: "api".to_owned(), count: Count::To(2) });
    assert_eq!(world.status(3), Status::Online);
}

#[test]
fn without_its_dependency_an_app_does_not_start() {
    let mut world =
        World::new(plan([after(app("api"), &[("db", STARTED)]), wait_ready_app("db"), app("other")]));
    assert_eq!(world.status(0), Status::Online, "started is enough");
    for id in [0, 1] {
        world.request(Operation::Act(Action::Delete, ids([id])));
        world.exit_ok(id);
    }
    let new = plan([app("other"), after(app("api"), &[("db", STARTED)])]);
    world.feed(Input::Apply { plan: new, cpus: 1 });
    assert_eq!(world.blocked(), [(3, "there is no db".to_owned())]);
}

#[test]
fn a_scheduled_task_runs_at_its_times_without_its_dependents() {
    let report = due::by_time(after(task("report"), &[("db", READY)]));
    let mut world = World::new(plan([AppSpec { autostart: false, ..report }, wait_ready_app("db")]));
    world.sends_ready(1);
    world.due("report");
    assert_eq!(world.status(0), Status::Online);
    world.exit_ok(0);
    world.due("report");
    assert_eq!(world.started(), [1, 0, 0]);
    assert_eq!(world.end, None);
}

#[test]
fn a_dependency_with_condition_healthy_is_probed() {
    let mut world =
        World::new(plan([after(app("api"), &[("db", Condition::Healthy)]), health::with_health("db")]));
    world.asked_and(1, Err("refused"));
    assert_eq!(world.status(0), Status::WaitingForDependencies);
    world.asked_and(1, Ok(()));
    assert_eq!(world.status(0), Status::Online);
    // Its health affects no dependent instance after that.
    for _ in 0..3 {
        world.asked_and(1, Err("refused"));
    }
    world.exit_ok(1);
    assert_eq!(world.started(), [1, 0, 1]);
}
