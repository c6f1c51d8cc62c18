//! `procrun events`: what has happened to the apps, and what happens; and how an event looks as the step of
//! a command.

use std::{
    fmt::Write as _,
    io::{self, stdout},
};

use jiff::{Timestamp, tz::TimeZone};

use super::{
    commands::ParsedArgs,
    failure::Failure,
    file::say_notices,
    list::{look, unexpected},
    logs::line_count,
    since,
};
use crate::{
    control::{Answer, EncodedEvent, Request},
    machine::events::{Event, Level, Notice},
    shown::printable_lines,
    spec::ExitCode,
    sys::zone,
};

/// The column of kinds is so wide; no kind is longer than this by much.
const KIND_WIDTH: usize = 24;

pub(super) fn events(typed: &ParsedArgs) -> Result<ExitCode, Failure> {
    let since = typed.value("since").map(since::parse).transpose()?;
    let lines = line_count(typed, since.is_some())?;
    let stream = !typed.has("nostream");
    let form = if typed.has("json") { Form::Json } else { Form::text() };
    let mut supervisor = typed.supervisor()?;
    supervisor.ask(&Request::Events { targets: typed.words.clone(), since, lines, stream })?;
    loop {
        let (missed, events) = match supervisor.answer_or_end()? {
            None | Some(Answer::Done { .. }) => return Ok(0),
            Some(Answer::Live) => continue,
            Some(Answer::Events { missed, events }) => (missed, events),
            Some(other) => return Err(unexpected(&other)),
        };
        if missed > 0 {
            say_notices(&[format!("{missed} events were missed: they are no longer kept")]);
        }
        // The reader of the pipe has seen enough.
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
        Self::Text { zone: zone::local(std::env::var("TZ").ok().as_deref()), colours: look().colours }
    }

    /// Prints events; the inner error is the output's.
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
    write!(to, "{time}  {begin}{kind:KIND_WIDTH$}{end}  {message}").expect("a String takes everything");
}

/// The message of an event with its hint, as it may be shown.
pub(super) fn message(notice: &Notice) -> String {
    let mut text = notice.to_string();
    if let Some(hint) = notice.hint() {
        write!(text, "\n  hint: {hint}").expect("a String takes everything");
    }
    printable_lines(&text)
}

/// The event of an answer. Both sides have the same version, so each knows the other's kinds.
pub(super) fn decoded(event: &EncodedEvent) -> Result<Event, Failure> {
    event
        .decode()
        .map_err(|error| Failure::not_done(format!("the supervisor sent an unknown event: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::events::{EventData, EventSubject};

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
             hint: it starts as soon as that is fixed"
        );
        assert!(EventData::KINDS.iter().all(|kind| kind.len() <= KIND_WIDTH + 2));
    }
}
