//! Which applications are due by the wall clock, and when to check again.
//!
//! The machine decides what happens to a due application. Without a schedule in the plan there is no alarm and no
//! cost.

use std::{io, time::Duration};

use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use tokio::time::Instant;

use super::clock;
use crate::{
    machine::events::{EventData, RuntimePart},
    spec::{AppSpec, Plan, Schedule},
    sys::clock::{Alarm, Moment},
};

/// A clock that is set by more than this was wrong before: its earlier times have no meaning.
const CLOCK_STEP_LIMIT: Duration = Duration::from_secs(3600);

/// How long schedules are checked without an alarm before the supervisor tries to make one again.
const ALARM_RETRY: Duration = Duration::from_secs(1);

/// The schedules of a plan and the alarm for the next of them.
///
/// The kernel may refuse the alarm (no file descriptor left) or lose it. Then the schedules are checked
/// every [`ALARM_RETRY`] until it can be had again.
#[derive(Debug)]
pub(super) struct Schedules {
    alarm: Option<Alarm>,
    /// When to check the schedules while there is no alarm for them.
    retry_at: Option<Instant>,
    planned: Vec<Planned>,
    /// The last time that was read from the clock.
    seen: Moment,
    /// Events to report.
    reports: Vec<EventData>,
}

#[derive(Debug)]
struct Planned {
    app: String,
    schedule: Schedule,
    /// The time for which it was due last.
    last: Option<Timestamp>,
    next: Option<Timestamp>,
}

impl Schedules {
    /// No schedules.
    pub(super) fn new() -> Self {
        Self { alarm: None, retry_at: None, planned: Vec::new(), seen: Moment::now(), reports: Vec::new() }
    }

    /// Follows this plan from now on. A schedule that has not changed goes on.
    pub(super) fn follow(&mut self, plan: &Plan) {
        let scheduled = plan.apps.iter().filter_map(|app| Some((&app.name, app.schedule.as_ref()?)));
        let now = Moment::now();
        if self.planned.is_empty() {
            // Changes of the clock since the last check do not matter without a schedule.
            self.seen = now;
        }
        let mut old = std::mem::take(&mut self.planned);
        for (app, schedule) in scheduled {
            let same = old.iter().position(|old| old.app == *app && old.is_of(schedule));
            let planned = same.map(|at| old.swap_remove(at));
            self.planned.push(planned.unwrap_or_else(|| Planned::new(app, schedule, now.wall)));
        }
        if self.planned.is_empty() {
            (self.alarm, self.retry_at) = (None, None);
            return;
        }
        // An application that is due already is reported by the alarm, not here.
        if !self.arm() {
            self.arm_at(Timestamp::UNIX_EPOCH);
        }
    }

    /// Whether the time zone of this application's schedule is not known.
    pub(super) fn lacks_zone(&self, app: &str) -> bool {
        self.planned.iter().any(|planned| planned.app == app && planned.schedule.zone.is_none())
    }

    /// Whether the time zones of all schedules are known.
    pub(super) fn know_zones(&self) -> bool {
        self.planned.iter().all(|planned| planned.schedule.zone.is_some())
    }

    /// The time zone has become known with which this application's schedule begins.
    pub(super) fn set_zone(&mut self, app: &AppSpec, zone: &TimeZone) {
        let Some(schedule) = &app.schedule else { return };
        let lacks_it = |planned: &&mut Planned| {
            planned.app == app.name && planned.schedule.zone.is_none() && planned.is_of(schedule)
        };
        let Some(planned) = self.planned.iter_mut().find(lacks_it) else { return };
        planned.schedule.zone = Some(zone.clone());
        planned.next = planned.schedule.next_after(Moment::now().wall);
        self.reports.push(EventData::ZoneFound { app: app.name.clone() });
        if !self.arm() {
            self.arm_at(Timestamp::UNIX_EPOCH);
        }
    }

    /// What has happened to the schedules since the last time.
    pub(super) fn take_reports(&mut self) -> Vec<EventData> {
        std::mem::take(&mut self.reports)
    }

    /// Waits until applications may be due. Cancel-safe.
    pub(super) async fn wait(&mut self) {
        let Some(alarm) = &self.alarm else {
            return match self.retry_at {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            };
        };
        if let Err(error) = alarm.wait().await {
            self.lose_alarm(&error);
        }
    }

    /// The applications that are due, by name, each once.
    pub(super) fn due(&mut self) -> Vec<String> {
        let mut due = Vec::new();
        loop {
            due.extend(self.check_at(Moment::now()));
            if self.arm() {
                return due;
            }
        }
    }

    /// Arms the alarm for the next schedule, and makes it first if there is none. False: the clock has
    /// been set since, so the schedules have to be checked again.
    fn arm(&mut self) -> bool {
        self.arm_at(self.next().unwrap_or(Timestamp::MAX))
    }

