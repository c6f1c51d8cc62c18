//! Probes and heartbeats: when they are due, and what their results lead to.

use super::*;
use crate::{
    machine::{HealthFailure, NotifyMessage, ProbeKind},
    spec::{Probe, ProbeTarget},
};

const S: fn(u64) -> Duration = Duration::from_secs;

fn probe() -> Probe {
    Probe::new(ProbeTarget::Shell("true".to_owned()))
}

pub(super) fn with_health(name: &str) -> AppSpec {
    let mut spec = app(name);
    spec.health.liveness = Some(Box::new(probe()));
    spec
}

impl World {
    /// Lets time pass until a probe is sent; returns how long that took.
    #[track_caller]
    fn until_probed(&mut self, instance: u32, kind: ProbeKind) -> Duration {
        let from = self.now;
        for _ in 0..100_000 {
            if let Some(at) =
                self.probes.iter().position(|(run, it)| run.instance.0 == instance && *it == kind)
            {
                self.probes.remove(at);
                return self.now.since(from);
            }
            self.pass(MS(10));
        }
        panic!("it is never probed");
    }

    fn answer_probe(&mut self, instance: u32, kind: ProbeKind, result: Result<(), &str>) {
        let result = result.map_err(str::to_owned);
        self.feed(Input::Probed { run: self.run(instance), kind, result });
    }

    #[track_caller]
    pub(super) fn asked_and(&mut self, instance: u32, result: Result<(), &str>) -> Duration {
        let waited = self.until_probed(instance, ProbeKind::Liveness);
        self.answer_probe(instance, ProbeKind::Liveness, result);
        waited
    }

    fn healthy(&self, instance: u32) -> Option<bool> {
        self.machine.instance(InstanceId(instance)).unwrap().healthy
    }

    fn ready(&self, instance: u32) -> bool {
        self.machine.instance(InstanceId(instance)).unwrap().ready
    }

    fn health_failures(&self) -> Vec<HealthFailure> {
        let unhealthy = |notice: &Notice| match &notice.data {
            EventData::Unhealthy { failure } => Some(failure.clone()),
            _ => None,
        };
        self.reports.iter().filter_map(unhealthy).collect()
    }
}

#[test]
fn a_start_is_probed_often_and_later_at_the_interval() {
    let mut world = World::new(plan([with_health("a")]));
    assert_eq!((world.healthy(0), world.ready(0)), (Some(false), false));
    assert_eq!(world.asked_and(0, Err("refused")), MS(500));
    assert_eq!(world.asked_and(0, Err("refused")), MS(500));
    assert_eq!(world.asked_and(0, Ok(())), MS(500));
    assert_eq!((world.healthy(0), world.ready(0)), (Some(true), true));
    assert_eq!(world.asked_and(0, Ok(())), S(10));
    assert!(world.health_failures().is_empty());
}

#[test]
fn one_probe_at_a_time() {
    let mut world = World::new(plan([with_health("a")]));
    world.until_probed(0, ProbeKind::Liveness);
    world.pass(S(100));
    assert!(world.probes.is_empty(), "the probe has no result yet");
    world.answer_probe(0, ProbeKind::Liveness, Ok(()));
    world.answer_probe(0, ProbeKind::Liveness, Err("an answer to nothing"));
    assert_eq!(world.asked_and(0, Ok(())), S(10));
}

#[test]
fn retries_failures_in_a_row_restart_it() {
    let mut world = World::new(plan([with_health("a")]));
    world.asked_and(0, Ok(()));
    world.asked_and(0, Err("one"));
    world.asked_and(0, Err("two"));
    world.asked_and(0, Ok(()));
    for failure in ["one", "two"] {
        world.asked_and(0, Err(failure));
        assert_eq!(world.healthy(0), Some(true), "it is doubted only");
    }
    let began = world.spawned.len();
    world.asked_and(0, Err("three"));
    assert_eq!(world.health_failures(), [HealthFailure::Probe { failures: 3, output: "three".to_owned() }]);
    assert_eq!((world.status(0), world.healthy(0)), (Status::Stopping, Some(false)));
    world.pass(MS(1));
    assert_eq!(world.spawned.len(), began, "not before it has ended");
    world.exit_ok(0);
    // It was healthy for most of its time: as after a crash of a stable run.
    assert_eq!(world.spawned.len(), began + 1);
    let view = world.machine.instance(InstanceId(0)).unwrap();
    assert_eq!((view.unstable_runs, view.restarts, view.past_runs[0].reason()), (0, 1, "health"));
    assert_eq!((world.healthy(0), world.ready(0)), (Some(false), false), "the new run has shown nothing");
}

