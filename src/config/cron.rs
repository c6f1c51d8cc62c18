//! Parses the value of `cron_restart` to a [`Pattern`].
//!
//! A pattern has 5 fields, or 6 with seconds first, or is a nickname. A field has `*`, numbers, names, ranges, lists
//! and steps. Sunday is 0 and 7. If day of month and day of week are both set, one of them must match, as in cron(8)
//! (PM2 requires both). `L` is the last day of the month, as in PM2. The `W`, `#` and `5L` of other cron
//! implementations are errors.
//!
//! `spec` computes the next time.

use std::collections::BTreeSet;

use super::tree::shorten;
use crate::spec::{Fields, MonthDays, Pattern};

/// The rules of one field.
struct Field {
    /// Its name in errors.
    name: &'static str,
    first: u8,
    last: u8,
    /// Names for its numbers, from the first on.
    names: &'static [&'static str],
}

const SECONDS: Field = Field { name: "seconds", first: 0, last: 59, names: &[] };
const MINUTES: Field = Field { name: "minutes", first: 0, last: 59, names: &[] };
const HOURS: Field = Field { name: "hours", first: 0, last: 23, names: &[] };
const MONTH_DAYS: Field = Field { name: "days of the month", first: 1, last: 31, names: &[] };
const MONTHS: Field = Field {
    name: "months",
    first: 1,
    last: 12,
    names: &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"],
};
const WEEKDAYS: Field = Field {
    name: "days of the week",
    first: 0,
    last: 7,
    names: &["sun", "mon", "tue", "wed", "thu", "fri", "sat"],
};

/// The error of a pattern: a clause that follows the name of its key.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum PatternError {
    /// The string is not a pattern.
    Invalid(String),
    /// It is a pattern, but no date matches it.
    NeverMatches(String),
}

/// Parses a pattern.
pub(super) fn parse(text: &str) -> Result<Pattern, PatternError> {
    const MAX_LENGTH: usize = 256;
    if text.len() > MAX_LENGTH {
        return Err(PatternError::Invalid("is too long for a cron pattern".to_owned()));
    }
    let text = text.trim();
    let fields = fields(text).map_err(PatternError::Invalid)?;
    Pattern::new(text, &fields)
        .ok_or_else(|| PatternError::NeverMatches(format!("is `{}`, which never matches", shorten(text))))
}

fn fields(text: &str) -> Result<Fields, String> {
    let lower = text.to_ascii_lowercase();
    let written = match lower.as_str() {
        "@yearly" | "@annually" => "0 0 1 1 *",
        "@monthly" => "0 0 1 * *",
        "@weekly" => "0 0 * * 0",
        "@daily" | "@midnight" => "0 0 * * *",
        "@hourly" => "0 * * * *",
        "@reboot" => {
            return Err("is `@reboot`, but an app starts with procrun anyway: leave it out".to_owned());
        }
        nickname if nickname.starts_with('@') => {
            let known = "@yearly, @monthly, @weekly, @daily or @hourly";
            return Err(format!("is `{}`, but must be {known}", shorten(text)));
        }
        _ => text,
    };
    let mut parts: Vec<&str> = written.split_whitespace().collect();
    match parts.len() {
        5 => parts.insert(0, "0"),
        6 => {}
        count => {
            return Err(format!("must have 5 or 6 fields, as in \"0 3 * * *\", not {count}"));
        }
    }
    let is_said = |part: &str| !matches!(part, "*" | "?");
    Ok(Fields {
        seconds: SECONDS.numbers(parts[0])?,
        minutes: MINUTES.numbers(parts[1])?,
        hours: HOURS.numbers(parts[2])?,
        month_days: match parts[3] {
            "l" | "L" => Some(MonthDays::Last),
            part if is_said(part) => Some(MonthDays::On(MONTH_DAYS.numbers(part)?)),
            _ => None,
        },
        months: MONTHS.numbers(parts[4])?,
        weekdays: match parts[5] {
            part if is_said(part) => Some(WEEKDAYS.numbers(part)?.into_iter().map(|day| day % 7).collect()),
            _ => None,
        },
    })
}

impl Field {
    /// All numbers that a field matches.
    fn numbers(&self, field: &str) -> Result<BTreeSet<u8>, String> {
        let mut numbers = BTreeSet::new();
        for part in field.split(',') {
            self.add(part, &mut numbers)?;
        }
        Ok(numbers)
    }

    fn add(&self, part: &str, numbers: &mut BTreeSet<u8>) -> Result<(), String> {
        let Self { name, first, last, .. } = *self;
        let (range, step) = match part.split_once('/') {
            None => (part, 1),
            Some((range, step)) => {
                let most = last - first + 1;
                let step = number(step).filter(|step| (1..=most).contains(step)).ok_or_else(|| {
                    format!("has `{}` for the {name}: the step must be from 1 to {most}", shorten(part))
                })?;
                (range, step)
            }
        };
        let (from, to) = match range.split_once('-') {
            Some((from, to)) => (self.number(from)?, self.number(to)?),
            None if range == "*" => (first, last),
            None => {
                let from = self.number(range)?;
                (from, if part.contains('/') { last } else { from })
            }
        };
        if from <= to {
            numbers.extend((from..=to).step_by(step.into()));
        } else if last == 7 {
            // `fri-mon` continues in the next week.
            numbers.extend((from..=to + 7).step_by(step.into()).map(|day| day % 7));
        } else {
            return Err(format!("has `{}` for the {name}: the range ends before it begins", shorten(part)));
        }
        Ok(())
    }

    fn number(&self, word: &str) -> Result<u8, String> {
        let Self { name, first, last, names } = *self;
        if let Some(at) = names.iter().position(|name| name.eq_ignore_ascii_case(word)) {
            return Ok(u8::try_from(at).map_or(last, |at| at + first));
        }
        number(word).filter(|number| (first..=last).contains(number)).ok_or_else(|| {
            let others = match names {
                [from, .., to] => format!(", or {from} to {to}"),
                _ => String::new(),
            };
            let shown = shorten(word);
            if word.is_empty() {
                format!("has a part without a number for the {name}")
            } else if is_of_other_crons(word) {
                format!("has `{shown}` for the {name}: no `W`, no `#`, and `L` only alone, as the day of the month")
            } else {
                format!("has `{shown}` for the {name}, which are {first} to {last}{others}")
            }
        })
    }
}

/// `L`, `5L`, `LW`, `15W`, `5#3`, `mon#1`: extensions of other cron implementations.
fn is_of_other_crons(word: &str) -> bool {
    let (letters, digits): (Vec<char>, Vec<char>) = word.chars().partition(|c| !c.is_ascii_digit());
    let known = letters.iter().all(|c| matches!(c, 'l' | 'L' | 'w' | 'W'));
    word.contains('#') || known && !letters.is_empty() && digits.len() <= 2
}

/// Parses digits only: no sign, no space.
fn number(word: &str) -> Option<u8> {
    word.bytes().all(|byte| byte.is_ascii_digit()).then(|| word.parse().ok())?
}

#[cfg(test)]
mod tests;
