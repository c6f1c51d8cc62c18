//! Time zones of schedules that are not known yet, because their files could not be read: they are looked up again
//! until they are known. The schedule begins then.

use std::{sync::Arc, time::Duration};

use jiff::tz::TimeZone;
use tokio::time::Instant;

use super::{
    actor::{self, Supervisor},
    lookup::SingleLookup,
    preflight::find_zone,
};
use crate::spec::AppSpec;

/// How long the supervisor waits for one look-up.
const TIMEOUT: Duration = Duration::from_secs(5);
/// The first and the longest delay before the next look-up.
const BACKOFF: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(15));

/// The look-ups of time zones.
#[derive(Debug, Default)]
pub(super) struct Zones {
    lookup: SingleLookup,
    /// When the next look-up begins, and the delay after it. `None`: all time zones are known.
    next: Option<(Instant, Duration)>,
}

impl Zones {
    /// When [`Supervisor::find_zones`] has something to do.
    pub(super) fn next(&self) -> Option<Instant> {
        self.next.map(|(at, _)| at)
    }

    /// Begins or ends the look-ups.
    pub(super) fn follow(&mut self, are_known: bool, now: Instant) {
        let (first, _) = BACKOFF;
        self.next = if are_known { None } else { self.next.or(Some((now + first, first * 2))) };
    }
}

impl Supervisor<'_> {
    /// Looks up the time zones that are not known, if it is time for that.
    pub(super) fn find_zones(&mut self, now: Instant) {
        let Some((_, delay)) = self.zones.next.filter(|(at, _)| *at <= now) else { return };
        let (_, longest) = BACKOFF;
        self.zones.next = Some((now + delay, (delay * 2).min(longest)));
        let apps = self.machine.pending_plan().apps.into_iter();
        let unknown: Vec<Arc<AppSpec>> = apps.filter(|app| self.schedules.lacks_zone(&app.name)).collect();
        let source = self.source.clone();
        let find = move || -> Vec<(Arc<AppSpec>, TimeZone)> {
            let found = unknown.into_iter().filter_map(|app| {
                let zone = find_zone(&app, source.environment()).ok()??;
                Some((app, zone))
            });
            found.collect()
        };
        let helpers = self.workers.helpers();
        let Some(answer) = self.zones.lookup.ask(helpers, find) else { return };
        self.deferred.add_answer(helpers, answer, TIMEOUT, |supervisor, found| {
            for (app, zone) in found.into_iter().flatten() {
                supervisor.schedules.set_zone(&app, &zone);
            }
            supervisor.report_schedules();
            supervisor.zones.follow(supervisor.schedules.know_zones(), actor::now());
        });
    }
}
