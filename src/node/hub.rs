//! The hub: every channel and every held socket, and the primary that says what to do with them.
//!
//! `conversation` is what is said over the channels, `deeds` is what the primary decides. Never
//! looks at a process.

mod effects;
mod messages;

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    io,
    net::{SocketAddr, TcpStream},
    os::fd::{AsFd, OwnedFd},
    path::Path,
    sync::Arc,
};

use tokio::time::Instant;

use super::{
    channel::{Channel, Reading},
    cluster::{
        Effect, Event, ListenerId, Primary, Reach, Version,
        wire::{self, Decoder},
    },
    connections::Connections,
    listener::{Lent, Listener, Opening},
    preload::{self, Preload},
    versions::Versions,
};
use crate::{
    machine::{ListenFailure, Run, Sign, Time, Uncaught},
    spec::AppSpec,
    sys::{
        channel,
        poll::{PollEvent, Poller, Readiness},
        process,
        sockets::{self, Owner, SocketFile},
    },
};

/// A worker is read to the end when it has died, but what a living one might send to keep procrun
/// busy ends here.
const LAST_READS: usize = 128;

/// What the supervisor is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News {
    /// It can do its work.
    Ready(Run, Sign),
    /// It listens there, said for people.
    Listens(Run, String),
    /// It has sent so many messages of its own.
    Messages(Run, usize),
    /// It was told to accept connections for itself, or no longer to.
    Accepts(Run, bool),
    /// It could not listen somewhere.
    CannotListen {
        /// Which run.
        run: Run,
        /// Where and why.
        failure: ListenFailure,
        /// The application handles the error of this server.
        is_handled: bool,
    },
    /// It listens after it could not.
    ListensAfterAll(Run),
    /// It is about to end by an error that it did not catch.
    Uncaught(Run, Uncaught),
    /// It listens where a worker of another application does: where, and its name. Said once.
    SharesSocket(Run, String, String),
    /// It has finished its connections, as [`Hub::drain`] asked it to.
    Drained(Run),
    /// There is no place for the script that drains workers: what was tried.
    CannotDrain(String),
    /// There is no place for the script that tells whether a loop turns: what was tried.
    CannotBeat(String),
    /// Its loop turns.
    Beats(Run),
    /// It breaks the rules: what it did. Said once for each rule.
    Misbehaves(Run, &'static str),
    /// It asked for a socket that it could not take. Said once.
    NoSocketForBun(Run),
    /// Its channel was shut down for what it did.
    CutOff(Run, String),
    /// A worker wants to listen on a unix socket, whose file system may not answer: this is to be opened on
    /// another thread and brought to [`Hub::opened`].
    Opens(Opening),
    /// Connections to an application could not be accepted. Said once until one can be again.
    CannotAccept(String, String),
}

/// The way of a probe to one run.
#[derive(Debug)]
pub enum Route {
    /// A connection to its address.
    Network,
    /// This connection, whose other end it gets.
    Connection(TcpStream),
    /// It cannot be reached, and why; another run would answer at its address.
    Closed(String),
}

/// Every channel and every held socket. It is empty, and costs nothing, until the first worker with a
/// channel starts.
#[derive(Debug, Default)]
pub struct Hub {
    poller: Option<Poller>,
    clock: Clock,
    /// By the number of the run.
    workers: HashMap<u64, Worker>,
    apps: BTreeMap<u32, App>,
    last_app: u32,
    preload: Preload,
    reporter: Preload,
    forwarder: Preload,
    beater: Preload,
    primary: Primary,
    listeners: HashMap<ListenerId, Listener>,
    /// Sockets that another thread opens.
    opening: HashSet<ListenerId>,
    closed_files: Vec<SocketFile>,
    connections: Connections,
    /// Listeners whose connections could not be accepted.
    stuck: Vec<ListenerId>,
    /// Channels for which the kernel lacked something.
    resting: Vec<u64>,
    /// When to try all that again.
    try_again: Option<Instant>,
    news: Vec<News>,
    /// Kept between turns so that a turn allocates nothing.
    happened: Vec<PollEvent>,
    effects: Vec<Effect>,
    outgoing: Vec<u8>,
    buffer: Vec<u8>,
}

