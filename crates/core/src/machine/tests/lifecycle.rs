//! Starts, exits, restarts and stops, each race by its name.

use super::*;

#[test]
fn a_crash_restarts_at_once_and_later_crashes_after_growing_delays() {
    let mut world = World::new(plan([app("a")]));
    for wait in [0, 100, 150, 225] {
        world.pass(MS(1500));
        let before = world.now;
        world.exit(world.run(0), FAILED, false);
        world.pass(MS(wait));
        let (at, _) = *world.spawned.last().unwrap();
        assert_eq!(at.since(before), MS(wait));
        assert_eq!(world.status(0), Status::Online);
    }
}

#[test]
fn before_the_boot_nothing_starts_or_ends() {
    let mut machine = Machine::new(plan([app("a")]), 2);
    let mut effects = Vec::new();
    machine.step(Time::ZERO, Input::ForwardSignal(Signal::USR1), &mut effects);
    machine.step(Time::ZERO, Input::Apply { plan: plan([app("b")]), cpus: 2 }, &mut effects);
    assert_eq!(effects, []);
    machine.step(Time::ZERO, Input::Boot, &mut effects);
    assert_eq!(effects, [Effect::Spawn(Run { instance: InstanceId(0), number: 1 })]);
    assert_eq!(machine.instance(InstanceId(0)).unwrap().spec.name, "b");

    let mut machine = Machine::new(plan([app("a")]), 2);
    effects.clear();
    machine.step(Time::ZERO, Input::Shutdown(ShutdownRequest { signal: Signal::TERM }), &mut effects);
    assert_eq!(effects.last(), Some(&Effect::Exit(0)));
}

#[test]
fn an_instance_in_backoff_is_alive() {
    let mut world = World::new(plan([app("a")]));
    world.exit(world.run(0), FAILED, false);
    world.exit(world.run(0), FAILED, false);
    assert_eq!(world.status(0), Status::BackingOff);
    assert_eq!(world.end, None);
}

#[test]
fn too_many_unstable_runs_are_errored_with_the_last_code() {
    let mut spec = app("a");
    spec.restart.max_restarts = 3;
    spec.restart.backoff = Backoff::Fixed(Duration::ZERO);
    let mut world = World::new(plan([spec]));
    for _ in 0..3 {
        world.exit(world.run(0), FAILED, false);
    }
    assert_eq!((world.spawned.len(), world.status(0), world.end), (3, Status::Errored, Some(3)));
    assert!(matches!(
        world.last_report(),
        Some(EventData::Exited { next: FollowUp::Errored { unstable_runs: 3 }, .. })
    ));
}

#[test]
fn an_errored_app_whose_last_code_was_0_gives_1() {
    let mut spec = app("a");
    spec.restart.max_restarts = 2;
    let mut world = World::new(plan([spec]));
    world.exit(world.run(0), OK, false);
    world.exit(world.run(0), OK, false);
    assert_eq!(world.end, Some(1));
}

#[test]
fn a_run_of_min_uptime_resets_the_unstable_runs() {
    let mut spec = app("a");
    spec.restart.max_restarts = 2;
    spec.restart.backoff = Backoff::Fixed(Duration::ZERO);
    let mut world = World::new(plan([spec]));
    for _ in 0..10 {
        world.exit(world.run(0), FAILED, false);
        world.pass(MS(1000));
        world.exit(world.run(0), FAILED, false);
    }
    assert_eq!(world.status(0), Status::Online);
}

#[test]
fn a_stop_cancels_a_start_in_progress() {
    let mut world = World::new(plan([app("a"), app("b")]));
    world.spawns_wait = true;
    world.request(Operation::Act(Action::Restart, vec![InstanceId(0)]));
    world.exit_ok(0);
    assert_eq!(world.starting.values().collect::<Vec<_>>(), [&false]);
    // A restart before the program is executed starts the next run when this one is gone.
    world.request(Operation::Act(Action::Restart, vec![InstanceId(0)]));
    assert_eq!(world.starting.values().collect::<Vec<_>>(), [&true]);
    let spawned = world.spawned.len();
    world.answer_start(0, false);
    assert_eq!(world.spawned.len(), spawned + 1);
    // A start that is cancelled too late is stopped like any other run.
    world.stop(Signal::TERM);
    assert_eq!(world.starting.values().collect::<Vec<_>>(), [&true]);
    world.answer_start(0, true);
    world.exit_ok(0);
    world.exit_ok(1);
    assert_eq!(world.end, Some(0));
}

