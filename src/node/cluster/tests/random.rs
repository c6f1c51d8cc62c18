//! Workers that come, go, accept, refuse and lie in random order.

use super::*;

#[derive(Debug, Clone)]
enum Op {
    Join(Balance),
    Die(usize),
    Ask(usize, u16, u64),
    Close(usize, u32),
    Listens(usize),
    Leave(usize),
    Retire(usize),
    Drains(usize),
    Drain(usize),
    Drained(usize),
    Connect(u32),
    Probe(usize, u16),
    Direct(Direct),
    Look(usize, Look),
    Lie(usize, u64),
    Change,
    OtherApp,
    SomebodyTakes(u16),
}

/// What concerns workers that accept for themselves.
#[derive(Debug, Clone, Copy)]
enum Direct {
    Flood(u32),
    /// The same, and nobody looks at the socket that is sent then.
    Storm(u32),
    Accept(usize),
    Accepts(usize),
    Report(usize, u32, u32),
}

fn op() -> impl Strategy<Value = Op> {
    let looks = prop::sample::select(vec![
        Look::Accept,
        Look::Accept,
        Look::Accept,
        Look::Refuse,
        Look::Lose,
        Look::Silent,
    ]);
    prop_oneof![
        3 => prop::sample::select(vec![Balance::Auto, Balance::Auto, Balance::RoundRobin, Balance::Shared, Balance::Sticky])
            .prop_map(Op::Join),
        2 => any::<usize>().prop_map(Op::Die),
        6 => (any::<usize>(), 1u16..4, 0u64..2).prop_map(|(who, port, index)| Op::Ask(who, port, index)),
        2 => (any::<usize>(), 0u32..8).prop_map(|(who, id)| Op::Close(who, id)),
        2 => any::<usize>().prop_map(Op::Listens),
        1 => any::<usize>().prop_map(Op::Leave),
        1 => any::<usize>().prop_map(Op::Retire),
        1 => any::<usize>().prop_map(Op::Drains),
        1 => any::<usize>().prop_map(Op::Drain),
        1 => any::<usize>().prop_map(Op::Drained),
        12 => (1u32..8).prop_map(Op::Connect),
        4 => (any::<usize>(), 1u16..4).prop_map(|(who, port)| Op::Probe(who, port)),
        12 => prop_oneof![
            1 => (1u32..8).prop_map(Direct::Flood),
            1 => (1u32..8).prop_map(Direct::Storm),
            3 => any::<usize>().prop_map(Direct::Accept),
            6 => any::<usize>().prop_map(Direct::Accepts),
            2 => (any::<usize>(), 1u32..8, 0u32..200).prop_map(|(who, id, count)| Direct::Report(who, id, count)),
        ]
        .prop_map(Op::Direct),
        12 => (any::<usize>(), looks).prop_map(|(who, look)| Op::Look(who, look)),
        1 => (any::<usize>(), 0u64..50).prop_map(|(who, seq)| Op::Lie(who, seq)),
        1 => Just(Op::Change),
        1 => Just(Op::OtherApp),
        1 => (1u16..4).prop_map(Op::SomebodyTakes),
    ]
}

fn who(world: &World, at: usize) -> Option<Run> {
    let count = world.workers.len();
    (count > 0).then(|| *world.workers.keys().nth(at % count).unwrap())
}

fn apply(world: &mut World, op: &Op) {
    match *op {
        Op::Join(balance) => {
            if world.workers.len() < 5 {
                world.join(balance);
            }
        }
        Op::Probe(at, port) => {
            if let Some(run) = who(world, at) {
                world.probe(run, port);
            }
        }
        Op::Die(at) => {
            if let Some(run) = who(world, at) {
                world.die(run);
            }
        }
        Op::Ask(at, port, index) => {
            if let Some(run) = who(world, at) {
                world.ask(run, if port == 3 { udp(port) } else { tcp(port) }, index);
            }
        }
        Op::Close(at, id) => {
            if let Some(run) = who(world, at) {
                world.hail(run, WorkerMessage::Close { listener: (id > 0).then_some(ListenerId(id)) });
            }
        }
        Op::Listens(at) => {
            if let Some(run) = who(world, at) {
                world.hail(run, WorkerMessage::Listening { address: "here".to_owned() });
            }
        }
        Op::Leave(at) => {
            if let Some(run) = who(world, at) {
                world.hail(run, WorkerMessage::Leaving { seq: 3 });
            }
        }
        Op::Retire(at) => {
            if let Some(run) = who(world, at) {
                world.feed(Event::Retiring(run));
            }
        }
        Op::Drains(at) => {
            if let Some(run) = who(world, at) {
                if !world.said_so.contains(&run) {
                    world.said_so.insert(run);
                    world.drains.insert(run);
                }
                world.hail(run, WorkerMessage::Drains);
            }
        }
        Op::Drain(at) => {
            if let Some(run) = who(world, at) {
                world.feed(Event::Drain(run));
                assert_eq!(world.primary.is_draining(run), world.asked.contains(&run));
            }
        }
        Op::Drained(at) => {
            if let Some(run) = who(world, at) {
                world.hail(run, WorkerMessage::Drained);
            }
        }
        Op::Connect(id) => {
            world.origin = (id % 2 == 0).then(|| Ipv4Addr::from(id).into());
            world.connect(ListenerId(id));
        }
        Op::Direct(op) => accept_themselves(world, &op),
        Op::Look(at, look) => {
            if let Some(run) = who(world, at) {
                world.look(run, look);
            }
        }
        // It must not be the number of a connection that it was sent: then it would be no lie.
        Op::Lie(at, seq) => {
            if let Some(run) = who(world, at)
                && !world.workers[&run]
                    .iter()
                    .any(|sent| matches!(sent, Sent::Connection { seq: sent, .. } if *sent == seq))
            {
                world.hail(run, WorkerMessage::Ack { seq, accepted: true });
                world.hail(run, WorkerMessage::Unknown);
            }
        }
        // The version before the last one is over, as the hub sees it: no worker runs it.
        Op::Change => {
            world.version += 1;
            if let Some(outdated) = world.version.checked_sub(2) {
                world.feed(Event::Outdated(Version { app: world.app, number: outdated }));
            }
        }
        Op::OtherApp => world.app = 1 - world.app,
        Op::SomebodyTakes(port) => {
            world.taken.insert(port);
        }
    }
}

