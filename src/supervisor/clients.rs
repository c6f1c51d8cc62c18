//! The clients of the control socket: what they wait for, and the way of answers and events to them.
//!
//! A client that waits for an operation is kept with its ticket only: an answer is computed when it is sent.

use std::{
    collections::HashMap,
    future::{Future, pending},
    io,
    path::Path,
};

use super::{
    Background, Role,
    event_log::{EventFollowers, EventLog},
    log_followers::Followers,
    lookup::SingleLookup,
    pid_file::PidFiles,
    report,
};
use crate::{
    control::{Answer, ClientId, Name, Server, SocketError, SocketFile},
    logs,
    machine::{Machine, Reply, Ticket, events::Notice},
};

/// The control socket, if there is one, and the clients that wait for an operation.
pub(super) struct Clients {
    pub(super) server: Option<Server>,
    waiting: HashMap<Ticket, Waiting>,
    tickets: u64,
    pub(super) followers: Followers,
    pub(super) events: EventLog,
    pub(super) event_followers: EventFollowers,
    /// Reads files for answers.
    pub(super) lookup: SingleLookup,
}

struct Waiting {
    client: ClientId,
    /// The ids of its instances.
    ids: Vec<u32>,
    /// The applications of the operation, also those that it adds.
    apps: Vec<String>,
}

impl Clients {
    /// Opens the control socket, and returns the reason if that fails. In the background no other path is used.
    pub(super) fn open(role: &Role) -> (Self, Option<String>) {
        let (server, trouble) = match Self::serve(role) {
            Ok(server) => (Some(server), None),
            Err(error) => (None, Some(error.to_string())),
        };
        let clients = Self {
            server,
            waiting: HashMap::new(),
            tickets: 0,
            followers: Followers::default(),
            events: EventLog::default(),
            event_followers: EventFollowers::default(),
            lookup: SingleLookup::default(),
        };
        (clients, trouble)
    }

    fn serve(role: &Role) -> Result<Server, Box<dyn std::error::Error>> {
        let taken = match SocketFile::take(&role.places, role.name) {
            // Two containers may share a directory.
            Err(SocketError::Taken(_)) if role.name == Name::Default && role.background.is_none() => {
                SocketFile::take(&role.places, Name::Pid(std::process::id()))
            }
            taken => taken,
        };
        let (listen_sockets, listener) = taken?;
        let mut server = Server::new(listen_sockets, listener)?;
        if let Some(first) = role.background.as_ref().and_then(Background::first_client) {
            server.adopt(first)?;
        }
        Ok(server)
    }

    /// The path of the socket; empty without one.
    pub(super) fn path(&self) -> &Path {
        self.server.as_ref().map_or(Path::new(""), Server::path)
    }

    /// Waits for a request of a client. Cancel-safe.
    pub(super) async fn turn(&mut self) -> io::Result<()> {
        let Some(server) = &mut self.server else { return pending().await };
        self.event_followers.send(&self.events, server);
        self.followers.see_to(server);
        let heard = tokio::select! {
            result = server.turn() => return result,
            heard = self.followers.hear() => heard,
        };
        self.followers.pass_on(heard, server);
        Ok(())
    }

    /// Accepts no more clients. A client that waits for the end learns it from the end of its connection.
    /// Returns the files of the socket, which may be on a file system that does not answer.
    pub(super) fn close(&mut self) -> Option<SocketFile> {
        self.server.as_mut().and_then(Server::stop_listening)
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
        self.waiting.insert(ticket, Waiting { client, ids, apps });
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

    /// Logs an event, keeps it for the clients that follow events, and sends it to the clients that wait for these
    /// operations.
    pub(super) fn report(&mut self, notice: Notice, tickets: &[Ticket]) {
        let waiting = tickets.iter().filter_map(|ticket| self.waiting.get(ticket));
        let clients: Vec<ClientId> = waiting.map(|waiting| waiting.client).collect();
        self.report_to(notice, clients);
    }

    /// The same for these clients.
    pub(super) fn report_to(&mut self, notice: Notice, clients: Vec<ClientId>) {
        report::log(&notice);
        if !notice.data.is_kept() {
            return;
        }
        let is_step = notice.data.is_step();
        let event = self.events.keep(notice, logs::wall_clock());
        if is_step && !clients.is_empty() {
            let step = Answer::Step(event);
            for client in clients {
                self.answer(client, &step);
            }
        }
    }

    /// Sends the last events to the clients that follow them.
    pub(super) fn send_events(&mut self) {
        if let Some(server) = &mut self.server {
            self.event_followers.send(&self.events, server);
        }
    }
}
