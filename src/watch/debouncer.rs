//! Combines changes in quick succession to one. Pure: the time is an argument.

use std::time::{Duration, Instant};

use super::change::Change;
use crate::sys::clock::after;

/// Minimum delay: one save causes several events.
const MIN_DELAY: Duration = Duration::from_millis(10);
/// Files that change without a pause are reported after this number of delays ...
const MAX_DELAYS: u32 = 10;
/// ... or this, if it is longer.
const MAX_DELAY: Duration = Duration::from_secs(1);
/// Maximum number of changes that are kept. One of them is reported.
const MAX_CHANGES: usize = 8;

/// Changes that were not reported yet: a burst.
#[derive(Debug, Default)]
pub(super) struct Debouncer(Option<Open>);

#[derive(Debug)]
struct Open {
    first: Instant,
    last: Instant,
    changes: Vec<Change>,
}

impl Debouncer {
    /// Adds a change.
    pub(super) fn add(&mut self, now: Instant, change: Change) {
        let open = self.0.get_or_insert_with(|| Open { first: now, last: now, changes: Vec::new() });
        open.last = now;
        if open.changes.len() < MAX_CHANGES && !open.changes.contains(&change) {
            open.changes.push(change);
        }
    }

    /// When the burst ends: after `delay` without a change, or at its maximum duration.
    pub(super) fn due(&self, delay: Duration) -> Option<Instant> {
        let open = self.0.as_ref()?;
        let delay = delay.max(MIN_DELAY);
        let longest = MAX_DELAY.max(delay.saturating_mul(MAX_DELAYS));
        Some(after(open.last, delay).min(after(open.first, longest)))
    }

    /// The first few changes of a burst that has ended.
    pub(super) fn take(&mut self, now: Instant, delay: Duration) -> Option<Vec<Change>> {
        if self.due(delay)? > now {
            return None;
        }
        self.0.take().map(|open| open.changes)
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "any point in time will do")]
mod tests {
    use super::*;

    fn file(at: u64) -> Change {
        Change::Path(format!("file{at}").into())
    }

    #[test]
    fn a_burst_is_one_change_when_it_is_quiet() {
        let (start, ms) = (Instant::now(), Duration::from_millis);
        let mut burst = Debouncer::default();
        assert_eq!(burst.due(ms(100)), None);
        for at in [0, 50, 140] {
            burst.add(start + ms(at), file(at));
            assert_eq!(burst.take(start + ms(at) + ms(99), ms(100)), None);
        }
        assert_eq!(burst.due(ms(100)), Some(start + ms(240)));
        let changes = burst.take(start + ms(240), ms(100)).unwrap();
        assert_eq!(changes, [0, 50, 140].map(file));
        assert_eq!(burst.take(start + ms(500), ms(100)), None);
    }

    #[test]
    fn changes_without_a_pause_are_reported_at_a_bounded_delay() {
        let (start, ms) = (Instant::now(), Duration::from_millis);
        let mut burst = Debouncer::default();
        for at in 0..1000 {
            burst.add(start + ms(at), file(at));
        }
        assert_eq!(burst.due(ms(20)), Some(start + ms(1000)));
        assert_eq!(burst.due(ms(500)), Some(start + ms(1499)));
        assert_eq!(burst.take(start + ms(1000), ms(20)).unwrap().len(), MAX_CHANGES);
        burst.add(start, file(0));
        assert_eq!(burst.due(Duration::ZERO), Some(start + MIN_DELAY), "one save is several events");
    }
}
