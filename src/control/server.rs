//! The supervisor's side of the control socket: accepts clients, passes their requests on, sends answers.
//!
//! The runtime waits for one descriptor for all clients. The server never waits for a client: unread answers stay in
//! a bounded buffer of the client, and an idle client delays no other client. A client of a user other than the
//! supervisor's user and root is disconnected.

use std::{
    collections::BTreeMap,
    io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::UnixListener,
    },
    path::{Path, PathBuf},
    time::Duration,
};

use nix::{
    sys::socket::{getsockopt, sockopt::PeerCredentials},
    unistd::geteuid,
};
use tokio::time::Instant;

use super::{
    framing::{Hello, LineBuffer, LineTooLong, MAX_HELLO, MAX_REQUEST, PROTOCOL, decode, encode},
    message::{Answer, Request, RequestKind},
    socket_file::SocketFile,
};
use crate::sys::{
    channel,
    poll::{PollEvent, Poller, Readiness},
    sockets,
};

/// The maximum number of clients. Another one replaces the oldest client without a request. Some places are reserved
/// for short requests: followers and waiting clients cannot use them.
const MAX_CLIENTS: usize = MAX_FOLLOWERS + MAX_WAITING + 32;
/// The maximum number of clients that follow logs or events.
const MAX_FOLLOWERS: usize = 64;
/// The maximum number of clients that wait for an operation.
const MAX_WAITING: usize = 64;
/// The maximum number of unread bytes of several answers, above which a client is disconnected. A single answer may
/// be larger.
const MAX_UNREAD: usize = 1024 * 1024;
/// The maximum number of bytes of the incomplete requests of all clients. Above it, the client with the longest one
/// is disconnected.
const MAX_INCOMPLETE: usize = 8 * 1024 * 1024;
/// The delay before accepting is retried.
const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(100);
/// The number of bytes that are read from a client in one loop iteration.
const READ_SIZE: usize = 8 * 1024;

/// A connected client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientId(u64);

/// The token of the listener.
const LISTENER: u64 = 0;

/// The socket and its clients.
#[derive(Debug)]
pub struct Server {
    poller: Poller,
    /// `None`: no more clients are accepted.
    listening: Option<(UnixListener, SocketFile)>,
    path: PathBuf,
    clients: BTreeMap<u64, Client>,
    last: u64,
    events: Vec<PollEvent>,
    requests: Vec<(ClientId, Request)>,
    /// When to accept again after a shortage: the kernel reports a pending connection only once.
    accept_retry_at: Option<Instant>,
}

#[derive(Debug)]
struct Client {
    socket: OwnedFd,
    /// It is a connection of the supervisor's own HTTP server.
    is_link: bool,
    input: LineBuffer,
    output: Vec<u8>,
    sent: usize,
    state: State,
    /// The client has closed its side.
    ended: bool,
    /// The event to wait for.
    when: Readiness,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// The client has not sent its hello.
    New,
    /// The client may send a request.
    Idle,
    /// The request of this kind has no last answer yet.
    Waiting(RequestKind),
    /// The client is disconnected as soon as it has read its answers.
    Leaving,
}

impl Server {
    /// Serves the control socket on the runtime of the calling task.
    ///
    /// # Errors
    ///
    /// The error of epoll_create1(2) or epoll_ctl(2).
    pub fn new(socket_file: SocketFile, listener: UnixListener) -> io::Result<Self> {
        let poller = Poller::new()?;
        poller.add(listener.as_fd(), LISTENER, Readiness::Arrival)?;
        Ok(Self {
            poller,
            path: socket_file.path().to_owned(),
            listening: Some((listener, socket_file)),
            clients: BTreeMap::new(),
            last: LISTENER,
            events: Vec::new(),
            requests: Vec::new(),
            accept_retry_at: None,
        })
    }

    /// Serves only connections that are [adopted](Self::adopt), on the runtime of the calling task.
    ///
    /// # Errors
    /// When the kernel refuses descriptors.
    pub fn without_socket() -> io::Result<Self> {
        Ok(Self {
            poller: Poller::new()?,
            path: PathBuf::new(),
            listening: None,
            clients: BTreeMap::new(),
            last: LISTENER,
            events: Vec::new(),
            requests: Vec::new(),
            accept_retry_at: None,
        })
    }