/// Counts the time for the primary from its first event.
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
    /// What it has at its descriptors from [`HANDED`](crate::sys::spawn::HANDED) on.
    lent: Vec<Lent>,
    /// The cluster it belongs to.
    app: Option<u32>,
    /// Something waits until it reads; until then nothing is read from it.
    clogged: bool,
    /// Its channel has been shut down.
    cut_off: bool,
    /// It has been reported for messages that it should not send.
    reported: bool,
}

#[derive(Debug)]
struct App {
    name: String,
    versions: Versions,
}

impl Hub {
    /// Opens the channel of a run that is about to start. Returns the worker's end. `place` is its
    /// number in the list, `owner` is whom it runs as, if not as procrun does.
    ///
    /// # Errors
    /// What socketpair(2) or epoll_ctl(2) say.
    pub fn open(
        &mut self,
        run: Run,
        spec: &Arc<AppSpec>,
        place: u32,
        owner: Option<Owner>,
    ) -> io::Result<OwnedFd> {
        let poller = match &mut self.poller {
            Some(poller) => poller,
            none => none.insert(Poller::new()?),
        };
        let (ours, theirs) = channel::pair()?;
        poller.add(ours.as_fd(), run.number, Readiness::Readable)?;
        let app = spec.is_cluster().then(|| self.app(&spec.name));
        let worker = Worker {
            run,
            channel: Channel::new(ours),
            decoder: if app.is_some() { Decoder::default() } else { Decoder::tolerant() },
            owner,
            lent: Vec::new(),
            app,
            clogged: false,
            cut_off: false,
            reported: false,
        };
        self.workers.insert(run.number, worker);
        if let Some(app) = app {
            let number = self.apps.get_mut(&app).map_or(0, |app| app.versions.number(spec));
            let version = Version { app, number };
            let user = owner.map_or_else(process::user, |(uid, _)| uid);
            self.drive(Event::Joined { worker: run, balance: spec.balance, place, version, user });
        }
        Ok(theirs)
    }

