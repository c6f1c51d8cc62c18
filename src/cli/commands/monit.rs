//! `procrun monit`: carries events to the view of `tui`, and the view's requests to the supervisor.
//!
//! Keys, figures, the lines of the selected process and each action have a thread each. Each thread blocks on
//! one thing, so the keys work whatever the supervisor does. An idle view sends one request a second.

use std::{
    io::{self, IsTerminal as _, stdin, stdout},
    net::Shutdown,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, RecvTimeoutError, SyncSender, channel, sync_channel},
    },
    thread,
    time::Duration,
};

use crossterm::event::{Event as Terminal, read};
use signal_hook::{
    consts::{SIGHUP, SIGTERM},
    iterator::Signals,
};

use crate::{
    cli::{
        command::{Command, Group, Run},
        connect::unexpected,
        failure::Failure,
        output::look,
        parsed_args::ParsedArgs,
    },
    config::EX_USAGE,
    control::{
        Action, Answer, Count, Edge, LogLine as ReceivedLine, Request, SocketPaths,
        client::{self, Connection, ConnectionError},
        snapshot::Overview,
    },
    spec::ExitCode,
    tui::{Act, Ask, Event, LogLine, Screen, State},
};

pub(super) static MONIT: Command = Command {
    words: &["monit", "monitor"],
    group: Group::Output,
    summary: "Show processes, CPU, memory and logs live",
    description: "Show the processes with their CPU, memory and logs on a full screen. Keys\n\
                  restart, reload, stop and scale them; `?` lists the keys, `q` quits.",
    run: Run::Function(monit),
    ..Command::DEFAULT
};

/// The interval between two samples.
const PERIOD: Duration = Duration::from_secs(1);
/// The number of recent lines of a process.
const LINES: u32 = 500;
/// The maximum number of waiting events; a further sender waits.
const QUEUE: usize = 64;

/// What the loop hears.
enum News {
    Event(Event),
    /// A signal, or the terminal is gone.
    End,
}

type Tell = SyncSender<News>;

fn monit(args: &ParsedArgs) -> Result<ExitCode, Failure> {
    if !stdout().is_terminal() || !stdin().is_terminal() {
        let failure = Failure::new(EX_USAGE, "`monit` needs a terminal");
        return Err(failure.hint("`procrun list` shows the figures once; use `docker exec -it`"));
    }
    if std::env::var_os("TERM").is_some_and(|term| term == "dumb") {
        let failure =
            Failure::new(EX_USAGE, "`monit` needs a terminal that can move the cursor, but TERM is `dumb`");
        return Err(failure.hint("`procrun list` shows the figures once, `procrun logs` the lines"));
    }
    let mut supervisor = args.supervisor()?;
    let first = match supervisor.request(&Request::Monitor)? {
        Answer::Overview(overview) => overview,
        other => return Err(unexpected(&other)),
    };
    let path = supervisor.connection().path().to_owned();
    drop(supervisor);
    show(&path, first).map_err(|error| Failure::not_done(format!("cannot use the terminal: {error}")))?;
    Ok(0)
}

fn show(path: &Path, first: Overview) -> io::Result<()> {
    let (tell, news) = sync_channel(QUEUE);
    let signals = Signals::new([SIGTERM, SIGHUP])?;
    let mut screen = Screen::take()?;
    let (width, height) = screen.size()?;
    let mut view = View {
        state: State::new(width, height, look().colours),
        path: path.to_owned(),
        tell: tell.clone(),
        following: Arc::default(),
    };
    // The first event on an empty screen requests a log at most.
    view.take(Event::Snapshot(first.into()));
    background(&tell, move |tell| watch_signals(signals, &tell));
    background(&tell, |tell| watch_keys(&tell));
    // Dropped at the end, which ends the thread.
    let (_running, ended) = channel();
    let socket = path.to_owned();
    background(&tell, move |tell| watch_figures(&socket, &tell, &ended));
    loop {
        screen.show(&view.state)?;
        let Ok(mut next) = news.recv() else { return Ok(()) };
        // What has gathered meanwhile is shown together.
        loop {
            let goes_on = match next {
                News::Event(event) => view.take(event),
                News::End => false,
            };
            if !goes_on {
                return Ok(());
            }
            match news.try_recv() {
                Ok(more) => next = more,
                Err(_) => break,
            }
        }
    }
}

