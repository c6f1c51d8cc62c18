//! The clients of the control socket: the operations that they wait for, and the answers and events that they get.
//!
//! A client that waits for an operation is kept with its ticket only: an answer is computed when it is sent.

use std::{
    collections::HashMap,
    future::{Future, pending, ready},
    io,
    os::{fd::OwnedFd, unix::net::UnixListener},
    time::Duration,
};

use tokio::{sync::oneshot, time::Instant};
use tracing::debug;

use super::{
    background::Background,
    clock,
    event_dispatch::EventDispatch,
    event_log::{EventFilter, Recent},
    helper_threads::HelperThreads,
    job_queues::Purpose,
    log_followers::Followers,
    pid_file::PidFiles,
    role::Role,
};
use crate::{
    control::{Answer, ClientId, Name, Request, Server, SocketError, SocketFile, SocketPaths},
    logs::Follower,
    machine::{
        Machine, Reply, Tallies, Ticket,
        events::{Notice, RuntimePart},
    },
    sys::sockets,
    web::Links,
};

/// The control socket, if there is one, and the clients that wait for an operation.
pub(super) struct Clients<'a> {
    role: &'a Role,
    helpers: HelperThreads,
    opening: Option<PendingSocket>,
    server: Option<Server>,
    waiting: HashMap<Ticket, WaitingClient>,
    tickets: u64,
    followers: Followers,
    events: EventDispatch,
    /// New connections of the HTTP server, if there is one.
    links: Option<Links>,
    /// The file of its unix socket.
    web_file: Option<sockets::SocketFile>,
}

struct WaitingClient {
    client: ClientId,
    /// The ids of its instances.
    ids: Vec<u32>,
    /// The applications of the operation, also those that it adds.
    apps: Vec<String>,
}

/// A control socket that a helper thread opens: the file system of its directory may not answer.
struct PendingSocket {
    result: io::Result<oneshot::Receiver<Opened>>,
    until: Instant,
}

/// An open control socket, or why none is.
type Opened = Result<(SocketFile, UnixListener), SocketError>;

/// How long procrun waits for its control socket.
const OPEN_TIMEOUT: Duration = Duration::from_secs(1);

impl PendingSocket {
    /// Waits for the socket. Cancel-safe.
    ///
    /// # Errors
    /// Why commands cannot reach this procrun.
    async fn done(&mut self, helpers: &HelperThreads) -> Result<(SocketFile, UnixListener), String> {
        let result = self.result.as_mut().map_err(|error| error.to_string())?;
        match helpers.receive(result, self.until).await {
            Some(opened) => opened.map_err(|error| error.to_string()),
            None => Err("the directory of the control socket does not answer".to_owned()),
        }
    }
}

/// Opens the control socket. In the background no other path is used.
fn open(paths: &SocketPaths, name: Name, is_background: bool) -> Opened {
    match SocketFile::take(paths, name) {
        // Two containers may share a directory.
        Err(SocketError::Taken(_)) if name == Name::Default && !is_background => {
            SocketFile::take(paths, Name::Pid(std::process::id()))
        }
        taken => taken,
    }
}

impl<'a> Clients<'a> {
    /// Without a control socket at first.
    pub(super) fn new(role: &'a Role, helpers: &HelperThreads) -> Self {
        Self {
            role,
            helpers: helpers.clone(),
            opening: None,
            server: None,
            waiting: HashMap::new(),
            tickets: 0,
            followers: Followers::default(),
            events: EventDispatch::default(),
            links: None,
            web_file: None,
        }
    }

    /// Serves the HTTP server, too.
    pub(super) fn serve_web(&mut self, links: Links, file: Option<sockets::SocketFile>) {
        self.links = Some(links);
        self.web_file = file;
        self.events.start_tallies();
    }

    /// The counts of events so far.
    pub(super) fn tallies(&self) -> Tallies {
        self.events.tallies()
    }

    /// The state of an instance may change.
    pub(super) fn has_changed(&self) {
        if let Some(links) = &self.links {
            links.has_changed();
        }
    }

    /// Has the control socket opened. [`Self::wait`] serves it once it is open.
    pub(super) fn begin_to_open(&mut self) {
        if self.opening.is_some() || self.server.is_some() {
            return;
        }
        let (paths, name) = (self.role.places.clone(), self.role.name);
        let is_background = self.role.background.is_some();
        let result = self.helpers.request_for(Purpose::File, move || open(&paths, name, is_background));
        // The first starts take longer, and their programs may need the socket.
        self.helpers.grow_at_once();
        self.opening = Some(PendingSocket { result, until: clock::now() + OPEN_TIMEOUT });
    }

    /// Waits until the control socket is open, and serves it. Cancel-safe. Pending if it is not being opened.
    ///
    /// # Errors
    /// Why commands cannot reach this procrun.
    pub(super) async fn opened(&mut self) -> Result<(), String> {
        let Some(opening) = &mut self.opening else { return pending().await };
        let opened = opening.done(&self.helpers).await;
        self.opening = None;
        let (file, listener) = opened?;
        let mut server = Server::new(file, listener).map_err(|error| error.to_string())?;
        if let Some(first) = self.role.background.as_ref().and_then(Background::first_client) {
            server.adopt(first).map_err(|error| error.to_string())?;
        }
        debug!("commands reach this procrun at {}", server.path().display());
        self.server = Some(server);
        Ok(())
    }

