//! The primary against workers that come, go, accept, refuse and lie in random order, and its
//! rules by name.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

use proptest::prelude::*;

use super::{
    ConnectionId, Effect, Endpoint, Event, ListenerId, Primary, ProtocolViolation, Query, Reach, Version,
    WorkerMessage,
    wire::{Answer, Handle},
};
use crate::{
    machine::{InstanceId, Run, Time},
    spec::Balance,
};

const ADDRINUSE: i32 = 98;

fn run(number: u64) -> Run {
    Run { instance: InstanceId(u32::try_from(number % 4).unwrap()), number }
}

fn tcp(port: u16) -> Endpoint {
    Endpoint::Tcp { address: None, port, only_v6: false, backlog: 511 }
}

fn udp(port: u16) -> Endpoint {
    Endpoint::Udp { address: "0.0.0.0".to_owned(), port, only_v6: false, reuse: false }
}

/// What a worker has been sent and has not looked at.
#[derive(Debug, Clone)]
enum Sent {
    Answer(Answer),
    Connection { seq: u64, connection: ConnectionId },
    Socket(ListenerId),
    Stop(ListenerId),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Held,
    Served(Run),
    Closed,
}

/// The world around a primary: a kernel and workers.
#[derive(Default)]
struct World {
    primary: Primary,
    now: Time,
    /// Whose connections arrive.
    origin: Option<IpAddr>,
    workers: BTreeMap<Run, VecDeque<Sent>>,
    last_worker: u64,
    /// Which application joins, and which version of it.
    app: u32,
    /// The user of the workers that join from now on.
    user: u32,
    version: u32,
    /// Open sockets and how many connections wait in each.
    kernel: BTreeMap<ListenerId, (Endpoint, u32)>,
    /// The `index` of each socket, and that of the last question.
    indexes: BTreeMap<ListenerId, u64>,
    last_index: u64,
    watched: BTreeSet<ListenerId>,
    connections: Vec<Fate>,
    refused: BTreeSet<ConnectionId>,
    /// How often a connection has not arrived.
    lost: BTreeMap<ConnectionId, u32>,
    /// Connections that probe a worker.
    probes: BTreeMap<ConnectionId, Run>,
    /// Whose listener was closed under them.
    orphaned: bool,
    reports: Vec<(Run, ProtocolViolation)>,
    /// Who has said that it can be drained and was not asked to.
    drains: BTreeSet<Run>,
    said_so: BTreeSet<Run>,
    /// Who was asked to and has not finished.
    asked: BTreeSet<Run>,
    answers: Vec<(Run, Answer)>,
    /// Which workers accept from which sockets themselves.
    accepting: BTreeSet<(Run, ListenerId)>,
    /// What applications were said to share.
    shared: Vec<String>,
    /// Ports that somebody else has.
    taken: BTreeSet<u16>,
}

impl World {
    fn feed(&mut self, event: Event) {
        let mut events = VecDeque::from([event]);
        while let Some(event) = events.pop_front() {
            let mut out = Vec::new();
            self.primary.step(self.now, event, &mut out);
            for effect in out {
                events.extend(self.carry_out(effect));
            }
        }
    }

