//! The level of a log line, as far as its text shows it.

use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The part of a line in which its level stands.
const HEAD: usize = 120;

/// A level, the least severe first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Severity {
    Trace,
    Debug,
    Info,
    Warn,
    Error,
    Fatal,
}

/// A word that is no level.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NoLevel;

impl FromStr for Severity {
    type Err = NoLevel;

    fn from_str(word: &str) -> Result<Self, NoLevel> {
        Ok(match word.to_ascii_lowercase().as_str() {
            "trace" | "verbose" => Self::Trace,
            "debug" => Self::Debug,
            "info" | "notice" => Self::Info,
            "warn" | "warning" => Self::Warn,
            "error" | "err" => Self::Error,
            "fatal" | "critical" | "emerg" | "alert" | "panic" => Self::Fatal,
            _ => return Err(NoLevel),
        })
    }
}

/// The level of a line: that of a JSON record, or a level word at its beginning; else info for stdout and error for
/// stderr.
pub(super) fn of_line(text: &str, err: bool) -> Severity {
    let found = if text.starts_with('{') { of_record(text) } else { of_head(text) };
    found.unwrap_or(if err { Severity::Error } else { Severity::Info })
}

/// The record of a logging library, as far as it counts here.
#[derive(Deserialize)]
struct Record {
    #[serde(alias = "severity", alias = "lvl")]
    level: Value,
}

fn of_record(text: &str) -> Option<Severity> {
    match serde_json::from_str::<Record>(text).ok()?.level {
        Value::String(word) => word.parse().ok(),
        // pino and bunyan.
        Value::Number(number) => Some(match number.as_u64()? {
            0..=10 => Severity::Trace,
            11..=20 => Severity::Debug,
            21..=30 => Severity::Info,
            31..=40 => Severity::Warn,
            41..=50 => Severity::Error,
            _ => Severity::Fatal,
        }),
        _ => None,
    }
}

/// `2026-01-31 ERROR`, `[warn]`, `level=debug`.
fn of_head(text: &str) -> Option<Severity> {
    let end = text.char_indices().map(|(at, _)| at).take_while(|at| *at <= HEAD).last().unwrap_or(0);
    let head = if text.len() <= HEAD { text } else { &text[..end] };
    let plain = head.contains('\x1b').then(|| without_colours(head));
    let head = plain.as_deref().unwrap_or(head);
    let mut before = ' ';
    let mut rest = head;
    while let Some(at) = rest.find(|letter: char| letter.is_ascii_alphabetic()) {
        if let Some(mark) = rest[..at].chars().next_back() {
            before = mark;
        }
        let word = &rest[at..];
        let word = &word[..word.find(|letter: char| !letter.is_ascii_alphanumeric()).unwrap_or(word.len())];
        let is_marked =
            matches!(before, '[' | '=' | '<' | '"') || word.bytes().all(|it| it.is_ascii_uppercase());
        if let Some(severity) = word.parse().ok().filter(|_| is_marked) {
            return Some(severity);
        }
        before = ' ';
        rest = &rest[at + word.len()..];
    }
    None
}

/// The text without the escape sequences of colours and styles, which end with a letter.
fn without_colours(text: &str) -> String {
    let mut parts = text.split("\x1b[");
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part.find(|letter: char| letter.is_ascii_alphabetic()).map_or(part.len(), |at| at + 1);
        plain.push_str(&part[end..]);
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_level_of_a_line_is_what_its_logger_wrote() {
        for (text, err, expected) in [
            ("started", false, Severity::Info),
            ("started", true, Severity::Error),
            ("2026-01-31T14:30:00Z WARN slow", true, Severity::Warn),
            ("[debug] x", false, Severity::Debug),
            ("time=1 level=error msg=x", false, Severity::Error),
            ("an error is no level word", false, Severity::Info),
            ("ERROR", false, Severity::Error),
            ("\x1b[33mWARN\x1b[0m slow", false, Severity::Warn),
            ("[\x1b[1;31merror\x1b[0m] broken\x1b[", false, Severity::Error),
            (r#"{"level":50,"msg":"x"}"#, false, Severity::Error),
            (r#"{"msg":"x","level":"warning"}"#, false, Severity::Warn),
            (r#"{"severity":"DEBUG"}"#, true, Severity::Debug),
            (r#"{"level":{}}"#, false, Severity::Info),
            ("{ no json", false, Severity::Info),
            ("", false, Severity::Info),
        ] {
            assert_eq!(of_line(text, err), expected, "{text}");
        }
        let long = format!("{}ERROR", "ü".repeat(100));
        assert_eq!(of_line(&long, false), Severity::Info);
    }
}
