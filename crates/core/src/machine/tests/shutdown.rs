//! The shutdown: its order, and the share of the budget of each application.

use super::*;
use crate::machine::NotifyMessage;

const STARTED: Condition = Condition::Started;

const TERM: Signal = Signal::TERM;

/// `api` → `cache` → `db`, and `other`, which is independent: in this order in the list.
fn chain(kill_timeout: u64) -> Plan {
    let with = |mut spec: AppSpec| {
        spec.stop.kill_timeout = MS(kill_timeout);
        spec
    };
    plan([
        with(after(app("api"), &[("cache", STARTED)])),
        with(after(app("cache"), &[("db", STARTED)])),
        with(app("db")),
        with(app("other")),
    ])
}

impl World {
    /// The instances that were stopped, and when.
    fn stopped_by_shutdown(&self) -> Vec<u32> {
        let stopped = self.reports.iter().filter_map(|notice| match &notice.data {
            EventData::Stopping { stop: StopKind::Shutdown, .. } => notice.subject.instance.map(|id| id.0),
            _ => None,
        });
        stopped.collect()
    }

    /// The grace period of each killed instance, in milliseconds.
    fn killed_after(&self) -> Vec<(u32, u128)> {
        let killed = self.reports.iter().filter_map(|notice| match &notice.data {
            EventData::Killing { waited } => Some((notice.subject.instance?.0, waited.as_millis())),
            _ => None,
        });
        killed.collect()
    }
}

#[test]
fn each_app_is_stopped_when_its_dependents_are_gone() {
    let mut world = World::new(chain(8000));
    world.stop(TERM);
    assert_eq!(world.stopped_by_shutdown(), [0, 3]);
    let run = world.run(0);
    world.exit(run, OK, true);
    assert_eq!(world.stopped_by_shutdown(), [0, 3], "its leftovers are alive");
    world.tree_gone(run);
    assert_eq!(world.stopped_by_shutdown(), [0, 3, 1]);
    world.exit_ok(3);
    world.exit_ok(1);
    assert_eq!(world.stopped_by_shutdown(), [0, 3, 1, 2]);
    assert_eq!(world.end, None);
    world.exit_ok(2);
    assert_eq!(world.end, Some(0));
}

#[test]
fn an_app_that_ends_before_its_stage_does_not_restart_or_delay_others() {
    let mut world = World::new(chain(8000));
    world.stop(TERM);
    world.exit(world.run(1), FAILED, false);
    assert_eq!(world.status(1), Status::Stopped);
    // The first application depends on the database through the one that is gone.
    assert_eq!(world.stopped_by_shutdown(), [0, 3]);
    world.exit_ok(0);
    assert_eq!(world.stopped_by_shutdown(), [0, 3, 2]);
}

#[test]
fn the_budget_is_shared_so_that_the_last_stage_gets_its_share() {
    let mut world = World::new(chain(8000));
    world.kills_work = true;
    world.stop(TERM);
    world.pass(MS(8000));
    // A third of 8 s each; the independent one gets all of it.
    assert_eq!(world.killed_after(), [(0, 2666), (1, 2666), (2, 2666), (3, 8000)]);
    world.pass(MS(100));
    assert_eq!(world.end, Some(0));
}

#[test]
fn a_short_kill_timeout_is_kept_beside_a_long_one() {
    let mut plan = chain(8000);
    for (app, kill_timeout) in plan.apps.iter_mut().zip([1000, 60_000, 2000, 1000]) {
        Arc::make_mut(app).stop.kill_timeout = MS(kill_timeout);
    }
    plan.runtime.shutdown_timeout = Some(MS(9000));
    let mut world = World::new(plan);
    world.kills_work = true;
    world.stop(TERM);
    world.pass(MS(9000));
    assert_eq!(world.killed_after(), [(0, 1000), (3, 1000), (1, 6000), (2, 2000)]);
    assert_eq!(world.end, Some(0));
}

#[test]
fn unused_time_passes_to_the_next_stages() {
    let mut world = World::new(chain(8000));
    world.kills_work = true;
    world.stop(TERM);
    world.exit_ok(0);
    world.exit_ok(3);
    world.pass(MS(4000));
    world.exit_ok(2);
    assert_eq!(world.killed_after(), [(1, 4000)]);
    assert_eq!(world.end, Some(0));
}

#[test]
fn a_sufficient_budget_is_not_shared() {
    let mut plan = chain(2000);
    plan.runtime.shutdown_timeout = Some(MS(30_000));
    let mut world = World::new(plan);
    world.kills_work = true;
    world.stop(TERM);
    world.pass(MS(6000));
    assert_eq!(world.killed_after(), [(0, 2000), (3, 2000), (1, 2000), (2, 2000)]);
    assert_eq!(world.end, Some(0));
}

#[test]
fn the_budget_limits_a_kill_timeout() {
    let mut single = plan([app("a")]);
    single.runtime.shutdown_timeout = Some(MS(3000));
    let mut world = World::new(single);
    world.kills_work = true;
    world.stop(TERM);
    world.pass(MS(3000));
    assert_eq!(world.killed_after(), [(0, 3000)]);
    assert_eq!(world.end, Some(0));
}

#[test]
fn an_app_that_is_stopping_already_keeps_the_budget() {
    let mut single = plan([app("a"), app("b")]);
    single.runtime.shutdown_timeout = Some(MS(3000));
    let mut world = World::new(single);
    world.kills_work = true;
    world.request(Operation::Act(Action::Stop, vec![InstanceId(0)]));
    world.pass(MS(1000));
    world.stop(TERM);
    world.exit_ok(1);
    world.pass(MS(3000));
    assert_eq!(world.killed_after(), [(0, 4000)]);
    assert_eq!(world.end, Some(0));
}

