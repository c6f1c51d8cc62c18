//! Connections that procrun hands out by round robin, and the sockets that workers request.

use super::*;

#[test]
fn idle_workers_are_served_in_turn() {
    let (mut world, workers, id) = cluster(3);
    for _ in 0..9 {
        world.connect(id);
        world.settle();
    }
    for worker in &workers {
        let count = world.served().iter().filter(|number| **number == worker.number).count();
        assert_eq!(count, 3, "{:?}", world.served());
    }
}

#[test]
fn a_burst_is_spread_and_then_waits_in_the_kernel() {
    let (mut world, workers, id) = cluster(2);
    for _ in 0..50 {
        world.connect(id);
    }
    let sent: Vec<_> = workers.iter().map(|worker| world.sent(*worker)).collect();
    assert!(sent[0] == sent[1] && sent[0] > 0, "{sent:?}");
    assert_eq!(world.kernel[&id].1 as usize, 50 - sent[0] * 2);
    world.settle();
    assert_eq!(world.served().len(), 50);
}

/// As strict in_turn would do it, whichever worker takes its connections sooner.
#[test]
fn a_burst_is_divided_evenly_whichever_worker_is_faster() {
    for count in [8, 32] {
        for first in 0..2 {
            let (mut world, workers, id) = cluster(2);
            for number in 0..count {
                world.connect(id);
                // One takes each at once, the other every fourth time.
                world.react(workers[first], Reaction::Accept);
                if number % 4 == 3 {
                    while world.react(workers[1 - first], Reaction::Accept) {}
                }
            }
            world.settle();
            let of_first = world.served().iter().filter(|it| **it == workers[0].number).count();
            assert_eq!(of_first * 2, count, "{:?}", world.served());
        }
    }
}

#[test]
fn a_busy_worker_gets_fewer_connections() {
    let (mut world, workers, id) = cluster(2);
    for _ in 0..20 {
        world.connect(id);
        while world.react(workers[1], Reaction::Accept) {}
    }
    let by_the_busy_one = world.sent(workers[0]);
    assert_eq!(world.served().len() + by_the_busy_one, 20);
    assert!(by_the_busy_one <= 4, "{by_the_busy_one}");
}

#[test]
fn connections_that_an_exited_worker_did_not_accept_go_to_another() {
    let (mut world, workers, id) = cluster(2);
    world.connect(id);
    world.connect(id);
    world.exit(workers[0]);
    world.settle();
    assert_eq!(world.served(), [workers[1].number; 2]);
}

#[test]
fn a_port_stays_open_without_workers_and_the_next_one_serves_what_waited() {
    let (mut world, workers, id) = cluster(1);
    world.exit(workers[0]);
    world.connect(id);
    world.connect(id);
    assert!(world.served().is_empty());
    let next = world.join(Balance::RoundRobin);
    world.query(next, tcp(1), 0);
    world.settle();
    assert_eq!(world.served(), [next.number; 2]);
    assert_eq!(world.kernel.len(), 1, "the same socket");
}

#[test]
fn a_refused_connection_is_offered_to_each_worker_once() {
    let (mut world, workers, id) = cluster(3);
    world.connect(id);
    for _ in 0..3 {
        let with_it = workers.iter().find(|worker| world.sent(**worker) > 0).expect("a worker has it");
        world.react(*with_it, Reaction::Refuse);
    }
    assert_eq!(world.connections, [ConnectionState::Closed], "no worker accepts it");

    world.connect(id);
    let with_it = *workers.iter().find(|worker| world.sent(**worker) > 0).unwrap();
    world.react(with_it, Reaction::Refuse);
    world.settle();
    assert_eq!(world.served().len(), 1);
    assert_ne!(world.served(), [with_it.number]);
}

#[test]
fn a_lost_descriptor_is_sent_again_a_few_times_and_then_to_another() {
    let (mut world, workers, id) = cluster(2);
    world.connect(id);
    let unlucky = *workers.iter().find(|worker| world.sent(**worker) > 0).unwrap();
    let mut lost = 0;
    while world.react(unlucky, Reaction::Lose) {
        lost += 1;
    }
    assert_eq!(lost, 4, "once and three times more");
    world.settle();
    assert_eq!(world.served().len(), 1);
    assert_ne!(world.served(), [unlucky.number]);
}