    fn carry_out(&mut self, effect: Effect) -> Option<Event> {
        match effect {
            Effect::Bind(id, endpoint, _) => {
                let port = match endpoint {
                    Endpoint::Tcp { port, .. } | Endpoint::Udp { port, .. } => port,
                    Endpoint::Unix { .. } | Endpoint::Held { .. } => 0,
                };
                let ours =
                    port != 0 && self.kernel.values().any(|(open, _)| open.is_in_the_way_of(&endpoint));
                if self.taken.contains(&port) || ours {
                    return Some(Event::BindFailed(id, ADDRINUSE));
                }
                assert!(self.kernel.insert(id, (endpoint, 0)).is_none(), "one socket twice");
                self.indexes.insert(id, self.last_index);
                let address = format!("127.0.0.1:{port}").parse().unwrap();
                return Some(Event::Bound(id, Some(address)));
            }
            Effect::Close(id) => {
                assert!(self.kernel.remove(&id).is_some(), "closed what was not open");
                self.watched.remove(&id);
                self.orphaned = true;
            }
            Effect::Watch(id) => {
                assert!(self.kernel.contains_key(&id) && self.watched.insert(id), "watched twice");
                return (self.kernel[&id].1 > 0).then_some(Event::Waiting(id));
            }
            Effect::Unwatch(id) => assert!(self.watched.remove(&id), "it was not watched"),
            Effect::Accept(id) => {
                let waiting = &mut self.kernel.get_mut(&id).expect("it is open").1;
                if *waiting == 0 {
                    return Some(Event::Drained(id));
                }
                *waiting -= 1;
                self.connections.push(Fate::Held);
                let connection = ConnectionId(u32::try_from(self.connections.len() - 1).unwrap());
                return Some(Event::Accepted(id, connection, self.origin));
            }
            Effect::Answer(to, answer) => {
                self.answers.push((to, answer.clone()));
                self.workers.get_mut(&to).expect("no answer to the dead").push_back(Sent::Answer(answer));
            }
            Effect::Hand { worker, listener, seq, connection } => {
                assert!(self.kernel.contains_key(&listener), "handed over for a closed server");
                assert_eq!(self.fate(connection), Fate::Held, "handed over what is not there");
                let probed = self.probes.get(&connection);
                assert!(probed.is_none_or(|probed| *probed == worker), "a probe of another");
                let inbox = self.workers.get_mut(&worker).expect("no connection to the dead");
                inbox.push_back(Sent::Connection { seq, connection });
            }
            Effect::LetAccept { worker, listener, .. } => {
                assert!(self.kernel.contains_key(&listener) && !self.watched.contains(&listener));
                let inbox = self.workers.get_mut(&worker).expect("no socket to the dead");
                inbox.push_back(Sent::Socket(listener));
            }
            Effect::StopAccepting { worker, listener } => {
                self.workers.get_mut(&worker).expect("no word to the dead").push_back(Sent::Stop(listener));
            }
            Effect::Release(connection) => match self.fate(connection) {
                Fate::Held => {
                    // Who loses it four times counts as one who refuses.
                    let often_lost = self.lost.get(&connection).is_some_and(|times| *times > 3);
                    assert!(
                        self.refused.contains(&connection)
                            || often_lost
                            || self.orphaned
                            || self.probes.contains_key(&connection),
                        "a connection is dropped that nobody refused"
                    );
                    self.connections[connection.0 as usize] = Fate::Closed;
                }
                Fate::Served(_) => {}
                Fate::Closed => panic!("released twice"),
            },
            Effect::Report(run, offence) => self.reports.push((run, offence)),
            Effect::Drain(run) => {
                assert!(self.drains.remove(&run), "asked who cannot, or twice");
                assert!(self.workers.contains_key(&run) && self.asked.insert(run));
            }
            Effect::HasDrained(run) => {
                assert!(self.asked.remove(&run), "it was not asked, or said so before");
            }
            Effect::SharesSocket(run, endpoint, with) => {
                assert!(self.workers.contains_key(&run) && with < 2);
                self.shared.push(endpoint.describe());
            }
            Effect::Listening(run, _) | Effect::CannotListen(run, ..) => {
                assert!(self.workers.contains_key(&run));
            }
            Effect::Disconnect(run, _) => {
                self.workers.remove(&run);
                return Some(Event::Gone(run));
            }
        }
        None
    }

    fn fate(&self, connection: ConnectionId) -> Fate {
        self.connections[connection.0 as usize]
    }

    fn join(&mut self, balance: Balance) -> Run {
        self.last_worker += 1;
        let worker = run(self.last_worker);
        self.workers.insert(worker, VecDeque::new());
        let place = worker.instance.0;
        let version = Version { app: self.app, number: self.version };
        self.feed(Event::Joined { worker, balance, place, version, user: self.user });
        worker
    }

    fn die(&mut self, worker: Run) {
        if self.workers.remove(&worker).is_some() {
            self.accepting.retain(|(run, _)| *run != worker);
            self.feed(Event::Gone(worker));
        }
    }

    fn ask(&mut self, worker: Run, endpoint: Endpoint, index: u64) {
        self.last_index = index;
        let query = Query { seq: 7, endpoint: Some(endpoint), descriptor: None, index, data: None };
        self.hail(worker, WorkerMessage::Query(query));
    }

    fn hail(&mut self, worker: Run, hail: WorkerMessage) {
        if self.workers.contains_key(&worker) {
            self.feed(Event::WorkerMessage(worker, hail));
        }
    }

