//! The hub: every channel and every held socket, and the primaries that say what to do with them.

use std::{
    collections::{BTreeMap, HashMap},
    io,
    os::fd::{AsFd, OwnedFd},
    path::Path,
    sync::Arc,
    time::Duration,
};

use nix::libc;
use tokio::time::Instant;

use super::{
    channel::{Channel, Delivery, READ},
    connections::Connections,
    listener::{Lent, Listener},
    preload::Preload,
};
use crate::{
    machine::{
        Run, Sign,
        cluster::{
            ConnectionId, Effect, Endpoint, Event, Hail, ListenerId, Primary, Query,
            wire::{self, Answer, Decoder, Message},
        },
    },
    spec::{AppSpec, diff::same_but_instances},
    sys::{
        channel,
        poll::{Happened, Poller, When},
        sockets::Owner,
        spawn::HANDED,
    },
};

/// Marks the token of a socket; without it a token is the number of a run.
const OF_SOCKET: u64 = 1 << 63;

/// A worker is read to the end when it has died, but what a living one might send to keep procrun
/// busy ends here.
const LAST_READS: usize = 128;

/// When accepting has failed nothing tells that it would work again, least of all that somebody else
/// has closed a descriptor: it is tried again after this.
const TRY_AGAIN: Duration = Duration::from_millis(100);

/// What the supervisor is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News {
    /// It can do its work.
    Ready(Run, Sign),
    /// It listens there, said for people.
    Listens(Run, String),
    /// It has sent so many messages of its own.
    Messages(Run, usize),
    /// It has finished its connections, as [`Hub::drain`] asked it to.
    Drained(Run),
    /// There is no place for the script that drains workers: what was tried.
    CannotDrain(String),
    /// It breaks the rules: what it did. Said once for each rule.
    Misbehaves(Run, &'static str),
    /// It asked for a socket that it could not take. Said once.
    NoSocketForBun(Run),
    /// Its channel was shut down for what it did.
    CutOff(Run, String),
    /// Connections to an application could not be accepted. Said once until one can be again.
    CannotAccept(String, String),
}

/// Every channel and every held socket. It is empty, and costs nothing, until the first Node
/// worker starts.
#[derive(Debug, Default)]
pub struct Hub {
    poller: Option<Poller>,
    /// By the number of the run.
    workers: HashMap<u64, Worker>,
    apps: BTreeMap<u32, App>,
    last_app: u32,
    preload: Preload,
    /// By application and number.
    listeners: HashMap<(u32, ListenerId), Listener>,
    connections: Connections,
    /// Listeners whose connections could not be accepted.
    stuck: Vec<(u32, ListenerId)>,
    /// When to try that again.
    try_again: Option<Instant>,
    news: Vec<News>,
    /// Kept between turns so that a turn allocates nothing.
    happened: Vec<Happened>,
    effects: Vec<Effect>,
    outgoing: Vec<u8>,
    buffer: Vec<u8>,
}

#[derive(Debug)]
struct Worker {
    run: Run,
    channel: Channel,
    decoder: Decoder,
    owner: Option<Owner>,
    /// What it has at its descriptors from [`HANDED`] on.
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
    spec: Arc<AppSpec>,
    primary: Primary,
    /// The last connection could not be accepted.
    failing: bool,
}

impl Hub {
    /// Opens the channel of a run that is about to start. Returns the worker's end. `owner` is
    /// whom it runs as, if not as procrun does.
    ///
    /// # Errors
    /// What socketpair(2) or epoll_ctl(2) say.
    pub fn open(&mut self, run: Run, spec: &Arc<AppSpec>, owner: Option<Owner>) -> io::Result<OwnedFd> {
        let poller = match &mut self.poller {
            Some(poller) => poller,
            none => none.insert(Poller::new()?),
        };
        let (ours, theirs) = channel::pair()?;
        poller.add(ours.as_fd(), run.number, When::Readable)?;
        let app = spec.is_cluster().then(|| self.app(spec));
        let worker = Worker {
            run,
            channel: Channel::new(ours),
            decoder: Decoder::default(),
            owner,
            lent: Vec::new(),
            app,
            clogged: false,
            cut_off: false,
            reported: false,
        };
        self.workers.insert(run.number, worker);
        if let Some(app) = app {
            self.drive(app, Event::Joined { worker: run, balance: spec.balance });
        }
        Ok(theirs)
    }

    /// Remembers what a run finds at its descriptors from [`HANDED`] on: a server of a cluster may
    /// be told to listen there.
    pub fn lend(&mut self, run: Run, sockets: Vec<Lent>) {
        if let Some(worker) = self.workers.get_mut(&run.number) {
            worker.lent = sockets;
        }
    }

