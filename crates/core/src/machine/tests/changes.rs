//! Changed files: which instances restart, how, and how often.

use super::*;
use crate::spec::WatchSpec;

fn watching(mut spec: AppSpec) -> AppSpec {
    spec.watch = Some(Box::new(WatchSpec { paths: vec!["/app".into()], ..WatchSpec::default() }));
    spec
}

impl World {
    fn change(&mut self, path: &str) {
        self.feed(Input::FilesChanged { app: "a".to_owned(), path: path.to_owned() });
    }
}

/// The reported paths, and whether the change was applied by a rolling reload.
fn answered(world: &World) -> Vec<(&str, bool)> {
    let mut answered = Vec::new();
    for notice in &world.reports {
        if let EventData::FilesChanged { path, rolling } = &notice.data {
            answered.push((path.as_str(), *rolling));
        }
    }
    answered
}

fn waits(world: &World) -> Vec<u128> {
    let wait = |notice: &Notice| match &notice.data {
        EventData::ChangesThrottled { wait, .. } => Some(wait.as_millis()),
        _ => None,
    };
    world.reports.iter().filter_map(wait).collect()
}

#[test]
fn an_application_is_restarted_and_only_that_one() {
    let mut world = World::new(plan([watching(app("a")), app("b")]));
    world.pass(MS(60_000));
    world.change("src/a.js");
    assert_eq!(answered(&world), [("src/a.js", false)]);
    assert_eq!((world.status(0), world.status(1)), (Status::Stopping, Status::Online));
    world.exit_ok(0);
    assert_eq!(world.status(0), Status::Online);
    world.feed(Input::FilesChanged { app: "b".to_owned(), path: "x".to_owned() });
    world.feed(Input::FilesChanged { app: "c".to_owned(), path: "x".to_owned() });
    assert_eq!(answered(&world).len(), 1, "an app without watch, and an unknown one");
}

#[test]
fn a_cluster_is_reloaded_and_a_change_meanwhile_comes_after_it() {
    let spec = AppSpec { instances: Instances::Count(2), ..watching(cluster_app("a")) };
    let mut world = World::new(plan([spec]));
    world.listen(0);
    world.listen(1);
    world.pass(MS(60_000));
    world.change("a.js");
    assert_eq!(answered(&world), [("a.js", true)]);
    assert_eq!((world.status(0), world.status(2)), (Status::Online, Status::Online));
    world.change("b.js");
    world.change("c.js");
    // Each successor takes over from its predecessor, twice.
    for _ in 0..20 {
        let coming = world.machine.instances().find(|view| view.generation == Generation::Successor);
        if let Some(id) = coming.map(|view| view.id.0) {
            world.listen(id);
        }
        let leaving = world.machine.instances().find(|view| view.generation == Generation::Predecessor);
        if let Some(id) = leaving.map(|view| view.id.0) {
            world.exit_ok(id);
        }
    }
    assert_eq!(world.spawned.len(), 2 + 2 + 2);
    assert!(world.machine.reloads.is_idle());
}

#[test]
fn a_stopped_app_stays_stopped_and_an_ended_one_starts() {
    let mut spec = watching(app("a"));
    spec.restart.autorestart = false;
    let mut world = World::new(plan([spec.clone(), app("b")]));
    world.exit(world.run(0), FAILED, false);
    assert_eq!(world.status(0), Status::Stopped);
    world.change("fix.js");
    assert_eq!(world.status(0), Status::Online);

    let stop = world.request(Operation::Act(Action::Stop, vec![InstanceId(0)]));
    world.change("while.js");
    world.exit_ok(0);
    assert!(world.is_done(stop));
    world.change("after.js");
    assert_eq!(world.status(0), Status::Stopped);
    world.request(Operation::Act(Action::Start, vec![InstanceId(0)]));
    world.change("again.js");
    assert_eq!(world.status(0), Status::Stopping);
    assert_eq!(answered(&world), [("fix.js", false), ("again.js", false)]);

    spec.autostart = false;
    let mut world = World::new(plan([spec, app("b")]));
    world.change("a.js");
    assert_eq!(world.status(0), Status::Stopped, "it has never been started");
}

#[test]
fn a_crashed_app_does_not_wait_for_its_backoff() {
    let mut spec = watching(app("a"));
    spec.restart.backoff = Backoff::Fixed(MS(10_000));
    let mut world = World::new(plan([spec]));
    world.exit(world.run(0), FAILED, false);
    assert_eq!(world.status(0), Status::BackingOff);
    world.change("fix.js");
    assert_eq!(world.status(0), Status::Online);
}

#[test]
fn an_app_that_changes_its_own_files_is_delayed_and_named() {
    let mut world = World::new(plan([watching(app("a"))]));
    world.kills_work = true;
    world.pass(MS(60_000));
    // An application that writes a file right after each start.
    for _ in 0..200 {
        world.change("state.json");
        if world.status(0) == Status::Stopping {
            world.exit_ok(0);
        }
        world.pass(MS(100));
    }
    let waits = waits(&world);
    assert_eq!(waits[..5], [100, 150, 225, 337, 506]);
    assert!(waits.len() < 16, "20 s: {waits:?}");
    world.pass(MS(60_000));
    let before = answered(&world).len();
    world.change("by-hand.js");
    assert_eq!(answered(&world).len(), before + 1, "a change of its own is answered at once again");
}

#[test]
fn a_stop_or_shutdown_drops_a_delayed_restart() {
    for shutdown in [false, true] {
        let mut world = World::new(plan([watching(app("a")), app("b")]));
        for _ in 0..3 {
            world.change("state.json");
            world.exit_ok(0);
        }
        world.change("state.json");
        assert_eq!(waits(&world), [100]);
        if shutdown {
            world.stop(Signal::TERM);
        } else {
            world.request(Operation::Act(Action::Stop, vec![InstanceId(0)]));
        }
        world.exit_ok(0);
        world.pass(MS(60_000));
        assert_eq!(world.status(0), Status::Stopped);
        assert_eq!(answered(&world).len(), 3);
    }
}

#[test]
fn a_change_of_the_watched_paths_restarts_no_app() {
    let mut world = World::new(plan([watching(app("a"))]));
    world.pass(MS(60_000));
    world.feed(Input::Apply { plan: plan([app("a")]), cpus: 2 });
    assert_eq!((world.status(0), world.spawned.len()), (Status::Online, 1));
    world.change("a.js");
    assert_eq!(answered(&world), [], "no app watches any more");
    world.feed(Input::Apply { plan: plan([watching(app("a"))]), cpus: 2 });
    world.change("a.js");
    assert_eq!(answered(&world).len(), 1);
}
