//! Compares patterns with the crate `croner`, which follows cron(8), and with the calendar, second by second, around
//! changes of the clock.

use croner::parser::{CronParser, CronParserBuilder};
use jiff::{Timestamp, ToSpan as _, Zoned, civil::DateTime, tz::TimeZone};
use proptest::{prelude::*, sample::select};

use super::{PatternError, parse};
use crate::{spec::Schedule, sys::zone};

fn schedule(pattern: &str, zone: &str) -> Schedule {
    let pattern = parse(pattern).unwrap_or_else(|wrong| panic!("`{pattern}` {wrong:?}"));
    Schedule { pattern, zone: zone::named(zone).unwrap(), zone_name: Some(zone.to_owned()) }
}

fn zone_of(schedule: &Schedule) -> &TimeZone {
    schedule.zone.as_ref().unwrap()
}

fn moment_in(zone: &TimeZone, civil: &str) -> Timestamp {
    zone.to_timestamp(civil.parse().unwrap()).unwrap()
}

/// The first runs after a local time, as local times with their offsets.
fn runs(pattern: &str, zone: &str, after: &str, count: usize) -> Vec<String> {
    let schedule = schedule(pattern, zone);
    let mut at = moment_in(zone_of(&schedule), after);
    let mut runs = Vec::new();
    for _ in 0..count {
        at = schedule.next_after(at).unwrap();
        runs.push(at.to_zoned(zone_of(&schedule).clone()).strftime("%m-%dT%H:%M:%S%:z").to_string());
    }
    runs
}

fn in_utc<const N: usize>(pattern: &str, expected: [&str; N]) {
    let schedule = schedule(pattern, "UTC");
    let mut at: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    for expected in expected {
        at = schedule.next_after(at).unwrap();
        let seconds = if expected.ends_with('Z') { "" } else { ":00Z" };
        assert_eq!(at.to_string(), format!("{expected}{seconds}"), "{pattern}");
    }
}

#[test]
fn patterns_of_pm2() {
    in_utc("0 3 * * *", ["2026-01-01T03:00", "2026-01-02T03:00"]);
    in_utc("*/20 * * * *", ["2026-01-01T00:20", "2026-01-01T00:40", "2026-01-01T01:00"]);
    in_utc("2/3 * * * * *", ["2026-01-01T00:00:02Z", "2026-01-01T00:00:05Z", "2026-01-01T00:00:08Z"]);
    in_utc("50/6 * * * * *", ["2026-01-01T00:00:50Z", "2026-01-01T00:00:56Z", "2026-01-01T00:01:50Z"]);
    in_utc("5-20/10 * * * *", ["2026-01-01T00:05", "2026-01-01T00:15", "2026-01-01T01:05"]);
    in_utc("0 0 L * *", ["2026-01-31T00:00", "2026-02-28T00:00", "2026-03-31T00:00", "2026-04-30T00:00"]);
    in_utc("*/30 59 23 l 2 *", ["2026-02-28T23:59", "2026-02-28T23:59:30Z", "2027-02-28T23:59"]);
    in_utc("0 0 29 2 *", ["2028-02-29T00:00", "2032-02-29T00:00"]);
    in_utc("@Hourly", ["2026-01-01T01:00", "2026-01-01T02:00"]);
    in_utc("@yearly", ["2027-01-01T00:00", "2028-01-01T00:00"]);
    in_utc("@monthly", ["2026-02-01T00:00", "2026-03-01T00:00"]);
}

/// 2026-01-01 was a Thursday.
#[test]
fn days_of_the_week() {
    for sunday in ["0 0 * * 0", "0 0 * * 7", "0 0 * * sun", "0 0 ? * SUN", "@weekly"] {
        in_utc(sunday, ["2026-01-04T00:00", "2026-01-11T00:00"]);
    }
    for weekend in ["0 0 * * 6-7", "0 0 * * sat-sun", "0 0 * * 6,0", "0 0 * * sat,7", "0 0 * * 6-0"] {
        in_utc(weekend, ["2026-01-03T00:00", "2026-01-04T00:00", "2026-01-10T00:00"]);
    }
    in_utc(
        "0 0 * * fri-mon",
        ["2026-01-02T00:00", "2026-01-03T00:00", "2026-01-04T00:00", "2026-01-05T00:00"],
    );
    in_utc("0 0 * * 1/3", ["2026-01-04T00:00", "2026-01-05T00:00", "2026-01-08T00:00"]);
}