#[test]
fn a_signal_for_a_process_that_is_being_started_waits_for_it() {
    let mut world = World::new(plan([app("a")]));
    world.spawns_wait = true;
    world.exit(world.run(0), FAILED, false);
    world.feed(Input::ForwardSignal(Signal::USR2));
    world.feed(Input::ForwardSignal(Signal::WINCH));
    world.feed(Input::ForwardSignal(Signal::USR2));
    let ticket = world.request(Operation::Act(Action::Signal(Signal::USR1), vec![InstanceId(0)]));
    assert!(world.is_done(ticket));
    let run = *world.starting.keys().next().expect("it starts");
    let mut effects = Vec::new();
    world.machine.step(world.now, Input::Started(run, world.kind, PID), &mut effects);
    let signals: Vec<_> = effects.iter().filter(|it| matches!(it, Effect::Signal(..))).cloned().collect();
    assert_eq!(signals, [Signal::USR1, Signal::USR2, Signal::WINCH].map(|it| Effect::Signal(run, it)));

    // The next process gets none of them, and the signals of a failed start are lost.
    let mut world = World::new(plan([app("a")]));
    world.spawns_wait = true;
    world.exit(world.run(0), FAILED, false);
    world.feed(Input::ForwardSignal(Signal::USR2));
    world.answer_start(0, false);
    let is_lost =
        |it: &Notice| matches!(&it.data, EventData::SignalsLost { signals } if *signals == [Signal::USR2]);
    assert!(world.reports.iter().any(is_lost), "{:?}", world.reports);
    world.pass(MS(1000));
    let run = *world.starting.keys().next().expect("it is tried again");
    effects.clear();
    world.machine.step(world.now, Input::Started(run, world.kind, PID), &mut effects);
    assert!(!effects.iter().any(|it| matches!(it, Effect::Signal(..))), "{effects:?}");
}

#[test]
fn a_spawn_failure_counts_as_an_unstable_run() {
    let mut spec = app("a");
    spec.restart.max_restarts = 2;
    let mut world = World::new(plan([spec]));
    world.spawns_fail = true;
    world.exit(world.run(0), FAILED, false);
    assert_eq!((world.status(0), world.end), (Status::Errored, Some(127)));
}

#[test]
fn a_failed_start_is_never_tried_again_without_a_delay() {
    let mut spec = app("a");
    spec.restart.min_uptime = Duration::ZERO;
    spec.restart.backoff = Backoff::Fixed(Duration::ZERO);
    let mut world = World::new(plan([spec]));
    world.spawns_fail = true;
    let before = world.now;
    world.exit(world.run(0), FAILED, false);
    assert_eq!(world.status(0), Status::BackingOff);
    world.pass(MS(2000));
    assert_eq!(world.end, Some(127), "unstable whatever min_uptime is");
    assert!(
        world.spawned[2..]
            .iter()
            .enumerate()
            .all(|(n, (at, _))| at.since(before) >= MS(100 * (n as u64 + 1)))
    );
}

#[test]
fn an_app_that_was_never_executed_is_errored_at_once() {
    let mut machine = Machine::new(plan([app("a")]), 2);
    let mut effects = Vec::new();
    machine.step(Time::ZERO, Input::Boot, &mut effects);
    let failure = SpawnFailure { code: 126, message: "no ELF".to_owned(), kind: FailureKind::Permanent };
    let run = Run { instance: InstanceId(0), number: 1 };
    machine.step(Time::ZERO, Input::SpawnFailed(run, failure), &mut effects);
    assert_eq!(effects.last(), Some(&Effect::Exit(126)));
}