#[test]
fn failures_in_the_start_period_do_not_count() {
    let mut spec = with_health("a");
    spec.health.liveness.as_mut().unwrap().start_period = S(5);
    let mut world = World::new(plan([spec]));
    for _ in 0..9 {
        world.asked_and(0, Err("refused"));
    }
    assert!(world.now.elapsed() < S(5) && world.status(0) == Status::Online);
    world.asked_and(0, Err("one"));
    assert_eq!(world.asked_and(0, Err("two")), S(10));
    assert!(world.health_failures().is_empty());
    world.asked_and(0, Err("three"));
    assert_eq!(world.status(0), Status::Stopping);
}

#[test]
fn the_follow_up_is_reported_also_with_leftovers() {
    let mut spec = with_health("a");
    spec.restart.max_restarts = 2;
    (spec.health.liveness.as_mut().unwrap().start_period, spec.health.liveness.as_mut().unwrap().retries) =
        (Duration::ZERO, 1);
    let mut world = World::new(plan([spec]));
    for _ in 0..2 {
        world.asked_and(0, Err("refused"));
        let run = world.run(0);
        world.exit(run, OK, true);
        world.tree_gone(run);
        world.pass(MS(1));
    }
    let next = |notice: &Notice| match &notice.data {
        EventData::Exited { next, .. } => Some(*next),
        _ => None,
    };
    let follow_ups: Vec<FollowUp> = world.reports.iter().filter_map(next).collect();
    assert_eq!(follow_ups, [FollowUp::Restart(Duration::ZERO), FollowUp::Errored { unstable_runs: 2 }]);
    assert_eq!(world.status(0), Status::Errored);
}

#[test]
fn an_instance_that_was_never_healthy_backs_off_and_is_errored() {
    let mut spec = with_health("a");
    spec.restart.max_restarts = 3;
    spec.health.liveness.as_mut().unwrap().start_period = Duration::ZERO;
    let mut world = World::new(plan([spec]));
    for unstable_runs in 1..=3 {
        for _ in 0..3 {
            world.asked_and(0, Err("refused"));
        }
        assert_eq!(world.status(0), Status::Stopping);
        world.exit_ok(0);
        assert_eq!(world.machine.instance(InstanceId(0)).unwrap().unstable_runs, unstable_runs);
        if unstable_runs == 2 {
            assert_eq!(world.status(0), Status::BackingOff);
        }
    }
    assert_eq!(world.end, Some(1), "exit 0 of an unhealthy run is no success");
}

#[test]
fn an_unhealthy_instance_without_autorestart_stays_stopped() {
    let mut spec = with_health("a");
    spec.restart.autorestart = false;
    let mut world = World::new(plan([spec, app("b")]));
    world.asked_and(0, Ok(()));
    for _ in 0..3 {
        world.asked_and(0, Err("no"));
    }
    world.exit(world.run(0), OK, true);
    let run = *world.left.first().unwrap();
    world.tree_gone(run);
    assert_eq!(world.status(0), Status::Stopped);
    world.exit_ok(1);
    world.pass(S(1));
    world.stop(Signal::TERM);
    assert!(world.machine.instance(InstanceId(0)).unwrap().failed);
}

#[test]
fn a_stop_of_an_unhealthy_instance_replaces_its_restart() {
    let mut world = World::new(plan([with_health("a")]));
    world.asked_and(0, Ok(()));
    for _ in 0..3 {
        world.asked_and(0, Err("no"));
    }
    let began = world.spawned.len();
    world.stop(Signal::TERM);
    world.exit_ok(0);
    assert_eq!((world.spawned.len(), world.end), (began, Some(0)));
}

#[test]
fn a_stopping_instance_is_not_probed() {
    let mut world = World::new(plan([with_health("a")]));
    world.asked_and(0, Ok(()));
    world.stop(Signal::TERM);
    world.pass(MS(1000));
    assert!(world.probes.is_empty());
    world.answer_probe(0, ProbeKind::Liveness, Err("too late"));
    assert!(world.health_failures().is_empty());
}