/// What concerns workers that accept for themselves.
fn accept_themselves(world: &mut World, op: &Direct) {
    match *op {
        Direct::Flood(id) => {
            world.connect_at_once(ListenerId(id), 600);
            world.settle();
        }
        Direct::Storm(id) => world.storm(ListenerId(id)),
        Direct::Accept(at) => {
            if let Some(run) = who(world, at) {
                world.accept(run);
            }
        }
        Direct::Accepts(at) => {
            if let Some(run) = who(world, at) {
                world.hail(run, WorkerMessage::Accepts);
            }
        }
        Direct::Report(at, id, count) => {
            world.now = world.now + Duration::from_millis(150);
            if let Some(run) = who(world, at) {
                world.hail(run, WorkerMessage::Accepted { listener: ListenerId(id), count });
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]
    #[test]
    fn no_connection_is_lost_and_no_dead_worker_gets_a_message(ops in prop::collection::vec(op(), 0..120)) {
        let mut world = World::default();
        for op in ops {
            apply(&mut world, &op);
        }
        world.settle();
        // A new worker accepts the remaining connections, wherever they wait.
        let open: Vec<_> = world.kernel.iter().map(|(id, (endpoint, _))| (*id, endpoint.clone())).collect();
        let held = |world: &World| world.connections.contains(&Fate::Held);
        let waiting = |world: &World| world.watched.iter().any(|id| world.kernel[id].1 > 0);
        for (id, endpoint) in open {
            let helper = world.join(Balance::RoundRobin);
            world.ask(helper, endpoint, world.indexes[&id]);
            world.settle();
        }
        prop_assert!(!held(&world), "a connection was lost: {:?}", world.connections);
        prop_assert!(!waiting(&world), "a connection was left waiting");
        let both = world.accepting.iter().find(|(_, id)| world.watched.contains(id));
        prop_assert_eq!(both, None, "procrun and a worker accept");

        for run in world.workers.keys().copied().collect::<Vec<_>>() {
            world.die(run);
        }
        for app in 0..2 {
            world.feed(Event::Abandoned(app));
        }
        prop_assert!(world.kernel.is_empty(), "a socket was left open");
        prop_assert!(!held(&world), "a connection was left open");
        let mut reports = world.reports.clone();
        reports.sort_by_key(|(run, offence)| (*run, *offence as u8));
        reports.dedup();
        prop_assert_eq!(reports.len(), world.reports.len(), "something was said twice");
    }
}

/// What happens to workers that accept for themselves, most of all while a socket is on its way to them.
fn op_of_fast_connections() -> impl Strategy<Value = Op> {
    let looks = prop::sample::select(vec![Look::Accept, Look::Lose, Look::Lose, Look::Refuse]);
    prop_oneof![
        2 => Just(Op::Direct(Direct::Storm(1))),
        8 => (any::<usize>(), looks).prop_map(|(who, look)| Op::Look(who, look)),
        4 => (any::<usize>(), 0u32..100).prop_map(|(who, count)| Op::Direct(Direct::Report(who, 1, count))),
        1 => Just(Op::Join(Balance::Auto)),
        2 => any::<usize>().prop_map(|who| Op::Direct(Direct::Accepts(who))),
        2 => any::<usize>().prop_map(|who| Op::Ask(who, 1, 0)),
        1 => any::<usize>().prop_map(Op::Retire),
        1 => any::<usize>().prop_map(|who| Op::Close(who, 1)),
        1 => any::<usize>().prop_map(Op::Die),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]
    #[test]
    fn a_socket_on_its_way_gives_no_worker_connections_that_procrun_hands_out(
        ops in prop::collection::vec(op_of_fast_connections(), 0..40)
    ) {
        let (mut world, _, _) = automatic(2, 2);
        for op in ops {
            apply(&mut world, &op);
        }
        world.settle();
        let both = world.accepting.iter().find(|(_, id)| world.watched.contains(id));
        prop_assert_eq!(both, None, "procrun and a worker accept");
    }
}
