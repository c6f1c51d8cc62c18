//! Messages over the channels: passes messages of workers to the primary, and sends answers.
//!
//! It never decides about messages of the cluster protocol: the primary does.

use super::{
    super::{
        channel::{Delivery, READ_BYTES, Reading},
        cluster::{
            Answer, ConnectionId, Endpoint, ListenerId, PrimaryEvent, Query, WorkerMessage,
            wire::{self, Message},
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
        buffer.resize(READ_BYTES, 0);
        let reading = worker.channel.read(&mut buffer);
        let count = match reading {
            Reading::Bytes(count) => count,
            Reading::Nothing | Reading::Shortage | Reading::End => 0,
        };
        let (run, app) = (worker.run, worker.app);
        let mut decoder = std::mem::take(&mut worker.decoder);
        decoder.feed(&buffer[..count], |message| match message {
            Ok(message) => self.message(run, app, message),
            Err(broken) if app.is_some() => self.disconnect(run, format!("sent {broken}")),
            // In a process tree, any process may write to the channel, and not all of them follow its protocol.
            Err(_) => {
                self.report_violation(run, "writes lines to its IPC channel that are not Node messages");
            }
        });
        self.buffer = buffer;
        if let Some(worker) = self.workers.get_mut(&number) {
            worker.decoder = decoder;
        }
        reading
    }

    /// Pauses a worker's channel until the time to try again: the poller would report it as ready all the time.
    pub(super) fn pause_channel(&mut self, number: u64) {
        let (Some(worker), Some(poller)) = (self.workers.get_mut(&number), &self.poller) else { return };
        let _ = poller.change(worker.channel.socket(), number, Readiness::Gone);
        if !self.paused.contains(&number) {
            self.paused.push(number);
        }
        self.schedule_retry();
    }

    /// Continues the channels that were paused.
    pub(super) fn resume_channels(&mut self) {
        for number in std::mem::take(&mut self.paused) {
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
            (Message::Sample(sample), _) => self.sampled(run, sample),
            (Message::Heartbeat, _) => self.events.push(HubEvent::Heartbeat(run)),
            (Message::CannotListen { address, errno, is_handled }, _) => {
                let failure = listen_failure(address, errno);
                self.events.push(HubEvent::CannotListen { run, failure, is_handled });
            }
            (Message::Listens, _) => self.events.push(HubEvent::ListensAgain(run)),
            (Message::Uncaught(uncaught), _) => self.events.push(HubEvent::Uncaught(run, uncaught)),
            // The descriptor was dropped; without this answer a Node worker sends nothing more.
            (Message::Handle, _) => {
                self.send(run, wire::HANDLE_ACK, None);
            }
            (Message::HandleAck, Some(_)) => self.drive(PrimaryEvent::HandleAck(run)),
            (Message::HandleNack, Some(_)) => self.drive(PrimaryEvent::HandleNack(run)),
            (Message::Cluster(WorkerMessage::Query(query)), Some(_)) => {
                let query = self.with_held_socket(run, query);
                self.drive(PrimaryEvent::WorkerMessage(run, WorkerMessage::Query(query)));
            }
            (Message::Cluster(message), Some(_)) => self.drive(PrimaryEvent::WorkerMessage(run, message)),
            (Message::Bun(message), Some(_)) => self.bun(run, message),
            (Message::Other | Message::Bun(_) | Message::Cluster(WorkerMessage::Online), _) => {}
            (Message::HandleAck | Message::HandleNack | Message::Cluster(_), None) => {
                self.report_violation(run, "sent a cluster message and is in no cluster");
            }
        }
    }

    /// Reports a worker, once for each kind of violation.
    fn report_violation(&mut self, run: Run, what: &'static str) {
        if let Some(worker) = self.workers.get_mut(&run.number)
            && !std::mem::replace(&mut worker.reported, true)
        {
            self.events.push(HubEvent::ProtocolViolation(run, what));
        }
    }

    /// Bun opens the sockets of `http` and `Bun.serve` by itself. For others it sends a request, but can receive
    /// neither a socket nor a connection.
    fn bun(&mut self, run: Run, message: WorkerMessage) {
        let answer = match message {
            WorkerMessage::Listening { .. } => return self.drive(PrimaryEvent::WorkerMessage(run, message)),
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

    /// Replaces a descriptor number in a query by the held socket that the worker got at this descriptor.
    fn with_held_socket(&self, run: Run, query: Query) -> Query {
        let index = query.descriptor.and_then(|descriptor| descriptor.checked_sub(HANDED));
        let held_socket =
            self.workers.get(&run.number).zip(index).and_then(|(worker, at)| worker.held_sockets.get(at));
        match held_socket {
            Some((address, _)) if address.is_stream() => {
                Query { endpoint: Some(Endpoint::Held { address: address.to_string() }), ..query }
            }
            _ => query,
        }
    }

    /// Sends a message and a descriptor with it. False if the channel is closed.
    pub(super) fn send(&mut self, run: Run, bytes: &[u8], attached: Option<Attached>) -> bool {
        let Some(worker) = self.workers.get_mut(&run.number).filter(|worker| !worker.disconnected) else {
            return false;
        };
        let descriptor = attached.and_then(|attached| match attached {
            Attached::Listener(id) => self.listeners.get(&id).map(Listener::socket),
            Attached::Connection(id) => self.connections.get(id),
        });
        match worker.channel.send(bytes, descriptor) {
            Delivery::Sent => true,
            Delivery::Waits => {
                if let (false, Some(poller)) = (worker.is_blocked, &self.poller) {
                    worker.is_blocked = true;
                    let _ = poller.change(worker.channel.socket(), run.number, Readiness::Writable);
                }
                true
            }
            Delivery::Shortage => {
                worker.is_blocked = true;
                self.pause_channel(run.number);
                true
            }
            Delivery::Full => {
                self.disconnect(run, "does not read its IPC channel".to_owned());
                false
            }
            Delivery::Refused(error) => {
                self.disconnect(run, format!("cannot be sent a message ({error})"));
                false
            }
            // The poller reports its last messages, and then its end.
            Delivery::Closed => false,
        }
    }

    pub(super) fn flush(&mut self, number: u64) {
        let Some(worker) = self.workers.get_mut(&number) else { return };
        let run = worker.run;
        let when = match worker.channel.flush() {
            // The poller reports the last messages of a closed channel, and then its end.
            Delivery::Sent | Delivery::Closed | Delivery::Full => Readiness::Readable,
            Delivery::Waits => Readiness::Writable,
            Delivery::Shortage => return self.pause_channel(number),
            Delivery::Refused(error) => {
                return self.disconnect(run, format!("cannot be sent a message ({error})"));
            }
        };
        worker.is_blocked = when == Readiness::Writable;
        if let Some(poller) = &self.poller {
            let _ = poller.change(worker.channel.socket(), number, when);
        }
    }

    /// Shuts a worker's channel down. Its earlier messages are still handled.
    pub(super) fn disconnect(&mut self, run: Run, why: String) {
        if let Some(worker) = self.workers.get_mut(&run.number)
            && !std::mem::replace(&mut worker.disconnected, true)
        {
            worker.channel.shut_down();
            self.events.push(HubEvent::Disconnected(run, why));
        }
    }
}

/// A failure to listen with the kernel's error text; `errno` is positive.
pub(super) fn listen_failure(address: String, errno: i32) -> ListenFailure {
    let errno = Errno::from_raw(errno);
    ListenFailure {
        address,
        error: format!("{} ({errno:?})", errno.desc()),
        is_in_use: errno == Errno::EADDRINUSE,
    }
}