#[test]
fn a_failed_readiness_probe_restarts_nothing() {
    let mut spec = app("a");
    spec.health.readiness = Some(Box::new(probe()));
    let mut world = World::new(plan([spec]));
    let probe_once = |world: &mut World, result| {
        world.until_probed(0, ProbeKind::Readiness);
        world.answer_probe(0, ProbeKind::Readiness, result);
        world.ready(0)
    };
    assert!(probe_once(&mut world, Ok(())));
    assert!(probe_once(&mut world, Err("busy")) && probe_once(&mut world, Err("busy")));
    for _ in 0..5 {
        assert!(!probe_once(&mut world, Err("busy")));
    }
    assert!(probe_once(&mut world, Ok(())));
    assert_eq!((world.status(0), world.healthy(0), world.spawned.len()), (Status::Online, None, 1));
    let flips =
        world.reports.iter().filter(|notice| matches!(notice.data, EventData::ReadinessLost { .. })).count();
    assert_eq!(flips, 1, "reported once");
}

#[test]
fn a_missing_heartbeat_restarts_it() {
    let mut spec = app("a");
    spec.health.heartbeat = Some(S(4));
    let mut world = World::new(plan([spec]));
    // It may still be loading.
    world.pass(S(20));
    for _ in 0..10 {
        world.feed(Input::Notified(world.run(0), NotifyMessage::Heartbeat));
        world.pass(S(3));
    }
    assert!(world.health_failures().is_empty());
    world.pass(S(1));
    assert_eq!(world.health_failures(), [HealthFailure::HeartbeatMissing(S(4))]);
    world.exit_ok(0);
    assert_eq!(world.machine.instance(InstanceId(0)).unwrap().past_runs[0].reason(), "heartbeat");
    // The next run sends no heartbeat.
    world.pass(S(29));
    assert_eq!(world.health_failures().len(), 1);
    world.pass(S(2));
    assert_eq!(world.health_failures()[1], HealthFailure::NoHeartbeat(S(30)));
}

#[test]
fn a_worker_may_announce_another_interval_and_report_a_fault() {
    let mut spec = app("a");
    spec.health.heartbeat = Some(S(4));
    let mut world = World::new(plan([spec]));
    world.feed(Input::Notified(world.run(0), NotifyMessage::HeartbeatInterval(S(60))));
    world.pass(S(59));
    assert!(world.health_failures().is_empty());
    world.feed(Input::Notified(world.run(0), NotifyMessage::HeartbeatInterval(Duration::ZERO)));
    world.pass(S(1000));
    assert!(world.health_failures().is_empty());
    world.feed(Input::Notified(world.run(0), NotifyMessage::Fault));
    assert_eq!(world.health_failures(), [HealthFailure::Fault]);
}

#[test]
fn the_list_of_timers_is_bounded() {
    let mut spec = app("a");
    spec.health.heartbeat = Some(S(4));
    let mut world = World::new(plan([spec]));
    for round in 0..2000 {
        let time = if round % 3 == 0 { 0 } else { 3_600_000 - round };
        world.feed(Input::Notified(world.run(0), NotifyMessage::HeartbeatInterval(MS(time))));
        world.feed(Input::Notified(world.run(0), NotifyMessage::Heartbeat));
    }
    assert!(world.timers.len() < 10, "{}", world.timers.len());
    world.feed(Input::Notified(world.run(0), NotifyMessage::HeartbeatInterval(S(2))));
    world.pass(S(40));
    assert_eq!(world.health_failures().len(), 1, "and it is checked all the same");
}

#[test]
fn a_late_check_of_the_heartbeat_has_no_effect() {
    let mut spec = app("a");
    spec.health.heartbeat = Some(S(4));
    let mut world = World::new(plan([spec]));
    world.feed(Input::Notified(world.run(0), NotifyMessage::Heartbeat));
    // The container was frozen, and procrun with it.
    world.now = world.now + S(100);
    world.pass(S(3));
    assert!(world.health_failures().is_empty());
    world.pass(S(2));
    assert_eq!(world.health_failures().len(), 1);
}