    /// The path of the socket.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Stops accepting clients. Connected clients still get answers. Dropping the result removes the socket.
    pub fn stop_listening(&mut self) -> Option<SocketFile> {
        let (listener, file) = self.listening.take()?;
        self.poller.remove(listener.as_fd());
        Some(file)
    }

    /// Adds a client with an existing connection.
    ///
    /// # Errors
    ///
    /// The error of epoll_ctl(2).
    pub fn adopt(&mut self, socket: OwnedFd) -> io::Result<()> {
        self.add(socket, false)
    }

    /// Adds a connection of the supervisor's own HTTP server, which limits their number. It takes no place of a
    /// client.
    ///
    /// # Errors
    /// The error of epoll_ctl(2).
    pub fn adopt_link(&mut self, socket: OwnedFd) -> io::Result<()> {
        self.add(socket, true)
    }

    fn add(&mut self, socket: OwnedFd, is_link: bool) -> io::Result<()> {
        self.last += 1;
        self.poller.add(socket.as_fd(), self.last, Readiness::Readable)?;
        self.clients.insert(self.last, Client::new(socket, is_link));
        Ok(())
    }

    /// Waits for an event and handles it; there may be [`requests`](Self::requests) afterwards. Cancel-safe.
    ///
    /// # Errors
    ///
    /// The error of epoll_wait(2).
    pub async fn wait(&mut self) -> io::Result<()> {
        if !self.requests.is_empty() {
            // A client has sent its next request before it has read its answer.
            return Ok(());
        }
        match self.accept_retry_at {
            None => self.poller.wait(&mut self.events).await?,
            Some(at) => {
                tokio::select! {
                    result = self.poller.wait(&mut self.events) => result?,
                    () = tokio::time::sleep_until(at) => self.accept(),
                }
            }
        }
        self.take_in();
        Ok(())
    }

    fn take_in(&mut self) {
        let mut events = std::mem::take(&mut self.events);
        for one in events.drain(..) {
            if one.token == LISTENER {
                self.accept();
            } else {
                self.attend(one);
            }
        }
        self.events = events;
    }

    /// The requests that were not returned yet, at most one for each client.
    pub fn requests(&mut self) -> Vec<(ClientId, Request)> {
        std::mem::take(&mut self.requests)
    }

    /// Whether the client is still connected.
    pub fn has(&self, client: ClientId) -> bool {
        self.clients.contains_key(&client.0)
    }

    /// Whether the client has read all its answers.
    pub fn is_drained(&self, client: ClientId) -> bool {
        self.clients.get(&client.0).is_some_and(|client| client.output.is_empty())
    }

    /// Sends an answer to a client. Has no effect if the client has disconnected.
    pub fn answer(&mut self, to: ClientId, answer: &Answer) {
        let Some(client) = self.clients.get_mut(&to.0) else { return };
        if !answer.is_last() && client.output.len() - client.sent > MAX_UNREAD {
            self.drop_client(to.0);
            return;
        }
        client.output.extend_from_slice(&encode(answer));
        if answer.is_last() && matches!(client.state, State::Waiting(_)) {
            client.state = State::Idle;
        }
        self.serve(to.0);
    }

    #[expect(clippy::disallowed_methods, reason = "only the retry of accept depends on it")]
    fn accept(&mut self) {
        self.accept_retry_at = None;
        while let Some((listener, _)) = &self.listening {
            match sockets::accept(listener.as_fd()) {
                Ok((socket, _)) => self.welcome(socket),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                // A shortage of descriptors or memory.
                Err(_) => {
                    self.accept_retry_at = Some((std::time::Instant::now() + ACCEPT_RETRY_DELAY).into());
                    return;
                }
            }
        }
    }

    fn welcome(&mut self, socket: OwnedFd) {
        let refusal = match peer(&socket) {
            Ok(uid) if uid == 0 || uid == geteuid().as_raw() => None,
            Ok(uid) => Some(format!("user {uid} may not control this supervisor: its own user and root may")),
            Err(_) => return,
        };
        let refusal = refusal.or_else(|| {
            if self.taken() >= MAX_CLIENTS && !self.disconnect_idle() {
                return Some(format!("all {MAX_CLIENTS} client connections are in use: try again later"));
            }
            None
        });
        if let Some(message) = refusal {
            let mut line = encode(&Hello::own());
            line.extend_from_slice(&encode(&Answer::failed(message)));
            // The line fits into the buffer of a new socket.
            let _ = channel::send(socket.as_fd(), &line, None);
            return;
        }
        // In a shortage the client is disconnected.
        let _ = self.adopt(socket);
    }