#[test]
fn a_day_of_the_month_and_one_of_the_week_mean_either() {
    in_utc("0 0 13 * 5", ["2026-01-02T00:00", "2026-01-09T00:00", "2026-01-13T00:00", "2026-01-16T00:00"]);
    in_utc("0 0 30 2 1", ["2026-02-02T00:00", "2026-02-09T00:00"]);
    in_utc(
        "0 0 L * 1",
        ["2026-01-05T00:00", "2026-01-12T00:00", "2026-01-19T00:00", "2026-01-26T00:00", "2026-01-31T00:00"],
    );
}

#[test]
fn invalid_patterns_are_errors() {
    for (pattern, wrong) in [
        ("", "must have 5 or 6 fields, as in \"0 3 * * *\", not 0"),
        ("* * *", "must have 5 or 6 fields, as in \"0 3 * * *\", not 3"),
        ("0 0 0 * * * 2030", "must have 5 or 6 fields, as in \"0 3 * * *\", not 7"),
        ("61 * * * *", "has `61` for the minutes, which are 0 to 59"),
        ("* 24 * * *", "has `24` for the hours, which are 0 to 23"),
        ("* * 0 * *", "has `0` for the days of the month, which are 1 to 31"),
        ("* * * 13 *", "has `13` for the months, which are 1 to 12, or jan to dec"),
        ("* * * * 8", "has `8` for the days of the week, which are 0 to 7, or sun to sat"),
        ("* * * * monday", "has `monday` for the days of the week"),
        ("a b c d e", "has `a` for the minutes"),
        ("+1 * * * *", "has `+1` for the minutes"),
        ("1 - 3 * * *", "has a part without a number for the minutes"),
        ("1,,2 * * * *", "has a part without a number for the minutes"),
        ("99999999999999999999 * * * *", "has `99999999999999999999` for the minutes"),
        ("*/0 * * * *", "has `*/0` for the minutes: the step must be from 1 to 60"),
        ("*/61 * * * *", "has `*/61` for the minutes: the step must be from 1 to 60"),
        ("*/x * * * *", "has `*/x` for the minutes: the step"),
        ("1/2/3 * * * *", "has `1/2/3` for the minutes: the step"),
        ("30-10 * * * *", "has `30-10` for the minutes: the range ends before it begins"),
        ("0 0 * dec-feb *", "has `dec-feb` for the months: the range ends before it begins"),
        ("0 0 15W * *", "has `15W` for the days of the month: no `W`, no `#`"),
        ("0 0 LW * *", "no `W`, no `#`"),
        ("0 0 * * 5L", "has `5L` for the days of the week: no `W`, no `#`"),
        ("0 0 * * L", "no `W`, no `#`"),
        ("0 0 * * 5#3", "has `5#3` for the days of the week: no `W`, no `#`"),
        ("0 0 * * mon#1", "has `mon#1` for the days of the week: no `W`, no `#`"),
        ("@reboot", "leave it out"),
        ("@every 5m", "must be @yearly, @monthly, @weekly, @daily or @hourly"),
    ] {
        match parse(pattern) {
            Err(PatternError::Invalid(message)) => assert!(message.contains(wrong), "{pattern}: {message}"),
            other => panic!("{pattern}: {other:?}"),
        }
    }
    for never in ["0 0 30 2 *", "0 0 31 4,6,9,11 *", "0 0 31 2-2 ?"] {
        assert!(matches!(parse(never), Err(PatternError::NeverMatches(_))), "{never}");
    }
    assert!(parse(&"1,".repeat(200)).is_err());
}