/// A thread that ends with the process.
fn background(tell: &Tell, work: impl FnOnce(Tell) + Send + 'static) {
    if let Err(error) = thread::Builder::new().spawn({
        let tell = tell.clone();
        move || work(tell)
    }) {
        let _ = tell.try_send(News::Event(Event::Outcome(false, format!("cannot start a thread: {error}"))));
    }
}

struct View {
    state: State,
    path: PathBuf,
    tell: Tell,
    following: Arc<Mutex<Following>>,
}

/// The conversation that brings the lines of the selected process.
#[derive(Default)]
struct Following {
    /// Which one it is: a later one may be wanted before an earlier one has come about.
    number: u64,
    stream: Option<UnixStream>,
}

impl Following {
    fn is(this: &Mutex<Self>, number: u64, stream: UnixStream) -> bool {
        let mut following = this.lock().unwrap_or_else(PoisonError::into_inner);
        let is_wanted = following.number == number;
        if is_wanted {
            following.stream = Some(stream);
        }
        is_wanted
    }

    /// Ends the one there is; the number of the next one.
    fn next(this: &Mutex<Self>) -> u64 {
        let mut following = this.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(before) = following.stream.take() {
            // The thread may have ended already.
            let _ = before.shutdown(Shutdown::Both);
        }
        following.number += 1;
        following.number
    }
}

impl View {
    /// Takes in what has happened. False: it is over.
    fn take(&mut self, event: Event) -> bool {
        match self.state.handle(event) {
            None => {}
            Some(Ask::Quit) => return false,
            Some(Ask::Follow(id)) => self.follow(id),
            Some(Ask::Act(act, id)) => {
                let (action, done) = match act {
                    Act::Restart => (Action::Restart, "restarted"),
                    Act::Reload => (Action::Reload, "reloaded"),
                    Act::Stop => (Action::Stop, "stopped"),
                };
                let request = Request::Act { action, targets: vec![id.to_string()] };
                self.ask(request, format!("{done} {id}"));
            }
            Some(Ask::Scale(app, more)) => {
                let done = format!("{app} has one instance {}", if more { "more" } else { "less" });
                let count = Count::By(if more { 1 } else { -1 });
                self.ask(Request::Scale { app, count }, done);
            }
        }
        true
    }

    fn ask(&self, request: Request, done: String) {
        let path = self.path.clone();
        background(&self.tell, move |tell| {
            let outcome = |good, text| drop(tell.send(News::Event(Event::Outcome(good, text))));
            let asked = connect(&path).and_then(|mut connection| {
                connection.ask(&request).map_err(|broken| why(&broken))?;
                loop {
                    match connection.answer().map_err(|broken| why(&broken))? {
                        Answer::Step(event) => outcome(true, event.decode()?.notice.to_string()),
                        Answer::Failed(error) => return Err(error.message),
                        _ => return Ok(()),
                    }
                }
            });
            match asked {
                Ok(()) => outcome(true, done),
                Err(why) => outcome(false, why),
            }
        });
    }