#[test]
fn a_shortage_backs_off_and_never_makes_an_app_errored() {
    let mut spec = app("a");
    spec.restart.max_restarts = 2;
    spec.restart.backoff = Backoff::Fixed(Duration::ZERO);
    let mut world = World::new(plan([spec]));
    world.pass(MS(2000));
    (world.spawns_fail, world.spawn_failure) = (true, FailureKind::Shortage);
    world.exit(world.run(0), FAILED, false);
    world.pass(Duration::from_secs(120));
    assert_eq!(world.status(0), Status::BackingOff);
    let tries: Vec<_> = world.spawned[1..].iter().map(|(at, _)| *at).collect();
    let waits: Vec<Duration> = tries.windows(2).map(|pair| pair[1].since(pair[0])).collect();
    assert!(waits.len() > 10 && waits.is_sorted() && waits[0] >= MS(100), "{waits:?}");
    assert_eq!(waits.last(), Some(&MS(15_000)));

    // The shortage ends: the app runs, and its failures count from the beginning.
    world.spawns_fail = false;
    world.pass(Duration::from_secs(16));
    let statuses = [(); 3].map(|()| {
        world.exit(world.run(0), FAILED, false);
        world.status(0)
    });
    assert_eq!(statuses, [Status::Online, Status::Online, Status::Errored]);
}

#[test]
fn a_first_start_that_meets_a_shortage_is_tried_again() {
    let mut spec = app("a");
    spec.restart.autorestart = false;
    let mut machine = Machine::new(plan([spec]), 2);
    let mut effects = Vec::new();
    machine.step(Time::ZERO, Input::Boot, &mut effects);
    let failure = SpawnFailure { code: 126, message: "EAGAIN".to_owned(), kind: FailureKind::Shortage };
    let run = Run { instance: InstanceId(0), number: 1 };
    machine.step(Time::ZERO, Input::SpawnFailed(run, failure), &mut effects);
    assert!(!effects.iter().any(|effect| matches!(effect, Effect::Exit(_))), "{effects:?}");
    assert_eq!(machine.instance(InstanceId(0)).unwrap().status, Status::BackingOff);
}

#[test]
fn a_fixed_failure_does_not_count() {
    let once = |code| {
        let mut spec = app("a");
        spec.restart.autorestart = false;
        spec.namespace = code;
        spec
    };
    let mut world = World::new(plan([once("broken".to_owned()), app("b")]));
    world.exit(world.run(0), FAILED, false);
    let mended = once("mended".to_owned());
    let mut other = app("b");
    other.restart.autorestart = false;
    world.feed(Input::Apply { plan: plan([mended, other]), cpus: 2 });
    world.exit(world.run(0), OK, false);
    world.exit(world.run(1), OK, false);
    world.exit(world.run(1), OK, false);
    assert_eq!(world.end, Some(0));
}

#[test]
fn the_first_stop_signal_during_an_escalation_does_not_kill() {
    let mut critical = app("a");
    critical.restart.max_restarts = 1;
    critical.restart.on_errored = OnErrored::Exit;
    let mut world = World::new(plan([critical, app("b")]));
    world.exit(world.run(0), FAILED, false);
    world.pass(MS(1500));
    world.stop(Signal::TERM);
    assert!(world.killed.is_empty());
    world.pass(MS(600));
    world.stop(Signal::TERM);
    assert_eq!(world.killed.len(), 1);
    let failed = world.machine.failures();
    assert!(failed.len() == 1 && failed[0].has_errored && failed[0].status == Status::Stopped);
}

#[test]
fn the_first_failed_app_gives_its_code() {
    let once = |name| AppSpec {
        restart: RestartPolicy { autorestart: false, ..RestartPolicy::default() },
        ..app(name)
    };
    let mut world = World::new(plan([once("a"), once("b"), once("c")]));
    world.exit(world.run(2), OK, false);
    world.exit(world.run(1), Ending::Signaled { signal: Signal::KILL, core_dumped: false }, false);
    assert_eq!(world.end, None);
    world.exit(world.run(0), FAILED, false);
    assert_eq!(world.end, Some(137));
    let failed: Vec<_> =
        world.machine.failures().iter().map(|view| (view.spec.name.clone(), view.has_errored)).collect();
    assert_eq!(failed, [("b".to_owned(), false), ("a".to_owned(), false)]);
}

#[test]
fn exits_with_a_stop_exit_code_are_final() {
    let mut spec = app("a");
    spec.restart.stop_exit_codes = BTreeSet::from([0, 42]);
    let mut world = World::new(plan([spec]));
    world.exit(world.run(0), FAILED, false);
    assert_eq!((world.status(0), world.end), (Status::Online, None));
    world.exit(world.run(0), Ending::Exited(42), false);
    assert_eq!((world.status(0), world.end), (Status::Stopped, Some(42)));
}

