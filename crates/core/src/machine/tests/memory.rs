//! Memory: a worker above its limit, and a container whose memory is short.

use super::*;
use crate::machine::{ExitReason, MemoryAction, MemoryExcess, MemoryShortage, PastRun};

const MIB: u64 = 1 << 20;
const LIMIT: u64 = 200 * MIB;

impl World {
    /// The present run of an instance uses this number of MiB; its limit is 200.
    pub(super) fn exceeds(&mut self, instance: u32, used: u64) {
        let run = self.run(instance);
        self.feed(Input::MemoryExceeded { run, used: used * MIB, limit: LIMIT });
    }

    /// The container uses 490 of its 512 MiB, and these instances have these sizes.
    fn is_short(&mut self, sizes: &[(u32, u64)]) {
        let mut sizes: Vec<(Run, u64)> =
            sizes.iter().map(|(instance, size)| (self.run(*instance), size * MIB)).collect();
        sizes.sort_by_key(|(_, size)| std::cmp::Reverse(*size));
        self.short_of(sizes);
    }

    pub(super) fn short_of(&mut self, sizes: Vec<(Run, u64)>) {
        let shortage = MemoryShortage { used: 490 * MIB, threshold: 486 * MIB, limit: 512 * MIB };
        self.feed(Input::MemoryShort { shortage, sizes });
    }

    fn reasons(&self, instance: u32) -> Vec<&'static str> {
        let view = self.machine.instance(InstanceId(instance)).expect("it is there");
        view.past_runs.iter().map(PastRun::reason).collect()
    }

    fn times(&self, is_counted: impl Fn(&Notice) -> bool) -> usize {
        self.reports.iter().filter(|notice| is_counted(notice)).count()
    }
}

fn exceeded(notice: &Notice) -> bool {
    matches!(notice.data, EventData::MemoryExceeded { .. })
}

fn two(spec: AppSpec) -> AppSpec {
    AppSpec { instances: Instances::Count(2), ..spec }
}

#[test]
fn a_worker_with_its_own_socket_restarts_alone() {
    let mut world = World::new(plan([two(app("a"))]));
    world.pass(MS(60_000));
    world.exceeds(1, 204);
    assert_eq!([0, 1].map(|id| world.status(id)), [Status::Online, Status::Stopping]);
    let run = world.run(1);
    world.exceeds(1, 205);
    assert_eq!(world.times(exceeded), 1, "a restart in progress is not repeated");
    world.exit(run, OK, true);
    assert_eq!(world.spawned.len(), 2, "not before its tree is gone");
    world.tree_gone(run);
    assert_eq!(world.status(1), Status::Online);
    assert_eq!(world.reasons(1), ["memory"]);
    let expected = Some(ExitReason::Memory(MemoryExcess::OverLimit { used: 204 * MIB, limit: LIMIT }));
    assert_eq!(world.machine.instance(InstanceId(1)).unwrap().past_runs[0].reason, expected);
    world.exit(world.run(1), FAILED, false);
    assert_eq!(world.reasons(1), ["memory", "exit"], "a later exit has its own reason");
    // An input about the run before has no effect on the present one.
    world.feed(Input::MemoryExceeded { run, used: 300 * MIB, limit: LIMIT });
    assert_eq!(world.status(1), Status::Online);
}

#[test]
fn a_cluster_worker_is_replaced_while_it_serves() {
    let mut world = World::new(plan([two(cluster_app("a"))]));
    world.listen(0);
    world.listen(1);
    world.pass(MS(60_000));
    world.exceeds(1, 204);
    assert_eq!([0, 1].map(|id| world.status(id)), [Status::Online; 2]);
    assert_eq!(world.spawned.len(), 3, "one successor");
    world.exceeds(1, 210);
    world.exceeds(0, 210);
    assert_eq!(world.spawned.len(), 3, "one at a time");
    world.listen(2);
    assert_eq!(world.status(1), Status::Stopping);
    world.exit_ok(1);
    assert!(!world.exists(1));
    assert_eq!(world.reasons(2), ["memory"], "its record is its successor's");
    world.exceeds(0, 210);
    assert_eq!(world.spawned.len(), 4, "it is the next one");
}

