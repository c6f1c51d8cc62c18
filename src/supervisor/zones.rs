//! Time zones of schedules that are not known yet, because their files could not be read: they are looked up again
//! until they are known. The schedule begins then.

use std::{sync::Arc, time::Duration};

use jiff::tz::TimeZone;
use tokio::{sync::oneshot, time::Instant};

use super::{helper_threads::HelperThreads, lookup::SingleLookup, preflight::find_zone};
use crate::{config::Source, spec::AppSpec};

/// How long the supervisor waits for one look-up.
pub(super) const TIMEOUT: Duration = Duration::from_secs(5);
/// The first and the longest delay before the next look-up.
const BACKOFF: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(15));

/// The look-ups of time zones.
#[derive(Debug, Default)]
pub(super) struct Zones {
    lookup: SingleLookup,
    /// When the next look-up begins, and the delay after it. `None`: all time zones are known.
    next: Option<(Instant, Duration)>,
}

/// Applications whose time zone was found.
pub(super) type FoundZones = Vec<(Arc<AppSpec>, TimeZone)>;

impl Zones {
    /// When the next look-up is due.
    pub(super) fn next(&self) -> Option<Instant> {
        self.next.map(|(at, _)| at)
    }

    /// Begins or ends the look-ups.
    pub(super) fn follow(&mut self, are_known: bool, now: Instant) {
        let (first, _) = BACKOFF;
        self.next = if are_known { None } else { self.next.or(Some((now + first, first * 2))) };
    }

    /// Whether a look-up is due. The delay before the next one grows.
    pub(super) fn is_due(&mut self, now: Instant) -> bool {
        let Some((_, delay)) = self.next.filter(|(at, _)| *at <= now) else { return false };
        let (_, longest) = BACKOFF;
        self.next = Some((now + delay, (delay * 2).min(longest)));
        true
    }

    /// Begins to look up the time zones of these applications. `None`: the last look-up hangs, or there is no
    /// thread.
    pub(super) fn look_up(
        &self,
        unknown: Vec<Arc<AppSpec>>,
        source: &Source,
        helpers: &HelperThreads,
    ) -> Option<oneshot::Receiver<FoundZones>> {
        let source = source.clone();
        let find = move || -> FoundZones {
            let found = unknown.into_iter().filter_map(|app| {
                let zone = find_zone(&app, source.environment()).ok()??;
                Some((app, zone))
            });
            found.collect()
        };
        self.lookup.begin(helpers, find)
    }
}
