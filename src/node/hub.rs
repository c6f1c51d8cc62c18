//! The hub: every channel and every held socket, and the primary that decides what to do with them.
//!
//! `messages` handles messages of workers, `effects` carries out what the primary decides, `samples` requests figures
//! of workers. The hub never examines
//! a process.

mod effects;
mod messages;
mod rounds;
mod samples;
mod token;

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    io,
    net::{SocketAddr, TcpStream},
    os::fd::{AsFd, OwnedFd},
    sync::Arc,
};

use tokio::time::Instant;

use self::rounds::{Samples, WorkerSamples};
use super::{
    channel::{Channel, Reading},
    cluster::{
        ListenerId, Primary, PrimaryEffect, PrimaryEvent, Reach, Version,
        wire::{self, Decoder},
    },
    connections::Connections,
    listener::{HeldSocket, Listener, Opening},
    preload::{Script, Scripts},
    versions::Versions,
};
use crate::{
    machine::{ListenFailure, ReadinessSource, Run, Time, Uncaught},
    spec::AppSpec,
    sys::{
        poll::{PollEvent, Poller, Readiness},
        process,
        sockets::{self, Owner, SocketFile},
    },
};

/// Maximum number of reads of a channel after the worker's exit; a process on the other side that continues to write
/// must not keep procrun busy.
const LAST_READS: usize = 128;

/// A report of the hub to the supervisor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HubEvent {
    /// The worker is ready.
    Ready(Run, ReadinessSource),
    /// The worker listens on this address, in the form for messages.
    Listens(Run, String),
    /// The worker has sent this number of messages of its own.
    Messages(Run, usize),
    /// The worker accepts connections by itself from now on, or no longer.
    Accepts(Run, bool),
    /// The worker could not listen on an address.
    CannotListen {
        /// The run of the worker.
        run: Run,
        /// The address and the error.
        failure: ListenFailure,
        /// Whether the application handles the error of this server.
        is_handled: bool,
    },
    /// The worker listens on an address after it could not.
    ListensAgain(Run),
    /// The worker is about to end by an uncaught error.
    Uncaught(Run, Uncaught),
    /// The worker listens at the same address as a worker of another application: address and name. Reported once.
    SharesSocket(Run, String, String),
    /// The worker has finished its connections after [`Hub::drain`].
    Drained(Run),
    /// No directory accepts the file of the script that drains workers; the directories and their errors.
    CannotDrain(String),
    /// No directory accepts the file of the heartbeat script; the directories and their errors.
    CannotSendHeartbeats(String),
    /// The worker has sent a heartbeat.
    Heartbeat(Run),
    /// The worker violates the protocol; the violation. Reported once for each kind.
    ProtocolViolation(Run, &'static str),
    /// A Bun worker has requested a socket, which Bun cannot receive. Reported once.
    NoSocketForBun(Run),
    /// The worker's channel was closed; the reason.
    Disconnected(Run, String),
    /// A worker requests a unix socket, whose file system may not answer: another thread must open it and pass it
    /// to [`Hub::opened`].
    OpenSocket(Opening),
    /// Connections to an application could not be accepted: its name and the error. Reported once until one is
    /// accepted again.
    CannotAccept(String, String),
}

/// How a probe reaches one run.
#[derive(Debug)]
pub enum Route {
    /// By a connection to its address.
    Network,
    /// By this connection, whose other end is handed to the worker.
    Connection(TcpStream),
    /// The run cannot be reached; the reason. Another run would answer at its address.
    Closed(String),
}

/// Every channel and every held socket. It is empty, and costs nothing, until the first worker with a channel
/// starts.
#[derive(Debug, Default)]
pub struct Hub {
    poller: Option<Poller>,
    clock: Clock,
    /// Keyed by the number of the run.
    workers: HashMap<u64, Worker>,
    apps: BTreeMap<u32, App>,
    last_app: u32,
    scripts: Scripts,
    primary: Primary,
    listeners: HashMap<ListenerId, Listener>,
    /// Sockets that another thread is opening.
    opening: HashSet<ListenerId>,
    closed_files: Vec<SocketFile>,
    connections: Connections,
    /// Channels of ended runs, to be closed in the next loop iteration: it is not urgent.
    ended: Vec<Channel>,
    /// Listeners that could not accept. They are tried again.
    failing_listeners: Vec<ListenerId>,
    /// Channels for which the kernel lacked memory or descriptors.
    paused: Vec<u64>,
    /// When to try these listeners and channels again.
    retry_at: Option<Instant>,
    samples: Samples,
    events: Vec<HubEvent>,
    /// Kept between turns so that a turn allocates nothing.
    poll_events: Vec<PollEvent>,
    effects: Vec<PrimaryEffect>,
    outgoing: Vec<u8>,
    buffer: Vec<u8>,
}

/// The clock of the primary, which starts at its first event.
#[derive(Debug, Default)]
struct Clock(Option<Instant>);

