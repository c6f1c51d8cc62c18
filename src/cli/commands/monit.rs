//! `procrun monit`: carries events to the view of `tui`, and the view's requests to the supervisor.
//!
//! There is a thread for the keys, one for the samples, one for the lines of the selected process, and one for each
//! action. The keys work even when the supervisor does not answer. An idle view sends one request a second.

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
        output::stdout_style,
        parsed_args::ParsedArgs,
    },
    config::EX_USAGE,
    control::{
        Action, Answer, Count, Edge, LogLine as ReceivedLine, Request, SocketPaths,
        client::{self, Connection, ConnectionError},
        snapshot::Overview,
    },
    spec::ExitCode,
    tui::{Event, LogLine, ProcessAction, Screen, State, ViewRequest},
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

/// An input of the loop.
enum LoopInput {
    Event(Event),
    /// A signal, or the terminal is gone.
    End,
}

type InputSender = SyncSender<LoopInput>;

fn monit(args: &ParsedArgs) -> Result<ExitCode, Failure> {
    if !stdout().is_terminal() || !stdin().is_terminal() {
        let failure = Failure::new(EX_USAGE, "`monit` needs a terminal");
        return Err(failure.hint("use `docker exec -it`, or `procrun list` for one snapshot"));
    }
    if std::env::var_os("TERM").is_some_and(|term| term == "dumb") {
        let failure =
            Failure::new(EX_USAGE, "`monit` needs a terminal that can move the cursor, but TERM is `dumb`");
        return Err(failure.hint("use `procrun list` and `procrun logs`"));
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
    let (sender, inputs) = sync_channel(QUEUE);
    let signals = Signals::new([SIGTERM, SIGHUP])?;
    let mut screen = Screen::open()?;
    let (width, height) = screen.size()?;
    let mut view = View {
        state: State::new(width, height, stdout_style().colours),
        path: path.to_owned(),
        sender: sender.clone(),
        following: Arc::default(),
    };
    // The first event on an empty screen requests a log at most.
    view.handle(Event::Snapshot(first.into()));
    background(&sender, move |sender| watch_signals(signals, &sender));
    background(&sender, |sender| watch_keys(&sender));
    // Dropped at the end of this function, which ends the thread.
    let (_running, ended) = channel();
    let socket = path.to_owned();
    background(&sender, move |sender| watch_samples(&socket, &sender, &ended));
    loop {
        screen.show(&view.state)?;
        let Ok(mut next) = inputs.recv() else { return Ok(()) };
        // Inputs that have arrived meanwhile are shown together.
        loop {
            let continues = match next {
                LoopInput::Event(event) => view.handle(event),
                LoopInput::End => false,
            };
            if !continues {
                return Ok(());
            }
            match inputs.try_recv() {
                Ok(more) => next = more,
                Err(_) => break,
            }
        }
    }
}

/// A thread that ends with the process.
fn background(sender: &InputSender, work: impl FnOnce(InputSender) + Send + 'static) {
    if let Err(error) = thread::Builder::new().spawn({
        let sender = sender.clone();
        move || work(sender)
    }) {
        let _ = sender
            .try_send(LoopInput::Event(Event::Outcome(false, format!("cannot start a thread: {error}"))));
    }
}

struct View {
    state: State,
    path: PathBuf,
    sender: InputSender,
    following: Arc<Mutex<Following>>,
}

/// The connection that receives the lines of the selected process.
#[derive(Default)]
struct Following {
    /// The number of the connection: a later one may be requested before an earlier one is established.
    number: u64,
    stream: Option<UnixStream>,
}

impl Following {
    fn set(this: &Mutex<Self>, number: u64, stream: UnixStream) -> bool {
        let mut following = this.lock().unwrap_or_else(PoisonError::into_inner);
        let is_current = following.number == number;
        if is_current {
            following.stream = Some(stream);
        }
        is_current
    }

    /// Ends the present connection. Returns the number of the next one.
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
    /// Handles an event. False: the view ends.
    fn handle(&mut self, event: Event) -> bool {
        match self.state.handle(event) {
            None => {}
            Some(ViewRequest::Quit) => return false,
            Some(ViewRequest::Follow(id)) => self.follow(id),
            Some(ViewRequest::Act(act, id)) => {
                let (action, done) = match act {
                    ProcessAction::Restart => (Action::Restart, "restarted"),
                    ProcessAction::Reload => (Action::Reload, "reloaded"),
                    ProcessAction::Stop => (Action::Stop, "stopped"),
                };
                let request = Request::Act { action, targets: vec![id.to_string()] };
                self.send(request, format!("{done} {id}"));
            }
            Some(ViewRequest::Scale(app, more)) => {
                let done = format!("{app}: scaled {}", if more { "up" } else { "down" });
                let count = Count::By(if more { 1 } else { -1 });
                self.send(Request::Scale { app, count }, done);
            }
        }
        true
    }

    fn send(&self, request: Request, done: String) {
        let path = self.path.clone();
        background(&self.sender, move |sender| {
            let outcome = |good, text| drop(sender.send(LoopInput::Event(Event::Outcome(good, text))));
            let result = connect(&path).and_then(|mut connection| {
                connection.send(&request).map_err(|broken| why(&broken))?;
                loop {
                    match connection.answer().map_err(|broken| why(&broken))? {
                        Answer::Step(event) => outcome(true, event.decode()?.notice.to_string()),
                        Answer::Failed(error) => return Err(error.message),
                        _ => return Ok(()),
                    }
                }
            });
            match result {
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
        background(&self.sender, move |sender| {
            // No supervisor: the thread of the samples reports it.
            let Ok(mut connection) = connect(&path) else { return };
            let Ok(stream) = connection.hang_up() else { return };
            if !Following::set(&following, number, stream) || connection.send(&request).is_err() {
                return;
            }
            loop {
                match connection.answer() {
                    Ok(Answer::Failed(error)) => {
                        let _ = sender.send(LoopInput::Event(Event::Outcome(false, error.message)));
                        return;
                    }
                    Ok(Answer::Lines { missed, lines }) => {
                        let lines = lines.iter().filter(|line| !line.is_bare_end()).map(log_line).collect();
                        if sender.send(LoopInput::Event(Event::Lines(id, missed, lines))).is_err() {
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

fn log_line(line: &ReceivedLine) -> LogLine {
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
        ConnectionError::Version(_) => "the supervisor has another version now: restart `monit`".to_owned(),
        ConnectionError::Failed(why) => why.clone(),
    }
}

fn watch_signals(mut signals: Signals, sender: &InputSender) {
    if signals.forever().next().is_some() {
        let _ = sender.send(LoopInput::End);
    }
}

fn watch_keys(sender: &InputSender) {
    loop {
        let event = match read() {
            Ok(Terminal::Key(key)) => Event::Key(key),
            Ok(Terminal::Mouse(mouse)) => Event::Mouse(mouse),
            Ok(Terminal::Resize(width, height)) => Event::Resize(width, height),
            Ok(_) => continue,
            // The terminal is gone.
            Err(_) => {
                let _ = sender.send(LoopInput::End);
                return;
            }
        };
        if sender.send(LoopInput::Event(event)).is_err() {
            return;
        }
    }
}

/// Requests a sample each second, over the same connection while it lasts.
fn watch_samples(path: &Path, sender: &InputSender, ended: &Receiver<()>) {
    let mut connection = None;
    let mut is_waiting = false;
    let mut silent = 0;
    while ended.recv_timeout(if is_waiting { Duration::ZERO } else { PERIOD })
        == Err(RecvTimeoutError::Timeout)
    {
        let event = match sample(path, &mut connection, is_waiting) {
            Ok(Some(overview)) => {
                (is_waiting, silent) = (false, 0);
                Event::Snapshot(overview.into())
            }
            Ok(None) => {
                (is_waiting, silent) = (true, silent + PERIOD.as_secs());
                Event::Silent(silent)
            }
            Err(why) => {
                (connection, is_waiting, silent) = (None, false, 0);
                Event::Lost(why)
            }
        };
        if sender.send(LoopInput::Event(event)).is_err() {
            return;
        }
    }
}

/// Requests a sample, unless a request is open, and waits a second for it. `None`: no answer yet.
fn sample(
    path: &Path,
    connection: &mut Option<Connection>,
    is_waiting: bool,
) -> Result<Option<Overview>, String> {
    let connection = match connection {
        Some(connection) => connection,
        None => connection.insert(connect(path)?),
    };
    if !is_waiting {
        connection.send(&Request::Monitor).map_err(|broken| why(&broken))?;
    }
    match connection.answer_within(PERIOD).map_err(|broken| why(&broken))? {
        None => Ok(None),
        Some(Answer::Overview(overview)) => Ok(Some(overview)),
        Some(Answer::Failed(error)) => Err(error.message),
        Some(_) => Err("unexpected answer of the supervisor".to_owned()),
    }
}