    /// Probes a worker at this port, if that is the cluster's.
    fn probe(&mut self, worker: Run, port: u16) -> Reach {
        let reach = self.primary.reach(worker, &[format!("127.0.0.1:{port}").parse().unwrap()]);
        if let Reach::Handed(id) = reach {
            self.connections.push(Fate::Held);
            let connection = ConnectionId(u32::try_from(self.connections.len() - 1).unwrap());
            self.probes.insert(connection, worker);
            self.feed(Event::Probe(worker, id, connection));
        }
        reach
    }

    fn connect(&mut self, id: ListenerId) {
        self.connect_at_once(id, 1);
    }

    fn connect_at_once(&mut self, id: ListenerId, count: u32) {
        if let Some((_, waiting)) = self.kernel.get_mut(&id) {
            *waiting += count;
            if self.watched.contains(&id) {
                self.feed(Event::Waiting(id));
            }
        }
    }

    /// More connections than are handed out one by one, one after the other.
    fn flood(&mut self, id: ListenerId) {
        for _ in 0..600 {
            self.connect(id);
            self.settle();
        }
    }

    /// The same, until sockets are sent; nobody looks at those.
    fn storm(&mut self, id: ListenerId) {
        for _ in 0..600 {
            self.connect(id);
            let reads = |(run, inbox): (&Run, &VecDeque<Sent>)| {
                matches!(inbox.front(), Some(Sent::Connection { .. } | Sent::Answer(_))).then_some(*run)
            };
            while let Some(worker) = self.workers.iter().find_map(reads) {
                self.look(worker, Look::Accept);
            }
        }
    }

    /// A worker takes what waits at the sockets that it accepts from.
    fn accept(&mut self, worker: Run) {
        for (_, id) in self.accepting.iter().filter(|(run, _)| *run == worker) {
            if let Some((_, waiting)) = self.kernel.get_mut(id) {
                let served = std::mem::take(waiting) as usize;
                self.connections.extend(vec![Fate::Served(worker); served]);
            }
        }
    }

    /// A worker looks at the next thing it was sent.
    fn look(&mut self, worker: Run, answer: Look) -> bool {
        let Some(sent) = self.workers.get_mut(&worker).and_then(VecDeque::pop_front) else { return false };
        match (sent, answer) {
            (Sent::Connection { connection, .. }, Look::Lose) => {
                *self.lost.entry(connection).or_default() += 1;
                self.feed(Event::HandleNack(worker));
            }
            (Sent::Connection { seq, connection }, answer) => {
                let accepted = answer != Look::Refuse;
                if accepted {
                    self.connections[connection.0 as usize] = Fate::Served(worker);
                } else {
                    self.refused.insert(connection);
                }
                if answer != Look::Silent {
                    self.feed(Event::HandleAck(worker));
                }
                self.feed(Event::WorkerMessage(worker, WorkerMessage::Ack { seq, accepted }));
            }
            (Sent::Answer(Answer { to_query: Some(outcome), .. }), answer) if outcome.handle.is_some() => {
                self.feed(match answer {
                    Look::Lose => Event::HandleNack(worker),
                    Look::Accept | Look::Refuse | Look::Silent => Event::HandleAck(worker),
                });
            }
            (Sent::Answer(_), _) => {}
            (Sent::Socket(_), Look::Lose) => self.feed(Event::HandleNack(worker)),
            (Sent::Socket(listener), answer) => {
                self.feed(Event::HandleAck(worker));
                if answer == Look::Refuse {
                    self.hail(worker, WorkerMessage::Declines { listener });
                } else if self.workers.contains_key(&worker) {
                    self.accepting.insert((worker, listener));
                }
            }
            (Sent::Stop(listener), _) => {
                self.accepting.remove(&(worker, listener));
            }
        }
        true
    }

    /// Everybody looks at everything and takes what comes.
    fn settle(&mut self) {
        while let Some(worker) = self.workers.iter().find(|(_, inbox)| !inbox.is_empty()).map(|(run, _)| *run)
        {
            self.look(worker, Look::Accept);
        }
        for worker in self.workers.keys().copied().collect::<Vec<_>>() {
            self.accept(worker);
        }
    }

    fn served(&self) -> Vec<u64> {
        let served = self.connections.iter().filter_map(|fate| match fate {
            Fate::Served(run) => Some(run.number),
            Fate::Held | Fate::Closed => None,
        });
        served.collect()
    }