#[test]
fn a_second_signal_kills_everything_at_once() {
    let mut world = World::new(chain(8000));
    world.kills_work = true;
    world.stop(TERM);
    world.pass(MS(600));
    world.stop(TERM);
    let killed: BTreeSet<u32> = world.killed.iter().map(|(_, run)| run.instance.0).collect();
    assert_eq!(killed, BTreeSet::from([0, 1, 2, 3]));
    world.pass(MS(1000));
    assert_eq!(world.end, Some(0));
}

#[test]
fn a_waiting_instance_never_starts_after_a_shutdown() {
    let mut world = World::new(plan([after(app("api"), &[("db", Condition::Ready)]), wait_ready_app("db")]));
    world.stop(TERM);
    world.feed(Input::Ready(world.run(1), ReadinessSource::Message));
    world.exit_ok(1);
    assert_eq!((world.end, world.spawned.len()), (Some(0), 1));
}

#[test]
fn a_dependency_cycle_of_two_plans_ends_too() {
    let mut world = World::new(chain(8000));
    // Validation refuses this; two plans may lead to it during a reload.
    let cycle = plan([after(app("db"), &[("api", STARTED)])]).apps.remove(0);
    world.machine.set_plan(cycle);
    world.stop(TERM);
    world.exit_ok(3);
    assert_eq!(world.stopped_by_shutdown(), [3, 0, 1, 2]);
}

fn closing(delay: u64) -> World {
    let mut plan = plan([app("a"), app("b")]);
    plan.runtime.pre_stop_delay = MS(delay);
    World::new(plan)
}

#[test]
fn everything_serves_during_pre_stop_delay() {
    let mut world = closing(3000);
    assert!(world.machine.instances().all(|view| view.ready));
    world.stop(TERM);
    assert!(world.machine.instances().all(|view| !view.ready && view.status == Status::Online));
    assert!(world.machine.is_stopping());
    let start = world.request(Operation::Act(Action::Start, vec![InstanceId(0)]));
    assert!(world.failure(start).contains("being stopped"));
    world.pass(MS(1000));
    // An instance that crashes meanwhile restarts.
    world.exit(world.run(1), FAILED, false);
    assert_eq!(world.status(1), Status::Online);
    world.pass(MS(1900));
    assert_eq!(world.stopped_by_shutdown(), [0; 0]);
    world.pass(MS(200));
    assert_eq!(world.stopped_by_shutdown(), [0, 1]);
    world.kills_work = true;
    world.pass(MS(5000));
    // The delay is a part of the 8 s.
    assert_eq!(world.killed_after(), [(0, 5000), (1, 5000)]);
    assert_eq!(world.end, Some(0));
}

#[test]
fn pre_stop_delay_is_at_most_half_of_the_budget() {
    let mut world = closing(30_000);
    world.stop(TERM);
    world.pass(MS(4000));
    assert_eq!(world.stopped_by_shutdown(), [0, 1]);
}

#[test]
fn a_change_of_the_plan_does_not_change_the_delay() {
    let mut world = closing(30_000);
    world.stop(TERM);
    let mut patient = app("b");
    patient.stop.kill_timeout = MS(60_000);
    // As the completion of a reload does.
    world.machine.set_plan(Arc::new(patient));
    world.pass(MS(4000));
    assert_eq!(world.stopped_by_shutdown(), [0, 1]);
}

#[test]
fn a_second_signal_ends_the_delay_and_a_third_one_kills() {
    let mut world = closing(3000);
    world.stop(TERM);
    world.pass(MS(100));
    world.stop(TERM);
    assert_eq!(world.stopped_by_shutdown(), [0; 0], "one Ctrl-C that came twice");
    world.pass(MS(600));
    world.stop(TERM);
    assert_eq!(world.stopped_by_shutdown(), [0, 1]);
    world.pass(MS(600));
    world.stop(TERM);
    assert_eq!(world.killed.len(), 2);
}

#[test]
fn without_a_process_there_is_no_delay() {
    let mut world = closing(3000);
    for id in [0, 1] {
        world.request(Operation::Act(Action::Stop, vec![InstanceId(id)]));
        world.exit_ok(id);
    }
    world.stop(TERM);
    assert_eq!(world.end, Some(0));
}

#[test]
fn a_shutdown_by_an_errored_app_has_no_delay() {
    let mut bad = app("bad");
    bad.restart.on_errored = OnErrored::Exit;
    bad.restart.max_restarts = 1;
    let mut plan = plan([bad, app("b")]);
    plan.runtime.pre_stop_delay = MS(3000);
    let mut world = World::new(plan);
    world.exit(world.run(0), FAILED, false);
    world.exit_ok(1);
    assert_eq!(world.end, Some(3));
}

#[test]
fn an_app_that_becomes_unhealthy_before_its_stage_does_not_restart() {
    let mut world = World::new(plan([after(app("api"), &[("db", STARTED)]), health::with_health("db")]));
    world.asked_and(1, Ok(()));
    world.stop(TERM);
    world.feed(Input::Notified(world.run(1), NotifyMessage::Fault));
    world.exit_ok(1);
    assert_eq!(world.status(1), Status::Stopped);
    world.exit_ok(0);
    assert_eq!(world.end, Some(0));
}