#[test]
fn without_auto_exit_procrun_keeps_running() {
    let mut plan = plan([app("a")]);
    Arc::make_mut(&mut plan.apps[0]).restart.autorestart = false;
    plan.runtime.auto_exit = false;
    let mut world = World::new(plan);
    world.exit(world.run(0), FAILED, false);
    assert_eq!(world.end, None);
    world.stop(Signal::TERM);
    assert_eq!(world.end, Some(0));
}

#[test]
fn an_errored_critical_app_stops_the_others_and_gives_its_code() {
    let mut critical = app("a");
    critical.restart.max_restarts = 1;
    critical.restart.on_errored = OnErrored::Exit;
    let mut world = World::new(plan([critical, app("b")]));
    world.exit(world.run(0), FAILED, false);
    assert_eq!((world.status(1), world.end), (Status::Stopping, None));
    world.exit(world.run(1), OK, false);
    assert_eq!(world.end, Some(3));
}

#[test]
fn a_shutdown_during_a_backoff_ends_at_once() {
    let mut world = World::new(plan([app("a")]));
    world.exit(world.run(0), FAILED, false);
    world.exit(world.run(0), FAILED, false);
    world.stop(Signal::TERM);
    assert_eq!(world.end, Some(0));
}

#[test]
fn a_worker_that_does_not_end_in_time_is_killed_with_its_tree() {
    let mut world = World::new(plan([app("a")]));
    world.pass(MS(50));
    world.stop(Signal::TERM);
    world.pass(MS(7999));
    assert!(world.killed.is_empty());
    world.pass(MS(1));
    assert_eq!(world.killed.len(), 1);
    world.exit(world.run(0), Ending::Signaled { signal: Signal::KILL, core_dumped: false }, false);
    assert_eq!(world.end, Some(0), "a requested shutdown gives 0, also if workers were killed");
}

#[test]
fn a_second_stop_kills_only_when_it_comes_later() {
    let mut world = World::new(plan([app("a")]));
    world.stop(Signal::INT);
    world.pass(MS(500));
    world.stop(Signal::INT);
    assert!(world.killed.is_empty(), "a Ctrl-C that came twice is one");
    world.pass(MS(1));
    world.stop(Signal::INT);
    assert_eq!(world.killed.len(), 1);
}

#[test]
fn a_restart_waits_for_the_leftovers() {
    let mut world = World::new(plan([app("a")]));
    let first = world.run(0);
    world.exit(first, FAILED, true);
    assert_eq!((world.spawned.len(), world.status(0)), (1, Status::Stopping));
    world.tree_gone(first);
    assert_eq!((world.spawned.len(), world.status(0)), (2, Status::Online));
}

#[test]
fn an_unkillable_process_is_errored_and_never_has_a_second_one() {
    let mut world = World::new(plan([app("a"), app("b")]));
    let first = world.run(0);
    world.exit(first, FAILED, true);
    world.pass(MS(10_000));
    assert_eq!((world.killed.len(), world.status(0)), (2, Status::Errored));
    assert_eq!(world.spawned.len(), 2);
}

#[test]
fn a_stale_timer_has_no_effect() {
    let mut world = World::new(plan([app("a")]));
    world.exit(world.run(0), FAILED, false);
    world.exit(world.run(0), FAILED, false);
    let (stale, _) = world.timers.pop_last().unwrap();
    world.feed(Input::TimerFired(stale));
    let runs = world.spawned.len();
    world.feed(Input::TimerFired(stale));
    assert_eq!(world.spawned.len(), runs);
}

#[test]
fn an_input_about_an_earlier_run_is_ignored() {
    let mut world = World::new(plan([app("a")]));
    let first = world.run(0);
    world.exit(first, FAILED, false);
    world.feed(Input::Exited { run: first, ending: FAILED, leftovers: false });
    assert_eq!((world.spawned.len(), world.status(0)), (2, Status::Online));
}

#[test]
fn a_changed_file_adds_removes_and_restarts_only_changed_apps() {
    let mut world = World::new(plan([app("same"), app("changed"), app("gone")]));
    let same = world.run(0);
    let changed = AppSpec { namespace: "other".to_owned(), ..app("changed") };
    world.feed(Input::Apply { plan: plan([app("same"), changed, app("new")]), cpus: 2 });
    assert_eq!([world.status(1), world.status(2)], [Status::Stopping; 2]);
    assert_eq!(world.status(3), Status::Online, "a new app does not wait");
    world.exit(world.run(1), OK, false);
    world.exit(world.run(2), OK, false);
    assert_eq!(world.status(1), Status::Online);
    assert_eq!(world.machine.instance(InstanceId(1)).unwrap().spec.namespace, "other");
    assert!(world.machine.instance(InstanceId(2)).is_none());
    assert_eq!(world.run(0), same);
}