    fn arm_at(&mut self, at: Timestamp) -> bool {
        let alarm = self.alarm.take().map_or_else(Alarm::new, Ok);
        match alarm.and_then(|alarm| Ok((alarm.set(at)?, alarm))) {
            Ok((is_set, alarm)) => {
                self.alarm = Some(alarm);
                if self.retry_at.take().is_some() {
                    self.reports.push(EventData::Recovered { part: RuntimePart::Schedules });
                }
                is_set
            }
            Err(error) => {
                self.lose_alarm(&error);
                true
            }
        }
    }

    fn lose_alarm(&mut self, error: &io::Error) {
        self.alarm = None;
        if self.retry_at.replace(clock::now() + ALARM_RETRY).is_none() {
            let (part, error) = (RuntimePart::Schedules, error.to_string());
            self.reports.push(EventData::Outage { part, error, retry: Some(ALARM_RETRY) });
        }
    }

    /// When this application is due next.
    pub(super) fn next_of(&self, app: &str) -> Option<Timestamp> {
        self.planned.iter().find(|planned| planned.app == app)?.next
    }

    fn next(&self) -> Option<Timestamp> {
        self.planned.iter().filter_map(|planned| planned.next).min()
    }

    /// The applications that are due. A run that was missed, because the machine slept or the clock was set
    /// forward by up to an hour, is made up for once. A clock that is set back by up to an hour does not repeat
    /// one.
    fn check_at(&mut self, now: Moment) -> Vec<String> {
        let set_by = now.wall.duration_since(self.seen.wall)
            - signed(now.since_boot.saturating_sub(self.seen.since_boot));
        let was_wrong = set_by.unsigned_abs() > CLOCK_STEP_LIMIT;
        if was_wrong && !self.planned.is_empty() {
            let by = i64::try_from(set_by.as_millis()).unwrap_or(i64::MAX);
            self.reports.push(EventData::ClockSet { by });
        }
        self.seen = now;
        let mut due = Vec::new();
        for planned in &mut self.planned {
            if was_wrong {
                planned.last = None;
            } else if let Some(next) = planned.next.filter(|next| *next <= now.wall) {
                planned.last = Some(next);
                due.push(planned.app.clone());
            }
            let after = planned.last.map_or(now.wall, |last| last.max(now.wall));
            planned.next = planned.schedule.next_after(after);
        }
        due
    }
}

impl Planned {
    /// Whether this is its schedule, but for a time zone that became known later.
    fn is_of(&self, schedule: &Schedule) -> bool {
        let Schedule { pattern, zone, zone_name } = &self.schedule;
        let is_same_zone = schedule.zone.is_none() || schedule.zone == *zone;
        is_same_zone && schedule.pattern == *pattern && schedule.zone_name == *zone_name
    }

    fn new(app: &str, schedule: &Schedule, now: Timestamp) -> Self {
        Self { app: app.to_owned(), schedule: schedule.clone(), last: None, next: schedule.next_after(now) }
    }
}

