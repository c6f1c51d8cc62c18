//! The notification sockets of workers: systemd's protocol (sd_notify(3)).
//!
//! Each run has a socket of its own, so procrun need not find the run of a sender: `systemd-notify` ends before
//! its process can be examined. The name of the socket cannot be guessed, but it can be read in
//! `/proc/net/unix`, so the user of the sender is checked.

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    io,
    os::fd::{AsFd, OwnedFd},
    time::Duration,
};

use super::text::clean;
use crate::{
    machine::{Input, NotifyMessage, ReadinessSource, Run},
    sys::{
        datagrams::{self, Received},
        poll::{PollEvent, Poller, Readiness},
        process,
    },
};

/// A longer datagram is not a message (systemd has the same limit).
const MAX_DATAGRAM_BYTES: usize = 4096;
/// Maximum number of datagrams of one run that are read in one loop iteration.
const MAX_READS: usize = 32;

/// All notification sockets. Empty, and without cost, until the first worker needs one.
#[derive(Debug, Default)]
pub struct Notify {
    poller: Option<Poller>,
    /// Keyed by the number of the run.
    sockets: HashMap<u64, NotifySocket>,
    poll_events: Vec<PollEvent>,
}

#[derive(Debug)]
struct NotifySocket {
    run: Run,
    socket: OwnedFd,
    /// The user of the run, if it is not procrun's own.
    uid: Option<u32>,
}

/// The messages of a run since the last read. A repeated message counts once.
#[derive(Debug, Default, PartialEq, Eq)]
struct Notification {
    ready: bool,
    status: Option<NotifyMessage>,
    every: Option<NotifyMessage>,
    alive: Option<NotifyMessage>,
    leaving: Option<NotifyMessage>,
    fault: Option<NotifyMessage>,
}

impl Notify {
    /// Makes sure that [`Self::add`] needs no further descriptor.
    ///
    /// # Errors
    /// The error of epoll_create(2).
    pub fn set_up(&mut self) -> io::Result<()> {
        if self.poller.is_none() {
            self.poller = Some(Poller::new()?);
        }
        Ok(())
    }

    /// Adds the socket of a run that has started as `uid`, or as procrun's own user.
    ///
    /// # Errors
    /// The error of epoll_create(2) or epoll_ctl(2).
    pub fn add(&mut self, run: Run, socket: OwnedFd, uid: Option<u32>) -> io::Result<()> {
        self.set_up()?;
        if let Some(poller) = &self.poller {
            poller.add(socket.as_fd(), run.number, Readiness::Readable)?;
        }
        self.sockets.insert(run.number, NotifySocket { run, socket, uid });
        Ok(())
    }

    /// Waits for a message. Cancel-safe.
    ///
    /// # Errors
    /// The error of epoll_wait(2).
    pub async fn wait(&mut self) -> io::Result<Vec<Input>> {
        let Some(poller) = &self.poller else { return std::future::pending().await };
        poller.wait(&mut self.poll_events).await?;
        let mut inputs = Vec::new();
        for event in self.poll_events.drain(..) {
            if let Some(socket) = self.sockets.get(&event.token) {
                socket.read_pending(&mut inputs);
            }
        }
        Ok(inputs)
    }

    /// Reads the last messages of a run that has ended, and closes its socket.
    pub fn ended(&mut self, run: Run) -> Vec<Input> {
        let mut inputs = Vec::new();
        if let Some(socket) = self.sockets.remove(&run.number) {
            socket.read_pending(&mut inputs);
            // A child that has not executed its program yet may hold a copy of the socket.
            if let Some(poller) = &self.poller {
                poller.remove(socket.socket.as_fd());
            }
        }
        inputs
    }
}

/// Opens the socket of a run that is about to start. Returns it with the value of `NOTIFY_SOCKET`.
///
/// # Errors
/// The error of socket(2) or bind(2).
pub fn bind(run: Run) -> io::Result<(OwnedFd, String)> {
    // The hash keys of the standard library are random and never leave this process.
    let state = RandomState::new();
    let name = format!("procrun/{:016x}{:016x}", state.hash_one(run.number), state.hash_one(run));
    Ok((datagrams::bind(&name)?, format!("@{name}")))
}