impl Clock {
    fn now(&mut self) -> Time {
        let now = Instant::now();
        Time::after_start(now - *self.0.get_or_insert(now))
    }
}

#[derive(Debug)]
struct Worker {
    run: Run,
    channel: Channel,
    decoder: Decoder,
    owner: Option<Owner>,
    /// The held sockets at its descriptors from [`HANDED`](crate::sys::spawn::HANDED) on.
    held_sockets: Vec<HeldSocket>,
    /// The cluster of the worker.
    app: Option<u32>,
    /// Whether it does not read its messages; nothing is read from it meanwhile.
    is_blocked: bool,
    /// Whether its channel has been closed.
    disconnected: bool,
    /// Whether it was reported for messages that it should not send.
    reported: bool,
    samples: WorkerSamples,
}

#[derive(Debug)]
struct App {
    name: String,
    versions: Versions,
}

impl Hub {
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

    /// Adds the channel of a run that has started. `slot` is the number of its instance in the list, `owner` the
    /// user that it runs as, unless that is procrun's. `has_sampler`: `metrics.cjs` runs in it.
    ///
    /// # Errors
    /// The error of epoll_create(2) or epoll_ctl(2).
    pub fn add(
        &mut self,
        run: Run,
        spec: &Arc<AppSpec>,
        slot: u32,
        owner: Option<Owner>,
        channel: OwnedFd,
        has_sampler: bool,
    ) -> io::Result<()> {
        self.set_up()?;
        if let Some(poller) = &self.poller {
            poller.add(channel.as_fd(), run.number, Readiness::Readable)?;
        }
        self.report_scripts();
        let app = spec.is_cluster().then(|| self.app(&spec.name));
        let worker = Worker {
            run,
            channel: Channel::new(channel),
            decoder: if app.is_some() { Decoder::default() } else { Decoder::tolerant() },
            owner,
            held_sockets: Vec::new(),
            app,
            is_blocked: false,
            disconnected: false,
            reported: false,
            samples: WorkerSamples::new(has_sampler),
        };
        self.workers.insert(run.number, worker);
        if let Some(app) = app {
            let number = self.apps.get_mut(&app).map_or(0, |app| app.versions.number(spec));
            let version = Version { app, number };
            let user = owner.map_or_else(process::user, |(uid, _)| uid);
            self.drive(PrimaryEvent::Joined { worker: run, balance: spec.balance, slot, version, user });
        }
        self.begin_to_measure(run, has_sampler && spec.node_metrics);
        Ok(())
    }

    /// Reports the scripts without a file whose absence changes what an application gets.
    fn report_scripts(&mut self) {
        let failures = self.scripts.take_failures().into_iter();
        self.events.extend(failures.filter_map(|(script, why)| match script {
            Script::Drain => Some(HubEvent::CannotDrain(why)),
            Script::Heartbeat => Some(HubEvent::CannotSendHeartbeats(why)),
            Script::Report | Script::Forward => None,
        }));
    }

    /// Records the sockets at the descriptors of a run from [`HANDED`](crate::sys::spawn::HANDED) on: a server of
    /// a cluster may listen on them.
    pub fn set_held_sockets(&mut self, run: Run, sockets: Vec<HeldSocket>) {
        if let Some(worker) = self.workers.get_mut(&run.number) {
            worker.held_sockets = sockets;
        }
    }

    fn app(&mut self, name: &str) -> u32 {
        if let Some((id, _)) = self.apps.iter().find(|(_, app)| app.name == name) {
            return *id;
        }
        self.last_app += 1;
        let app = App { name: name.to_owned(), versions: Versions::default() };
        self.apps.insert(self.last_app, app);
        self.last_app
    }

    /// Waits for events and handles them; returns when there are reports, or after one loop iteration. Cancel-safe.
    ///
    /// # Errors
    /// The error of epoll_wait(2).
    pub async fn wait(&mut self) -> io::Result<()> {
        self.ended.clear();
        let Some(poller) = &self.poller else { return std::future::pending().await };
        let version_ends = self.apps.values().filter_map(|app| app.versions.next_end());
        match version_ends.chain(self.retry_at).min() {
            None => poller.wait(&mut self.poll_events).await?,
            Some(at) => {
                tokio::select! {
                    result = poller.wait(&mut self.poll_events) => result?,
                    () = tokio::time::sleep_until(at) => {}
                }
                self.handle_time(Instant::now());
            }
        }
        let mut poll_events = std::mem::take(&mut self.poll_events);
        for event in poll_events.drain(..) {
            self.handle_poll_event(event);
        }
        self.poll_events = poll_events;
        Ok(())
    }

    fn handle_time(&mut self, now: Instant) {
        if self.retry_at.take_if(|at| *at <= now).is_some() {
            for listener in std::mem::take(&mut self.failing_listeners) {
                self.drive(PrimaryEvent::Waiting(listener));
            }
            self.resume_channels();
        }
        self.end_versions(|versions| versions.ended(now));
    }

