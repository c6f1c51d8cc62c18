//! The IPC channel to one worker: outgoing bytes with a bound, incoming pieces of messages.

use std::{
    collections::VecDeque,
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::Arc,
};

use crate::sys::{channel, shortage::is_shortage};

/// Bytes of one read. There is one read per channel and loop iteration, so a flood of one worker delays no other.
pub const READ_BYTES: usize = 8 * 1024;

/// Maximum number of outgoing bytes that the worker has not read. The kernel holds about 200 KiB more.
pub const MAX_OUTGOING_BYTES: usize = 256 * 1024;

#[derive(Debug)]
pub(super) struct Channel {
    socket: OwnedFd,
    /// Messages that did not fit into the socket buffer.
    outgoing: VecDeque<Outgoing>,
    /// Bytes in `outgoing`.
    waiting: usize,
}

#[derive(Debug)]
struct Outgoing {
    bytes: Box<[u8]>,
    sent: usize,
    /// The descriptor that goes with the first byte. Shared and not duplicated: a message can wait even when no
    /// descriptor is left.
    with: Option<Arc<OwnedFd>>,
}

/// The outcome of sending a message.
#[derive(Debug)]
pub(super) enum Delivery {
    /// All of it is in the socket buffer.
    Sent,
    /// The message waits until the socket is writable.
    Waits,
    /// The message is queued: the kernel lacks memory or descriptors, and sends no event when that is over.
    Shortage,
    /// [`MAX_OUTGOING_BYTES`] bytes are waiting already.
    Full,
    /// The other side has closed the channel.
    Closed,
    /// The kernel refuses it, and will refuse it again.
    Refused(io::Error),
}

/// The outcome of a read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reading {
    /// The number of bytes read.
    Bytes(usize),
    /// Nothing to read now.
    Nothing,
    /// As [`Delivery::Shortage`].
    Shortage,
    /// The other side has closed the channel.
    End,
}

impl Channel {
    pub(super) fn new(socket: OwnedFd) -> Self {
        Self { socket, outgoing: VecDeque::new(), waiting: 0 }
    }

    pub(super) fn socket(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Reads once, at most [`READ_BYTES`] bytes.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> Reading {
        match channel::receive(self.socket.as_fd(), buffer) {
            Ok(0) => Reading::End,
            Ok(count) => Reading::Bytes(count),
            Err(error) if is_temporary(&error) => Reading::Nothing,
            Err(error) if is_shortage(&error) => Reading::Shortage,
            // Reset: the other side ended without reading everything.
            Err(_) => Reading::End,
        }
    }

    /// Closes the channel for both sides; what was sent before can still be read.
    pub(super) fn shut_down(&self) {
        channel::shut_down(self.socket.as_fd());
    }

    /// Sends a message, and a descriptor with it, or queues it behind the waiting ones.
    pub(super) fn send(&mut self, bytes: &[u8], with: Option<&Arc<OwnedFd>>) -> Delivery {
        let mut sent = 0;
        let mut delivery = Delivery::Waits;
        if self.outgoing.is_empty() {
            match channel::send(self.socket.as_fd(), bytes, with.map(|descriptor| descriptor.as_fd())) {
                Ok(count) if count == bytes.len() => return Delivery::Sent,
                Ok(count) => sent = count,
                Err(error) => match delivery_of(error) {
                    later @ (Delivery::Waits | Delivery::Shortage) => delivery = later,
                    failure => return failure,
                },
            }
        }
        let left = bytes.len() - sent;
        if self.waiting + left > MAX_OUTGOING_BYTES {
            return Delivery::Full;
        }
        let with = with.filter(|_| sent == 0).cloned();
        self.waiting += left;
        self.outgoing.push_back(Outgoing { bytes: bytes.into(), sent, with });
        delivery
    }

    /// Sends queued messages, as far as the socket is writable.
    pub(super) fn flush(&mut self) -> Delivery {
        while let Some(message) = self.outgoing.front_mut() {
            let with = message.with.as_ref().map(|descriptor| descriptor.as_fd());
            match channel::send(self.socket.as_fd(), &message.bytes[message.sent..], with) {
                Ok(count) => {
                    message.with = None;
                    message.sent += count;
                    self.waiting -= count;
                    if message.sent == message.bytes.len() {
                        self.outgoing.pop_front();
                    }
                }
                Err(error) => return delivery_of(error),
            }
        }
        Delivery::Sent
    }
}

/// The outcome for a message that the kernel did not accept.
fn delivery_of(error: io::Error) -> Delivery {
    let is_gone = |error: &io::Error| {
        use io::ErrorKind::{BrokenPipe, ConnectionReset, NotConnected};
        matches!(error.kind(), BrokenPipe | ConnectionReset | NotConnected)
    };
    match error {
        error if is_temporary(&error) => Delivery::Waits,
        error if is_shortage(&error) => Delivery::Shortage,
        error if is_gone(&error) => Delivery::Closed,
        error => Delivery::Refused(error),
    }
}

/// Whether the poller reports when the operation can be tried again.
fn is_temporary(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_waiting_message_needs_no_further_descriptor() {
        let (own, of_worker) = channel::pair().unwrap();
        let mut channel = Channel::new(own);
        let with = Arc::new(channel::pair().unwrap().0);
        while matches!(channel.send(&[b'x'; 4096], None), Delivery::Sent) {}
        assert!(matches!(channel.send(b"take this\n", Some(&with)), Delivery::Waits));
        assert_eq!(Arc::strong_count(&with), 2, "the same descriptor waits");
        let mut buffer = [0; 4096];
        while matches!(channel.flush(), Delivery::Waits) {
            while channel::receive(of_worker.as_fd(), &mut buffer).is_ok() {}
        }
        assert_eq!(Arc::strong_count(&with), 1, "the descriptor was sent");
    }

    #[test]
    fn errors_of_send_are_classified() {
        use nix::errno::Errno;
        let after = |errno: Errno| delivery_of(io::Error::from_raw_os_error(errno as i32));
        for errno in [Errno::EAGAIN, Errno::EINTR] {
            assert!(matches!(after(errno), Delivery::Waits), "{errno}");
        }
        for errno in [Errno::ENOBUFS, Errno::ENOMEM, Errno::ETOOMANYREFS] {
            assert!(matches!(after(errno), Delivery::Shortage), "{errno}");
        }
        for errno in [Errno::EPIPE, Errno::ECONNRESET, Errno::ENOTCONN] {
            assert!(matches!(after(errno), Delivery::Closed), "{errno}");
        }
        for errno in [Errno::EBADF, Errno::EINVAL, Errno::EMSGSIZE] {
            assert!(matches!(after(errno), Delivery::Refused(_)), "{errno}");
        }
    }
}