#[test]
fn its_status_text_is_shown_until_it_ends() {
    let mut world = World::new(plan([app("a")]));
    world.feed(Input::Notified(world.run(0), NotifyMessage::Status("42 clients".to_owned())));
    assert_eq!(world.machine.instance(InstanceId(0)).unwrap().status_text, Some("42 clients"));
    assert!(world.ready(0));
    world.feed(Input::Notified(world.run(0), NotifyMessage::Stopping));
    assert!(!world.ready(0));
    world.exit_ok(0);
    assert_eq!(world.machine.instance(InstanceId(0)).unwrap().status_text, None);
    assert!(world.ready(0));
}

fn reloading(change: impl Fn(&mut AppSpec)) -> World {
    let mut spec = cluster_app("a");
    spec.health.liveness = Some(Box::new(probe()));
    spec.stop.drain = None;
    spec.reload.listen_timeout = S(20);
    change(&mut spec);
    let mut world = World::new(plan([spec.clone()]));
    world.listen(0);
    world.feed(Input::Ready(world.run(0), ReadinessSource::Message));
    world.asked_and(0, Ok(()));
    spec.namespace = "new".to_owned();
    world.feed(Input::Apply { plan: plan([spec]), cpus: 2 });
    world
}

#[test]
fn a_successor_is_ready_when_it_passes_and_listens() {
    let mut world = reloading(|_| {});
    world.listen(1);
    assert_eq!(world.status(0), Status::Online, "it has to pass, too");
    world.asked_and(1, Ok(()));
    assert_eq!(world.status(0), Status::Stopping);
    world.exit_ok(0);
    assert!(!world.exists(0) && world.healthy(1) == Some(true));

    let mut world = reloading(|spec| spec.reload.wait_ready = true);
    world.asked_and(1, Ok(()));
    assert_eq!(world.status(0), Status::Online, "it must send the message too");
    world.feed(Input::Ready(world.run(1), ReadinessSource::Message));
    assert_eq!(world.status(0), Status::Stopping);
}

#[test]
fn a_successor_that_never_passes_its_probe_aborts_the_reload() {
    let mut world = reloading(|_| {});
    world.listen(1);
    for _ in 0..39 {
        world.asked_and(1, Err("no database"));
    }
    assert_eq!(world.status(1), Status::Online);
    world.pass(S(1));
    assert_eq!(world.status(1), Status::Stopping);
    world.exit_ok(1);
    assert_eq!(world.status(0), Status::Online);
    let failed = world.reports.iter().find_map(|notice| match &notice.data {
        EventData::ReloadAborted { .. } => Some(notice.to_string()),
        _ => None,
    });
    let failed = failed.expect("the reload is aborted");
    assert!(
        failed.contains("did not pass its readiness probe within 20.0 s (`listen_timeout`): no database"),
        "{failed}"
    );
}

#[test]
fn an_unhealthy_successor_aborts_the_reload_at_once() {
    let mut world = reloading(|spec| {
        spec.health.liveness.as_mut().unwrap().start_period = Duration::ZERO;
        spec.health.liveness.as_mut().unwrap().interval = MS(300);
    });
    world.listen(1);
    for _ in 0..3 {
        world.asked_and(1, Err("no database"));
    }
    assert_eq!((world.status(0), world.status(1)), (Status::Online, Status::Stopping));
    world.exit_ok(1);
    assert!(!world.exists(1));
}

#[test]
fn without_overlap_a_successor_must_pass_its_probe_too() {
    let mut spec = with_health("a");
    spec.instances = Instances::Count(2);
    let mut world = World::new(plan([spec.clone()]));
    spec.health.liveness.as_mut().unwrap().start_period = Duration::ZERO;
    let ticket = world.request(Operation::Act(Action::Reload, vec![InstanceId(0), InstanceId(1)]));
    world.exit_ok(0);
    assert_eq!(world.status(1), Status::Online);
    world.asked_and(0, Ok(()));
    assert_eq!(world.status(1), Status::Stopping, "the next one");
    world.exit_ok(1);
    world.pass(S(61));
    assert!(world.failure(ticket).contains("did not pass its readiness probe"), "{}", world.failure(ticket));
    assert_eq!(world.status(1), Status::Online, "it continues all the same");
}