    fn sent(&self, worker: Run) -> usize {
        let connections = |sent: &&Sent| matches!(sent, Sent::Connection { .. });
        self.workers[&worker].iter().filter(connections).count()
    }
}

/// What a worker does with what it was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Look {
    Accept,
    Refuse,
    /// The descriptor did not arrive.
    Lose,
    /// Takes it, and does not say that the descriptor arrived.
    Silent,
}

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
        // The version before the last one is over, as the hub sees it: nobody runs it.
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
    fn no_connection_is_lost_and_nobody_dead_is_spoken_to(ops in prop::collection::vec(op(), 0..120)) {
        let mut world = World::default();
        for op in ops {
            apply(&mut world, &op);
        }
        world.settle();
        // Whoever is new takes what is left, wherever it waits.
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

/// A world with so many workers that share port 1 in turn.
fn cluster(workers: usize) -> (World, Vec<Run>, ListenerId) {
    let mut world = World::default();
    let workers: Vec<Run> = (0..workers)
        .map(|_| {
            let worker = world.join(Balance::RoundRobin);
            world.ask(worker, tcp(1), 0);
            worker
        })
        .collect();
    world.settle();
    let id = *world.kernel.keys().next().expect("a socket is open");
    (world, workers, id)
}

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

/// As strict turns would do it, whichever worker takes its connections sooner.
#[test]
fn a_burst_is_divided_evenly_whichever_worker_is_faster() {
    for count in [8, 32] {
        for first in 0..2 {
            let (mut world, workers, id) = cluster(2);
            for number in 0..count {
                world.connect(id);
                // One takes each at once, the other every fourth time.
                world.look(workers[first], Look::Accept);
                if number % 4 == 3 {
                    while world.look(workers[1 - first], Look::Accept) {}
                }
            }
            world.settle();
            let of_first = world.served().iter().filter(|it| **it == workers[0].number).count();
            assert_eq!(of_first * 2, count, "{:?}", world.served());
        }
    }
}

#[test]
fn a_busy_worker_is_passed_over() {
    let (mut world, workers, id) = cluster(2);
    for _ in 0..20 {
        world.connect(id);
        while world.look(workers[1], Look::Accept) {}
    }
    let by_the_busy_one = world.sent(workers[0]);
    assert_eq!(world.served().len() + by_the_busy_one, 20);
    assert!(by_the_busy_one <= 4, "{by_the_busy_one}");
}

#[test]
fn what_a_dead_worker_did_not_take_is_for_another() {
    let (mut world, workers, id) = cluster(2);
    world.connect(id);
    world.connect(id);
    world.die(workers[0]);
    world.settle();
    assert_eq!(world.served(), [workers[1].number; 2]);
}

#[test]
fn a_port_stays_open_without_workers_and_the_next_one_serves_what_waited() {
    let (mut world, workers, id) = cluster(1);
    world.die(workers[0]);
    world.connect(id);
    world.connect(id);
    assert!(world.served().is_empty());
    let next = world.join(Balance::RoundRobin);
    world.ask(next, tcp(1), 0);
    world.settle();
    assert_eq!(world.served(), [next.number; 2]);
    assert_eq!(world.kernel.len(), 1, "the same socket");
}

#[test]
fn a_refused_connection_goes_round_once() {
    let (mut world, workers, id) = cluster(3);
    world.connect(id);
    for _ in 0..3 {
        let with_it = workers.iter().find(|worker| world.sent(**worker) > 0).expect("somebody has it");
        world.look(*with_it, Look::Refuse);
    }
    assert_eq!(world.connections, [Fate::Closed], "nobody wants it");

    world.connect(id);
    let with_it = *workers.iter().find(|worker| world.sent(**worker) > 0).unwrap();
    world.look(with_it, Look::Refuse);
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
    while world.look(unlucky, Look::Lose) {
        lost += 1;
    }
    assert_eq!(lost, 4, "once and three times more");
    world.settle();
    assert_eq!(world.served().len(), 1);
    assert_ne!(world.served(), [unlucky.number]);
}

#[test]
fn closing_the_last_server_closes_the_port_but_not_on_the_way_out() {
    let (mut world, workers, id) = cluster(2);
    world.hail(workers[0], WorkerMessage::Close { listener: Some(id) });
    assert_eq!(world.kernel.len(), 1);
    world.hail(workers[1], WorkerMessage::Close { listener: Some(id) });
    assert!(world.kernel.is_empty());

    let (mut world, workers, id) = cluster(1);
    world.feed(Event::Retiring(workers[0]));
    world.hail(workers[0], WorkerMessage::Close { listener: Some(id) });
    assert_eq!(world.kernel.len(), 1, "its successor will want it");
}

#[test]
fn who_leaves_gets_connections_only_when_nobody_stays() {
    let (mut world, workers, id) = cluster(2);
    world.feed(Event::Retiring(workers[0]));
    for _ in 0..4 {
        world.connect(id);
        world.settle();
    }
    assert_eq!(world.served(), [workers[1].number; 4]);
    world.feed(Event::Retiring(workers[1]));
    world.connect(id);
    world.connect(id);
    world.settle();
    assert!(world.served().contains(&workers[0].number));
}

#[test]
fn a_taken_port_is_the_applications_own_error_and_the_next_may_try_again() {
    let mut world = World { taken: [1].into(), ..World::default() };
    let worker = world.join(Balance::RoundRobin);
    world.ask(worker, tcp(1), 0);
    let outcome = world.answers.pop().unwrap().1.to_query.unwrap();
    assert_eq!(outcome.errno, Some(ADDRINUSE));
    world.taken.clear();
    world.ask(worker, tcp(1), 0);
    assert_eq!(world.answers.pop().unwrap().1.to_query.unwrap().errno, None);
}

#[test]
fn several_servers_of_one_application_have_a_socket_each() {
    let mut world = World::default();
    let (first, second) = (world.join(Balance::RoundRobin), world.join(Balance::RoundRobin));
    for worker in [first, second] {
        world.ask(worker, tcp(1), 0);
        world.ask(worker, tcp(2), 0);
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
    let (turns, shares) = (world.join(Balance::RoundRobin), world.join(Balance::Shared));
    world.ask(turns, udp(3), 0);
    world.ask(shares, tcp(1), 0);
    // A worker that has the socket itself could make a primary that accepts from it wait.
    world.ask(turns, Endpoint::Held { address: "tcp://*:80".to_owned() }, 0);
    let handles: Vec<_> = world.answers.iter().map(|(_, it)| it.to_query.clone().unwrap().handle).collect();
    assert_eq!(handles, [Some(Handle::Datagram), Some(Handle::Stream), Some(Handle::Stream)]);
    assert!(world.watched.is_empty(), "the workers accept for themselves");
}

#[test]
fn ticket_keys_of_the_first_are_those_of_all() {
    let mut world = World::default();
    let ask = |world: &mut World, keys: &str| {
        let worker = world.join(Balance::RoundRobin);
        let data = Some(keys.into());
        world.hail(
            worker,
            WorkerMessage::Query(Query { seq: 1, endpoint: Some(tcp(1)), descriptor: None, index: 0, data }),
        );
        world.answers.last().unwrap().1.to_query.clone().unwrap().data
    };
    assert_eq!(ask(&mut world, "\"first\"").as_deref(), Some("\"first\""));
    assert_eq!(ask(&mut world, "\"second\"").as_deref(), Some("\"first\""));
}

#[test]
fn after_a_change_the_old_port_is_closed_once_the_new_one_is_listened_on() {
    let (mut world, workers, _) = cluster(2);
    world.version = 1;
    let new = world.join(Balance::RoundRobin);
    world.ask(new, tcp(2), 0);
    for worker in workers {
        world.die(worker);
    }
    world.feed(Event::Outdated(Version { app: 0, number: 0 }));
    assert_eq!(world.kernel.len(), 2, "nobody listens yet");
    world.hail(new, WorkerMessage::Listening { address: "port 2".to_owned() });
    assert_eq!(world.kernel.values().map(|(endpoint, _)| endpoint.clone()).collect::<Vec<_>>(), [tcp(2)]);
}

#[test]
fn what_a_version_that_failed_listened_on_is_closed() {
    let (mut world, workers, _) = cluster(1);
    world.hail(workers[0], WorkerMessage::Listening { address: "port 1".to_owned() });
    world.version = 1;
    let new = world.join(Balance::RoundRobin);
    world.ask(new, tcp(1), 0);
    world.ask(new, tcp(2), 0);
    world.die(new);
    assert_eq!(world.kernel.len(), 2, "a crash closes nothing");
    world.feed(Event::Outdated(Version { app: 0, number: 1 }));
    assert_eq!(world.kernel.values().map(|(endpoint, _)| endpoint.clone()).collect::<Vec<_>>(), [tcp(1)]);
    world.die(workers[0]);
    assert_eq!(world.kernel.len(), 1, "the old version will want it again");
}

#[test]
fn a_socket_that_came_with_the_worker_goes_with_the_last_one() {
    let mut world = World::default();
    let held = Endpoint::Held { address: "tcp://*:80".to_owned() };
    let workers = [world.join(Balance::Shared), world.join(Balance::Shared)];
    for worker in workers {
        world.ask(worker, held.clone(), 0);
    }
    world.die(workers[0]);
    assert_eq!(world.kernel.len(), 1);
    world.die(workers[1]);
    assert!(world.kernel.is_empty(), "it is not the primary's to keep open");
}

#[test]
fn a_held_socket_gives_way_to_one_that_somebody_listens_on() {
    let (mut world, workers, _) = cluster(1);
    world.die(workers[0]);
    let next = world.join(Balance::RoundRobin);
    let loopback =
        Endpoint::Tcp { address: Some("127.0.0.1".to_owned()), port: 1, only_v6: false, backlog: 1 };
    world.ask(next, loopback, 0);
    assert_eq!(world.answers.last().unwrap().1.to_query.as_ref().unwrap().errno, None);
    assert_eq!(world.kernel.len(), 1);
}

#[test]
fn a_worker_that_wants_everything_gets_a_bounded_part_of_it() {
    let mut world = World::default();
    let worker = world.join(Balance::RoundRobin);
    for index in 0..300 {
        world.ask(
            worker,
            Endpoint::Unix { path: format!("/{index}"), readable: false, writable: false, backlog: 1 },
            0,
        );
    }
    assert_eq!(world.kernel.len(), 256);
    assert_eq!(world.reports, [(worker, ProtocolViolation::TooManyListeners)]);

    let greedy = world.join(Balance::Shared);
    for _ in 0..2000 {
        world.ask(
            greedy,
            Endpoint::Unix { path: "/0".to_owned(), readable: false, writable: false, backlog: 1 },
            0,
        );
    }
    assert!(!world.workers.contains_key(&greedy), "it was disconnected");
    assert!(world.workers.contains_key(&worker));
}

#[test]
fn what_is_in_hand_when_the_balance_changes_is_for_those_who_accept_for_themselves() {
    let (mut world, workers, id) = cluster(1);
    world.connect(id);
    let shares = world.join(Balance::Shared);
    world.ask(shares, tcp(1), 0);
    world.feed(Event::Retiring(workers[0]));
    world.connect(id);
    assert_eq!(world.connections.len(), 1, "the next one is left to the new worker");
    world.die(workers[0]);
    world.settle();
    assert_eq!(world.connections, [Fate::Served(shares)]);
}

/// A world with so many workers with `balance = "auto"` on port 1, of which so many can accept for
/// themselves.
fn automatic(workers: usize, can: usize) -> (World, Vec<Run>, ListenerId) {
    let mut world = World::default();
    let workers: Vec<Run> = (0..workers)
        .map(|at| {
            let worker = world.join(Balance::Auto);
            if at < can {
                world.hail(worker, WorkerMessage::Accepts);
            }
            world.ask(worker, tcp(1), 0);
            worker
        })
        .collect();
    world.settle();
    let id = *world.kernel.keys().next().expect("a socket is open");
    (world, workers, id)
}

impl World {
    fn accept_themselves(&self, id: ListenerId) -> Vec<Run> {
        self.accepting.iter().filter(|(_, other)| *other == id).map(|(run, _)| *run).collect()
    }

    /// Workers say so often what they took, 100 ms apart.
    fn report(&mut self, worker: Run, listener: ListenerId, counts: &[u32]) {
        for count in counts {
            self.now = self.now + Duration::from_millis(100);
            self.hail(worker, WorkerMessage::Accepted { listener, count: *count });
            self.settle();
        }
    }
}

#[test]
fn workers_accept_for_themselves_while_connections_arrive_fast() {
    let (mut world, workers, id) = automatic(2, 2);
    world.flood(id);
    assert_eq!(world.accept_themselves(id), workers);
    assert!(world.watched.is_empty(), "procrun leaves them alone");
    let by_hand = world.served().len();
    assert!(by_hand >= 512, "a burst is handed out: {by_hand}");
    let of_first = world.served().iter().filter(|number| **number == workers[0].number).count();
    assert!(of_first.abs_diff(300) <= 44, "and evenly, up to there: {of_first}");

    world.report(workers[0], id, &[300, 300, 300]);
    assert_eq!(world.accept_themselves(id), workers);
    world.report(workers[1], id, &[10, 10, 10, 10]);
    assert!(world.accept_themselves(id).is_empty(), "it is calm again");
    let before = world.served().len();
    for _ in 0..8 {
        world.connect(id);
        world.settle();
    }
    let of = |worker: Run| world.served()[before..].iter().filter(|it| **it == worker.number).count();
    assert_eq!((of(workers[0]), of(workers[1])), (4, 4));
}

#[test]
fn all_who_listen_accept_for_themselves_or_nobody_does() {
    let (mut world, workers, id) = automatic(2, 1);
    world.flood(id);
    assert!(world.accept_themselves(id).is_empty(), "one of them cannot");
    world.die(workers[1]);
    world.flood(id);
    assert_eq!(world.accept_themselves(id), [workers[0]]);

    let other = world.join(Balance::Auto);
    world.hail(other, WorkerMessage::Accepts);
    world.ask(other, tcp(1), 0);
    world.settle();
    assert_eq!(world.accept_themselves(id), [workers[0], other], "one that comes later is told, too");

    world.feed(Event::Retiring(other));
    world.settle();
    assert_eq!(world.accept_themselves(id), [workers[0]], "one that is about to end gets no more");

    let turns = world.join(Balance::RoundRobin);
    world.ask(turns, tcp(1), 0);
    world.settle();
    assert!(world.accept_themselves(id).is_empty(), "this one gets its share from procrun only");
    assert!(world.watched.contains(&id));
}

#[test]
fn a_port_whose_last_worker_has_gone_is_the_primarys_again() {
    let (mut world, workers, id) = automatic(1, 1);
    world.flood(id);
    world.die(workers[0]);
    assert!(world.watched.contains(&id));
    world.connect(id);
    let next = world.join(Balance::Auto);
    world.ask(next, tcp(1), 0);
    world.settle();
    assert_eq!(world.served().last(), Some(&next.number));
}

#[test]
fn a_worker_that_declines_is_asked_again_later() {
    let (mut world, workers, id) = automatic(2, 2);
    let mut refused = 0;
    for _ in 0..900 {
        world.connect(id);
        while let Some(worker) =
            world.workers.iter().find(|(_, inbox)| !inbox.is_empty()).map(|(run, _)| *run)
        {
            let declines = refused == 0 && matches!(world.workers[&worker].front(), Some(Sent::Socket(_)));
            refused += usize::from(declines);
            world.look(worker, if declines { Look::Refuse } else { Look::Accept });
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
fn a_socket_that_does_not_arrive_leaves_the_primary_at_work() {
    let (mut world, workers, id) = automatic(1, 1);
    for _ in 0..520 {
        world.connect(id);
        while let Some(sent) = world.workers[&workers[0]].front() {
            let look = if matches!(sent, Sent::Socket(_)) { Look::Lose } else { Look::Accept };
            world.look(workers[0], look);
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
        world.look(workers[1], Look::Accept);
    }
    for _ in 0..4 {
        world.now = world.now + Duration::from_millis(100);
        world.hail(workers[1], WorkerMessage::Accepted { listener: id, count: 1 });
    }
    assert!(world.watched.contains(&id), "connections are handed out again");
    assert!(matches!(world.workers[&workers[0]].front(), Some(Sent::Socket(_))));
    world.look(workers[0], Look::Lose);
    world.settle();
    assert!(world.accept_themselves(id).is_empty());

    // The same with a socket that is closed meanwhile.
    let (mut world, workers, id) = automatic(1, 1);
    world.storm(id);
    world.hail(workers[0], WorkerMessage::Close { listener: Some(id) });
    assert!(world.kernel.is_empty());
    world.look(workers[0], Look::Lose);
    world.settle();
}

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

/// A world with so many workers with `balance = "sticky"` on port 1.
fn sticky(workers: usize) -> (World, Vec<Run>, ListenerId) {
    let mut world = World::default();
    let workers: Vec<Run> = (0..workers).map(|_| world.join_sticky()).collect();
    let id = *world.kernel.keys().next().expect("a socket is open");
    (world, workers, id)
}

impl World {
    fn join_sticky(&mut self) -> Run {
        let worker = self.join(Balance::Sticky);
        self.ask(worker, tcp(1), 0);
        self.settle();
        worker
    }

    /// The place of the worker that serves each of many clients.
    fn places_of_clients(&mut self, id: ListenerId) -> Vec<u32> {
        let clients = 0..100;
        let before = self.connections.len();
        for client in clients {
            self.origin = Some(Ipv4Addr::from(client).into());
            self.connect(id);
            self.settle();
        }
        let fates = self.connections[before..].iter();
        fates.map(|fate| if let Fate::Served(run) = fate { run.instance.0 } else { u32::MAX }).collect()
    }
}

#[test]
fn a_client_stays_with_its_worker_and_few_move_when_one_comes_or_goes() {
    let (mut world, workers, id) = sticky(3);
    let first = world.places_of_clients(id);
    assert_eq!(world.places_of_clients(id), first);
    for worker in &workers {
        let clients = first.iter().filter(|place| **place == worker.instance.0).count();
        assert!((15..=55).contains(&clients), "{first:?}");
    }

    world.die(workers[1]);
    let without = world.places_of_clients(id);
    let moved = |before: &[u32], after: &[u32]| -> Vec<(u32, u32)> {
        before.iter().copied().zip(after.iter().copied()).filter(|(before, after)| before != after).collect()
    };
    assert!(moved(&first, &without).iter().all(|(from, _)| *from == workers[1].instance.0));

    // Its successor in the same place gets the same clients; the next place takes some of each.
    while world.join_sticky().instance != workers[1].instance {
        world.die(run(world.last_worker));
    }
    assert_eq!(world.places_of_clients(id), first);
    world.last_worker += 1;
    let more = world.join_sticky();
    assert!(workers.iter().all(|worker| worker.instance != more.instance), "a new place");
    let with_more = world.places_of_clients(id);
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

#[test]
fn two_applications_share_a_port_and_it_stays_as_long_as_one_of_them() {
    let (mut world, workers, id) = cluster(1);
    world.app = 1;
    let other = world.join(Balance::RoundRobin);
    world.ask(other, tcp(1), 0);
    world.settle();
    assert_eq!(world.shared, ["port 1"]);
    let second = world.join(Balance::RoundRobin);
    world.ask(second, tcp(1), 0);
    assert_eq!(world.shared.len(), 1, "said once");
    world.die(second);
    for _ in 0..4 {
        world.connect(id);
        world.settle();
    }
    let of_other = world.served().iter().filter(|number| **number == other.number).count();
    assert_eq!(of_other, 2);

    world.die(workers[0]);
    world.feed(Event::Abandoned(0));
    world.connect(id);
    world.settle();
    assert_eq!(world.served().last(), Some(&other.number));
    world.die(other);
    assert_eq!(world.kernel.len(), 1, "a crash closes nothing");
    world.feed(Event::Abandoned(1));
    assert!(world.kernel.is_empty());
}

#[test]
fn an_application_of_another_user_gets_no_share_of_a_socket() {
    let (mut world, _workers, _id) = cluster(1);
    (world.app, world.user) = (1, 65534);
    let other = world.join(Balance::RoundRobin);
    world.ask(other, tcp(1), 0);
    world.settle();
    assert!(world.shared.is_empty());
    let (_, answer) = world.answers.last().unwrap();
    assert_eq!(answer.to_query.as_ref().unwrap().errno, Some(ADDRINUSE));
}

#[test]
fn a_free_port_is_another_one_for_each_application() {
    let mut world = World::default();
    for app in 0..2 {
        world.app = app;
        let worker = world.join(Balance::RoundRobin);
        world.ask(worker, tcp(0), 0);
    }
    let listeners: BTreeSet<_> =
        world.answers.iter().map(|(_, answer)| answer.to_query.as_ref().unwrap().listener).collect();
    assert_eq!(listeners.len(), 2);
    assert!(world.shared.is_empty());
}
