//! Tests of the primary with a simulated kernel and simulated workers: its rules by name, and random orders of
//! events.

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
    Answer, ConnectionId, Endpoint, Handle, ListenerId, Primary, PrimaryEffect, PrimaryEvent,
    ProtocolViolation, Query, Reach, Version, WorkerMessage,
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

/// A message to a worker that it has not handled.
#[derive(Debug, Clone)]
enum Sent {
    Answer(Answer),
    Connection { seq: u64, connection: ConnectionId },
    Socket(ListenerId),
    Stop(ListenerId),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ConnectionState {
    Waiting,
    Served(Run),
    Closed,
}

/// The simulated world around a primary: a kernel and workers.
#[derive(Default)]
struct World {
    primary: Primary,
    now: Time,
    /// The address of the clients that connect from now on.
    origin: Option<IpAddr>,
    workers: BTreeMap<Run, VecDeque<Sent>>,
    last_worker: u64,
    /// The application of the workers that join from now on.
    app: u32,
    /// The user of the workers that join from now on.
    user: u32,
    /// The version of that application.
    version: u32,
    /// Open sockets, each with the number of connections that wait in it.
    kernel: BTreeMap<ListenerId, (Endpoint, u32)>,
    /// The `index` of each socket, and that of the last request.
    indexes: BTreeMap<ListenerId, u64>,
    last_index: u64,
    watched: BTreeSet<ListenerId>,
    connections: Vec<ConnectionState>,
    refused: BTreeSet<ConnectionId>,
    /// The number of times that the descriptor of a connection was lost.
    lost: BTreeMap<ConnectionId, u32>,
    /// Connections that probe a worker.
    probes: BTreeMap<ConnectionId, Run>,
    /// Whether a socket was closed, with the connections that waited in it.
    has_closed_socket: bool,
    reports: Vec<(Run, ProtocolViolation)>,
    /// Workers that have reported that they can be drained, and were not requested to.
    drains: BTreeSet<Run>,
    /// Workers that have reported that they can be drained.
    has_reported: BTreeSet<Run>,
    /// Workers that were requested to drain and have not finished.
    draining: BTreeSet<Run>,
    answers: Vec<(Run, Answer)>,
    /// The workers that accept by themselves, and from which socket.
    accepting: BTreeSet<(Run, ListenerId)>,
    /// The addresses that were reported as shared between applications.
    shared: Vec<String>,
    /// Ports that another process has.
    taken: BTreeSet<u16>,
}

impl World {
    fn feed(&mut self, event: PrimaryEvent) {
        let mut events = VecDeque::from([event]);
        while let Some(event) = events.pop_front() {
            let mut out = Vec::new();
            self.primary.step(self.now, event, &mut out);
            for effect in out {
                events.extend(self.carry_out(effect));
            }
        }
    }