    fn app(&mut self, spec: &Arc<AppSpec>) -> u32 {
        let known = self.apps.iter_mut().find(|(_, app)| app.spec.name == spec.name);
        if let Some((id, app)) = known {
            let id = *id;
            let changed = !Arc::ptr_eq(&app.spec, spec) && !same_but_instances(&app.spec, spec);
            app.spec = spec.clone();
            if changed {
                self.drive(id, Event::Changed);
            }
            return id;
        }
        self.last_app += 1;
        let app = App { spec: spec.clone(), primary: Primary::default(), failing: false };
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
        match self.try_again {
            None => poller.wait(&mut self.happened).await?,
            Some(at) => {
                tokio::select! {
                    result = poller.wait(&mut self.happened) => result?,
                    () = tokio::time::sleep_until(at) => {}
                }
                if at <= Instant::now() {
                    self.try_again = None;
                    for (app, listener) in std::mem::take(&mut self.stuck) {
                        self.drive(app, Event::Waiting(listener));
                    }
                }
            }
        }
        let mut happened = std::mem::take(&mut self.happened);
        for event in happened.drain(..) {
            self.take_in(event);
        }
        self.happened = happened;
        Ok(())
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
        let Some(id) = worker.and_then(|worker| worker.app) else { return false };
        self.drive(id, Event::Drain(run));
        self.apps.get(&id).is_some_and(|app| app.primary.is_draining(run))
    }

    /// The file of the script that drains the worker in which Node runs it first; `None` if there
    /// is no place for one.
    pub fn preload(&mut self) -> Option<&Path> {
        self.preload.path().map_err(|why| self.news.extend(why.map(News::CannotDrain))).ok()
    }

    /// Leaves nothing behind.
    pub fn clean_up(&mut self) {
        self.preload.remove();
    }

    /// A run is about to be asked to end: others get the connections.
    pub fn retire(&mut self, run: Run) {
        if let Some(app) = self.workers.get(&run.number).and_then(|worker| worker.app) {
            self.drive(app, Event::Retiring(run));
        }
    }

    /// A run has ended, or never began. What it has said is taken in first: a connection that it
    /// took is not for anybody else.
    pub fn ended(&mut self, run: Run) {
        for _ in 0..LAST_READS {
            if !matches!(self.read(run.number), Some(1..)) {
                break;
            }
        }
        self.drop_channel(run.number);
    }

    /// Closes the sockets of applications that have no process and will have none.
    pub fn keep_only(&mut self, is_alive: impl Fn(&str) -> bool) {
        let dead: Vec<u32> =
            self.apps.iter().filter(|(_, app)| !is_alive(&app.spec.name)).map(|(id, _)| *id).collect();
        for id in dead {
            self.drive(id, Event::Abandoned);
            self.apps.remove(&id);
        }
    }

    fn take_in(&mut self, happened: Happened) {
        let Happened { token, readable, writable, hung_up } = happened;
        if token & OF_SOCKET != 0 {
            let (app, listener) = of_token(token);
            self.drive(app, Event::Waiting(listener));
            return;
        }
        if writable && !hung_up {
            self.flush(token);
        }
        if (readable || hung_up) && self.read(token) == Some(0) {
            self.drop_channel(token);
        }
    }

    /// Reads once from a worker and deals with what it says; 0 is the end. `None`: there is
    /// nothing for now.
    fn read(&mut self, number: u64) -> Option<usize> {
        let worker = self.workers.get_mut(&number)?;
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.resize(READ, 0);
        let count = worker.channel.read(&mut buffer);
        let (run, app) = (worker.run, worker.app);
        let mut decoder = std::mem::take(&mut worker.decoder);
        decoder.feed(&buffer[..count.unwrap_or(0)], |message| match message {
            Ok(message) => self.message(run, app, message),
            Err(broken) => self.cut_off(run, format!("sent {broken}")),
        });
        self.buffer = buffer;
        if let Some(worker) = self.workers.get_mut(&number) {
            worker.decoder = decoder;
        }
        count
    }