    /// Removes clients that have disconnected. If there are none, disconnects the oldest client without a request.
    fn disconnect_idle(&mut self) -> bool {
        let is_silent = |client: &Client| !client.is_link && client.may_ask() && client.output.is_empty();
        let silent: Vec<u64> =
            self.clients.iter().filter(|(_, client)| is_silent(client)).map(|(token, _)| *token).collect();
        for token in silent {
            let Some(client) = self.clients.get_mut(&token) else { continue };
            // It may have sent a request that was not read yet.
            if client.read() {
                self.serve(token);
            } else {
                self.drop_client(token);
            }
        }
        if self.taken() < MAX_CLIENTS {
            return true;
        }
        // Clients with unread answers come last.
        let oldest = [(State::New, true), (State::Idle, true), (State::Idle, false), (State::Leaving, false)]
            .into_iter()
            .find_map(|(state, silent)| {
                let is_candidate = |(_, client): &(&u64, &Client)| {
                    !client.is_link && client.state == state && client.output.is_empty() == silent
                };
                self.clients.iter().find(is_candidate).map(|(token, _)| *token)
            });
        if let Some(token) = oldest {
            self.drop_client(token);
        }
        oldest.is_some()
    }

    fn attend(&mut self, one: PollEvent) {
        let Some(client) = self.clients.get_mut(&one.token) else { return };
        if one.hung_up {
            self.drop_client(one.token);
            return;
        }
        if one.readable && client.when == Readiness::Readable && !client.read() {
            self.drop_client(one.token);
            return;
        }
        self.serve(one.token);
        self.limit_incomplete();
    }

    /// Disconnects the client with the longest incomplete request while the sum of all exceeds its limit.
    fn limit_incomplete(&mut self) {
        let sum: usize = self.clients.values().map(|client| client.input.len()).sum();
        if sum <= MAX_INCOMPLETE {
            return;
        }
        let longest = self.clients.iter().max_by_key(|(_, client)| client.input.len());
        let Some(token) = longest.map(|(token, _)| *token) else { return };
        if let Some(client) = self.clients.get_mut(&token) {
            client.input = LineBuffer::default();
            client.state = State::Leaving;
            client.send(&Answer::failed(format!(
                "incomplete requests of all clients exceed {MAX_INCOMPLETE} bytes: try again later"
            )));
        }
        self.serve(token);
    }

    /// Sends pending answers, reads the next request, and sets the event to wait for.
    fn serve(&mut self, token: u64) {
        let busy = [RequestKind::Operation, RequestKind::Stream].map(|kind| self.count(kind));
        let Some(client) = self.clients.get_mut(&token) else { return };
        let mut stays = client.write();
        while stays && client.output.is_empty() && client.may_ask() {
            match client.next() {
                Next::Incomplete => break,
                Next::Request(request) => {
                    let kind = request.kind();
                    let why = match kind {
                        RequestKind::Operation if busy[0] >= MAX_WAITING && !client.is_link => {
                            format!("{MAX_WAITING} commands are in progress already: try again later")
                        }
                        RequestKind::Stream if busy[1] >= MAX_FOLLOWERS && !client.is_link => {
                            format!("{MAX_FOLLOWERS} clients already follow logs or events: end one of them")
                        }
                        RequestKind::Query | RequestKind::Operation | RequestKind::Stream => {
                            client.state = State::Waiting(kind);
                            self.requests.push((ClientId(token), request));
                            break;
                        }
                    };
                    client.send(&Answer::failed(why));
                    stays = client.write();
                }
                Next::Answered => stays = client.write(),
            }
        }
        let is_over = client.output.is_empty()
            && match client.state {
                State::New | State::Idle => client.ended,
                State::Waiting(_) => false,
                State::Leaving => true,
            };
        if !stays || is_over {
            self.drop_client(token);
            return;
        }
        let when = if !client.output.is_empty() {
            Readiness::Writable
        } else if client.may_ask() && !client.ended {
            Readiness::Readable
        } else {
            Readiness::Gone
        };
        if when != client.when {
            client.when = when;
            if self.poller.change(client.socket.as_fd(), token, when).is_err() {
                self.drop_client(token);
            }
        }
    }

