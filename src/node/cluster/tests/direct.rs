//! Workers that accept by themselves while connections arrive fast.

use super::*;

impl World {
    fn accept_themselves(&self, id: ListenerId) -> Vec<Run> {
        self.accepting.iter().filter(|(_, other)| *other == id).map(|(run, _)| *run).collect()
    }

    /// A worker reports these numbers of accepted connections, 100 ms apart.
    fn report(&mut self, worker: Run, listener: ListenerId, counts: &[u32]) {
        for count in counts {
            self.now = self.now + Duration::from_millis(100);
            self.send(worker, WorkerMessage::Accepted { listener, count: *count });
            self.settle();
        }
    }
}

#[test]
fn workers_accept_for_themselves_while_connections_arrive_fast() {
    let (mut world, workers, id) = automatic(2, 2);
    world.flood(id);
    assert_eq!(world.accept_themselves(id), workers);
    assert!(world.watched.is_empty(), "procrun does not accept");
    let by_hand = world.served().len();
    assert!(by_hand >= 512, "a burst is handed out: {by_hand}");
    let of_first = world.served().iter().filter(|number| **number == workers[0].number).count();
    assert!(of_first.abs_diff(300) <= 44, "the burst is divided evenly: {of_first}");

    world.report(workers[0], id, &[300, 300, 300]);
    assert_eq!(world.accept_themselves(id), workers);
    world.report(workers[1], id, &[10, 10, 10, 10]);
    assert!(world.accept_themselves(id).is_empty(), "the rate is low again");
    let before = world.served().len();
    for _ in 0..8 {
        world.connect(id);
        world.settle();
    }
    let of = |worker: Run| world.served()[before..].iter().filter(|it| **it == worker.number).count();
    assert_eq!((of(workers[0]), of(workers[1])), (4, 4));
}

#[test]
fn all_listening_workers_accept_by_themselves_or_none_does() {
    let (mut world, workers, id) = automatic(2, 1);
    world.flood(id);
    assert!(world.accept_themselves(id).is_empty(), "one of them cannot");
    world.exit(workers[1]);
    world.flood(id);
    assert_eq!(world.accept_themselves(id), [workers[0]]);

    let other = world.join(Balance::Auto);
    world.send(other, WorkerMessage::Accepts);
    world.query(other, tcp(1), 0);
    world.settle();
    assert_eq!(world.accept_themselves(id), [workers[0], other], "a worker that joins later accepts, too");

    world.feed(PrimaryEvent::Retiring(other));
    world.settle();
    assert_eq!(world.accept_themselves(id), [workers[0]], "a worker that is about to end stops");

    let in_turn = world.join(Balance::RoundRobin);
    world.query(in_turn, tcp(1), 0);
    world.settle();
    assert!(world.accept_themselves(id).is_empty(), "this worker gets connections only from procrun");
    assert!(world.watched.contains(&id));
}

#[test]
fn procrun_accepts_again_after_the_last_worker_has_exited() {
    let (mut world, workers, id) = automatic(1, 1);
    world.flood(id);
    world.exit(workers[0]);
    assert!(world.watched.contains(&id));
    world.connect(id);
    let next = world.join(Balance::Auto);
    world.query(next, tcp(1), 0);
    world.settle();
    assert_eq!(world.served().last(), Some(&next.number));
}

#[test]
fn a_worker_that_declines_gets_another_request_later() {
    let (mut world, workers, id) = automatic(2, 2);
    let mut refused = 0;
    for _ in 0..900 {
        world.connect(id);
        while let Some(worker) =
            world.workers.iter().find(|(_, inbox)| !inbox.is_empty()).map(|(run, _)| *run)
        {
            let declines = refused == 0 && matches!(world.workers[&worker].front(), Some(Sent::Socket(_)));
            refused += usize::from(declines);
            world.react(worker, if declines { Reaction::Refuse } else { Reaction::Accept });
        }
        if refused == 1 {
            assert!(world.watched.contains(&id));
            refused = 2;
        }
        world.settle();
    }
    assert_eq!(refused, 2);
    assert_eq!(world.accept_themselves(id), workers);
    assert_eq!(world.served().len(), 900);
}

#[test]
fn procrun_continues_to_accept_after_a_lost_socket() {
    let (mut world, workers, id) = automatic(1, 1);
    for _ in 0..520 {
        world.connect(id);
        while let Some(sent) = world.workers[&workers[0]].front() {
            let reaction = if matches!(sent, Sent::Socket(_)) { Reaction::Lose } else { Reaction::Accept };
            world.react(workers[0], reaction);
        }
    }
    assert!(world.accept_themselves(id).is_empty());
    assert_eq!(world.served().len(), 520);
}

#[test]
fn a_socket_that_does_not_arrive_before_the_worker_is_told_to_stop_is_not_sent_again() {
    let (mut world, workers, id) = automatic(2, 2);
    world.storm(id);
    // The other one ends the time of fast connections.
    while !world.workers[&workers[1]].is_empty() {
        world.react(workers[1], Reaction::Accept);
    }
    for _ in 0..4 {
        world.now = world.now + Duration::from_millis(100);
        world.send(workers[1], WorkerMessage::Accepted { listener: id, count: 1 });
    }
    assert!(world.watched.contains(&id), "connections are handed out again");
    assert!(matches!(world.workers[&workers[0]].front(), Some(Sent::Socket(_))));
    world.react(workers[0], Reaction::Lose);
    world.settle();
    assert!(world.accept_themselves(id).is_empty());

    // The same with a socket that is closed meanwhile.
    let (mut world, workers, id) = automatic(1, 1);
    world.storm(id);
    world.send(workers[0], WorkerMessage::Close { listener: Some(id) });
    assert!(world.kernel.is_empty());
    world.react(workers[0], Reaction::Lose);
    world.settle();
}
