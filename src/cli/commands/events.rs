//! `procrun events`: recent events of apps, and new ones.

use std::{
    fmt::Write as _,
    io::{self, stdout},
};

use jiff::{Timestamp, tz::TimeZone};

use crate::{
    cli::{
        command::{Command, Group, JSON_LINES, OPTIONAL_TARGETS, OptionSpec, Run},
        connect::unexpected,
        event_text::{decoded, message},
        failure::Failure,
        log_output::line_count,
        output::{print_notices, stdout_style},
        parsed_args::ParsedArgs,
        since,
    },
    control::{Answer, EncodedEvent, Request},
    machine::events::{Event, Level},
    spec::ExitCode,
    sys::zone,
};

pub(super) static EVENTS: Command = Command {
    words: &["events"],
    group: Group::Output,
    arguments: OPTIONAL_TARGETS,
    options: &[
        OptionSpec::with_value("lines", "N", "Show the last N events, or all [default: 15]"),
        OptionSpec::with_value("since", "TIME", "Show events since 5m, 14:30, 2026-01-31T14:30:00"),
        OptionSpec::switch("nostream", "Do not follow new events"),
        JSON_LINES,
    ],
    summary: "Show recent events and follow new ones",
    description: "Show the last events of all apps, or of some, and follow new events until\n\
                  Ctrl-C: starts, exits, restarts, reloads, failed probes, memory limits, file\n\
                  changes and others. The supervisor keeps the last 1,000. With --json each line\n\
                  is an object with `seq`, `at`, `subject`, `kind` and `data`.",
    examples: &[
        ("procrun events api --since 1h", "the last hour of the app api"),
        ("procrun events --json --nostream", "the last events as JSON"),
    ],
    run: Run::Function(events),
    ..Command::DEFAULT
};

/// The width of the column of kinds. A longer kind moves its message.
const KIND_WIDTH: usize = 24;

fn events(args: &ParsedArgs) -> Result<ExitCode, Failure> {
    let since = args.value("since").map(since::parse).transpose()?;
    let lines = line_count(args, since.is_some())?;
    let stream = !args.has("nostream");
    let form = if args.has("json") { Form::Json } else { Form::text() };
    let mut supervisor = args.supervisor()?;
    supervisor.send(&Request::Events { targets: args.words.clone(), since, lines, stream })?;
    loop {
        let (missed, events) = match supervisor.answer_or_end()? {
            None | Some(Answer::Done { .. }) => return Ok(0),
            Some(Answer::Live) => continue,
            Some(Answer::Events { missed, events }) => (missed, events),
            Some(other) => return Err(unexpected(&other)),
        };
        if missed > 0 {
            print_notices(&[format!("{missed} events were missed: they are no longer kept")]);
        }
        // The reader has closed the pipe.
        if form.write(&events, stdout().lock())?.is_err() {
            return Ok(0);
        }
    }
}

/// How events are printed.
enum Form {
    /// A JSON object a line.
    Json,
    /// Time, kind and message, in this zone.
    Text { zone: TimeZone, colours: bool },
}

impl Form {
    fn text() -> Self {
        Self::Text { zone: zone::local(std::env::var("TZ").ok().as_deref()), colours: stdout_style().colours }
    }

    /// Prints events; the inner error is that of the output.
    fn write(&self, events: &[EncodedEvent], mut to: impl io::Write) -> Result<io::Result<()>, Failure> {
        let mut text = String::new();
        for event in events {
            match self {
                Self::Json => text.push_str(event.as_json()),
                Self::Text { zone, colours } => line(&decoded(event)?, zone, *colours, &mut text),
            }
            text.push('\n');
        }
        Ok(to.write_all(text.as_bytes()).and_then(|()| to.flush()))
    }
}

/// `2026-01-31T14:30:00  instance.online  api (0) is online, pid 7`.
fn line(event: &Event, zone: &TimeZone, colours: bool, to: &mut String) {
    let at = Timestamp::from_millisecond(event.at).unwrap_or_default().to_zoned(zone.clone());
    let kind = event.notice.data.kind();
    let colour = match event.notice.level() {
        Level::Error => "31",
        Level::Warn => "33",
        Level::Info | Level::Debug => "2",
    };
    let (begin, end) = if colours { (format!("\x1b[{colour}m"), "\x1b[0m") } else { (String::new(), "") };
    let time = at.strftime("%Y-%m-%dT%H:%M:%S");
    let message = message(&event.notice);
    write!(to, "{time}  {begin}{kind:KIND_WIDTH$}{end}  {message}").expect("writing to a String cannot fail");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::events::{EventData, EventSubject, Notice};

    #[test]
    fn an_event_is_a_line_with_its_time_and_kind() {
        let subject = EventSubject { id: Some(3), ..EventSubject::app("api\x1b[2J") };
        let notice =
            Notice { subject, data: EventData::Blocked { obstacle: "db (0) is errored".to_owned() } };
        let event = Event { seq: 1, at: 1_769_869_800_000, notice };
        let mut text = String::new();
        line(&event, &TimeZone::UTC, false, &mut text);
        assert_eq!(
            text,
            "2026-01-31T14:30:00  instance.blocked          api\\u{1b}[2J (3) is not started: db (0) is errored\n  \
             hint: fix the dependency; the app then starts"
        );
        assert!(EventData::KINDS.iter().all(|kind| kind.len() <= KIND_WIDTH + 2));
    }
}