#[test]
fn closing_the_last_server_closes_the_port_unless_the_worker_is_leaving() {
    let (mut world, workers, id) = cluster(2);
    world.send(workers[0], WorkerMessage::Close { listener: Some(id) });
    assert_eq!(world.kernel.len(), 1);
    world.send(workers[1], WorkerMessage::Close { listener: Some(id) });
    assert!(world.kernel.is_empty());

    let (mut world, workers, id) = cluster(1);
    world.feed(PrimaryEvent::Retiring(workers[0]));
    world.send(workers[0], WorkerMessage::Close { listener: Some(id) });
    assert_eq!(world.kernel.len(), 1, "its successor will want it");
}

#[test]
fn a_leaving_worker_gets_connections_only_if_no_other_stays() {
    let (mut world, workers, id) = cluster(2);
    world.feed(PrimaryEvent::Retiring(workers[0]));
    for _ in 0..4 {
        world.connect(id);
        world.settle();
    }
    assert_eq!(world.served(), [workers[1].number; 4]);
    world.feed(PrimaryEvent::Retiring(workers[1]));
    world.connect(id);
    world.connect(id);
    world.settle();
    assert!(world.served().contains(&workers[0].number));
}

#[test]
fn a_taken_port_is_the_applications_own_error_and_the_next_may_try_again() {
    let mut world = World { taken: [1].into(), ..World::default() };
    let worker = world.join(Balance::RoundRobin);
    world.query(worker, tcp(1), 0);
    let outcome = world.answers.pop().unwrap().1.to_query.unwrap();
    assert_eq!(outcome.errno, Some(ADDRINUSE));
    world.taken.clear();
    world.query(worker, tcp(1), 0);
    assert_eq!(world.answers.pop().unwrap().1.to_query.unwrap().errno, None);
}

#[test]
fn several_servers_of_one_application_have_a_socket_each() {
    let mut world = World::default();
    let (first, second) = (world.join(Balance::RoundRobin), world.join(Balance::RoundRobin));
    for worker in [first, second] {
        world.query(worker, tcp(1), 0);
        world.query(worker, tcp(2), 0);
    }
    assert_eq!(world.kernel.len(), 2);
    world.settle();
    world.connect(ListenerId(1));
    world.connect(ListenerId(2));
    world.settle();
    assert_eq!(world.served().len(), 2);
}

#[test]
fn udp_shared_and_held_servers_get_the_socket_itself() {
    let mut world = World::default();
    let (in_turn, shares) = (world.join(Balance::RoundRobin), world.join(Balance::Shared));
    world.query(in_turn, udp(3), 0);
    world.query(shares, tcp(1), 0);
    // A worker that has the socket itself could make a primary that accepts from it wait.
    world.query(in_turn, Endpoint::Held { address: "tcp://*:80".to_owned() }, 0);
    let handles: Vec<_> = world.answers.iter().map(|(_, it)| it.to_query.clone().unwrap().handle).collect();
    assert_eq!(handles, [Some(Handle::Datagram), Some(Handle::Stream), Some(Handle::Stream)]);
    assert!(world.watched.is_empty(), "the workers accept by themselves");
}

#[test]
fn all_workers_get_the_ticket_keys_of_the_first() {
    let mut world = World::default();
    let request_keys = |world: &mut World, keys: &str| {
        let worker = world.join(Balance::RoundRobin);
        let data = Some(keys.into());
        world.send(
            worker,
            WorkerMessage::Query(Query { seq: 1, endpoint: Some(tcp(1)), descriptor: None, index: 0, data }),
        );
        world.answers.last().unwrap().1.to_query.clone().unwrap().data
    };
    assert_eq!(request_keys(&mut world, "\"first\"").as_deref(), Some("\"first\""));
    assert_eq!(request_keys(&mut world, "\"second\"").as_deref(), Some("\"first\""));
}