fn signed(duration: Duration) -> SignedDuration {
    SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use jiff::tz::TimeZone;

    use super::*;
    use crate::spec::{Fields, Pattern};

    const HOUR: i64 = 3600;
    const DAY: i64 = 24 * HOUR;

    /// Seconds of the wall clock and since the start of the machine.
    fn at(wall: i64, up: i64) -> Moment {
        Moment {
            wall: Timestamp::from_second(wall).unwrap(),
            since_boot: Duration::from_secs(u64::try_from(up).unwrap()),
        }
    }

    /// `daily` at 03:00, `minutely` at each full minute, as seen at second 0 of the fifth day.
    fn schedules() -> Schedules {
        let full = |hours: BTreeSet<u8>, minutes: BTreeSet<u8>| Schedule {
            pattern: Pattern::new(
                "x",
                &Fields {
                    seconds: BTreeSet::from([0]),
                    minutes,
                    hours,
                    month_days: None,
                    months: (1..=12).collect(),
                    weekdays: None,
                },
            )
            .unwrap(),
            zone: Some(TimeZone::UTC),
            zone_name: None,
        };
        let seen = at(5 * DAY, 1000);
        let planned = vec![
            Planned::new("daily", &full(BTreeSet::from([3]), BTreeSet::from([0])), seen.wall),
            Planned::new("minutely", &full((0..24).collect(), (0..60).collect()), seen.wall),
        ];
        Schedules { alarm: None, retry_at: None, planned, seen, reports: Vec::new() }
    }

    #[test]
    fn a_schedule_begins_when_its_time_zone_is_known() {
        let mut schedules = schedules();
        let known = schedules.planned[1].schedule.clone();
        let unknown = Schedule { zone: None, ..known.clone() };
        schedules.planned = vec![Planned::new("minutely", &unknown, schedules.seen.wall)];
        assert_eq!(schedules.next(), None);
        assert!(schedules.check_at(at(5 * DAY + 60, 1060)).is_empty());
        assert!(schedules.lacks_zone("minutely") && !schedules.know_zones());
        schedules.planned[0].schedule.zone = Some(TimeZone::UTC);
        assert!(schedules.know_zones());
        assert!(schedules.planned[0].is_of(&unknown), "a plan that was read without it changes nothing");
        let elsewhere = Schedule { zone: Some(TimeZone::fixed(jiff::tz::offset(1))), ..known };
        assert!(!schedules.planned[0].is_of(&elsewhere));
    }

    fn next(schedules: &Schedules) -> i64 {
        schedules.next().unwrap().as_second() - 5 * DAY
    }

    #[test]
    fn everybody_is_due_once_at_his_time() {
        let mut schedules = schedules();
        assert_eq!(next(&schedules), 60);
        assert!(schedules.check_at(at(5 * DAY + 59, 1059)).is_empty());
        assert_eq!(schedules.check_at(at(5 * DAY + 60, 1060)), ["minutely"]);
        assert!(schedules.check_at(at(5 * DAY + 60, 1060)).is_empty());
        assert_eq!(next(&schedules), 120);
        // Late, for whatever reason: once.
        assert_eq!(schedules.check_at(at(5 * DAY + 3 * HOUR, 1000 + 3 * HOUR)), ["daily", "minutely"]);
        assert_eq!(next(&schedules), 3 * HOUR + 60);
    }

    #[test]
    fn a_machine_that_slept_makes_up_for_one_run() {
        let mut schedules = schedules();
        assert_eq!(schedules.check_at(at(9 * DAY, 1000 + 4 * DAY)), ["daily", "minutely"]);
        assert!(schedules.check_at(at(9 * DAY, 1000 + 4 * DAY)).is_empty());
        assert_eq!(schedules.planned[0].next, Timestamp::from_second(9 * DAY + 3 * HOUR).ok());
    }

    #[test]
    fn a_clock_that_is_set_a_little_neither_loses_nor_doubles_a_run() {
        let mut schedules = schedules();
        // Forward over the time of a run.
        assert_eq!(schedules.check_at(at(5 * DAY + 3 * HOUR - 10, 1000 + 3 * HOUR - 10)), ["minutely"]);
        assert_eq!(
            schedules.check_at(at(5 * DAY + 3 * HOUR + 30, 1000 + 3 * HOUR - 9)),
            ["daily", "minutely"]
        );
        // Back to before it: it has run.
        assert!(schedules.check_at(at(5 * DAY + 3 * HOUR - 20, 1000 + 3 * HOUR - 8)).is_empty());
        assert!(schedules.check_at(at(5 * DAY + 3 * HOUR, 1000 + 3 * HOUR + 12)).is_empty());
        assert_eq!(next(&schedules), 3 * HOUR + 60);
        assert_eq!(schedules.check_at(at(5 * DAY + 3 * HOUR + 60, 1000 + 3 * HOUR + 72)), ["minutely"]);
        // Back over a time at which nothing has run: it still comes.
        let mut schedules = Schedules { seen: at(5 * DAY + 3 * HOUR + 600, 0), ..schedules };
        schedules.planned.truncate(1);
        schedules.planned[0].last = None;
        assert!(schedules.check_at(at(5 * DAY + 3 * HOUR - 60, 1)).is_empty());
        assert_eq!(schedules.check_at(at(5 * DAY + 3 * HOUR, 61)), ["daily"]);
    }

    #[test]
    fn a_corrected_clock_starts_over() {
        let mut schedules = schedules();
        assert_eq!(schedules.check_at(at(5 * DAY + 3 * HOUR, 1000 + 3 * HOUR)), ["daily", "minutely"]);
        // From the days after 1970 to a real date: nothing was missed.
        assert!(schedules.check_at(at(20_000 * DAY + 2 * HOUR + 30, 1001 + 3 * HOUR)).is_empty());
        let by = (20_000 * DAY + 2 * HOUR + 30 - (5 * DAY + 3 * HOUR + 1)) * 1000;
        assert_eq!(std::mem::take(&mut schedules.reports), [EventData::ClockSet { by }]);
        assert_eq!(schedules.next(), Timestamp::from_second(20_000 * DAY + 2 * HOUR + 60).ok());
        assert_eq!(schedules.check_at(at(20_000 * DAY + 3 * HOUR, 1000 + 4 * HOUR)), ["daily", "minutely"]);
        // And back: what has run in the wrong future does not count.
        assert!(schedules.check_at(at(10_000 * DAY, 1001 + 4 * HOUR)).is_empty());
        assert_eq!(schedules.check_at(at(10_000 * DAY + 3 * HOUR, 1001 + 7 * HOUR)), ["daily", "minutely"]);
    }
}