    fn carry_out(&mut self, effect: PrimaryEffect) -> Option<PrimaryEvent> {
        match effect {
            PrimaryEffect::Bind(id, endpoint, _) => {
                let port = match endpoint {
                    Endpoint::Tcp { port, .. } | Endpoint::Udp { port, .. } => port,
                    Endpoint::Unix { .. } | Endpoint::Held { .. } => 0,
                };
                let ours = port != 0 && self.kernel.values().any(|(open, _)| open.conflicts_with(&endpoint));
                if self.taken.contains(&port) || ours {
                    return Some(PrimaryEvent::BindFailed(id, ADDRINUSE));
                }
                assert!(self.kernel.insert(id, (endpoint, 0)).is_none(), "a socket was opened twice");
                self.indexes.insert(id, self.last_index);
                let address = format!("127.0.0.1:{port}").parse().unwrap();
                return Some(PrimaryEvent::Bound(id, Some(address)));
            }
            PrimaryEffect::Close(id) => {
                assert!(self.kernel.remove(&id).is_some(), "closed a socket that was not open");
                self.watched.remove(&id);
                self.has_closed_socket = true;
            }
            PrimaryEffect::Watch(id) => {
                assert!(self.kernel.contains_key(&id) && self.watched.insert(id), "watched twice");
                return (self.kernel[&id].1 > 0).then_some(PrimaryEvent::Waiting(id));
            }
            PrimaryEffect::Unwatch(id) => assert!(self.watched.remove(&id), "it was not watched"),
            PrimaryEffect::Accept(id) => {
                let waiting = &mut self.kernel.get_mut(&id).expect("it is open").1;
                if *waiting == 0 {
                    return Some(PrimaryEvent::QueueEmpty(id));
                }
                *waiting -= 1;
                self.connections.push(ConnectionState::Waiting);
                let connection = ConnectionId(u32::try_from(self.connections.len() - 1).unwrap());
                return Some(PrimaryEvent::Accepted(id, connection, self.origin));
            }
            PrimaryEffect::Answer(to, answer) => {
                self.answers.push((to, answer.clone()));
                self.workers
                    .get_mut(&to)
                    .expect("an answer to a worker that has exited")
                    .push_back(Sent::Answer(answer));
            }
            PrimaryEffect::Hand { worker, listener, seq, connection } => {
                assert!(self.kernel.contains_key(&listener), "handed over for a closed server");
                assert_eq!(
                    self.state(connection),
                    ConnectionState::Waiting,
                    "handed over a connection that is not open"
                );
                let probed = self.probes.get(&connection);
                assert!(probed.is_none_or(|probed| *probed == worker), "the probe was for another worker");
                let inbox = self.workers.get_mut(&worker).expect("a connection for a worker that has exited");
                inbox.push_back(Sent::Connection { seq, connection });
            }
            PrimaryEffect::LetAccept { worker, listener, .. } => {
                assert!(self.kernel.contains_key(&listener) && !self.watched.contains(&listener));
                let inbox = self.workers.get_mut(&worker).expect("a socket for a worker that has exited");
                inbox.push_back(Sent::Socket(listener));
            }
            PrimaryEffect::StopAccepting { worker, listener } => {
                self.workers
                    .get_mut(&worker)
                    .expect("a message to a worker that has exited")
                    .push_back(Sent::Stop(listener));
            }
            PrimaryEffect::Release(connection) => self.release(connection),
            PrimaryEffect::Report(run, violation) => self.reports.push((run, violation)),
            PrimaryEffect::Drain(run) => {
                assert!(
                    self.drains.remove(&run),
                    "a drain was requested twice, or of a worker that cannot drain"
                );
                assert!(self.workers.contains_key(&run) && self.draining.insert(run));
            }
            PrimaryEffect::HasDrained(run) => {
                assert!(
                    self.draining.remove(&run),
                    "the end of a drain was reported twice, or was not requested"
                );
            }
            PrimaryEffect::SharesSocket(run, endpoint, with) => {
                assert!(self.workers.contains_key(&run) && with < 2);
                self.shared.push(endpoint.describe());
            }
            PrimaryEffect::Listening(run, _) | PrimaryEffect::CannotListen(run, ..) => {
                assert!(self.workers.contains_key(&run));
            }
            PrimaryEffect::Disconnect(run, _) => {
                self.workers.remove(&run);
                return Some(PrimaryEvent::Gone(run));
            }
        }
        None
    }

    fn release(&mut self, connection: ConnectionId) {
        match self.state(connection) {
            ConnectionState::Waiting => {
                // After four losses a worker counts as one that refuses.
                let often_lost = self.lost.get(&connection).is_some_and(|times| *times > 3);
                assert!(
                    self.refused.contains(&connection)
                        || often_lost
                        || self.has_closed_socket
                        || self.probes.contains_key(&connection),
                    "a connection was dropped that no worker refused"
                );
                self.connections[connection.0 as usize] = ConnectionState::Closed;
            }
            ConnectionState::Served(_) => {}
            ConnectionState::Closed => panic!("released twice"),
        }
    }

    fn state(&self, connection: ConnectionId) -> ConnectionState {
        self.connections[connection.0 as usize]
    }

    fn join(&mut self, balance: Balance) -> Run {
        self.last_worker += 1;
        let worker = run(self.last_worker);
        self.workers.insert(worker, VecDeque::new());
        let slot = worker.instance.0;
        let version = Version { app: self.app, number: self.version };
        self.feed(PrimaryEvent::Joined { worker, balance, slot, version, user: self.user });
        worker
    }

    fn exit(&mut self, worker: Run) {
        if self.workers.remove(&worker).is_some() {
            self.accepting.retain(|(run, _)| *run != worker);
            self.feed(PrimaryEvent::Gone(worker));
        }
    }

    fn query(&mut self, worker: Run, endpoint: Endpoint, index: u64) {
        self.last_index = index;
        let query = Query { seq: 7, endpoint: Some(endpoint), descriptor: None, index, data: None };
        self.send(worker, WorkerMessage::Query(query));
    }

    fn send(&mut self, worker: Run, message: WorkerMessage) {
        if self.workers.contains_key(&worker) {
            self.feed(PrimaryEvent::WorkerMessage(worker, message));
        }
    }

