//! Workers that join, exit, accept, refuse and violate the protocol in random order.

use super::*;

#[derive(Debug, Clone)]
enum Op {
    Join(Balance),
    Exit(usize),
    Query(usize, u16, u64),
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
    Reaction(usize, Reaction),
    WrongAck(usize, u64),
    Change,
    OtherApp,
    TakePort(u16),
}

/// Steps of workers that accept by themselves.
#[derive(Debug, Clone, Copy)]
enum Direct {
    Flood(u32),
    /// As `Flood`, but the workers do not handle the sockets that they are sent.
    Storm(u32),
    Accept(usize),
    Accepts(usize),
    Report(usize, u32, u32),
}

fn op() -> impl Strategy<Value = Op> {
    let reactions = prop::sample::select(vec![
        Reaction::Accept,
        Reaction::Accept,
        Reaction::Accept,
        Reaction::Refuse,
        Reaction::Lose,
        Reaction::Silent,
    ]);
    prop_oneof![
        3 => prop::sample::select(vec![Balance::Auto, Balance::Auto, Balance::RoundRobin, Balance::Shared, Balance::Sticky])
            .prop_map(Op::Join),
        2 => any::<usize>().prop_map(Op::Exit),
        6 => (any::<usize>(), 1u16..4, 0u64..2).prop_map(|(worker, port, index)| Op::Query(worker, port, index)),
        2 => (any::<usize>(), 0u32..8).prop_map(|(worker, id)| Op::Close(worker, id)),
        2 => any::<usize>().prop_map(Op::Listens),
        1 => any::<usize>().prop_map(Op::Leave),
        1 => any::<usize>().prop_map(Op::Retire),
        1 => any::<usize>().prop_map(Op::Drains),
        1 => any::<usize>().prop_map(Op::Drain),
        1 => any::<usize>().prop_map(Op::Drained),
        12 => (1u32..8).prop_map(Op::Connect),
        4 => (any::<usize>(), 1u16..4).prop_map(|(worker, port)| Op::Probe(worker, port)),
        12 => prop_oneof![
            1 => (1u32..8).prop_map(Direct::Flood),
            1 => (1u32..8).prop_map(Direct::Storm),
            3 => any::<usize>().prop_map(Direct::Accept),
            6 => any::<usize>().prop_map(Direct::Accepts),
            2 => (any::<usize>(), 1u32..8, 0u32..200).prop_map(|(worker, id, count)| Direct::Report(worker, id, count)),
        ]
        .prop_map(Op::Direct),
        12 => (any::<usize>(), reactions).prop_map(|(worker, reaction)| Op::Reaction(worker, reaction)),
        1 => (any::<usize>(), 0u64..50).prop_map(|(worker, seq)| Op::WrongAck(worker, seq)),
        1 => Just(Op::Change),
        1 => Just(Op::OtherApp),
        1 => (1u16..4).prop_map(Op::TakePort),
    ]
}

fn pick(world: &World, at: usize) -> Option<Run> {
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
            if let Some(run) = pick(world, at) {
                world.probe(run, port);
            }
        }
        Op::Exit(at) => {
            if let Some(run) = pick(world, at) {
                world.exit(run);
            }
        }
        Op::Query(at, port, index) => {
            if let Some(run) = pick(world, at) {
                world.query(run, if port == 3 { udp(port) } else { tcp(port) }, index);
            }
        }
        Op::Close(at, id) => {
            if let Some(run) = pick(world, at) {
                world.send(run, WorkerMessage::Close { listener: (id > 0).then_some(ListenerId(id)) });
            }
        }
        Op::Listens(at) => {
            if let Some(run) = pick(world, at) {
                world.send(run, WorkerMessage::Listening { address: "here".to_owned() });
            }
        }
        Op::Leave(at) => {
            if let Some(run) = pick(world, at) {
                world.send(run, WorkerMessage::Leaving { seq: 3 });
            }
        }
        Op::Retire(at) => {
            if let Some(run) = pick(world, at) {
                world.feed(PrimaryEvent::Retiring(run));
            }
        }
        Op::Drains(at) => {
            if let Some(run) = pick(world, at) {
                if !world.has_reported.contains(&run) {
                    world.has_reported.insert(run);
                    world.drains.insert(run);
                }
                world.send(run, WorkerMessage::Drains);
            }
        }
        Op::Drain(at) => {
            if let Some(run) = pick(world, at) {
                world.feed(PrimaryEvent::Drain(run));
                assert_eq!(world.primary.is_draining(run), world.draining.contains(&run));
            }
        }
        Op::Drained(at) => {
            if let Some(run) = pick(world, at) {
                world.send(run, WorkerMessage::Drained);
            }
        }
        Op::Connect(id) => {
            world.origin = (id % 2 == 0).then(|| Ipv4Addr::from(id).into());
            world.connect(ListenerId(id));
        }
        Op::Direct(op) => accept_themselves(world, &op),
        Op::Reaction(at, reaction) => {
            if let Some(run) = pick(world, at) {
                world.react(run, reaction);
            }
        }
        // It must not be the number of a connection that the worker was sent: that would be a correct answer.
        Op::WrongAck(at, seq) => {
            if let Some(run) = pick(world, at)
                && !world.workers[&run]
                    .iter()
                    .any(|sent| matches!(sent, Sent::Connection { seq: sent, .. } if *sent == seq))
            {
                world.send(run, WorkerMessage::Ack { seq, accepted: true });
                world.send(run, WorkerMessage::Unknown);
            }
        }
        // No worker runs the version before the last one any more.
        Op::Change => {
            world.version += 1;
            if let Some(outdated) = world.version.checked_sub(2) {
                world.feed(PrimaryEvent::Outdated(Version { app: world.app, number: outdated }));
            }
        }
        Op::OtherApp => world.app = 1 - world.app,
        Op::TakePort(port) => {
            world.taken.insert(port);
        }
    }
}

