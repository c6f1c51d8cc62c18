//! `procrun attach`: shows the output of a process and sends typed lines to its standard input.

use std::{
    io::{self, BufRead as _, IsTerminal as _, Write as _, stderr, stdin, stdout},
    sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel},
    thread,
    time::Duration,
};

use signal_hook::{consts::SIGINT, iterator::Signals};

use crate::{
    cli::{
        command::{Argument, Command, Group, Occurs, Run},
        connect::{Supervisor, unexpected},
        failure::Failure,
        log_output::{Output, recent},
        output::stdout_style,
        parsed_args::ParsedArgs,
        stdin_client::StdinClient,
    },
    config::EX_USAGE,
    control::{Answer, LogLine, Request},
    logs::View,
    spec::{ExitCode, LogStyle},
};

pub(super) static ATTACH: Command = Command {
    words: &["attach"],
    group: Group::Output,
    arguments: &[Argument::new("ID|NAME", Occurs::Once), Argument::new("SEPARATOR", Occurs::Optionally)],
    summary: "Send typed lines to a process, show its output",
    description: "Show the output of a process, and send each line that is typed (or read from a\n\
                  pipe) to its standard input. Ctrl-C or Ctrl-D detaches; the process keeps\n\
                  running. SEPARATOR replaces the newline at the end of each line. A NAME must\n\
                  have one process. The app must not have `stdin = \"null\"`.",
    examples: &[("procrun attach api", "the only process of the app api")],
    run: Run::Function(attach),
    ..Command::DEFAULT
};

/// Capacity of the event queue; when it is full, the sending threads block.
const QUEUE: usize = 64;
/// After the end of piped input: how long the output must be quiet to count as complete.
const QUIET: Duration = Duration::from_millis(500);
/// After the end of piped input: the maximum number of further batches of lines.
const LAST_BATCHES: usize = 64;

fn attach(args: &ParsedArgs) -> Result<ExitCode, Failure> {
    let mut input = StdinClient { supervisor: args.supervisor()?, target: args.words[0].clone() };
    let id = input.send("")?;
    input.target = id.to_string();
    let mut supervisor = args.supervisor()?;
    let name = supervisor.details(vec![id.to_string()])?.swap_remove(0).brief.name;
    supervisor.send(&Request::Logs {
        targets: vec![id.to_string()],
        lines: 0,
        out: true,
        err: true,
        own: true,
        stream: true,
    })?;
    recent(&mut supervisor)?;
    // From here on, output that answers a typed line is shown.
    let is_terminal = stdin().is_terminal();
    let shown_name = format!("{name} ({id})");
    if is_terminal {
        print_status(&format!(
            "attached to {shown_name}: Ctrl-C or Ctrl-D detaches, the process keeps running"
        ));
    }
    let (sender, events) = sync_channel(QUEUE);
    let no_thread = |error| Failure::not_done(format!("cannot start a thread: {error}"));
    let signals = Signals::new([SIGINT])
        .map_err(|error| Failure::not_done(format!("cannot handle Ctrl-C: {error}")))?;
    spawn(&sender, |sender| wait_for_interrupt(signals, &sender)).map_err(no_thread)?;
    spawn(&sender, |sender| follow(supervisor, &sender)).map_err(no_thread)?;
    let separator = args.words.get(1).map_or("\n", String::as_str).to_owned();
    spawn(&sender, move |sender| read_input(input, &separator, &sender)).map_err(no_thread)?;
    drop(sender);
    let mut shown = Printer::new();
    let mut batches_left = None;
    loop {
        let event = match batches_left {
            None => events.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(0) => return Ok(0),
            Some(_) => events.recv_timeout(QUIET),
        };
        match event {
            Ok(Event::Lines(missed, lines)) => {
                // The reader of stdout has closed the pipe: no error.
                if shown.show(missed, &lines).is_err() {
                    return Ok(0);
                }
                batches_left = batches_left.map(|left| left - 1);
            }
            Ok(Event::Undelivered(failure)) if is_terminal => failure.print(),
            Ok(Event::Undelivered(failure) | Event::Broken(failure)) => return Err(failure),
            Ok(Event::InputEnded) if !is_terminal => batches_left = Some(LAST_BATCHES),
            Ok(Event::InputEnded | Event::Interrupted) => {
                print_status(&format!("\ndetached from {shown_name}, which keeps running"));
                return Ok(0);
            }
            Ok(Event::SupervisorEnded) | Err(_) => return Ok(0),
        }
    }
}