#[test]
fn a_run_skipped_by_a_forward_change_happens_at_once() {
    // 02:00 to 03:00 does not exist.
    assert_eq!(
        runs("30 2 * * *", "Europe/Berlin", "2026-03-28T12:00", 2),
        ["03-29T03:00:00+02:00", "03-30T02:30:00+02:00"]
    );
    // Several skipped runs are one run, together with one that is due.
    assert_eq!(
        runs("*/20 2,3 * * *", "Europe/Berlin", "2026-03-29T00:00", 4),
        ["03-29T03:00:00+02:00", "03-29T03:20:00+02:00", "03-29T03:40:00+02:00", "03-30T02:00:00+02:00"]
    );
    assert_eq!(
        runs("*/30 * * * *", "Europe/Berlin", "2026-03-29T01:00", 3),
        ["03-29T01:30:00+01:00", "03-29T03:00:00+02:00", "03-29T03:30:00+02:00"]
    );
    // Midnight does not exist.
    assert_eq!(
        runs("@daily", "Asia/Beirut", "2026-03-28T12:00", 2),
        ["03-29T01:00:00+03:00", "03-30T00:00:00+03:00"]
    );
}

#[test]
fn a_backward_change_repeats_no_time_of_day_but_intervals_continue() {
    // 02:00 to 03:00 happens twice.
    assert_eq!(
        runs("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00", 2),
        ["10-25T02:30:00+02:00", "10-26T02:30:00+01:00"]
    );
    assert_eq!(
        runs("30 * * * *", "Europe/Berlin", "2026-10-25T01:00", 4),
        ["10-25T01:30:00+02:00", "10-25T02:30:00+02:00", "10-25T02:30:00+01:00", "10-25T03:30:00+01:00"]
    );
    assert_eq!(
        runs("0 1-4 * * *", "Europe/Berlin", "2026-10-25T01:30", 3),
        ["10-25T02:00:00+02:00", "10-25T03:00:00+01:00", "10-25T04:00:00+01:00"]
    );
}

#[test]
fn nothing_comes_after_the_end_of_the_calendar() {
    let daily = schedule("@daily", "Europe/Berlin");
    assert_eq!(daily.next_after("2100-12-31T12:00:00Z".parse().unwrap()), None);
    assert_eq!(daily.next_after(Timestamp::MAX), None);
    assert!(daily.next_after("1969-07-20T20:17:00Z".parse().unwrap()).is_some());
}

/// One part of a field; `*` is generated for the whole field.
fn part(first: u8, last: u8, names: &'static [&'static str]) -> impl Strategy<Value = String> {
    let number = first..=last;
    let word = prop_oneof![3 => (first..=last).prop_map(|n| n.to_string()),
    1 => (first..=last).prop_map(move |n| {
        let name = names.get(usize::from(n - first));
        name.map_or_else(|| n.to_string(), |name| (*name).to_owned())
    })];
    let range = (number.clone(), number.clone()).prop_map(|(a, b)| (a.min(b), a.max(b)));
    let step = 1..=last - first + 1;
    prop_oneof![
        4 => word,
        2 => range.clone().prop_map(|(a, b)| format!("{a}-{b}")),
        1 => (range, step.clone()).prop_map(|((a, b), step)| format!("{a}-{b}/{step}")),
        1 => (number, step.clone()).prop_map(|(a, step)| format!("{a}/{step}")),
        1 => step.prop_map(|step| format!("*/{step}")),
    ]
}

fn field(first: u8, last: u8, names: &'static [&'static str]) -> impl Strategy<Value = String> {
    prop_oneof![
        2 => Just("*".to_owned()),
        3 => prop::collection::vec(part(first, last, names), 1..4).prop_map(|parts| parts.join(",")),
    ]
}

fn five_fields() -> impl Strategy<Value = String> {
    (
        field(0, 59, &[]),
        field(0, 23, &[]),
        prop_oneof![9 => field(1, 31, &[]), 1 => Just("L".to_owned())],
        field(1, 12, super::MONTHS.names),
        field(0, 7, super::WEEKDAYS.names),
    )
        .prop_map(|(minute, hour, day, month, weekday)| format!("{minute} {hour} {day} {month} {weekday}"))
}