    fn message(&mut self, run: Run, app: Option<u32>, message: Message) {
        match (message, app) {
            (Message::Application { ready: true }, _) => self.news.push(News::Ready(run, Sign::Message)),
            (Message::Application { ready: false }, _) => match self.news.last_mut() {
                Some(News::Messages(other, count)) if *other == run => *count += 1,
                _ => self.news.push(News::Messages(run, 1)),
            },
            // The descriptor was dropped; without this a Node worker sends nothing more.
            (Message::Handle, _) => {
                self.send(run, wire::HANDLE_ACK, None);
            }
            (Message::HandleAck, Some(app)) => self.drive(app, Event::HandleAck(run)),
            (Message::HandleNack, Some(app)) => self.drive(app, Event::HandleNack(run)),
            (Message::Cluster(Hail::Query(query)), Some(app)) => {
                let query = self.with_its_socket(run, query);
                self.drive(app, Event::Hail(run, Hail::Query(query)));
            }
            (Message::Cluster(hail), Some(app)) => self.drive(app, Event::Hail(run, hail)),
            (Message::OfBun(hail), Some(app)) => self.bun(run, app, hail),
            (Message::Other | Message::OfBun(_) | Message::Cluster(Hail::Online), _) => {}
            (Message::HandleAck | Message::HandleNack | Message::Cluster(_), None) => {
                if let Some(worker) = self.workers.get_mut(&run.number)
                    && !std::mem::replace(&mut worker.reported, true)
                {
                    self.news.push(News::Misbehaves(run, "sent a cluster message and is in no cluster"));
                }
            }
        }
    }

    /// Bun opens the sockets of `http` and `Bun.serve` by itself. For others it asks, and can take
    /// neither a socket nor a connection.
    fn bun(&mut self, run: Run, app: u32, hail: Hail) {
        let answer = match hail {
            Hail::Listening { .. } => return self.drive(app, Event::Hail(run, hail)),
            Hail::Query(query) => Answer::not_supported(query.seq),
            Hail::Leaving { seq } => Answer { seq, to_query: None },
            Hail::Online
            | Hail::Close { .. }
            | Hail::Ack { .. }
            | Hail::Drains
            | Hail::Drained
            | Hail::Unknown => return,
        };
        if answer.to_query.is_some()
            && let Some(worker) = self.workers.get_mut(&run.number)
            && !std::mem::replace(&mut worker.reported, true)
        {
            self.news.push(News::NoSocketForBun(run));
        }
        let mut bytes = std::mem::take(&mut self.outgoing);
        wire::encode_for_bun(&answer, &mut bytes);
        self.send(run, &bytes, None);
        bytes.clear();
        self.outgoing = bytes;
    }

    /// A worker that names a descriptor means the socket that it was handed there.
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

    /// Lets a primary take in an event and does what it says.
    fn drive(&mut self, app: u32, event: Event) {
        let mut effects = std::mem::take(&mut self.effects);
        self.step(app, event, &mut effects);
        let mut done = 0;
        while done < effects.len() {
            let effect = effects[done].clone();
            done += 1;
            self.carry_out(app, effect, &mut effects);
        }
        effects.clear();
        self.effects = effects;
    }

    fn step(&mut self, app: u32, event: Event, out: &mut Vec<Effect>) {
        if let Some(app) = self.apps.get_mut(&app) {
            app.primary.step(event, out);
        }
    }

    fn carry_out(&mut self, app: u32, effect: Effect, out: &mut Vec<Effect>) {
        match effect {
            Effect::Bind(id, endpoint, worker) => {
                let worker = self.workers.get(&worker.number);
                let (owner, lent) =
                    worker.map_or((None, &[][..]), |worker| (worker.owner, worker.lent.as_slice()));
                let event = match Listener::open(&endpoint, owner, lent) {
                    Ok(listener) => {
                        let bound_to = listener.bound_to();
                        self.listeners.insert((app, id), listener);
                        Event::Bound(id, bound_to)
                    }
                    Err(error) => Event::BindFailed(id, error.raw_os_error().unwrap_or(libc::EINVAL)),
                };
                self.step(app, event, out);
            }
            Effect::Close(id) => {
                if let Some(listener) = self.listeners.remove(&(app, id))
                    && let Some(poller) = &self.poller
                {
                    poller.remove(listener.socket());
                }
            }
            Effect::Watch(id) => {
                if let (Some(poller), Some(listener)) = (&self.poller, self.listeners.get(&(app, id))) {
                    // Only out of memory refuses that; then the workers wait for connections in vain.
                    let _ = poller.add(listener.socket(), token_of(app, id), When::Arrival);
                }
            }
            Effect::Unwatch(id) => {
                if let (Some(poller), Some(listener)) = (&self.poller, self.listeners.get(&(app, id))) {
                    poller.remove(listener.socket());
                }
            }
            Effect::Accept(id) => {
                let event = self.accept(app, id);
                self.step(app, event, out);
            }
            Effect::Answer(run, answer) => {
                let mut bytes = std::mem::take(&mut self.outgoing);
                answer.encode(&mut bytes);
                let shared = answer.to_query.filter(|outcome| outcome.handle.is_some());
                let with = shared.map(|outcome| Attached::Listener(app, outcome.listener));
                self.send(run, &bytes, with);
                bytes.clear();
                self.outgoing = bytes;
            }
            Effect::Hand { worker, listener, seq, connection } => {
                let mut bytes = std::mem::take(&mut self.outgoing);
                wire::encode_connection(listener, seq, &mut bytes);
                self.send(worker, &bytes, Some(Attached::Connection(connection)));
                bytes.clear();
                self.outgoing = bytes;
            }
            Effect::Release(connection) => self.connections.release(connection),
            Effect::Listening(run, address) => {
                self.news.push(News::Ready(run, Sign::Listening));
                self.news.push(News::Listens(run, address));
            }
            Effect::Drain(run) => {
                self.send(run, wire::DRAIN, None);
            }
            Effect::HasDrained(run) => self.news.push(News::Drained(run)),
            Effect::Report(run, offence) => {
                self.news.push(News::Misbehaves(run, offence.describe()));
            }
            Effect::Disconnect(run, offence) => self.cut_off(run, offence.describe().to_owned()),
        }
    }