/// What the loop of `attach` reacts to.
enum Event {
    /// Lines of the process, or of the supervisor about it.
    Lines(u64, Vec<LogLine>),
    /// The supervisor has ended.
    SupervisorEnded,
    /// Following the lines has failed.
    Broken(Failure),
    /// A line did not reach the process.
    Undelivered(Failure),
    /// The input has ended.
    InputEnded,
    /// Ctrl-C.
    Interrupted,
}

type Events = SyncSender<Event>;

/// Runs a thread that ends with the process.
fn spawn(events: &Events, work: impl FnOnce(Events) + Send + 'static) -> io::Result<()> {
    let events = events.clone();
    thread::Builder::new().spawn(move || work(events)).map(drop)
}

fn wait_for_interrupt(mut signals: Signals, events: &Events) {
    if signals.forever().next().is_some() {
        let _ = events.send(Event::Interrupted);
    }
}

fn follow(mut supervisor: Supervisor, events: &Events) {
    loop {
        let event = match supervisor.answer_or_end() {
            Ok(Some(Answer::Lines { missed, lines })) => Event::Lines(missed, lines),
            Ok(Some(other)) => Event::Broken(unexpected(&other)),
            Ok(None) => Event::SupervisorEnded,
            Err(failure) => Event::Broken(failure),
        };
        let is_last = !matches!(event, Event::Lines(..));
        if events.send(event).is_err() || is_last {
            return;
        }
    }
}

fn read_input(mut input: StdinClient, separator: &str, events: &Events) {
    let mut stdin = stdin().lock();
    loop {
        let mut line = Vec::new();
        let event = match stdin.read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => Event::InputEnded,
            Ok(_) => match typed_line(line).and_then(|line| input.send(&(line + separator))) {
                Ok(_) => continue,
                Err(failure) => Event::Undelivered(failure),
            },
        };
        let is_last = matches!(event, Event::InputEnded);
        if events.send(event).is_err() || is_last {
            return;
        }
    }
}

/// A line without its line ending.
fn typed_line(mut line: Vec<u8>) -> Result<String, Failure> {
    if line.last() == Some(&b'\n') {
        line.pop();
        if line.last() == Some(&b'\r') {
            line.pop();
        }
    }
    String::from_utf8(line).map_err(|_| Failure::new(EX_USAGE, "a line that is not UTF-8 cannot be sent"))
}

/// Prints lines of the process to stdout unchanged, and lines about it to stderr.
struct Printer {
    process: Output,
    own_lines: Output,
}

impl Printer {
    fn new() -> Self {
        let colours = stdout_style().colours;
        let own_lines = View::new(LogStyle::Prefix, None, colours && stderr().is_terminal(), None);
        Self {
            process: Output::new(View::new(LogStyle::Raw, None, colours, None)),
            own_lines: Output::new(own_lines),
        }
    }

    fn show(&mut self, missed: u64, lines: &[LogLine]) -> io::Result<()> {
        let (own, written): (Vec<_>, Vec<_>) = lines.iter().cloned().partition(|line| line.id.is_none());
        self.own_lines.show(missed, &own);
        self.process.show(0, &written);
        self.process.write(stdout().lock())?;
        self.own_lines.write(stderr().lock())
    }
}

fn print_status(text: &str) {
    // A failure here cannot be reported anywhere.
    let _ = writeln!(stderr().lock(), "{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_loses_its_end_and_nothing_else() {
        let text = |line: &[u8]| typed_line(line.to_vec()).ok();
        assert_eq!(text(b"status\n").as_deref(), Some("status"));
        assert_eq!(text(b"status\r\n").as_deref(), Some("status"));
        assert_eq!(text(b" last").as_deref(), Some(" last"));
        assert_eq!(text(b"\n").as_deref(), Some(""));
        assert_eq!(text(b"\xff\n"), None);
    }
}
