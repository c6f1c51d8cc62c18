//! Formats times by a day.js pattern, because PM2's `log_date_format` is one.
//!
//! The tokens are those of day.js's own `format` (English names), and `S`, `SS`, `X`, `x` of its plugins and
//! moment. Any other text is literal, as is text in `[brackets]`. Parsing never fails: every pattern has a
//! meaning.

use std::fmt::Write as _;

use jiff::{Timestamp, Zoned, tz::TimeZone};

/// ISO 8601 in UTC with milliseconds, JavaScript's `toISOString`.
pub(super) const ISO: &str = "YYYY-MM-DDTHH:mm:ss.SSS[Z]";
/// What PM2 prints as `timestamp=` under `--format`.
pub(super) const KEY_VALUE: &str = "YYYY-MM-DD-HH:mm:ssZZ";

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const WEEKDAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

/// The tokens, longer before shorter where one begins with another.
const TOKENS: [(&str, Token); 33] = [
    ("YYYY", Token::Year),
    ("YY", Token::ShortYear),
    ("MMMM", Token::MonthName),
    ("MMM", Token::MonthShort),
    ("MM", Token::Month(2)),
    ("M", Token::Month(1)),
    ("DD", Token::Day(2)),
    ("D", Token::Day(1)),
    ("dddd", Token::WeekdayName),
    ("ddd", Token::WeekdayCut(3)),
    ("dd", Token::WeekdayCut(2)),
    ("d", Token::Weekday),
    ("HH", Token::Hour(2)),
    ("H", Token::Hour(1)),
    ("hh", Token::Hour12(2)),
    ("h", Token::Hour12(1)),
    ("kk", Token::Hour24(2)),
    ("k", Token::Hour24(1)),
    ("mm", Token::Minute(2)),
    ("m", Token::Minute(1)),
    ("ss", Token::Second(2)),
    ("s", Token::Second(1)),
    ("SSS", Token::Fraction(3)),
    ("SS", Token::Fraction(2)),
    ("S", Token::Fraction(1)),
    ("a", Token::HalfDay("am", "pm")),
    ("A", Token::HalfDay("AM", "PM")),
    ("ZZ", Token::Offset("")),
    ("Z", Token::Offset(":")),
    ("X", Token::UnixSeconds),
    ("x", Token::UnixMillis),
    ("Q", Token::Quarter),
    ("[", Token::Bracket),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token {
    Year,
    ShortYear,
    MonthName,
    MonthShort,
    /// The month with at least this number of digits; the numbers below likewise.
    Month(usize),
    Day(usize),
    WeekdayName,
    /// The first letters of the name.
    WeekdayCut(usize),
    Weekday,
    Hour(usize),
    Hour12(usize),
    /// The hour from 1 to 24.
    Hour24(usize),
    Minute(usize),
    Second(usize),
    /// The first digits of the fraction of a second.
    Fraction(usize),
    HalfDay(&'static str, &'static str),
    /// Hours and minutes from UTC, with this separator.
    Offset(&'static str),
    UnixSeconds,
    UnixMillis,
    Quarter,
    /// The beginning of literal text; never kept in a [`Part`].
    Bracket,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Token(Token),
    Literal(String),
}

/// A parsed pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pattern(Vec<Part>);

impl Pattern {
    /// Parses a pattern.
    pub(super) fn new(pattern: &str) -> Self {
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut rest = pattern;
        while let Some(next) = rest.chars().next() {
            match TOKENS.iter().find(|(name, _)| rest.starts_with(name)) {
                Some((_, Token::Bracket)) => {
                    // As in day.js: brackets without an end or without content are plain text.
                    if let Some(end) = rest.find(']').filter(|end| *end > 1) {
                        literal.push_str(&rest[1..end]);
                        rest = &rest[end + 1..];
                    } else {
                        literal.push('[');
                        rest = &rest[1..];
                    }
                }
                Some((name, token)) => {
                    if !literal.is_empty() {
                        parts.push(Part::Literal(std::mem::take(&mut literal)));
                    }
                    parts.push(Part::Token(*token));
                    rest = &rest[name.len()..];
                }
                None => {
                    literal.push(next);
                    rest = &rest[next.len_utf8()..];
                }
            }
        }
        if !literal.is_empty() {
            parts.push(Part::Literal(literal));
        }
        Self(parts)
    }

    /// Appends the time, `millis` since 1970, in this time zone.
    pub(super) fn write(&self, millis: i64, zone: &TimeZone, to: &mut String) {
        let time = Timestamp::from_millisecond(millis).unwrap_or_default().to_zoned(zone.clone());
        for part in &self.0 {
            match part {
                Part::Literal(text) => to.push_str(text),
                Part::Token(token) => write_token(*token, &time, to),
            }
        }
    }
}

fn write_token(token: Token, time: &Zoned, to: &mut String) {
    let mut number = |value: i64, width: usize| {
        // Writing to a String cannot fail.
        let _ = write!(to, "{value:0width$}");
    };
    let hour = i64::from(time.hour());
    let month = usize::try_from(time.month() - 1).unwrap_or_default();
    let weekday = usize::try_from(time.weekday().to_sunday_zero_offset()).unwrap_or_default();
    match token {
        Token::Year => number(time.year().into(), 4),
        Token::ShortYear => number((time.year() % 100).into(), 2),
        Token::MonthName => to.push_str(MONTHS[month]),
        Token::MonthShort => to.push_str(&MONTHS[month][..3]),
        Token::Month(width) => number(time.month().into(), width),
        Token::Day(width) => number(time.day().into(), width),
        Token::WeekdayName => to.push_str(WEEKDAYS[weekday]),
        Token::WeekdayCut(letters) => to.push_str(&WEEKDAYS[weekday][..letters]),
        Token::Weekday => number(time.weekday().to_sunday_zero_offset().into(), 1),
        Token::Hour(width) => number(hour, width),
        Token::Hour12(width) => number(if hour % 12 == 0 { 12 } else { hour % 12 }, width),
        Token::Hour24(width) => number(if hour == 0 { 24 } else { hour }, width),
        Token::Minute(width) => number(time.minute().into(), width),
        Token::Second(width) => number(time.second().into(), width),
        Token::Fraction(digits) => {
            let divisor = [100, 10, 1][digits - 1];
            number(i64::from(time.millisecond()) / divisor, digits);
        }
        Token::HalfDay(am, pm) => to.push_str(if hour < 12 { am } else { pm }),
        Token::Offset(between) => {
            let seconds = time.offset().seconds();
            let sign = if seconds < 0 { '-' } else { '+' };
            let minutes = seconds.abs() / 60;
            let _ = write!(to, "{sign}{:02}{between}{:02}", minutes / 60, minutes % 60);
        }
        Token::UnixSeconds => number(time.timestamp().as_second(), 1),
        Token::UnixMillis => number(time.timestamp().as_millisecond(), 1),
        Token::Quarter => number(i64::from((time.month() + 2) / 3), 1),
        Token::Bracket => {}
    }
}

#[cfg(test)]
mod tests {
    use jiff::tz::{Offset, TimeZone};

    use super::{ISO, KEY_VALUE, Pattern, TOKENS};

    /// Sunday, 2026-02-01T00:05:09.042Z.
    const WHEN: i64 = 1_769_904_309_042;

    fn format(pattern: &str, zone: &TimeZone) -> String {
        let mut text = String::new();
        Pattern::new(pattern).write(WHEN, zone, &mut text);
        text
    }

    #[test]
    fn every_token_prints_what_day_js_prints() {
        for (pattern, expected) in [
            ("YYYY-MM-DD HH:mm:ss Z", "2026-02-01 00:05:09 +00:00"),
            (ISO, "2026-02-01T00:05:09.042Z"),
            (KEY_VALUE, "2026-02-01-00:05:09+0000"),
            ("YY M D H h k m s", "26 2 1 0 12 24 5 9"),
            ("MMMM MMM dddd ddd dd d", "February Feb Sunday Sun Su 0"),
            ("hh kk a A Q", "12 24 am AM 1"),
            ("S SS SSS", "0 04 042"),
            ("X x", "1769904309 1769904309042"),
            ("[YYYY] [] [x", "YYYY [] [1769904309042"),
            ("YYYYMMDD", "20260201"),
            ("fün: HH", "fün: 00"),
            ("", ""),
        ] {
            assert_eq!(format(pattern, &TimeZone::UTC), expected, "{pattern}");
        }
    }

    #[test]
    fn the_time_zone_changes_the_day_and_the_offset() {
        let newfoundland = TimeZone::fixed(Offset::from_seconds(-12_600).unwrap());
        assert_eq!(
            format("ddd YYYY-MM-DD hh:mm A Z ZZ", &newfoundland),
            "Sat 2026-01-31 08:35 PM -03:30 -0330"
        );
    }

    #[test]
    fn a_longer_token_is_never_hidden_by_a_shorter_one() {
        for (at, (name, _)) in TOKENS.iter().enumerate() {
            for (shorter, _) in &TOKENS[..at] {
                assert!(!name.starts_with(shorter), "{name} is hidden by {shorter}");
            }
        }
    }
}