    fn follow(&self, id: u32) {
        let number = Following::next(&self.following);
        let (path, following) = (self.path.clone(), self.following.clone());
        let request = Request::Logs {
            targets: vec![id.to_string()],
            lines: LINES,
            out: true,
            err: true,
            own: false,
            stream: true,
        };
        background(&self.tell, move |tell| {
            // No supervisor: the thread that requests the figures reports it.
            let Ok(mut connection) = connect(&path) else { return };
            let Ok(stream) = connection.hang_up() else { return };
            if !Following::is(&following, number, stream) || connection.ask(&request).is_err() {
                return;
            }
            loop {
                match connection.answer() {
                    Ok(Answer::Failed(error)) => {
                        let _ = tell.send(News::Event(Event::Outcome(false, error.message)));
                        return;
                    }
                    Ok(Answer::Lines { missed, lines }) => {
                        let lines = lines.iter().filter(|line| !line.is_bare_end()).map(as_shown).collect();
                        if tell.send(News::Event(Event::Lines(id, missed, lines))).is_err() {
                            return;
                        }
                    }
                    Ok(Answer::Live) => {}
                    _ => return,
                }
            }
        });
    }
}

fn as_shown(line: &ReceivedLine) -> LogLine {
    let begin = if line.begin == Edge::Line { "" } else { "[...] " };
    let end = if line.end == Edge::Cut { " [...]" } else { "" };
    LogLine { err: line.err, text: format!("{begin}{}{end}", line.text) }
}

fn connect(path: &Path) -> Result<Connection, String> {
    client::find(&SocketPaths::Socket(path.to_owned()))
        .map_err(|_| format!("the supervisor at {} has exited", path.display()))
}

fn why(broken: &ConnectionError) -> String {
    match broken {
        ConnectionError::Ended => "the supervisor has exited".to_owned(),
        ConnectionError::NoAnswer => "the supervisor does not answer".to_owned(),
        ConnectionError::Version(_) => {
            "the supervisor has another version now: quit and start `monit` again".to_owned()
        }
        ConnectionError::Failed(why) => why.clone(),
    }
}

fn watch_signals(mut signals: Signals, tell: &Tell) {
    if signals.forever().next().is_some() {
        let _ = tell.send(News::End);
    }
}

fn watch_keys(tell: &Tell) {
    loop {
        let event = match read() {
            Ok(Terminal::Key(key)) => Event::Key(key),
            Ok(Terminal::Mouse(mouse)) => Event::Mouse(mouse),
            Ok(Terminal::Resize(width, height)) => Event::Resize(width, height),
            Ok(_) => continue,
            // The terminal is gone.
            Err(_) => {
                let _ = tell.send(News::End);
                return;
            }
        };
        if tell.send(News::Event(event)).is_err() {
            return;
        }
    }
}

/// Requests the figures repeatedly, over the same connection while it holds.
fn watch_figures(path: &Path, tell: &Tell, ended: &Receiver<()>) {
    let mut connection = None;
    let mut asked = false;
    let mut silent = 0;
    while ended.recv_timeout(if asked { Duration::ZERO } else { PERIOD }) == Err(RecvTimeoutError::Timeout) {
        let event = match figures(path, &mut connection, asked) {
            Ok(Some(overview)) => {
                (asked, silent) = (false, 0);
                Event::Snapshot(overview.into())
            }
            Ok(None) => {
                (asked, silent) = (true, silent + PERIOD.as_secs());
                Event::Silent(silent)
            }
            Err(why) => {
                (connection, asked, silent) = (None, false, 0);
                Event::Lost(why)
            }
        };
        if tell.send(News::Event(event)).is_err() {
            return;
        }
    }
}

/// Requests the figures, unless a request is open, and waits a second for them. `None`: no answer yet.
fn figures(
    path: &Path,
    connection: &mut Option<Connection>,
    asked: bool,
) -> Result<Option<Overview>, String> {
    let connection = match connection {
        Some(connection) => connection,
        None => connection.insert(connect(path)?),
    };
    if !asked {
        connection.ask(&Request::Monitor).map_err(|broken| why(&broken))?;
    }
    match connection.answer_within(PERIOD).map_err(|broken| why(&broken))? {
        None => Ok(None),
        Some(Answer::Overview(overview)) => Ok(Some(overview)),
        Some(Answer::Failed(error)) => Err(error.message),
        Some(_) => Err("unexpected answer of the supervisor".to_owned()),
    }
}