impl NotifySocket {
    /// Reads the pending messages and adds their inputs.
    fn read_pending(&self, inputs: &mut Vec<Input>) {
        let mut notification = Notification::default();
        let mut buffer = [0; MAX_DATAGRAM_BYTES];
        for _ in 0..MAX_READS {
            match datagrams::receive(self.socket.as_fd(), &mut buffer) {
                Ok(Received { length, is_truncated: false, uid: Some(uid) }) if self.trusts(uid) => {
                    notification.parse(&buffer[..length]);
                }
                Ok(_) => {}
                Err(_) => break,
            }
        }
        notification.append_events(self.run, inputs);
    }

    fn trusts(&self, uid: u32) -> bool {
        uid == 0 || uid == process::user() || self.uid == Some(uid)
    }
}

impl Notification {
    fn parse(&mut self, message: &[u8]) {
        for line in message.split(|byte| *byte == b'\n') {
            let Some(equals) = line.iter().position(|byte| *byte == b'=') else { continue };
            let (name, value) = (&line[..equals], &line[equals + 1..]);
            match (name, value) {
                (b"READY", b"1") => self.ready = true,
                (b"STOPPING", b"1") => self.leaving = Some(NotifyMessage::Stopping),
                (b"WATCHDOG", b"1") => self.alive = Some(NotifyMessage::Heartbeat),
                (b"WATCHDOG", b"trigger") => self.fault = Some(NotifyMessage::Fault),
                (b"WATCHDOG_USEC", digits) => {
                    let number = std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok());
                    self.every = number
                        .map(Duration::from_micros)
                        .map(NotifyMessage::HeartbeatInterval)
                        .or(self.every.take());
                }
                (b"STATUS", text) => self.status = Some(NotifyMessage::Status(clean(text))),
                // RELOADING, MAINPID, FDSTORE and others do not concern procrun.
                _ => {}
            }
        }
    }

    fn append_events(self, run: Run, inputs: &mut Vec<Input>) {
        let Self { ready, status, every, alive, leaving, fault } = self;
        inputs.extend(ready.then_some(Input::Ready(run, ReadinessSource::Message)));
        let words = [status, every, alive, leaving, fault];
        inputs.extend(words.into_iter().flatten().map(|word| Input::Notified(run, word)));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::shown::width;

    fn parsed(message: &[u8]) -> Notification {
        let mut notification = Notification::default();
        notification.parse(message);
        notification
    }

    #[test]
    fn messages_have_the_meaning_that_systemd_documents() {
        let all = parsed(
            b"READY=1\nSTATUS=up \x1b[1mand\x07 running\nMAINPID=1\nWATCHDOG=1\nWATCHDOG_USEC=1500000\n",
        );
        assert_eq!(
            all,
            Notification {
                ready: true,
                alive: Some(NotifyMessage::Heartbeat),
                every: Some(NotifyMessage::HeartbeatInterval(Duration::from_millis(1500))),
                status: Some(NotifyMessage::Status("up and· running".to_owned())),
                ..Notification::default()
            }
        );
        assert!(parsed(b"WATCHDOG=trigger").fault.is_some() && parsed(b"STOPPING=1").leaving.is_some());
        for nothing in [&b""[..], b"READY", b"READY=0", b"ready=1", b"X_READY=1", b"WATCHDOG_USEC=-1", b"=1"]
        {
            assert_eq!(parsed(nothing), Notification::default(), "{}", nothing.escape_ascii());
        }
        assert_eq!(parsed(b"STATUS=\n").status, Some(NotifyMessage::Status(String::new())));
    }

    proptest! {
        #[test]
        fn hostile_bytes_stay_bounded_and_clean(bytes in prop::collection::vec(any::<u8>(), 0..4096)) {
            let mut message = b"STATUS=".to_vec();
            message.extend(bytes.iter().filter(|byte| **byte != b'\n'));
            let Some(NotifyMessage::Status(status)) = parsed(&message).status else { panic!("there is no status") };
            prop_assert!(width(&status) <= 200 && !status.chars().any(char::is_control));
            parsed(&bytes);
        }
    }
}
