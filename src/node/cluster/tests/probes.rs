//! Probes of single workers.

use super::*;

#[test]
fn a_probe_is_for_one_worker_alone() {
    for balance in [Balance::Auto, Balance::RoundRobin, Balance::Shared, Balance::Sticky] {
        let mut world = World::default();
        let old = world.join(balance);
        world.query(old, tcp(1), 0);
        let other = world.join(balance);
        world.settle();
        assert_eq!(world.probe(other, 1), Reach::Network, "its slot has never listened");
        world.query(other, tcp(1), 0);
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
        world.query(new, tcp(1), 0);
        world.settle();
        assert!(matches!(world.probe(new, 1), Reach::Handed(_)));

        // When the worker refuses the probe or exits, no other worker gets it.
        world.react(new, Reaction::Refuse);
        assert_eq!(world.connections.last(), Some(&ConnectionState::Closed));
        world.probe(new, 1);
        world.exit(new);
        assert_eq!(world.connections.last(), Some(&ConnectionState::Closed));

        for _ in 0..4 {
            assert!(matches!(world.probe(old, 1), Reach::Handed(_)));
        }
        assert_eq!(world.probe(old, 1), Reach::Full, "it accepts none");
    }
}