fn pattern() -> impl Strategy<Value = String> {
    prop_oneof![
        five_fields(),
        (field(0, 59, &[]), five_fields()).prop_map(|(second, rest)| format!("{second} {rest}")),
    ]
}

fn moment() -> impl Strategy<Value = Timestamp> {
    // 2000 to 2060, to the millisecond.
    (946_684_800_000_i64..2_840_140_800_000).prop_map(|ms| Timestamp::from_millisecond(ms).unwrap())
}

fn croner() -> CronParser {
    CronParserBuilder::default().sloppy_ranges(true).build()
}

proptest! {
    /// In zones without clock changes all implementations agree.
    #[test]
    fn the_next_run_is_croners(pattern in pattern(), start in moment(), zone in select(&["UTC", "Asia/Kolkata"][..])) {
        let theirs = croner().parse(&pattern).unwrap();
        let ours = match parse(&pattern) {
            Ok(pattern) => Schedule { pattern, zone: zone::named(zone).unwrap(), zone_name: None },
            Err(PatternError::NeverMatches(_)) => {
                let start = Zoned::new(start, TimeZone::UTC);
                prop_assert!(theirs.find_next_occurrence(&start, false).is_err(), "{pattern} does come");
                return Ok(());
            }
            Err(PatternError::Invalid(wrong)) => panic!("`{pattern}` {wrong}"),
        };
        let mut at = start;
        for _ in 0..3 {
            let expected = theirs.find_next_occurrence(&Zoned::new(at, zone_of(&ours).clone()), false).unwrap();
            let found = ours.next_after(at).unwrap();
            prop_assert_eq!(found, expected.timestamp(), "{} after {}", pattern, at);
            at = found;
        }
    }

}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Around changes of the clock: checks for each minute of three days whether the schedule runs, and for skipped
    /// minutes whether it would have run.
    #[test]
    fn each_minute_around_a_shift_is_as_documented(
        minutes in prop_oneof![Just("*/7"), Just("0"), Just("*/30"), Just("15,45")],
        hours in prop_oneof![field(0, 23, &[]), Just("0-4".to_owned()), Just("*".to_owned())],
        (zone, day) in select(&[
            ("Europe/Berlin", "2026-03-28"),
            ("Europe/Berlin", "2026-10-24"),
            ("America/New_York", "2026-03-07"),
            ("America/New_York", "2026-10-31"),
            ("Australia/Lord_Howe", "2026-04-04"),
            ("Australia/Lord_Howe", "2026-10-03"),
            ("Asia/Beirut", "2026-03-28"),
            ("Pacific/Apia", "2011-12-29"),
        ][..]),
    ) {
        let pattern = format!("{minutes} {hours} * * *");
        let ours = schedule(&pattern, zone);
        let theirs = croner().parse(&pattern).unwrap();
        let fits = |civil: DateTime| theirs.is_time_matching(&civil).unwrap();
        let interval = (0..24).all(|hour| theirs.pattern.hour_match(hour).unwrap());
        let begin = moment_in(zone_of(&ours), &format!("{day}T12:00"));
        let mut expected = Vec::new();
        let (mut at, mut seen) = (begin, zone_of(&ours).to_datetime(begin));
        for _ in 0..3 * 1440 {
            at += 1.minute();
            let civil = zone_of(&ours).to_datetime(at);
            let usual = seen.saturating_add(1.minute());
            let mut left_out = usual;
            // A repeated hour lasts until the clock shows a new time.
            let mut runs = fits(civil) && (civil >= usual || interval);
            while left_out < civil {
                runs |= fits(left_out);
                left_out = left_out.saturating_add(1.minute());
            }
            if runs {
                expected.push(at);
            }
            seen = seen.max(civil);
        }
        let found: Vec<Timestamp> = std::iter::successors(ours.next_after(begin), |at| ours.next_after(*at))
            .take_while(|found| *found <= at)
            .collect();
        prop_assert_eq!(found, expected, "{} in {}", pattern, zone);
    }
}