    /// Remembers what a run finds at its descriptors from [`HANDED`](crate::sys::spawn::HANDED) on: a server of a cluster may
    /// be told to listen there.
    pub fn lend(&mut self, run: Run, sockets: Vec<Lent>) {
        if let Some(worker) = self.workers.get_mut(&run.number) {
            worker.lent = sockets;
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

    /// Waits for something to happen and deals with it; returns when there is news, or after a
    /// turn. Cancel-safe.
    ///
    /// # Errors
    /// What epoll_wait(2) says.
    pub async fn turn(&mut self) -> io::Result<()> {
        let Some(poller) = &self.poller else { return std::future::pending().await };
        let version_ends = self.apps.values().filter_map(|app| app.versions.next_end());
        match version_ends.chain(self.try_again).min() {
            None => poller.wait(&mut self.happened).await?,
            Some(at) => {
                tokio::select! {
                    result = poller.wait(&mut self.happened) => result?,
                    () = tokio::time::sleep_until(at) => {}
                }
                self.time_has_passed(Instant::now());
            }
        }
        let mut happened = std::mem::take(&mut self.happened);
        for event in happened.drain(..) {
            self.take_in(event);
        }
        self.happened = happened;
        Ok(())
    }

    fn time_has_passed(&mut self, now: Instant) {
        if self.try_again.take_if(|at| *at <= now).is_some() {
            for listener in std::mem::take(&mut self.stuck) {
                self.drive(Event::Waiting(listener));
            }
            self.end_rests();
        }
        self.end_versions(|versions| versions.ended(now));
    }

    /// Closes what was open for these versions only. Says whether there are any.
    fn end_versions(&mut self, which: impl Fn(&mut Versions) -> Vec<u32>) -> bool {
        let ended: Vec<Version> = self
            .apps
            .iter_mut()
            .flat_map(|(id, app)| {
                which(&mut app.versions).into_iter().map(|number| Version { app: *id, number })
            })
            .collect();
        for version in &ended {
            self.drive(Event::Outdated(*version));
        }
        !ended.is_empty()
    }

    /// What there is to tell since the last time.
    pub fn news(&mut self) -> std::vec::Drain<'_, News> {
        self.news.drain(..)
    }

    /// Sends PM2's message `shutdown`; false if that is not possible.
    pub fn send_shutdown(&mut self, run: Run) -> bool {
        self.send(run, wire::SHUTDOWN, None)
    }

    /// Asks a run to finish its connections; false if it cannot be asked.
    /// [`News::Drained`] follows when it has.
    pub fn drain(&mut self, run: Run) -> bool {
        let worker = self.workers.get(&run.number).filter(|worker| !worker.cut_off);
        if worker.is_none_or(|worker| worker.app.is_none()) {
            return false;
        }
        self.drive(Event::Drain(run));
        self.primary.is_draining(run)
    }

    /// The file of the script that drains the worker in which Node runs it first; `None` if there
    /// is no place for one.
    pub fn preload(&mut self) -> Option<&Path> {
        self.preload.path(preload::DRAIN).map_err(|why| self.news.extend(why.map(News::CannotDrain))).ok()
    }

    /// The file of the script that reports why a worker in no cluster fails; `None` if
    /// there is no place for one.
    pub fn reporter(&mut self) -> Option<&Path> {
        self.reporter.path(preload::FAULTS).ok()
    }

    /// The file of the script that leaves the channel of npm and its like to what they start; `None` if
    /// there is no place for one.
    pub fn forwarder(&mut self) -> Option<&Path> {
        self.forwarder.path(&preload::forward()).ok()
    }

    /// The file of the script that tells again and again that the loop of the worker in which Node
    /// runs it first turns; `None` if there is no place for one.
    pub fn beater(&mut self) -> Option<&Path> {
        self.beater.path(preload::BEAT).map_err(|why| self.news.extend(why.map(News::CannotBeat))).ok()
    }

    /// Leaves nothing behind.
    pub fn clean_up(&mut self) {
        self.preload.remove();
        self.reporter.remove();
        self.forwarder.remove();
        self.beater.remove();
    }

    /// How a probe of a run reaches it at the first of these addresses where it can.
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
                self.drive(Event::Probe(run, listener, connection));
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

    /// A run is about to be asked to end: others get the connections.
    pub fn retire(&mut self, run: Run) {
        if self.workers.get(&run.number).is_some_and(|worker| worker.app.is_some()) {
            self.drive(Event::Retiring(run));
        }
    }

    /// A run has ended, or never began. What it has said is taken in first: a connection that it
    /// took is not for anybody else.
    pub fn ended(&mut self, run: Run) {
        for _ in 0..LAST_READS {
            if !matches!(self.read(run.number), Reading::Bytes(_)) {
                break;
            }
        }
        self.drop_channel(run.number);
    }

    /// Closes the sockets of applications that have no process and will have none, and in a while
    /// those of versions that nobody runs and nobody will.
    pub fn keep_only(&mut self, is_alive: impl Fn(&str) -> bool, is_run: impl Fn(&AppSpec) -> bool) {
        let dead: Vec<u32> =
            self.apps.iter().filter(|(_, app)| !is_alive(&app.name)).map(|(id, _)| *id).collect();
        for id in dead {
            self.drive(Event::Abandoned(id));
            self.apps.remove(&id);
        }
        for app in self.apps.values_mut() {
            app.versions.look(Instant::now(), &is_run);
        }
    }

    fn take_in(&mut self, happened: PollEvent) {
        let PollEvent { token, readable, writable, hung_up } = happened;
        if let Some(listener) = effects::of_token(token) {
            self.drive(Event::Waiting(listener));
            return;
        }
        if writable && !hung_up {
            self.flush(token);
        }
        if readable || hung_up {
            match self.read(token) {
                Reading::End => self.drop_channel(token),
                Reading::Lacks => self.let_rest(token),
                Reading::Bytes(_) | Reading::Nothing => {}
            }
        }
    }

    fn drop_channel(&mut self, number: u64) {
        let Some(worker) = self.workers.remove(&number) else { return };
        // A child that has not executed its program yet may hold a copy of the channel.
        if let Some(poller) = &self.poller {
            poller.remove(worker.channel.socket());
        }
        if worker.app.is_some() {
            self.drive(Event::Gone(worker.run));
        }
    }
}
