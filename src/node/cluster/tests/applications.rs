//! Sockets that several applications share.

use super::*;

#[test]
fn two_applications_share_a_port_and_it_stays_as_long_as_one_of_them() {
    let (mut world, workers, id) = cluster(1);
    world.app = 1;
    let other = world.join(Balance::RoundRobin);
    world.query(other, tcp(1), 0);
    world.settle();
    assert_eq!(world.shared, ["port 1"]);
    let second = world.join(Balance::RoundRobin);
    world.query(second, tcp(1), 0);
    assert_eq!(world.shared.len(), 1, "reported once");
    world.exit(second);
    for _ in 0..4 {
        world.connect(id);
        world.settle();
    }
    let of_other = world.served().iter().filter(|number| **number == other.number).count();
    assert_eq!(of_other, 2);

    world.exit(workers[0]);
    world.feed(PrimaryEvent::AppUnused(0));
    world.connect(id);
    world.settle();
    assert_eq!(world.served().last(), Some(&other.number));
    world.exit(other);
    assert_eq!(world.kernel.len(), 1, "a crash closes nothing");
    world.feed(PrimaryEvent::AppUnused(1));
    assert!(world.kernel.is_empty());
}

#[test]
fn an_application_of_another_user_gets_no_share_of_a_socket() {
    let (mut world, _workers, _id) = cluster(1);
    (world.app, world.user) = (1, 65534);
    let other = world.join(Balance::RoundRobin);
    world.query(other, tcp(1), 0);
    world.settle();
    assert!(world.shared.is_empty());
    let (_, answer) = world.answers.last().unwrap();
    assert_eq!(answer.to_query.as_ref().unwrap().errno, Some(ADDRINUSE));
}

#[test]
fn each_application_gets_its_own_free_port() {
    let mut world = World::default();
    for app in 0..2 {
        world.app = app;
        let worker = world.join(Balance::RoundRobin);
        world.query(worker, tcp(0), 0);
    }
    let listeners: BTreeSet<_> =
        world.answers.iter().map(|(_, answer)| answer.to_query.as_ref().unwrap().listener).collect();
    assert_eq!(listeners.len(), 2);
    assert!(world.shared.is_empty());
}
