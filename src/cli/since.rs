//! A time in the past on the command line: `5m`, `14:30`, `2026-01-31`, `2026-01-31T14:30:00Z`.

use jiff::{
    SignedDuration, Timestamp, Zoned,
    civil::{Date, DateTime, Time},
};

use super::failure::Failure;
use crate::{config::EX_USAGE, sys::zone};

/// The time in milliseconds since 1970.
pub(super) fn parse(text: &str) -> Result<i64, Failure> {
    let zone = zone::local(std::env::var("TZ").ok().as_deref());
    at(text.trim(), &Timestamp::now().to_zoned(zone)).map(Timestamp::as_millisecond).ok_or_else(|| {
        Failure::new(EX_USAGE, format!("`--since {text}`: must be a time in the past"))
            .hint("5m, 2h30m, 14:30, 2026-01-31 or 2026-01-31T14:30:00 (local time unless it ends with Z)")
    })
}

/// A duration before `now`; or a time, of today unless it has a date, in the zone of `now` unless it names
/// one.
fn at(text: &str, now: &Zoned) -> Option<Timestamp> {
    let days = |text: &str| text.strip_suffix('d').and_then(|days| days.parse::<i64>().ok());
    let ago = match days(text) {
        Some(days) => days.checked_mul(24).map(SignedDuration::from_hours),
        None => text.parse::<SignedDuration>().ok(),
    };
    if let Some(ago) = ago {
        return now.timestamp().checked_sub(ago).ok().filter(|_| !ago.is_negative());
    }
    let local = |at: DateTime| at.to_zoned(now.time_zone().clone()).ok().map(|at| at.timestamp());
    let seconds = || text.parse::<i64>().ok().and_then(|seconds| Timestamp::from_second(seconds).ok());
    let found = seconds()
        .or_else(|| text.parse::<Timestamp>().ok())
        .or_else(|| text.parse::<DateTime>().ok().and_then(local))
        .or_else(|| text.parse::<Date>().ok().and_then(|date| local(date.to_datetime(Time::midnight()))))
        .or_else(|| text.parse::<Time>().ok().and_then(|time| local(now.date().to_datetime(time))));
    found.filter(|at| *at <= now.timestamp())
}

#[cfg(test)]
mod tests {
    use jiff::{Timestamp, tz};

    use super::at;

    #[test]
    fn a_time_is_read_as_people_write_it() {
        let zone = tz::TimeZone::fixed(tz::offset(2));
        let now = "2026-03-04T12:00:00Z".parse::<Timestamp>().unwrap().to_zoned(zone);
        for (text, meant) in [
            ("5m", "2026-03-04T11:55:00Z"),
            ("90s", "2026-03-04T11:58:30Z"),
            ("2h30m", "2026-03-04T09:30:00Z"),
            ("1d", "2026-03-03T12:00:00Z"),
            ("0s", "2026-03-04T12:00:00Z"),
            ("13:30", "2026-03-04T11:30:00Z"),
            ("2026-03-04", "2026-03-03T22:00:00Z"),
            ("2026-03-04T13:00:00", "2026-03-04T11:00:00Z"),
            ("2026-03-04 13:00", "2026-03-04T11:00:00Z"),
            ("2026-03-04T11:00:00Z", "2026-03-04T11:00:00Z"),
            ("2026-03-04T11:00:00+01:00", "2026-03-04T10:00:00Z"),
            ("1772625600", "2026-03-04T12:00:00Z"),
        ] {
            let found = at(text, &now).map(|at| at.to_string());
            assert_eq!(found.as_deref(), Some(meant), "{text}");
        }
        for wrong in ["", "soon", "-5m", "15:30", "2027-01-01", "99999999999999d", "1e9"] {
            assert_eq!(at(wrong, &now), None, "{wrong}");
        }
    }
}