    /// Closes what was open for these versions only. Returns whether there were any.
    fn end_versions(&mut self, which: impl Fn(&mut Versions) -> Vec<u32>) -> bool {
        let ended: Vec<Version> = self
            .apps
            .iter_mut()
            .flat_map(|(id, app)| {
                which(&mut app.versions).into_iter().map(|number| Version { app: *id, number })
            })
            .collect();
        for version in &ended {
            self.drive(PrimaryEvent::Outdated(*version));
        }
        !ended.is_empty()
    }

    /// The reports since the last call.
    pub fn take_events(&mut self) -> std::vec::Drain<'_, HubEvent> {
        self.events.drain(..)
    }

    /// Sends PM2's message `shutdown`; false if that is not possible.
    pub fn send_shutdown(&mut self, run: Run) -> bool {
        self.send(run, wire::SHUTDOWN, None)
    }

    /// Requests a run to finish its connections; false if that is not possible. [`HubEvent::Drained`] follows when
    /// it has.
    pub fn drain(&mut self, run: Run) -> bool {
        let worker = self.workers.get(&run.number).filter(|worker| !worker.disconnected);
        if worker.is_none_or(|worker| worker.app.is_none()) {
            return false;
        }
        self.drive(PrimaryEvent::Drain(run));
        self.primary.is_draining(run)
    }

    /// The scripts that Node runs in workers before the application.
    pub fn scripts(&self) -> &Scripts {
        &self.scripts
    }

    /// How a probe reaches a run, at the first of these addresses where it can.
    pub fn route(&mut self, run: Run, addresses: &[SocketAddr]) -> Route {
        let listener = match self.primary.reach(run, addresses) {
            Reach::Network => return Route::Network,
            Reach::NotYet => return Route::Closed("it does not listen yet".to_owned()),
            Reach::Full => return Route::Closed("it accepts no connections".to_owned()),
            Reach::Handed(listener) => listener,
        };
        match sockets::loopback_pair() {
            Ok((client, server)) => {
                let connection = self.connections.hold(server);
                self.drive(PrimaryEvent::Probe(run, listener, connection));
                Route::Connection(client)
            }
            Err(error) => Route::Closed(format!("no connection: {error}")),
        }
    }

    /// Whether a run listens at one of these addresses; `None`: no socket of its cluster does.
    pub fn listens_at(&self, run: Run, addresses: &[SocketAddr]) -> Option<bool> {
        match self.primary.reach(run, addresses) {
            Reach::Network => None,
            Reach::NotYet => Some(false),
            Reach::Handed(_) | Reach::Full => Some(true),
        }
    }

    /// Gives the connections of a run that is about to be stopped to other runs.
    pub fn retire(&mut self, run: Run) {
        if self.workers.get(&run.number).is_some_and(|worker| worker.app.is_some()) {
            self.drive(PrimaryEvent::Retiring(run));
        }
    }

    /// Handles the end of a run, or a failed start. Its last messages are handled first: a connection that it
    /// accepted is not for another worker.
    pub fn ended(&mut self, run: Run) {
        for _ in 0..LAST_READS {
            if !matches!(self.read(run.number), Reading::Bytes(_)) {
                break;
            }
        }
        self.drop_channel(run.number);
    }

    /// Closes the sockets of applications that have no process and will have none, and after a while those of
    /// versions that no worker runs and none will.
    pub fn keep_only(&mut self, is_alive: impl Fn(&str) -> bool, is_run: impl Fn(&AppSpec) -> bool) {
        let unused: Vec<u32> =
            self.apps.iter().filter(|(_, app)| !is_alive(&app.name)).map(|(id, _)| *id).collect();
        for id in unused {
            self.drive(PrimaryEvent::AppUnused(id));
            self.apps.remove(&id);
        }
        for app in self.apps.values_mut() {
            app.versions.check(Instant::now(), &is_run);
        }
    }

    fn handle_poll_event(&mut self, event: PollEvent) {
        let PollEvent { token, readable, writable, hung_up } = event;
        if let Some(listener) = token::listener_of_token(token) {
            self.drive(PrimaryEvent::Waiting(listener));
            return;
        }
        if writable && !hung_up {
            self.flush(token);
        }
        if readable || hung_up {
            match self.read(token) {
                Reading::End => self.drop_channel(token),
                Reading::Shortage => self.pause_channel(token),
                Reading::Bytes(_) | Reading::Nothing => {}
            }
        }
    }

    fn drop_channel(&mut self, number: u64) {
        let Some(worker) = self.workers.remove(&number) else { return };
        self.samples.complete(number);
        // A child that has not executed its program yet may hold a copy of the channel.
        if let Some(poller) = &self.poller {
            poller.remove(worker.channel.socket());
        }
        self.ended.push(worker.channel);
        if worker.app.is_some() {
            self.drive(PrimaryEvent::Gone(worker.run));
        }
    }
}
