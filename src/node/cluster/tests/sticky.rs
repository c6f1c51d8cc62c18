//! Clients that stay with their worker.

use super::*;

/// A world with this number of workers with `balance = "sticky"` on port 1.
fn sticky(workers: usize) -> (World, Vec<Run>, ListenerId) {
    let mut world = World::default();
    let workers: Vec<Run> = (0..workers).map(|_| world.join_sticky()).collect();
    let id = *world.kernel.keys().next().expect("a socket is open");
    (world, workers, id)
}

impl World {
    fn join_sticky(&mut self) -> Run {
        let worker = self.join(Balance::Sticky);
        self.query(worker, tcp(1), 0);
        self.settle();
        worker
    }

    /// The slot of the worker that serves each of many clients.
    fn slots_of_clients(&mut self, id: ListenerId) -> Vec<u32> {
        let clients = 0..100;
        let before = self.connections.len();
        for client in clients {
            self.origin = Some(Ipv4Addr::from(client).into());
            self.connect(id);
            self.settle();
        }
        let state = self.connections[before..].iter();
        state
            .map(|state| if let ConnectionState::Served(run) = state { run.instance.0 } else { u32::MAX })
            .collect()
    }
}

#[test]
fn a_client_stays_with_its_worker_and_few_move_when_one_comes_or_goes() {
    let (mut world, workers, id) = sticky(3);
    let first = world.slots_of_clients(id);
    assert_eq!(world.slots_of_clients(id), first);
    for worker in &workers {
        let clients = first.iter().filter(|slot| **slot == worker.instance.0).count();
        assert!((15..=55).contains(&clients), "{first:?}");
    }

    world.exit(workers[1]);
    let without = world.slots_of_clients(id);
    let moved = |before: &[u32], after: &[u32]| -> Vec<(u32, u32)> {
        before.iter().copied().zip(after.iter().copied()).filter(|(before, after)| before != after).collect()
    };
    assert!(moved(&first, &without).iter().all(|(from, _)| *from == workers[1].instance.0));

    // Its successor in the same slot gets the same clients; the next slot takes some of each.
    while world.join_sticky().instance != workers[1].instance {
        world.exit(run(world.last_worker));
    }
    assert_eq!(world.slots_of_clients(id), first);
    world.last_worker += 1;
    let more = world.join_sticky();
    assert!(workers.iter().all(|worker| worker.instance != more.instance), "a new slot");
    let with_more = world.slots_of_clients(id);
    assert!(moved(&first, &with_more).iter().all(|(_, to)| *to == more.instance.0));
}

#[test]
fn a_client_is_the_same_by_both_kinds_of_address() {
    let (mut world, _, id) = sticky(3);
    let address = Ipv4Addr::new(10, 1, 2, 3);
    for origin in [IpAddr::from(address), address.to_ipv6_mapped().into()] {
        world.origin = Some(origin);
        world.connect(id);
    }
    world.settle();
    let served = world.served();
    assert_eq!(served[0], served[1]);
}

#[test]
fn a_hung_worker_does_not_hold_up_the_clients_of_others() {
    let (mut world, workers, id) = sticky(2);
    world.origin = Some(Ipv4Addr::LOCALHOST.into());
    for _ in 0..50 {
        world.connect(id);
    }
    let sent: Vec<usize> = workers.iter().map(|worker| world.sent(*worker)).collect();
    assert_eq!(sent.iter().sum::<usize>(), 50, "all are on their way: {sent:?}");
    assert_eq!(sent.iter().copied().max(), Some(32));
}

#[test]
fn clients_without_an_address_are_served_in_turn() {
    let (mut world, workers, id) = sticky(2);
    for _ in 0..6 {
        world.connect(id);
        world.settle();
    }
    let of_first = world.served().iter().filter(|number| **number == workers[0].number).count();
    assert_eq!(of_first, 3);
}