#[test]
fn a_reload_after_an_aborted_one_has_its_own_reason() {
    let mut world = World::new(plan([cluster_app("a")]));
    world.listen(0);
    world.pass(MS(60_000));
    world.exceeds(0, 204);
    world.exit(world.run(1), FAILED, false);
    assert_eq!(world.status(0), Status::Online, "it serves on");
    let ticket = world.request(Operation::Act(Action::Reload, vec![InstanceId(0)]));
    world.listen(2);
    world.exit_ok(0);
    assert!(world.is_done(ticket));
    assert_eq!(world.reasons(2), ["command"], "not the reason of the reload before");
}

#[test]
fn a_worker_that_exceeds_its_limit_after_each_start_serves_meanwhile_and_is_never_errored() {
    let mut spec = app("a");
    spec.restart.max_restarts = 1;
    let mut world = World::new(plan([spec]));
    let mut starts = Vec::new();
    let until = world.now + MS(300_000);
    while world.now < until {
        world.exceeds(0, 210);
        if world.status(0) == Status::Stopping {
            world.exit_ok(0);
            assert_eq!(world.status(0), Status::Online, "at once");
            starts.push(world.now);
        }
        world.pass(MS(250));
    }
    let gaps: Vec<u64> =
        starts.windows(2).map(|two| u64::try_from(two[1].since(two[0]).as_millis()).unwrap()).collect();
    assert_eq!(gaps[..5], [250, 250, 1000, 1500, 2250]);
    assert_eq!(gaps.iter().max(), Some(&15_000));
    let often = world.times(|notice| {
        matches!(notice.data, EventData::MemoryExceeded { action: MemoryAction::Postpone { .. }, .. })
    });
    assert!(often <= starts.len(), "reported once a run: {often} times in {} runs", starts.len());
    // A stable run resets the backoff.
    world.pass(MS(31_000));
    let before = world.spawned.len();
    world.exceeds(0, 210);
    world.exit_ok(0);
    assert_eq!(world.spawned.len(), before + 1);
}

#[test]
fn a_worker_that_keeps_growing_ends_at_once_and_starts_after_a_delay() {
    for spec in [app("a"), cluster_app("a")] {
        let is_cluster = spec.is_cluster();
        let mut world = World::new(plan([spec]));
        for _ in 0..3 {
            let id = world.alive.first().expect("it runs").instance.0;
            world.listen(id);
            world.exceeds(id, 210);
            if is_cluster {
                let successor = world.alive.last().expect("it has come").instance.0;
                world.listen(successor);
            }
            world.exit_ok(id);
        }
        let id = world.alive.first().expect("it runs").instance.0;
        world.listen(id);
        world.pass(MS(100));
        world.exceeds(id, 249);
        assert_eq!(world.status(id), Status::Online, "it is left alone");
        world.exceeds(id, 250);
        assert_eq!(world.status(id), Status::Stopping);
        world.exit_ok(id);
        assert_eq!(world.status(id), Status::BackingOff);
        world.pass(MS(899));
        assert_eq!(world.status(id), Status::BackingOff);
        world.pass(MS(1));
        assert_eq!(world.status(id), Status::Online, "a second after the start before");
    }
}

#[test]
fn a_requested_stop_or_restart_replaces_the_one_for_memory() {
    let mut world = World::new(plan([app("a")]));
    world.pass(MS(60_000));
    let ticket = world.request(Operation::Act(Action::Stop, vec![InstanceId(0)]));
    world.exceeds(0, 500);
    world.exit_ok(0);
    assert!(world.is_done(ticket));
    assert_eq!((world.status(0), world.reasons(0)), (Status::Stopped, vec!["command"]));
    let mut world = World::new(plan([app("a")]));
    world.pass(MS(60_000));
    world.exceeds(0, 500);
    world.request(Operation::Act(Action::Stop, vec![InstanceId(0)]));
    world.exit_ok(0);
    assert_eq!((world.status(0), world.reasons(0)), (Status::Stopped, vec!["command"]));
    let mut world = World::new(plan([app("a")]));
    world.stop(Signal::TERM);
    world.exceeds(0, 500);
    world.short_of(vec![(world.run(0), 490 * MIB)]);
    world.exit_ok(0);
    assert_eq!(world.end, Some(0));
}

