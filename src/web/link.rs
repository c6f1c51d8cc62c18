//! Connections to the supervisor: requests and answers of the control socket, over a socket pair.
//!
//! The supervisor serves a link as it serves any client: it never waits for it, and what is not read stays in a
//! bounded buffer.

use std::{
    io,
    os::{fd::OwnedFd, unix::net},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::UnixStream,
    sync::mpsc,
};

use crate::control::{
    Answer, Request,
    framing::{Hello, LineBuffer, MAX_ANSWER, decode, encode},
};

/// Links that the supervisor has not taken yet.
const QUEUE: usize = 32;
/// How much is read at once.
const PIECE: usize = 64 * 1024;

/// The supervisor's end: new links, and the number of its changes.
#[derive(Debug)]
pub struct Links {
    sockets: mpsc::Receiver<OwnedFd>,
    changes: Arc<AtomicU64>,
}

impl Links {
    /// Waits for a new link. Cancel-safe.
    pub async fn next(&mut self) -> OwnedFd {
        match self.sockets.recv().await {
            Some(socket) => socket,
            None => std::future::pending().await,
        }
    }

    /// The state of an instance or of the supervisor may have changed: an earlier answer to a probe is out of date.
    pub fn has_changed(&self) {
        self.changes.fetch_add(1, Ordering::Release);
    }
}

/// Opens links.
#[derive(Debug, Clone)]
pub(super) struct Connector {
    sockets: mpsc::Sender<OwnedFd>,
    changes: Arc<AtomicU64>,
}

/// A connector, and the end of the supervisor.
pub(super) fn connector() -> (Connector, Links) {
    let (sender, receiver) = mpsc::channel(QUEUE);
    let changes = Arc::<AtomicU64>::default();
    let links = Links { sockets: receiver, changes: changes.clone() };
    (Connector { sockets: sender, changes }, links)
}

impl Connector {
    /// The number of changes of the supervisor so far.
    pub(super) fn changes(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }

    /// Opens a link and sends a request.
    pub(super) async fn ask(&self, request: &Request) -> io::Result<Link> {
        let mut link = self.connect().await?;
        link.ask(request).await?;
        Ok(link)
    }

    async fn connect(&self) -> io::Result<Link> {
        let (ours, theirs) = net::UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        theirs.set_nonblocking(true)?;
        let mut stream = UnixStream::from_std(ours)?;
        let ended = |_| io::Error::other("the supervisor has ended");
        self.sockets.send(theirs.into()).await.map_err(ended)?;
        stream.write_all(&encode(&Hello::own())).await?;
        Ok(Link { stream, lines: LineBuffer::default(), is_greeted: false })
    }
}

/// A connection to the supervisor.
#[derive(Debug)]
pub(super) struct Link {
    stream: UnixStream,
    lines: LineBuffer,
    is_greeted: bool,
}

impl Link {
    /// Sends a request. All answers to the one before must have been received.
    pub(super) async fn ask(&mut self, request: &Request) -> io::Result<()> {
        self.stream.write_all(&encode(request)).await
    }

    /// The next answer. Not cancel-safe.
    pub(super) async fn answer(&mut self) -> io::Result<Answer> {
        loop {
            let found =
                self.lines.next(MAX_ANSWER).map_err(|_| io::Error::other("the answer is too long"))?;
            if let Some(line) = found {
                if self.is_greeted {
                    return decode(line).map_err(io::Error::other);
                }
                self.is_greeted = true;
                continue;
            }
            let mut piece = vec![0; PIECE];
            match self.stream.read(&mut piece).await? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => self.lines.feed(&piece[..count]),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_and_its_answers_cross_a_link_in_order() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (connector, mut links) = connector();
            let asked = tokio::spawn(async move {
                let mut link = connector.ask(&Request::Ping).await.unwrap();
                let first = link.answer().await.unwrap();
                (first, link.answer().await.unwrap(), connector.changes())
            });
            let theirs = net::UnixStream::from(links.next().await);
            let mut theirs = UnixStream::from_std(theirs).unwrap();
            links.has_changed();
            let answers =
                [encode(&Hello::own()), encode(&Answer::Live), encode(&Answer::failed("no"))].concat();
            for byte in answers {
                theirs.write_all(&[byte]).await.unwrap();
            }
            let (first, second, changes) = asked.await.unwrap();
            assert_eq!((first, second, changes), (Answer::Live, Answer::failed("no"), 1));
            let mut received = Vec::new();
            theirs.read_to_end(&mut received).await.unwrap();
            assert!(received.ends_with(b"\"ping\"\n"), "{}", String::from_utf8_lossy(&received));
        });
    }
}
