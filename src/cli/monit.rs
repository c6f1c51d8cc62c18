//! `procrun monit`: carries events to the view of `tui`, and what it asks to the supervisor.
//!
//! A thread each for the keys, the figures, the lines of the selected process and every act: each
//! blocks on one thing. At rest nothing happens but one question a second.

use std::{
    io::{self, IsTerminal as _, stdin, stdout},
    net::Shutdown,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, channel, sync_channel},
    thread,
    time::Duration,
};

use crossterm::event::{Event as Terminal, read};
use signal_hook::{
    consts::{SIGHUP, SIGTERM},
    iterator::Signals,
};

use super::{
    commands::Typed,
    failure::Failure,
    list::{look, unexpected},
};
use crate::{
    config::EX_USAGE,
    control::{
        Action, Answer, Places, Request,
        client::{self, Broken, Connection},
        snapshot::Overview,
    },
    spec::ExitCode,
    tui::{Act, Ask, Event, LogLine, Screen, State},
};

/// From one look at the figures to the next.
const PERIOD: Duration = Duration::from_secs(1);
/// So many of the recent lines of a process.
const LINES: u32 = 500;
/// So much may wait to be shown. Who brings more waits.
const QUEUE: usize = 64;

/// What the loop hears.
enum News {
    Event(Event),
    /// A signal asks to end, or the terminal is gone.
    End,
}

type Tell = SyncSender<News>;

pub(super) fn monit(typed: &Typed) -> Result<ExitCode, Failure> {
    if !stdout().is_terminal() || !stdin().is_terminal() {
        let failure = Failure::new(EX_USAGE, "`monit` needs a terminal for keys and screen");
        return Err(failure.hint("`procrun list` shows the figures once; `docker exec` needs `-it`"));
    }
    let mut supervisor = typed.supervisor()?;
    let first = match supervisor.request(&Request::Monitor)? {
        Answer::Overview(overview) => overview,
        other => return Err(unexpected(&other)),
    };
    let path = supervisor.connection().path().to_owned();
    drop(supervisor);
    show(&path, first).map_err(|error| Failure::not_done(format!("the terminal cannot be used: {error}")))?;
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
        following: None,
    };
    // Nothing is on the screen yet: this asks for a log at most.
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
        let _ = tell.try_send(News::Event(Event::Outcome(false, format!("no thread: {error}"))));
    }
}

struct View {
    state: State,
    path: PathBuf,
    tell: Tell,
    /// The conversation that brings the lines of the selected process.
    following: Option<UnixStream>,
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
                let count = if more { "+1" } else { "-1" };
                self.ask(Request::Scale { app, count: count.to_owned() }, done);
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
                        Answer::Step { text } => outcome(true, text),
                        Answer::Failed { message, .. } => return Err(message),
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

    fn follow(&mut self, id: u32) {
        if let Some(before) = self.following.take() {
            // It may have ended by itself.
            let _ = before.shutdown(Shutdown::Both);
        }
        let request =
            Request::Logs { targets: vec![id.to_string()], lines: LINES, out: true, err: true, stream: true };
        let connection = connect(&self.path).and_then(|mut connection| {
            connection.ask(&request).map_err(|broken| why(&broken))?;
            Ok(connection)
        });
        // Nobody there: whoever asks for the figures says so.
        let Ok(mut connection) = connection else { return };
        self.following = connection.hang_up().ok();
        background(&self.tell, move |tell| {
            loop {
                match connection.answer() {
                    Ok(Answer::Lines { missed, lines }) => {
                        let lines = lines.iter().map(as_shown).collect();
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

fn as_shown(line: &crate::control::LogLine) -> LogLine {
    let begin = if line.first { "" } else { "[...] " };
    let end = if line.last { "" } else { " [...]" };
    LogLine { err: line.err, text: format!("{begin}{}{end}", line.text) }
}

fn connect(path: &Path) -> Result<Connection, String> {
    client::find(&Places::Socket(path.to_owned()))
        .map_err(|_| format!("the supervisor at {} is gone", path.display()))
}

fn why(broken: &Broken) -> String {
    match broken {
        Broken::Ended => "the supervisor is gone".to_owned(),
        Broken::Silent => "the supervisor does not answer".to_owned(),
        Broken::Version(_) => "the supervisor is another version now: leave and come back".to_owned(),
        Broken::Failed(why) => why.clone(),
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

/// Asks for the figures again and again, over the same connection as long as it holds.
fn watch_figures(path: &Path, tell: &Tell, ended: &Receiver<()>) {
    let mut connection = None;
    while ended.recv_timeout(PERIOD) == Err(RecvTimeoutError::Timeout) {
        let event = match figures(path, &mut connection) {
            Ok(overview) => Event::Snapshot(overview.into()),
            Err(why) => {
                connection = None;
                Event::Lost(why)
            }
        };
        if tell.send(News::Event(event)).is_err() {
            return;
        }
    }
}

fn figures(path: &Path, connection: &mut Option<Connection>) -> Result<Overview, String> {
    let connection = match connection {
        Some(connection) => connection,
        None => connection.insert(connect(path)?),
    };
    match connection.request(&Request::Monitor).map_err(|broken| why(&broken))? {
        Answer::Overview(overview) => Ok(overview),
        Answer::Failed { message, .. } => Err(message),
        _ => Err("the supervisor gave another answer".to_owned()),
    }
}
