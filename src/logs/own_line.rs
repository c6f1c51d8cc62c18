//! procrun's own lines: from `tracing` events and from the pump itself, as application `procrun`.
//!
//! Pure, except that a new line reads the clock.

use std::fmt::{self, Write as _};

use tracing::{
    Level,
    field::{Field, Visit},
    level_filters::LevelFilter,
};

use super::{
    format::{OWN_NAME, logfmt, prefix, stamp},
    frame::Edge,
    history::History,
    json,
    line_group::{LineGroup, Subject},
    put::Put,
    stamp,
    stream_kind::StreamKind,
    write::lines,
};
use crate::{shown::printable, spec::Verbosity};

/// One of procrun's own lines, before it is formatted.
#[derive(Debug)]
pub(super) struct OwnLine {
    pub(super) level: Level,
    /// Milliseconds since 1970.
    pub(super) at: i64,
    pub(super) message: String,
    pub(super) fields: Vec<(&'static str, Value)>,
}

/// Reports of the pump about its own work, collected until the present read is done.
#[derive(Debug, Default)]
pub(super) struct Reports(Vec<OwnLine>);

impl Reports {
    pub(super) fn push(&mut self, level: Level, message: String) {
        self.0.push(OwnLine::new(level, message));
    }

    pub(super) fn append(&mut self, mut others: Self) {
        self.0.append(&mut others.0);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn into_lines(self) -> Vec<OwnLine> {
        self.0
    }
}

/// The value of a structured field.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Text(String),
    /// A number or a boolean, as JSON writes it.
    Bare(String),
}

impl OwnLine {
    pub(super) fn new(level: Level, message: String) -> Self {
        Self { level, at: stamp::now(), message, fields: Vec::new() }
    }

    /// The line that replaces dropped own lines.
    pub(super) fn dropped(count: u64) -> Self {
        let were = if count == 1 { "was" } else { "were" };
        Self::new(Level::WARN, format!("{} of procrun's own log {were} dropped", lines(count)))
    }

    /// Approximate bytes that it holds while it waits.
    pub(super) fn cost(&self) -> usize {
        let fields = self.fields.iter().map(|(_, value)| match value {
            Value::Text(text) | Value::Bare(text) => size_of::<(&str, Value)>() + text.len(),
        });
        size_of::<Self>() + self.message.len() + fields.sum::<usize>()
    }

    /// The text form (label, `|`, `warn: text`), with one output line for each line of the message. The message is
    /// complete by itself: the fields are for programs, which read another format.
    pub(super) fn text(&self, width: usize, coloured: bool, time: Option<&[u8]>, to: &mut impl Put) {
        // Grey, so that the lines of workers stand out.
        let prefix = prefix(OWN_NAME, width, coloured.then_some(244));
        for line in self.message.split('\n') {
            to.put(&prefix);
            if let Some(time) = time {
                stamp(time, to);
            }
            self.level_word(coloured, to);
            put_printable(line, to);
            to.put(b"\n");
        }
    }

    /// Adds the line to the recent lines, without its prefix.
    pub(super) fn keep_in(&self, history: &History) {
        let (mut bytes, mut lines) = (Vec::new(), 0);
        for line in self.message.split('\n') {
            if lines > 0 {
                bytes.push(b'\n');
            }
            self.level_word(false, &mut bytes);
            put_printable(line, &mut bytes);
            lines += 1;
        }
        let (begin, end) = (Edge::Line, Edge::Line);
        let group = LineGroup {
            bytes: &bytes,
            lines,
            kind: StreamKind::Err,
            at: self.at,
            begin,
            end,
            subject: self.subject(),
        };
        history.push(None, OWN_NAME, group);
    }

    /// The application and the instance that its fields name.
    fn subject(&self) -> Subject {
        let field = |name| self.fields.iter().find(|(known, _)| *known == name).map(|(_, value)| value);
        let app = match field("app") {
            Some(Value::Text(app)) => Some(&**app),
            Some(Value::Bare(_)) | None => None,
        };
        let id = match field("id") {
            Some(Value::Bare(id)) => id.parse().ok(),
            Some(Value::Text(_)) | None => None,
        };
        Subject::new(app, id)
    }

    /// A line from the recent lines: its level is the word that it begins with.
    pub(super) fn from_recent(text: &str) -> Self {
        const WORDS: [(&str, Level); 4] = [
            ("error: ", Level::ERROR),
            ("warn: ", Level::WARN),
            ("debug: ", Level::DEBUG),
            ("trace: ", Level::TRACE),
        ];
        let known = WORDS.iter().find_map(|&(word, level)| Some((level, text.strip_prefix(word)?)));
        let (level, message) = known.unwrap_or((Level::INFO, text));
        Self::new(level, message.to_owned())
    }

    /// Writes the word for the level; information has none.
    fn level_word(&self, coloured: bool, to: &mut impl Put) {
        let (word, colour): (&str, &str) = match self.level {
            Level::ERROR => ("error", "31"),
            Level::WARN => ("warn", "33"),
            Level::INFO => return,
            Level::DEBUG => ("debug", "2"),
            Level::TRACE => ("trace", "2"),
        };
        if coloured {
            to.put(format!("\x1b[{colour}m{word}:\x1b[0m ").as_bytes());
        } else {
            to.put(word.as_bytes());
            to.put(b": ");
        }
    }

