//! Messages over the channels: passes messages of workers to the primary, and sends answers.
//!
//! It never decides what a message about clustering leads to: that is the primary's part.

use super::{
    super::{
        channel::{Delivery, READ, Reading},
        cluster::{
            ConnectionId, Endpoint, Event, ListenerId, Query, WorkerMessage,
            wire::{self, Answer, Message},
        },
        listener::Listener,
    },
    Hub, HubEvent,
};
use nix::errno::Errno;

use crate::{
    machine::{ListenFailure, ReadinessSource, Run},
    sys::{poll::Readiness, spawn::HANDED},
};

/// A descriptor that goes with a message.
#[derive(Debug, Clone, Copy)]
pub(super) enum Attached {
    Listener(ListenerId),
    Connection(ConnectionId),
}

impl Hub {
    /// Reads once from a worker and handles its messages.
    pub(super) fn read(&mut self, number: u64) -> Reading {
        let Some(worker) = self.workers.get_mut(&number) else { return Reading::Nothing };
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.resize(READ, 0);
        let reading = worker.channel.read(&mut buffer);
        let count = match reading {
            Reading::Bytes(count) => count,
            Reading::Nothing | Reading::Lacks | Reading::End => 0,
        };
        let (run, app) = (worker.run, worker.app);
        let mut decoder = std::mem::take(&mut worker.decoder);
        decoder.feed(&buffer[..count], |message| match message {
            Ok(message) => self.message(run, app, message),
            Err(broken) if app.is_some() => self.cut_off(run, format!("sent {broken}")),
            // In a process tree, any process may write to the channel, and not all of them follow its protocol.
            Err(_) => {
                self.misbehaves(run, "writes something to its IPC channel that is not a Node message");
            }
        });
        self.buffer = buffer;
        if let Some(worker) = self.workers.get_mut(&number) {
            worker.decoder = decoder;
        }
        reading
    }

    /// Pauses a worker's channel until the time to try again: the poller would report it as ready all the time.
    pub(super) fn let_rest(&mut self, number: u64) {
        let (Some(worker), Some(poller)) = (self.workers.get_mut(&number), &self.poller) else { return };
        let _ = poller.change(worker.channel.socket(), number, Readiness::Gone);
        if !self.resting.contains(&number) {
            self.resting.push(number);
        }
        self.try_again_soon();
    }

    /// Continues the channels that were paused.
    pub(super) fn end_rests(&mut self) {
        for number in std::mem::take(&mut self.resting) {
            // Without anything to send it is read from again.
            self.flush(number);
        }
    }

    fn message(&mut self, run: Run, app: Option<u32>, message: Message) {
        match (message, app) {
            (Message::Application { ready: true }, _) => {
                self.events.push(HubEvent::Ready(run, ReadinessSource::Message));
            }
            (Message::Application { ready: false }, _) => match self.events.last_mut() {
                Some(HubEvent::Messages(other, count)) if *other == run => *count += 1,
                _ => self.events.push(HubEvent::Messages(run, 1)),
            },
            (Message::Beat, _) => self.events.push(HubEvent::Beats(run)),
            (Message::CannotListen { place, errno, is_handled }, _) => {
                let failure = listen_failure(place, errno);
                self.events.push(HubEvent::CannotListen { run, failure, is_handled });
            }
            (Message::Listens, _) => self.events.push(HubEvent::ListensAfterAll(run)),
            (Message::Uncaught(uncaught), _) => self.events.push(HubEvent::Uncaught(run, uncaught)),
            // The descriptor was dropped; without this answer a Node worker sends nothing more.
            (Message::Handle, _) => {
                self.send(run, wire::HANDLE_ACK, None);
            }
            (Message::HandleAck, Some(_)) => self.drive(Event::HandleAck(run)),
            (Message::HandleNack, Some(_)) => self.drive(Event::HandleNack(run)),
            (Message::Cluster(WorkerMessage::Query(query)), Some(_)) => {
                let query = self.with_its_socket(run, query);
                self.drive(Event::WorkerMessage(run, WorkerMessage::Query(query)));
            }
            (Message::Cluster(message), Some(_)) => self.drive(Event::WorkerMessage(run, message)),
            (Message::OfBun(message), Some(_)) => self.bun(run, message),
            (Message::Other | Message::OfBun(_) | Message::Cluster(WorkerMessage::Online), _) => {}
            (Message::HandleAck | Message::HandleNack | Message::Cluster(_), None) => {
                self.misbehaves(run, "sent a cluster message and is in no cluster");
            }
        }
    }

    /// Reports a worker, once for each kind of violation.
    fn misbehaves(&mut self, run: Run, what: &'static str) {
        if let Some(worker) = self.workers.get_mut(&run.number)
            && !std::mem::replace(&mut worker.reported, true)
        {
            self.events.push(HubEvent::Misbehaves(run, what));
        }
    }

