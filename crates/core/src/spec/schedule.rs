//! Schedules of restarts: which times match a pattern, and which one is next.
//!
//! A [`Pattern`] matches times of the calendar, a [`Schedule`] is a pattern in a time zone. Nothing here reads a clock
//! or a file: time and zone are arguments.
//!
//! Calendar time is counted in seconds as if it were UTC. The crate `cron` gets and returns times in this form only.

use std::{collections::BTreeSet, str::FromStr as _};

use chrono::{DateTime, Datelike as _, Days, Timelike as _, Utc};
use jiff::{
    Timestamp,
    tz::{AmbiguousOffset, Offset, TimeZone},
};
use serde::{Deserialize, Serialize};

/// The fields of a pattern as sets of numbers, in cron's own counting.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fields {
    /// 0 to 59.
    pub seconds: BTreeSet<u8>,
    /// 0 to 59.
    pub minutes: BTreeSet<u8>,
    /// 0 to 23.
    pub hours: BTreeSet<u8>,
    /// `None`: any day of the month (`*`).
    pub month_days: Option<MonthDays>,
    /// 1 to 12.
    pub months: BTreeSet<u8>,
    /// 0 (Sunday) to 6. `None`: any day of the week (`*`).
    pub weekdays: Option<BTreeSet<u8>>,
}

/// Days of the month.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum MonthDays {
    /// 1 to 31.
    On(BTreeSet<u8>),
    /// The last day of the month (`L`).
    Last,
}

/// A pattern of the calendar, such as `0 3 * * *`. At least one time fits it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Serialised", into = "Serialised")]
pub struct Pattern {
    text: String,
    fields: Fields,
    /// A time matches if one of these matches: a day of the month and a day of the week that are both set are
    /// alternatives.
    alternatives: Vec<Alternative>,
    /// The schedule matches every hour of the day, so it is an interval.
    every_hour: bool,
}

/// The serialised form of a pattern.
#[derive(Serialize, Deserialize)]
struct Serialised {
    text: String,
    fields: Fields,
}

impl TryFrom<Serialised> for Pattern {
    type Error = String;

    fn try_from(Serialised { text, fields }: Serialised) -> Result<Self, String> {
        Self::new(&text, &fields).ok_or_else(|| format!("no time matches the pattern `{text}`"))
    }
}

impl From<Pattern> for Serialised {
    fn from(Pattern { text, fields, .. }: Pattern) -> Self {
        Self { text, fields }
    }
}

/// Times that match.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Alternative {
    times: cron::Schedule,
    last_of_month: bool,
}

/// The schedule on which an application restarts (`cron_restart`, `cron_timezone`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schedule {
    /// The times of the calendar.
    pub pattern: Pattern,
    /// The time zone; `None` while it is not known. It is not serialised: the receiver of a schedule finds it by
    /// its name.
    #[serde(skip)]
    pub zone: Option<TimeZone>,
    /// The name of the time zone; `None` if none is configured.
    pub zone_name: Option<String>,
}

impl Pattern {
    /// The pattern of `text`. `None`: no time matches (the 30th of February), or a number is out of range.
    pub fn new(text: &str, fields: &Fields) -> Option<Self> {
        let numbers = |set: &BTreeSet<u8>, from: u8| {
            set.iter()
                .map(|number| (u16::from(*number) + u16::from(from)).to_string())
                .collect::<Vec<_>>()
                .join(",")
        };
        let alternative = |days: &str, weekdays: &str, last_of_month| {
            let times = format!(
                "{} {} {} {days} {} {weekdays}",
                numbers(&fields.seconds, 0),
                numbers(&fields.minutes, 0),
                numbers(&fields.hours, 0),
                numbers(&fields.months, 0),
            );
            Some(Alternative { times: cron::Schedule::from_str(&times).ok()?, last_of_month })
        };
        let mut alternatives = Vec::new();
        match &fields.month_days {
            Some(MonthDays::On(days)) => alternatives.push(alternative(&numbers(days, 0), "*", false)?),
            Some(MonthDays::Last) => alternatives.push(alternative("28-31", "*", true)?),
            None => {}
        }
        if let Some(weekdays) = &fields.weekdays {
            // The crate counts Sunday as 1.
            alternatives.push(alternative("*", &numbers(weekdays, 1), false)?);
        }
        if alternatives.is_empty() {
            alternatives.push(alternative("*", "*", false)?);
        }
        let pattern = Self {
            text: text.to_owned(),
            fields: fields.clone(),
            alternatives,
            every_hour: fields.hours.len() == 24,
        };
        pattern.first_after(0).is_some().then_some(pattern)
    }

    /// The schedule's text in the configuration.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The first calendar time after `civil` that matches; `None` after the year 2100.
    fn first_after(&self, civil: i64) -> Option<i64> {
        self.alternatives.iter().filter_map(|alternative| alternative.first_after(civil)).min()
    }
}

impl Alternative {
    fn first_after(&self, civil: i64) -> Option<i64> {
        let mut after = DateTime::<Utc>::from_timestamp(civil, 0)?;
        loop {
            let time = self.times.after(&after).next()?;
            if !self.last_of_month || (time + Days::new(1)).day() == 1 {
                return Some(time.timestamp());
            }
            // The other times of this day do not match either.
            after = time.with_hour(23)?.with_minute(59)?.with_second(59)?;
        }
    }
}

impl Schedule {
    /// The next run after a moment; `None` after the year 2100, or while the time zone is not known.
    ///
    /// When clocks go forward, times in the skipped hour are one run, at its end. When they go back, times in the
    /// repeated hour match only once, the first time; but a pattern that matches every hour of the day matches both
    /// times.
    pub fn next_after(&self, after: Timestamp) -> Option<Timestamp> {
        let zone = self.zone.as_ref()?;
        let mut offset = zone.to_offset(after);
        let mut shifts = zone.following(after);
        let mut civil = after.as_second() + i64::from(offset.seconds());
        loop {
            // Up to the next shift of the clocks, the offset is constant.
            let shift = shifts.next();
            let shift_at = shift.as_ref().map_or(i64::MAX, |shift| shift.timestamp().as_second());
            let at = loop {
                civil = self.pattern.first_after(civil)?;
                let at = civil - i64::from(offset.seconds());
                if at >= shift_at || self.pattern.every_hour || is_first_pass(zone, civil, offset) {
                    break at;
                }
            };
            if at < shift_at {
                return Timestamp::from_second(at).ok();
            }
            let ahead = shift?.offset();
            let shifted = shift_at + i64::from(ahead.seconds());
            if civil < shifted {
                return Timestamp::from_second(shift_at).ok();
            }
            // The moment of the shift is the first of the new time.
            (offset, civil) = (ahead, shifted - 1);
        }
    }
}

/// Whether this is the first time that a calendar time occurs, when the clocks go back.
fn is_first_pass(zone: &TimeZone, civil: i64, offset: Offset) -> bool {
    let Ok(civil) = Timestamp::from_second(civil).map(|civil| Offset::UTC.to_datetime(civil)) else {
        return true;
    };
    match zone.to_ambiguous_timestamp(civil).offset() {
        AmbiguousOffset::Fold { before, .. } => offset == before,
        AmbiguousOffset::Unambiguous { .. } | AmbiguousOffset::Gap { .. } => true,
    }
}