    fn accept(&mut self, app: u32, id: ListenerId) -> Event {
        let Some(listener) = self.listeners.get(&(app, id)) else { return Event::Drained(id) };
        let state = self.apps.get_mut(&app);
        match listener.accept() {
            Ok(socket) => {
                if let Some(state) = state {
                    state.failing = false;
                }
                Event::Accepted(id, self.connections.hold(socket))
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Event::Drained(id),
            Err(error) => {
                if let Some(state) = state
                    && !std::mem::replace(&mut state.failing, true)
                {
                    self.news.push(News::CannotAccept(state.spec.name.clone(), error.to_string()));
                }
                if !self.stuck.contains(&(app, id)) {
                    self.stuck.push((app, id));
                }
                self.try_again.get_or_insert_with(|| Instant::now() + TRY_AGAIN);
                Event::AcceptFailed(id)
            }
        }
    }

    /// Sends a message and what goes with it. False if there is nobody to hear it.
    fn send(&mut self, run: Run, bytes: &[u8], with: Option<Attached>) -> bool {
        let Some(worker) = self.workers.get_mut(&run.number).filter(|worker| !worker.cut_off) else {
            return false;
        };
        let with = with.and_then(|with| match with {
            Attached::Listener(app, id) => self.listeners.get(&(app, id)).map(Listener::socket),
            Attached::Connection(id) => self.connections.get(id).map(AsFd::as_fd),
        });
        match worker.channel.send(bytes, with) {
            Delivery::Sent => true,
            Delivery::Waits => {
                if let (false, Some(poller)) = (worker.clogged, &self.poller) {
                    worker.clogged = true;
                    let _ = poller.change(worker.channel.socket(), run.number, When::Writable);
                }
                true
            }
            Delivery::Full => {
                self.cut_off(run, "does not read what it is sent".to_owned());
                false
            }
            // Its last words, and then its end, come by themselves.
            Delivery::Closed => false,
        }
    }

    fn flush(&mut self, number: u64) {
        let Some(worker) = self.workers.get_mut(&number) else { return };
        if worker.channel.flush() == Delivery::Sent
            && let Some(poller) = &self.poller
        {
            worker.clogged = false;
            let _ = poller.change(worker.channel.socket(), number, When::Readable);
        }
    }

    /// Ends the conversation with a worker. What it has said before is still taken in.
    fn cut_off(&mut self, run: Run, why: String) {
        if let Some(worker) = self.workers.get_mut(&run.number)
            && !std::mem::replace(&mut worker.cut_off, true)
        {
            worker.channel.shut_down();
            self.news.push(News::CutOff(run, why));
        }
    }

    fn drop_channel(&mut self, number: u64) {
        if let Some(worker) = self.workers.remove(&number)
            && let Some(app) = worker.app
        {
            self.drive(app, Event::Gone(worker.run));
        }
    }
}

/// A descriptor that goes with a message.
#[derive(Debug, Clone, Copy)]
enum Attached {
    Listener(u32, ListenerId),
    Connection(ConnectionId),
}

fn token_of(app: u32, listener: ListenerId) -> u64 {
    OF_SOCKET | u64::from(app) << 32 | u64::from(listener.0)
}

fn of_token(token: u64) -> (u32, ListenerId) {
    let low = u32::try_from(token & u64::from(u32::MAX)).expect("32 bits");
    let app = u32::try_from((token & !OF_SOCKET) >> 32).expect("31 bits");
    (app, ListenerId(low))
}