/// Steps of workers that accept by themselves.
fn accept_themselves(world: &mut World, op: &Direct) {
    match *op {
        Direct::Flood(id) => {
            world.connect_at_once(ListenerId(id), 600);
            world.settle();
        }
        Direct::Storm(id) => world.storm(ListenerId(id)),
        Direct::Accept(at) => {
            if let Some(run) = pick(world, at) {
                world.accept(run);
            }
        }
        Direct::Accepts(at) => {
            if let Some(run) = pick(world, at) {
                world.send(run, WorkerMessage::Accepts);
            }
        }
        Direct::Report(at, id, count) => {
            world.now = world.now + Duration::from_millis(150);
            if let Some(run) = pick(world, at) {
                world.send(run, WorkerMessage::Accepted { listener: ListenerId(id), count });
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
        let held = |world: &World| world.connections.contains(&ConnectionState::Waiting);
        let waiting = |world: &World| world.watched.iter().any(|id| world.kernel[id].1 > 0);
        for (id, endpoint) in open {
            let helper = world.join(Balance::RoundRobin);
            world.query(helper, endpoint, world.indexes[&id]);
            world.settle();
        }
        prop_assert!(!held(&world), "a connection was lost: {:?}", world.connections);
        prop_assert!(!waiting(&world), "a connection was left waiting");
        let both = world.accepting.iter().find(|(_, id)| world.watched.contains(id));
        prop_assert_eq!(both, None, "procrun and a worker accept");

        for run in world.workers.keys().copied().collect::<Vec<_>>() {
            world.exit(run);
        }
        for app in 0..2 {
            world.feed(PrimaryEvent::AppUnused(app));
        }
        prop_assert!(world.kernel.is_empty(), "a socket was left open");
        prop_assert!(!held(&world), "a connection was left open");
        let mut reports = world.reports.clone();
        reports.sort_by_key(|(run, violation)| (*run, *violation as u8));
        reports.dedup();
        prop_assert_eq!(reports.len(), world.reports.len(), "a violation was reported twice");
    }
}

/// Steps of workers that accept by themselves, mostly while a socket is on its way to them.
fn direct_op() -> impl Strategy<Value = Op> {
    let reactions =
        prop::sample::select(vec![Reaction::Accept, Reaction::Lose, Reaction::Lose, Reaction::Refuse]);
    prop_oneof![
        2 => Just(Op::Direct(Direct::Storm(1))),
        8 => (any::<usize>(), reactions).prop_map(|(worker, reaction)| Op::Reaction(worker, reaction)),
        4 => (any::<usize>(), 0u32..100).prop_map(|(worker, count)| Op::Direct(Direct::Report(worker, 1, count))),
        1 => Just(Op::Join(Balance::Auto)),
        2 => any::<usize>().prop_map(|worker| Op::Direct(Direct::Accepts(worker))),
        2 => any::<usize>().prop_map(|worker| Op::Query(worker, 1, 0)),
        1 => any::<usize>().prop_map(Op::Retire),
        1 => any::<usize>().prop_map(|worker| Op::Close(worker, 1)),
        1 => any::<usize>().prop_map(Op::Exit),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]
    #[test]
    fn a_socket_on_its_way_gives_no_worker_connections_that_procrun_hands_out(
        ops in prop::collection::vec(direct_op(), 0..40)
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