    /// Bun opens the sockets of `http` and `Bun.serve` by itself. For others it sends a request, but can receive
    /// neither a socket nor a connection.
    fn bun(&mut self, run: Run, message: WorkerMessage) {
        let answer = match message {
            WorkerMessage::Listening { .. } => return self.drive(Event::WorkerMessage(run, message)),
            WorkerMessage::Query(query) => Answer::not_supported(query.seq),
            WorkerMessage::Leaving { seq } => Answer { seq, to_query: None },
            WorkerMessage::Online
            | WorkerMessage::Close { .. }
            | WorkerMessage::Ack { .. }
            | WorkerMessage::Drains
            | WorkerMessage::Drained
            | WorkerMessage::Accepts
            | WorkerMessage::Accepted { .. }
            | WorkerMessage::Declines { .. }
            | WorkerMessage::Unknown => return,
        };
        if answer.to_query.is_some()
            && let Some(worker) = self.workers.get_mut(&run.number)
            && !std::mem::replace(&mut worker.reported, true)
        {
            self.events.push(HubEvent::NoSocketForBun(run));
        }
        let mut bytes = std::mem::take(&mut self.outgoing);
        wire::encode_for_bun(&answer, &mut bytes);
        self.send(run, &bytes, None);
        bytes.clear();
        self.outgoing = bytes;
    }

    /// If a worker names a descriptor, it means the socket that it was handed there.
    fn with_its_socket(&self, run: Run, query: Query) -> Query {
        let place = query.descriptor.and_then(|descriptor| descriptor.checked_sub(HANDED));
        let lent = self.workers.get(&run.number).zip(place).and_then(|(worker, at)| worker.lent.get(at));
        match lent {
            Some((address, _)) if address.is_stream() => {
                Query { endpoint: Some(Endpoint::Held { address: address.to_string() }), ..query }
            }
            _ => query,
        }
    }

    /// Sends a message and a descriptor with it. False if the channel is closed.
    pub(super) fn send(&mut self, run: Run, bytes: &[u8], with: Option<Attached>) -> bool {
        let Some(worker) = self.workers.get_mut(&run.number).filter(|worker| !worker.cut_off) else {
            return false;
        };
        let with = with.and_then(|with| match with {
            Attached::Listener(id) => self.listeners.get(&id).map(Listener::socket),
            Attached::Connection(id) => self.connections.get(id),
        });
        match worker.channel.send(bytes, with) {
            Delivery::Sent => true,
            Delivery::Waits => {
                if let (false, Some(poller)) = (worker.is_blocked, &self.poller) {
                    worker.is_blocked = true;
                    let _ = poller.change(worker.channel.socket(), run.number, Readiness::Writable);
                }
                true
            }
            Delivery::Lacks => {
                worker.is_blocked = true;
                self.let_rest(run.number);
                true
            }
            Delivery::Full => {
                self.cut_off(run, "does not read its IPC channel".to_owned());
                false
            }
            Delivery::Refused(error) => {
                self.cut_off(run, format!("cannot be sent a message ({error})"));
                false
            }
            // Its last messages, and then its end, arrive by themselves.
            Delivery::Closed => false,
        }
    }

    pub(super) fn flush(&mut self, number: u64) {
        let Some(worker) = self.workers.get_mut(&number) else { return };
        let run = worker.run;
        let when = match worker.channel.flush() {
            // Of a closed channel, the last messages and then its end arrive by themselves.
            Delivery::Sent | Delivery::Closed | Delivery::Full => Readiness::Readable,
            Delivery::Waits => Readiness::Writable,
            Delivery::Lacks => return self.let_rest(number),
            Delivery::Refused(error) => {
                return self.cut_off(run, format!("cannot be sent a message ({error})"));
            }
        };
        worker.is_blocked = when == Readiness::Writable;
        if let Some(poller) = &self.poller {
            let _ = poller.change(worker.channel.socket(), number, when);
        }
    }

    /// Shuts a worker's channel down. Its earlier messages are still handled.
    pub(super) fn cut_off(&mut self, run: Run, why: String) {
        if let Some(worker) = self.workers.get_mut(&run.number)
            && !std::mem::replace(&mut worker.cut_off, true)
        {
            worker.channel.shut_down();
            self.events.push(HubEvent::CutOff(run, why));
        }
    }
}

/// A failure to listen with the kernel's error text; `errno` is positive.
pub(super) fn listen_failure(place: String, errno: i32) -> ListenFailure {
    let errno = Errno::from_raw(errno);
    ListenFailure {
        place,
        error: format!("{} ({errno:?})", errno.desc()),
        is_in_use: errno == Errno::EADDRINUSE,
    }
}
