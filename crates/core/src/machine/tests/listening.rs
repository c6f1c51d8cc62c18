//! Runs that could not listen, and other failures that a run reports.

use super::*;
use crate::machine::{ExitReason, ListenFailure, NotifyMessage, PastRun, Uncaught};

const S: fn(u64) -> Duration = Duration::from_secs;

fn in_use() -> ListenFailure {
    ListenFailure {
        address: "port 3000".to_owned(),
        error: "Address already in use".to_owned(),
        is_in_use: true,
    }
}

fn listen_failure() -> NotifyMessage {
    NotifyMessage::ListenFailed { failure: in_use(), is_handled: false }
}

/// A failed listen whose error the application handles.
fn handled_listen_failure() -> NotifyMessage {
    NotifyMessage::ListenFailed { failure: in_use(), is_handled: true }
}

#[test]
fn a_run_that_handles_a_failed_listen_and_does_not_try_again_is_online() {
    let mut world = World::new(plan([app("a")]));
    for _ in 0..3 {
        world.feed(Input::Notified(world.run(0), handled_listen_failure()));
        world.pass(MS(4900));
        assert_eq!(world.status(0), Status::Launching, "it has tried again");
    }
    world.pass(MS(100));
    assert!(
        matches!(world.last_report(), Some(EventData::WithoutListener { address }) if address == "port 3000")
    );
    assert_eq!(world.status(0), Status::Online);
    let view = world.machine.instance(InstanceId(0)).unwrap();
    assert_eq!((view.ready, view.last_failure), (true, Some(in_use().to_string())), "that stays visible");
    // Neither a later attempt nor the end of the run changes that.
    world.feed(Input::Notified(world.run(0), handled_listen_failure()));
    assert_eq!(world.status(0), Status::Online);
    world.exit(world.run(0), FAILED, false);
    let past_runs = &world.machine.instance(InstanceId(0)).unwrap().past_runs;
    assert_eq!(past_runs[0].reason(), "exit", "it went on without that port");
}

#[test]
fn a_run_that_does_not_handle_a_failed_listen_is_never_online() {
    let mut world = World::new(plan([app("a")]));
    world.feed(Input::Notified(world.run(0), handled_listen_failure()));
    world.feed(Input::Notified(world.run(0), listen_failure()));
    world.pass(S(3600));
    assert_eq!(world.status(0), Status::Launching);
    world.feed(Input::Notified(world.run(0), NotifyMessage::Listening));
    assert_eq!(world.status(0), Status::Online);
    // A timer of an earlier run has no effect on the next one.
    world.feed(Input::Notified(world.run(0), handled_listen_failure()));
    world.exit(world.run(0), FAILED, false);
    world.pass(MS(4500));
    world.feed(Input::Notified(world.run(0), handled_listen_failure()));
    world.pass(S(2));
    assert_eq!(world.status(0), Status::Launching);
    world.pass(S(4));
    assert_eq!(world.status(0), Status::Online);
}

#[test]
fn only_a_failed_run_that_reported_nothing_is_unexplained() {
    let mut world = World::new(plan([app("a")]));
    let run = world.run(0);
    assert!(world.machine.is_unexplained(run));
    world.feed(Input::Notified(run, listen_failure()));
    assert!(!world.machine.is_unexplained(run));
    world.feed(Input::Notified(run, NotifyMessage::Listening));
    assert!(world.machine.is_unexplained(run));
    world.feed(Input::Notified(run, NotifyMessage::Uncaught(Uncaught::Exception)));
    assert!(!world.machine.is_unexplained(run));
    world.exit(run, FAILED, false);
    assert!(!world.machine.is_unexplained(run), "it has ended");
    world.pass(S(1));
    let run = world.run(0);
    assert!(world.machine.is_unexplained(run));
    world.feed(Input::Ready(run, ReadinessSource::Listening));
    assert!(!world.machine.is_unexplained(run), "it listens");
}

