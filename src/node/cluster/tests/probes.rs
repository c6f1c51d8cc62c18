//! Probes of single workers.

use super::*;

#[test]
fn a_probe_is_for_one_worker_alone() {
    for balance in [Balance::Auto, Balance::RoundRobin, Balance::Shared, Balance::Sticky] {
        let mut world = World::default();
        let old = world.join(balance);
        world.ask(old, tcp(1), 0);
        let other = world.join(balance);
        world.settle();
        assert_eq!(world.probe(other, 1), Reach::Network, "its place has never listened");
        world.ask(other, tcp(1), 0);
        world.settle();
        for _ in 0..3 {
            assert!(matches!(world.probe(other, 1), Reach::Handed(_)));
            world.settle();
        }
        assert_eq!(world.served(), [other.number; 3]);
        assert_eq!(world.probe(other, 2), Reach::Network, "another port");

        // Its successor has not listened yet.
        world.last_worker += 3;
        let new = world.join(balance);
        assert_eq!(new.instance, other.instance);
        assert_eq!(world.probe(new, 1), Reach::NotYet);
        world.ask(new, tcp(1), 0);
        world.settle();
        assert!(matches!(world.probe(new, 1), Reach::Handed(_)));

        // One that refuses it, or is gone, leaves it to no other.
        world.look(new, Look::Refuse);
        assert_eq!(world.connections.last(), Some(&Fate::Closed));
        world.probe(new, 1);
        world.die(new);
        assert_eq!(world.connections.last(), Some(&Fate::Closed));

        for _ in 0..4 {
            assert!(matches!(world.probe(old, 1), Reach::Handed(_)));
        }
        assert_eq!(world.probe(old, 1), Reach::Full, "it takes none");
    }
}
