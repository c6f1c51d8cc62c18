//! Scheduled restarts of running, stopped, starting and stopping instances.

use std::sync::LazyLock;

use super::*;
use crate::spec::{Fields, Pattern, Schedule};

/// Any schedule: the machine does not evaluate it.
static SCHEDULE: LazyLock<Schedule> = LazyLock::new(|| Schedule {
    pattern: Pattern::new(
        "@daily",
        &Fields {
            seconds: BTreeSet::from([0]),
            minutes: BTreeSet::from([0]),
            hours: BTreeSet::from([0]),
            month_days: None,
            months: (1..=12).collect(),
            weekdays: None,
        },
    )
    .expect("there is one each day"),
    zone: Some(jiff::tz::TimeZone::UTC),
    zone_name: None,
});

/// The same application with a schedule.
pub(super) fn by_time(spec: AppSpec) -> AppSpec {
    AppSpec { schedule: Some(SCHEDULE.clone()), ..spec }
}

impl World {
    pub(super) fn due(&mut self, app: &str) {
        self.feed(Input::ScheduleDue { app: app.to_owned() });
    }

    fn times_due(&self) -> usize {
        self.reports.iter().filter(|notice| matches!(notice.data, EventData::ScheduleDue { .. })).count()
    }
}

fn stops(world: &World) -> Vec<StopKind> {
    let stops = world.reports.iter().filter_map(|notice| match &notice.data {
        EventData::Stopping { stop, .. } | EventData::Draining { stop, .. } => Some(*stop),
        _ => None,
    });
    stops.collect()
}

#[test]
fn a_running_instance_restarts_when_it_has_ended() {
    let mut world =
        World::new(plan([by_time(AppSpec { instances: Instances::Count(2), ..app("a") }), app("b")]));
    world.due("a");
    assert_eq!([0, 1, 2].map(|id| world.status(id)), [Status::Stopping, Status::Stopping, Status::Online]);
    assert_eq!(stops(&world), [StopKind::Schedule, StopKind::Schedule]);
    let run = world.run(0);
    world.exit(run, OK, true);
    assert_eq!(world.spawned.len(), 3, "not before its tree is gone");
    world.tree_gone(run);
    world.exit_ok(1);
    assert_eq!([0, 1, 2].map(|id| world.status(id)), [Status::Online; 3]);
    assert_eq!(world.spawned.len(), 5);
}

#[test]
fn a_run_that_is_still_ending_or_starting_is_not_doubled() {
    let mut world = World::new(plan([by_time(app("a"))]));
    world.due("a");
    world.due("a");
    assert_eq!(stops(&world), [StopKind::Schedule]);
    world.exit_ok(0);
    assert_eq!(world.spawned.len(), 2);
    // It is in its backoff after a crash.
    world.exit(world.run(0), FAILED, false);
    world.exit(world.run(0), FAILED, false);
    assert_eq!(world.status(0), Status::BackingOff);
    let before = world.spawned.len();
    world.due("a");
    assert_eq!((world.status(0), world.spawned.len()), (Status::BackingOff, before));
    assert_eq!(world.times_due(), 1, "without an action there is no event");
}

#[test]
fn a_stopped_instance_starts_without_its_unstable_runs() {
    let mut spec = by_time(app("a"));
    spec.restart.max_restarts = 1;
    let mut world = World::new(plan([spec, app("b")]));
    world.exit(world.run(0), FAILED, false);
    assert_eq!(world.status(0), Status::Errored);
    world.due("a");
    assert_eq!(world.status(0), Status::Online);
    // It was stopped by a command; PM2 starts it by its schedule too.
    world.request(Operation::Act(Action::Stop, vec![InstanceId(0)]));
    world.exit_ok(0);
    assert_eq!(world.status(0), Status::Stopped);
    world.due("a");
    assert_eq!(world.status(0), Status::Online);
    assert_eq!(world.times_due(), 2);
}

#[test]
fn a_schedule_keeps_the_container_until_a_stop() {
    let mut once = app("once");
    once.restart.autorestart = false;
    let mut world = World::new(plan([by_time(AppSpec { autostart: false, ..app("a") }), once]));
    assert_eq!(world.status(0), Status::Stopped);
    world.exit(world.run(1), FAILED, false);
    assert_eq!(world.end, None, "something will run again");
    world.due("a");
    assert_eq!(world.status(0), Status::Online);
    world.stop(Signal::TERM);
    world.due("a");
    world.exit_ok(0);
    assert_eq!(world.end, Some(0));
}

#[test]
fn without_its_schedule_the_container_ends() {
    let mut world = World::new(plan([by_time(AppSpec { autostart: false, ..app("a") })]));
    assert_eq!(world.end, None);
    world.feed(Input::Apply { plan: plan([AppSpec { autostart: false, ..app("a") }]), cpus: 2 });
    assert_eq!((world.end, world.spawned.len()), (Some(0), 0));
}

#[test]
fn a_new_schedule_restarts_no_process() {
    for spec in [app("a"), cluster_app("a")] {
        let mut world = World::new(plan([spec.clone()]));
        world.feed(Input::Apply { plan: plan([by_time(spec.clone())]), cpus: 2 });
        assert_eq!((world.status(0), world.spawned.len()), (Status::Online, 1));
        assert!(world.machine.plan().apps[0].schedule.is_some());
        world.due("a");
        assert_eq!(world.times_due(), 1);
    }
}

#[test]
fn a_cluster_is_reloaded() {
    let mut world =
        World::new(plan([by_time(AppSpec { instances: Instances::Count(2), ..cluster_app("a") })]));
    world.listen(0);
    world.listen(1);
    world.due("a");
    assert_eq!([0, 1].map(|id| world.status(id)), [Status::Online; 2], "they serve");
    assert_eq!(world.status(2), Status::Online, "beside the first successor");
    world.due("a");
    assert_eq!(world.times_due(), 1, "a reload that is under way is not doubled");
    world.listen(2);
    assert_eq!(stops(&world), [StopKind::Replaced]);
    world.pass(MS(60_000));
    assert_eq!(world.machine.plan().apps.len(), 1);
}

#[test]
fn a_stopped_cluster_is_started() {
    let spec = AppSpec { instances: Instances::Count(2), autostart: false, ..cluster_app("a") };
    let mut world = World::new(plan([by_time(spec)]));
    world.due("a");
    assert_eq!([0, 1].map(|id| world.status(id)), [Status::Online; 2]);
    // One runs, one was stopped.
    world.listen(0);
    world.request(Operation::Act(Action::Stop, vec![InstanceId(1)]));
    world.exit_ok(1);
    world.due("a");
    assert_eq!([0, 1, 2].map(|id| world.status(id)), [Status::Online; 3]);
}

#[test]
fn no_app_is_due_before_the_start_or_by_an_earlier_name() {
    let mut machine = Machine::new(plan([by_time(app("a"))]), 2);
    let mut effects = Vec::new();
    machine.step(Time::ZERO, Input::ScheduleDue { app: "a".to_owned() }, &mut effects);
    assert_eq!(effects, []);
    let mut world = World::new(plan([app("a")]));
    world.due("b");
    assert_eq!(world.reports.len(), 1, "{:?}", world.reports);
}