#[test]
fn the_largest_ends_first_and_starts_when_it_is_gone() {
    let mut world = World::new(plan([cluster_app("a"), app("b")]));
    world.listen(0);
    world.pass(MS(60_000));
    world.is_short(&[(1, 100), (0, 350)]);
    assert!(world.machine.is_oom_guard_stopping());
    assert_eq!([0, 1].map(|id| world.status(id)), [Status::Stopping, Status::Online]);
    assert_eq!(world.spawned.len(), 2, "no successor beside it");
    assert_eq!(world.times(|it| matches!(it.data, EventData::Draining { .. })), 0, "there is no time for it");
    world.is_short(&[(1, 100), (0, 350)]);
    assert_eq!(world.status(1), Status::Online, "one at a time");
    world.exit_ok(0);
    assert!(!world.machine.is_oom_guard_stopping());
    assert_eq!((world.status(0), world.reasons(0)), (Status::Online, vec!["memory"]));
    world.is_short(&[(1, 350), (0, 100)]);
    assert_eq!(world.status(1), Status::Stopping, "after another sample");
}

#[test]
fn repeated_oom_guard_stops_delay_the_start() {
    let mut world = World::new(plan([app("a"), app("b")]));
    let mut waits = Vec::new();
    for _ in 0..30 {
        let run = world.run(0);
        world.short_of(vec![(run, 480 * MIB)]);
        world.exit_ok(0);
        let begun = world.now;
        while world.status(0) != Status::Online {
            world.pass(MS(50));
        }
        waits.push(world.now.since(begun).as_millis());
    }
    assert_eq!(waits[..5], [0, 0, 0, 1000, 1500]);
    assert_eq!(waits[29], 15_000);
    world.pass(MS(31_000));
    world.short_of(vec![(world.run(0), 480 * MIB)]);
    world.exit_ok(0);
    assert_eq!(world.status(0), Status::Online);
}

#[test]
fn memory_of_other_processes_stops_no_worker() {
    let mut world = World::new(plan([app("a"), app("b")]));
    let reported_at = |notice: &Notice| matches!(notice.data, EventData::MemoryElsewhere { .. });
    for _ in 0..100 {
        // The other memory is in a tmpfs.
        world.is_short(&[(0, 2), (1, 1)]);
        world.pass(MS(250));
    }
    assert_eq!([0, 1].map(|id| world.status(id)), [Status::Online; 2]);
    assert_eq!(world.times(reported_at), 1);
    world.pass(MS(60_000));
    world.is_short(&[(0, 2), (1, 1)]);
    assert_eq!(world.times(reported_at), 2, "reported again after a while");
}

#[test]
fn a_memory_shortage_aborts_a_reload() {
    let mut world = World::new(plan([cluster_app("a"), app("b")]));
    world.listen(0);
    world.pass(MS(60_000));
    let ticket = world.request(Operation::Act(Action::Reload, vec![InstanceId(0)]));
    // The successor is instance 2.
    world.is_short(&[(0, 250), (2, 230)]);
    assert_eq!([0, 1, 2].map(|id| world.status(id)), [Status::Online, Status::Online, Status::Stopping]);
    world.is_short(&[(0, 250), (2, 230)]);
    assert_eq!(world.status(0), Status::Online, "it was not in vain");
    world.exit_ok(2);
    assert!(world.failure(ticket).contains("memory is short"), "{}", world.failure(ticket));
    world.is_short(&[(0, 480)]);
    assert_eq!(world.status(0), Status::Stopping);
}

#[test]
fn a_predecessor_does_not_drain_during_a_memory_shortage() {
    let mut world = World::new(plan([cluster_app("a")]));
    world.listen(0);
    world.request(Operation::Act(Action::Reload, vec![InstanceId(0)]));
    world.listen(1);
    let signals = |world: &World| world.times(|it| matches!(it.data, EventData::Stopping { .. }));
    assert_eq!((world.status(0), signals(&world)), (Status::Stopping, 0), "it drains");
    world.is_short(&[(0, 300), (1, 150)]);
    assert_eq!(signals(&world), 1);
    world.exit_ok(0);
    assert_eq!(world.status(1), Status::Online);
}

#[test]
fn an_oom_kill_is_named_and_restarts_like_a_crash() {
    let mut world = World::new(plan([app("a")]));
    let killed = Ending::OutOfMemory { exited: None, limit: Some(64 * MIB) };
    assert_eq!(killed.to_string(), "signal SIGKILL, the kernel's out-of-memory killer (memory limit 64 MB)");
    assert_eq!(killed.code(), 137);
    world.exit(world.run(0), killed.clone(), false);
    assert_eq!((world.status(0), world.reasons(0)), (Status::Online, vec!["oom"]));
    // The kernel has killed it first.
    world.pass(MS(60_000));
    world.exceeds(0, 300);
    world.exit(world.run(0), killed, false);
    assert_eq!(world.reasons(0), ["oom", "oom"]);
}