    /// Probes a worker at this port, if a socket of the cluster listens there.
    fn probe(&mut self, worker: Run, port: u16) -> Reach {
        let reach = self.primary.reach(worker, &[format!("127.0.0.1:{port}").parse().unwrap()]);
        if let Reach::Handed(id) = reach {
            self.connections.push(ConnectionState::Waiting);
            let connection = ConnectionId(u32::try_from(self.connections.len() - 1).unwrap());
            self.probes.insert(connection, worker);
            self.feed(PrimaryEvent::Probe(worker, id, connection));
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
                self.feed(PrimaryEvent::Waiting(id));
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

    /// As [`Self::flood`], but the workers do not handle the sockets that they are sent.
    fn storm(&mut self, id: ListenerId) {
        for _ in 0..600 {
            self.connect(id);
            let reads = |(run, inbox): (&Run, &VecDeque<Sent>)| {
                matches!(inbox.front(), Some(Sent::Connection { .. } | Sent::Answer(_))).then_some(*run)
            };
            while let Some(worker) = self.workers.iter().find_map(reads) {
                self.react(worker, Reaction::Accept);
            }
        }
    }

    /// A worker accepts the waiting connections of its sockets.
    fn accept(&mut self, worker: Run) {
        for (_, id) in self.accepting.iter().filter(|(run, _)| *run == worker) {
            if let Some((_, waiting)) = self.kernel.get_mut(id) {
                let served = std::mem::take(waiting) as usize;
                self.connections.extend(vec![ConnectionState::Served(worker); served]);
            }
        }
    }

    /// A worker handles the next message that it was sent. False: there is none.
    fn react(&mut self, worker: Run, reaction: Reaction) -> bool {
        let Some(sent) = self.workers.get_mut(&worker).and_then(VecDeque::pop_front) else { return false };
        match (sent, reaction) {
            (Sent::Connection { connection, .. }, Reaction::Lose) => {
                *self.lost.entry(connection).or_default() += 1;
                self.feed(PrimaryEvent::HandleNack(worker));
            }
            (Sent::Connection { seq, connection }, reaction) => {
                let accepted = reaction != Reaction::Refuse;
                if accepted {
                    self.connections[connection.0 as usize] = ConnectionState::Served(worker);
                } else {
                    self.refused.insert(connection);
                }
                if reaction != Reaction::Silent {
                    self.feed(PrimaryEvent::HandleAck(worker));
                }
                self.feed(PrimaryEvent::WorkerMessage(worker, WorkerMessage::Ack { seq, accepted }));
            }
            (Sent::Answer(Answer { to_query: Some(outcome), .. }), reaction) if outcome.handle.is_some() => {
                self.feed(match reaction {
                    Reaction::Lose => PrimaryEvent::HandleNack(worker),
                    Reaction::Accept | Reaction::Refuse | Reaction::Silent => PrimaryEvent::HandleAck(worker),
                });
            }
            (Sent::Answer(_), _) => {}
            (Sent::Socket(_), Reaction::Lose) => self.feed(PrimaryEvent::HandleNack(worker)),
            (Sent::Socket(listener), reaction) => {
                self.feed(PrimaryEvent::HandleAck(worker));
                if reaction == Reaction::Refuse {
                    self.send(worker, WorkerMessage::Declines { listener });
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

    /// All workers handle all messages and accept all connections.
    fn settle(&mut self) {
        while let Some(worker) = self.workers.iter().find(|(_, inbox)| !inbox.is_empty()).map(|(run, _)| *run)
        {
            self.react(worker, Reaction::Accept);
        }
        for worker in self.workers.keys().copied().collect::<Vec<_>>() {
            self.accept(worker);
        }
    }

    fn served(&self) -> Vec<u64> {
        let served = self.connections.iter().filter_map(|state| match state {
            ConnectionState::Served(run) => Some(run.number),
            ConnectionState::Waiting | ConnectionState::Closed => None,
        });
        served.collect()
    }

    fn sent(&self, worker: Run) -> usize {
        let connections = |sent: &&Sent| matches!(sent, Sent::Connection { .. });
        self.workers[&worker].iter().filter(connections).count()
    }
}

/// The reaction of a worker to a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reaction {
    Accept,
    Refuse,
    /// The descriptor is lost.
    Lose,
    /// The worker accepts and does not confirm the descriptor.
    Silent,
}

/// A world with this number of workers that share port 1 in turn.
fn cluster(workers: usize) -> (World, Vec<Run>, ListenerId) {
    let mut world = World::default();
    let workers: Vec<Run> = (0..workers)
        .map(|_| {
            let worker = world.join(Balance::RoundRobin);
            world.query(worker, tcp(1), 0);
            worker
        })
        .collect();
    world.settle();
    let id = *world.kernel.keys().next().expect("a socket is open");
    (world, workers, id)
}

/// A world with this number of workers with `balance = "auto"` on port 1, of which `can` are able to accept by
/// themselves.
fn automatic(workers: usize, can: usize) -> (World, Vec<Run>, ListenerId) {
    let mut world = World::default();
    let workers: Vec<Run> = (0..workers)
        .map(|at| {
            let worker = world.join(Balance::Auto);
            if at < can {
                world.send(worker, WorkerMessage::Accepts);
            }
            world.query(worker, tcp(1), 0);
            worker
        })
        .collect();
    world.settle();
    let id = *world.kernel.keys().next().expect("a socket is open");
    (world, workers, id)
}