#[test]
fn more_or_fewer_instances_do_not_affect_the_others() {
    let of = |count| plan([AppSpec { instances: Instances::Count(count), ..app("a") }]);
    let mut world = World::new(of(2));
    let first = world.run(0);
    world.feed(Input::Apply { plan: of(3), cpus: 2 });
    assert_eq!((world.run(0), world.alive.len()), (first, 3));
    world.feed(Input::Apply { plan: of(1), cpus: 2 });
    assert_eq!(
        [world.status(0), world.status(1), world.status(2)],
        [Status::Online, Status::Stopping, Status::Stopping]
    );
}

#[test]
fn an_app_that_returns_to_the_file_while_it_stops_starts_again() {
    let mut world = World::new(plan([app("a"), app("b")]));
    world.feed(Input::Apply { plan: plan([app("a")]), cpus: 2 });
    world.feed(Input::Apply { plan: plan([app("a"), app("b")]), cpus: 2 });
    assert_eq!(world.status(1), Status::Stopping);
    world.exit(world.run(1), OK, false);
    assert_eq!(world.status(1), Status::Online);
}

#[test]
fn an_errored_app_starts_again_when_its_file_changes() {
    let mut broken = app("a");
    broken.restart.max_restarts = 1;
    let mut world = World::new(plan([broken, app("b")]));
    world.exit(world.run(0), FAILED, false);
    assert_eq!(world.status(0), Status::Errored);
    world.feed(Input::Apply { plan: plan([app("a"), app("b")]), cpus: 2 });
    assert_eq!(world.status(0), Status::Online);
}

/// The application for which the container runs, and a helper that would keep running.
fn job(ends_on_success: bool, on_errored: OnErrored) -> World {
    let mut main = app("main");
    main.restart = RestartPolicy { ends_on_success, on_errored, max_restarts: 2, ..main.restart };
    World::new(plan([main, app("helper")]))
}

#[test]
fn the_success_of_an_app_that_ends_the_container_is_not_restarted() {
    let mut world = job(true, OnErrored::Continue);
    world.exit(world.run(0), OK, false);
    assert_eq!((world.status(0), world.status(1)), (Status::Stopped, Status::Stopping));
    world.exit(world.run(1), FAILED, false);
    assert_eq!(world.end, Some(0), "the code of the app, not of the helper");
}

#[test]
fn a_failure_is_restarted_before_it_ends_the_container() {
    for (on_errored, end) in [(OnErrored::Exit, Some(3)), (OnErrored::Continue, None)] {
        let mut world = job(true, on_errored);
        world.exit(world.run(0), FAILED, false);
        assert_eq!(world.status(1), Status::Online, "the restart policy comes first");
        world.exit(world.run(0), FAILED, false);
        if end.is_some() {
            world.exit(world.run(1), OK, false);
        }
        assert_eq!(world.end, end);
    }
}

#[test]
fn a_critical_app_without_restarts_ends_the_container_with_its_code() {
    let mut main = app("main");
    main.restart.autorestart = false;
    main.restart.on_errored = OnErrored::Exit;
    let mut world = World::new(plan([main.clone(), app("helper")]));
    world.exit(world.run(0), FAILED, false);
    world.exit(world.run(1), OK, false);
    assert_eq!(world.end, Some(3));
    let mut world = World::new(plan([main, app("helper")]));
    world.exit(world.run(0), OK, false);
    assert_eq!((world.status(1), world.end), (Status::Online, None), "a success does not end it");
}

#[test]
fn all_instances_must_succeed() {
    let mut main = task("main");
    main.instances = Instances::Count(2);
    main.restart.ends_on_success = true;
    let mut world = World::new(plan([main, app("helper")]));
    world.exit(world.run(1), OK, false);
    assert_eq!(world.status(2), Status::Online);
    world.exit(world.run(0), OK, false);
    assert_eq!(world.status(2), Status::Stopping);
    world.exit(world.run(2), OK, false);
    assert_eq!(world.end, Some(0));
}