    /// The number of clients that take a place.
    fn taken(&self) -> usize {
        self.clients.values().filter(|client| !client.is_link).count()
    }

    /// The number of clients with a request of this kind.
    fn count(&self, kind: RequestKind) -> usize {
        self.clients.values().filter(|client| !client.is_link && client.state == State::Waiting(kind)).count()
    }

    fn drop_client(&mut self, token: u64) {
        if let Some(client) = self.clients.remove(&token) {
            self.poller.remove(client.socket.as_fd());
        }
        if self.clients.is_empty() {
            // Frees the memory of a large answer.
            self.events = Vec::new();
        }
    }
}

enum Next {
    /// There is no complete line.
    Incomplete,
    /// A request was read.
    Request(Request),
    /// An answer is pending.
    Answered,
}

impl Client {
    fn new(socket: OwnedFd, is_link: bool) -> Self {
        Self {
            socket,
            is_link,
            input: LineBuffer::default(),
            output: Vec::new(),
            sent: 0,
            state: State::New,
            ended: false,
            when: Readiness::Readable,
        }
    }

    fn may_ask(&self) -> bool {
        matches!(self.state, State::New | State::Idle)
    }

    /// Reads some bytes. False: the connection is broken.
    fn read(&mut self) -> bool {
        let mut piece = [0; READ_SIZE];
        match channel::receive(self.socket.as_fd(), &mut piece) {
            Ok(0) => self.ended = true,
            Ok(count) => self.input.feed(&piece[..count]),
            Err(error) => {
                return matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted);
            }
        }
        true
    }

    /// Sends as many bytes as fit. False: the connection is broken.
    fn write(&mut self) -> bool {
        while self.sent < self.output.len() {
            match channel::send(self.socket.as_fd(), &self.output[self.sent..], None) {
                Ok(count) => self.sent += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return true,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return false,
            }
        }
        (self.output, self.sent) = (Vec::new(), 0);
        true
    }

    /// Handles the next line.
    fn next(&mut self) -> Next {
        let is_new = self.state == State::New;
        let longest = if is_new { MAX_HELLO } else { MAX_REQUEST };
        match self.input.next(longest) {
            Ok(None) => Next::Incomplete,
            Ok(Some(line)) if is_new => {
                let hello = decode::<Hello>(line);
                self.greet(hello)
            }
            Ok(Some(line)) => match decode(line) {
                Ok(request) => Next::Request(request),
                Err(error) => self.send(&Answer::failed(format!("malformed request: {error}"))),
            },
            Err(LineTooLong) => {
                let answer = Answer::failed(format!("a message must have at most {longest} bytes"));
                if is_new {
                    self.output.extend_from_slice(&encode(&Hello::own()));
                }
                self.state = State::Leaving;
                self.send(&answer)
            }
        }
    }

    fn greet(&mut self, hello: Result<Hello, String>) -> Next {
        self.output.extend_from_slice(&encode(&Hello::own()));
        match hello {
            Ok(hello) if hello.protocol == PROTOCOL => {
                self.state = State::Idle;
                Next::Answered
            }
            Ok(hello) => {
                self.state = State::Leaving;
                self.send(&Answer::failed(format!(
                    "this supervisor is procrun {} with protocol version {PROTOCOL}; the client is procrun {} with protocol \
                     version {}",
                    env!("CARGO_PKG_VERSION"),
                    hello.procrun,
                    hello.protocol,
                )))
            }
            Err(error) => {
                self.state = State::Leaving;
                self.send(&Answer::failed(format!("malformed hello: {error}")))
            }
        }
    }

    fn send(&mut self, answer: &Answer) -> Next {
        self.output.extend_from_slice(&encode(answer));
        Next::Answered
    }
}

/// The user id of the peer (`SO_PEERCRED`).
fn peer(socket: &OwnedFd) -> io::Result<u32> {
    Ok(getsockopt(socket, PeerCredentials)?.uid())
}