    /// Waits for a request of a client. Cancel-safe.
    pub(super) async fn wait(&mut self) -> io::Result<()> {
        if self.opening.is_some() {
            if let Err(error) = self.opened().await {
                self.report(Notice::outage(RuntimePart::ControlSocket, error), &[]);
                if self.links.is_some() {
                    self.server = Some(Server::without_socket()?);
                }
            }
            return Ok(());
        }
        let Some(server) = &mut self.server else { return pending().await };
        self.events.send_new(server);
        let has_more = self.followers.send_recent(server);
        let completed = tokio::select! {
            result = server.wait() => return result,
            () = ready(()), if has_more => return Ok(()),
            completed = self.followers.next() => completed,
            link = next(&mut self.links) => return server.adopt_link(link),
        };
        self.followers.send(completed, server);
        Ok(())
    }

    /// The requests that have arrived.
    pub(super) fn requests(&mut self) -> Vec<(ClientId, Request)> {
        self.server.as_mut().map(Server::requests).unwrap_or_default()
    }

    /// Sends a client the lines of a follower.
    pub(super) fn follow_lines(&mut self, client: ClientId, follower: Follower, stream: bool) {
        self.followers.add(client, follower, stream);
    }

    /// Sends a client the events that this filter takes.
    pub(super) fn follow_events(
        &mut self,
        client: ClientId,
        filter: EventFilter,
        recent: Recent,
        stream: bool,
    ) {
        self.events.follow(client, filter, recent, stream);
    }

    /// Whether an event of an application of this name is kept.
    pub(super) fn knows_app(&self, name: &str) -> bool {
        self.events.knows_app(name)
    }

    /// Accepts no more clients. The end of its connection informs a client that waits for the end of procrun.
    /// Returns the files of the sockets, which may be on a file system that does not answer.
    pub(super) async fn close(
        &mut self,
        until: Instant,
    ) -> (Option<SocketFile>, Option<sockets::SocketFile>) {
        let own = match self.opening.take() {
            Some(mut opening) => {
                opening.until = opening.until.min(until);
                opening.done(&self.helpers).await.ok().map(|(file, _)| file)
            }
            None => self.server.as_mut().and_then(Server::stop_listening),
        };
        (own, self.web_file.take())
    }

    pub(super) fn answer(&mut self, to: ClientId, answer: &Answer) {
        if let Some(server) = &mut self.server {
            server.answer(to, answer);
        }
    }

    /// Answers a client as soon as there is an answer.
    pub(super) fn answer_later(&mut self, to: ClientId, answer: impl Future<Output = Answer> + 'static) {
        self.followers.answer_later(to, answer);
    }

    pub(super) fn ticket(&mut self, client: ClientId, ids: Vec<u32>, apps: Vec<String>) -> Ticket {
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        self.waiting.insert(ticket, WaitingClient { client, ids, apps });
        ticket
    }

    /// Sends the answers that have become ready.
    pub(super) fn send_ready_answers(&mut self) {
        if let Some(server) = &mut self.server {
            self.followers.send_ready(server);
        }
    }

    /// Passes a reply of the machine on to its client. Success is reported when the pid files have been written.
    pub(super) fn reply(&mut self, ticket: Ticket, reply: &Reply, machine: &Machine, pid_files: &PidFiles) {
        let Some(waiting) = self.waiting.get(&ticket) else { return };
        let client = waiting.client;
        let answer = match reply {
            Reply::Done => {
                let of_apps = machine.instances().filter(|view| waiting.apps.contains(&view.spec.name));
                let mut ids: Vec<u32> =
                    waiting.ids.iter().copied().chain(of_apps.map(|view| view.pm_id)).collect();
                ids.sort_unstable();
                ids.dedup();
                Answer::Done { ids }
            }
            Reply::Failed(message) => Answer::failed(message.clone()),
        };
        self.waiting.remove(&ticket);
        match pid_files.settled().filter(|_| *reply == Reply::Done) {
            Some(settled) => self.answer_later(client, async move {
                settled.await;
                answer
            }),
            None => self.answer(client, &answer),
        }
    }

    /// Dispatches an event, also to the clients that wait for these operations.
    pub(super) fn report(&mut self, notice: Notice, tickets: &[Ticket]) {
        let waiting = tickets.iter().filter_map(|ticket| self.waiting.get(ticket));
        let clients: Vec<ClientId> = waiting.map(|waiting| waiting.client).collect();
        self.report_to(notice, &clients);
    }

    /// Dispatches an event, also to these clients.
    pub(super) fn report_to(&mut self, notice: Notice, clients: &[ClientId]) {
        self.events.dispatch(notice, clients, self.server.as_mut());
    }

    /// Sends the last events to the clients that follow them.
    pub(super) fn send_events(&mut self) {
        if let Some(server) = &mut self.server {
            self.events.send_new(server);
        }
    }
}

/// Waits for a new connection of the HTTP server. Cancel-safe.
async fn next(links: &mut Option<Links>) -> OwnedFd {
    match links {
        Some(links) => links.next().await,
        None => pending().await,
    }
}
