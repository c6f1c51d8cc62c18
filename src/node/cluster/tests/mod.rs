//! The primary against workers that come, go, accept, refuse and lie in random order, and its
//! rules by name.

mod applications;
mod balance;
mod direct;
mod probes;
mod random;
mod sticky;

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
    /// Ports that another process has.
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

/// A world with this number of workers that share port 1 in turn.
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

/// A world with this number of workers with `balance = "auto"` on port 1, of which `can` are able to accept for
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