    /// `timestamp=… app=procrun level=… key=value message=…`; a field whose name the line has already gets the
    /// prefix `field_`.
    pub(super) fn key_value(&self, time: &[u8], to: &mut impl Put) {
        to.put(b"timestamp=");
        logfmt(time, to);
        to.put(b" app=procrun level=");
        to.put(level_name(self.level).as_bytes());
        for (name, value) in &self.fields {
            let is_taken = matches!(*name, "timestamp" | "app" | "level" | "message");
            to.put(if is_taken { b" field_" } else { b" " });
            to.put(name.as_bytes());
            to.put(b"=");
            match value {
                Value::Text(text) => logfmt(text.as_bytes(), to),
                Value::Bare(text) => to.put(text.as_bytes()),
            }
        }
        to.put(b" message=");
        put_printable(&self.message.replace('\n', " "), to);
        to.put(b"\n");
    }

    /// PM2's record with `level` and the fields as further keys; a field whose name the record has already gets
    /// the prefix `field_`.
    pub(super) fn record(&self, time: &[u8], to: &mut impl Put) {
        to.put(b"{\"message\":\"");
        json::escape(self.message.as_bytes(), to);
        to.put(b"\",\"timestamp\":\"");
        json::escape(time, to);
        to.put(b"\",\"type\":\"err\",\"process_id\":null,\"app_name\":\"procrun\",\"level\":\"");
        to.put(level_name(self.level).as_bytes());
        to.put(b"\"");
        for (name, value) in &self.fields {
            let is_taken =
                matches!(*name, "message" | "timestamp" | "type" | "process_id" | "app_name" | "level");
            to.put(if is_taken { b",\"field_" } else { b",\"" });
            json::escape(name.as_bytes(), to);
            match value {
                Value::Bare(text) => {
                    to.put(b"\":");
                    to.put(text.as_bytes());
                }
                Value::Text(text) => {
                    to.put(b"\":\"");
                    json::escape(text.as_bytes(), to);
                    to.put(b"\"");
                }
            }
        }
        to.put(b"}\n");
    }
}

fn level_name(level: Level) -> &'static str {
    match level {
        Level::ERROR => "error",
        Level::WARN => "warn",
        Level::INFO => "info",
        Level::DEBUG => "debug",
        Level::TRACE => "trace",
    }
}

/// Text from outside (a path, an error of a child) must not control a terminal.
fn put_printable(text: &str, to: &mut impl Put) {
    for (number, part) in text.split('\t').enumerate() {
        if number > 0 {
            to.put(b"\t");
        }
        to.put(printable(part).as_bytes());
    }
}

impl Visit for OwnLine {
    fn record_f64(&mut self, field: &Field, value: f64) {
        if value.is_finite() {
            self.fields.push((field.name(), Value::Bare(format!("{value:?}"))));
        } else {
            self.record_debug(field, &value);
        }
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.fields.push((field.name(), Value::Bare(value.to_string())));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.fields.push((field.name(), Value::Bare(value.to_string())));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.fields.push((field.name(), Value::Bare(value.to_string())));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            value.clone_into(&mut self.message);
        } else {
            self.fields.push((field.name(), Value::Text(value.to_owned())));
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            // Writing to a String fails only if the value's own formatting does.
            let _ = write!(self.message, "{value:?}");
        } else {
            self.fields.push((field.name(), Value::Text(format!("{value:?}"))));
        }
    }
}

/// The level filter of this verbosity.
pub(super) fn level_filter(max: Verbosity) -> LevelFilter {
    match max {
        Verbosity::Off => LevelFilter::OFF,
        Verbosity::Error => LevelFilter::ERROR,
        Verbosity::Warn => LevelFilter::WARN,
        Verbosity::Info => LevelFilter::INFO,
        Verbosity::Debug => LevelFilter::DEBUG,
        Verbosity::Trace => LevelFilter::TRACE,
    }
}

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::{OwnLine, Value};

    fn line() -> OwnLine {
        let mut line = OwnLine::new(Level::WARN, "main \x1b[2J exited\nhint: retry".to_owned());
        line.fields.push(("code", Value::Bare("1".to_owned())));
        line.fields.push(("type", Value::Text("a b".to_owned())));
        line
    }

    fn string(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut to = Vec::new();
        write(&mut to);
        String::from_utf8(to).unwrap()
    }

    #[test]
    fn each_line_of_a_message_has_the_prefix_and_no_control_characters() {
        assert_eq!(
            string(|to| line().text(8, false, Some(b"12:00"), to)),
            "procrun  | 12:00: warn: main \\u{1b}[2J exited\n\
             procrun  | 12:00: warn: hint: retry\n"
        );
    }

    #[test]
    fn a_record_holds_level_and_fields() {
        let record: serde_json::Value = serde_json::from_str(&string(|to| line().record(b"T", to))).unwrap();
        assert_eq!(
            record,
            serde_json::json!({
                "message": "main \u{1b}[2J exited\nhint: retry", "timestamp": "T", "type": "err",
                "process_id": null, "app_name": "procrun", "level": "warn", "code": 1, "field_type": "a b",
            })
        );
    }
}