#[test]
fn after_a_change_the_old_port_is_closed_once_the_new_one_is_listened_on() {
    let (mut world, workers, _) = cluster(2);
    world.version = 1;
    let new = world.join(Balance::RoundRobin);
    world.query(new, tcp(2), 0);
    for worker in workers {
        world.exit(worker);
    }
    world.feed(PrimaryEvent::Outdated(Version { app: 0, number: 0 }));
    assert_eq!(world.kernel.len(), 2, "no worker listens yet");
    world.send(new, WorkerMessage::Listening { address: "port 2".to_owned() });
    assert_eq!(world.kernel.values().map(|(endpoint, _)| endpoint.clone()).collect::<Vec<_>>(), [tcp(2)]);
}

#[test]
fn the_sockets_of_a_failed_version_are_closed() {
    let (mut world, workers, _) = cluster(1);
    world.send(workers[0], WorkerMessage::Listening { address: "port 1".to_owned() });
    world.version = 1;
    let new = world.join(Balance::RoundRobin);
    world.query(new, tcp(1), 0);
    world.query(new, tcp(2), 0);
    world.exit(new);
    assert_eq!(world.kernel.len(), 2, "a crash closes nothing");
    world.feed(PrimaryEvent::Outdated(Version { app: 0, number: 1 }));
    assert_eq!(world.kernel.values().map(|(endpoint, _)| endpoint.clone()).collect::<Vec<_>>(), [tcp(1)]);
    world.exit(workers[0]);
    assert_eq!(world.kernel.len(), 1, "the old version will want it again");
}

#[test]
fn a_held_socket_is_closed_with_the_last_worker_that_listens_on_it() {
    let mut world = World::default();
    let held = Endpoint::Held { address: "tcp://*:80".to_owned() };
    let workers = [world.join(Balance::Shared), world.join(Balance::Shared)];
    for worker in workers {
        world.query(worker, held.clone(), 0);
    }
    world.exit(workers[0]);
    assert_eq!(world.kernel.len(), 1);
    world.exit(workers[1]);
    assert!(world.kernel.is_empty(), "it is not the primary's to keep open");
}

#[test]
fn an_unused_socket_is_closed_for_a_conflicting_request() {
    let (mut world, workers, _) = cluster(1);
    world.exit(workers[0]);
    let next = world.join(Balance::RoundRobin);
    let loopback =
        Endpoint::Tcp { address: Some("127.0.0.1".to_owned()), port: 1, only_v6: false, backlog: 1 };
    world.query(next, loopback, 0);
    assert_eq!(world.answers.last().unwrap().1.to_query.as_ref().unwrap().errno, None);
    assert_eq!(world.kernel.len(), 1);
}

#[test]
fn the_sockets_and_descriptors_of_one_worker_are_bounded() {
    let mut world = World::default();
    let worker = world.join(Balance::RoundRobin);
    for index in 0..300 {
        world.query(
            worker,
            Endpoint::Unix { path: format!("/{index}"), readable: false, writable: false, backlog: 1 },
            0,
        );
    }
    assert_eq!(world.kernel.len(), 256);
    assert_eq!(world.reports, [(worker, ProtocolViolation::TooManyListeners)]);

    let greedy = world.join(Balance::Shared);
    for _ in 0..2000 {
        world.query(
            greedy,
            Endpoint::Unix { path: "/0".to_owned(), readable: false, writable: false, backlog: 1 },
            0,
        );
    }
    assert!(!world.workers.contains_key(&greedy), "it was disconnected");
    assert!(world.workers.contains_key(&worker));
}

#[test]
fn connections_in_hand_when_the_balance_changes_go_to_workers_that_accept_by_themselves() {
    let (mut world, workers, id) = cluster(1);
    world.connect(id);
    let shares = world.join(Balance::Shared);
    world.query(shares, tcp(1), 0);
    world.feed(PrimaryEvent::Retiring(workers[0]));
    world.connect(id);
    assert_eq!(world.connections.len(), 1, "the next one is left to the new worker");
    world.exit(workers[0]);
    world.settle();
    assert_eq!(world.connections, [ConnectionState::Served(shares)]);
}