#[test]
fn a_run_that_cannot_listen_is_not_online_until_it_listens() {
    let mut world = World::new(plan([app("a")]));
    let is_ready = |world: &World| world.machine.instance(InstanceId(0)).unwrap().ready;
    for listens in [
        Input::Notified(world.run(0), NotifyMessage::Listening),
        Input::Ready(world.run(0), ReadinessSource::Listening),
    ] {
        world.feed(Input::Notified(world.run(0), listen_failure()));
        assert_eq!((world.status(0), is_ready(&world)), (Status::Launching, false));
        world.feed(listens);
        assert_eq!((world.status(0), is_ready(&world)), (Status::Online, true));
    }
    world.feed(Input::Notified(world.run(0), listen_failure()));
    assert_eq!(world.status(0), Status::Online, "it listens elsewhere");
    world.exit(world.run(0), FAILED, false);
    let past_runs = &world.machine.instance(InstanceId(0)).unwrap().past_runs;
    assert_eq!(past_runs[0].reason(), "exit", "that is not why it ended");
}

#[test]
fn a_run_whose_address_is_in_use_is_never_restarted_at_once_and_not_online_before_min_uptime() {
    let mut spec = app("a");
    spec.restart.max_restarts = 3;
    spec.restart.backoff = Backoff::Fixed(Duration::ZERO);
    let mut world = World::new(plan([app("b"), spec]));
    for run in 1..=3 {
        world.feed(Input::Notified(world.run(1), listen_failure()));
        world.feed(Input::Notified(world.run(1), NotifyMessage::Uncaught(Uncaught::Exception)));
        // However long it has tried.
        world.pass(S(5));
        world.exit(world.run(1), FAILED, false);
        if run < 3 {
            assert_eq!(world.status(1), Status::BackingOff);
            world.pass(MS(100));
            assert_eq!(world.status(1), Status::Launching);
        }
    }
    assert_eq!(world.status(1), Status::Errored);
    let past_runs = &world.machine.instance(InstanceId(1)).unwrap().past_runs;
    assert!(past_runs.iter().all(|past| past.reason() == "address-in-use"));
    let failure = ExitReason::CannotListen(in_use());
    assert_eq!(past_runs[2].reason, Some(failure.clone()));
    assert_eq!(failure.to_string(), "cannot listen on port 3000: Address already in use");
}

#[test]
fn once_the_address_is_free_the_next_run_is_online_after_min_uptime() {
    let mut world = World::new(plan([app("a")]));
    world.feed(Input::Notified(world.run(0), listen_failure()));
    world.exit(world.run(0), FAILED, false);
    world.pass(MS(100));
    assert_eq!(world.status(0), Status::Launching);
    world.pass(MS(1000));
    assert_eq!(world.status(0), Status::Online);
    world.exit(world.run(0), FAILED, false);
    world.pass(S(1));
    assert_eq!(world.status(0), Status::Online, "that was something else");
}

#[test]
fn a_reported_failure_is_the_reason_of_its_own_exit_only() {
    for (uncaught, word) in
        [(Uncaught::Rejection, "unhandled-rejection"), (Uncaught::Exception, "uncaught-exception")]
    {
        let mut world = World::new(plan([app("a")]));
        world.feed(Input::Notified(world.run(0), NotifyMessage::Uncaught(uncaught)));
        world.exit(world.run(0), FAILED, false);
        world.exit(world.run(0), FAILED, false);
        world.pass(S(1));
        world.feed(Input::Notified(world.run(0), NotifyMessage::Uncaught(uncaught)));
        world.exit(world.run(0), Ending::Signaled { signal: Signal::KILL, core_dumped: false }, false);
        let past_runs = &world.machine.instance(InstanceId(0)).unwrap().past_runs;
        let words: Vec<&str> = past_runs.iter().map(PastRun::reason).collect();
        assert_eq!(words, [word, "exit", "signal"]);
    }
}
