//! The time as text, formatted at most once a millisecond for each pattern.
//!
//! The time zone is read at the first local time, not before: `TZ`, then `/etc/localtime`, then UTC. The clock
//! is never read within a line.

use std::{
    env,
    time::{SystemTime, UNIX_EPOCH},
};

use jiff::tz::TimeZone;

use super::dayjs::{self, Pattern};
use crate::sys::zone;

/// The system clock, in milliseconds since 1970.
pub fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// The id of a pattern of [`Stamps`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct StampId(usize);

impl StampId {
    /// ISO 8601 in UTC.
    pub(super) const ISO: Self = Self(0);
}

/// The patterns in use and the last text of each.
#[derive(Debug)]
pub(super) struct Stamps {
    entries: Vec<Entry>,
    local: Option<TimeZone>,
}

#[derive(Debug)]
struct Entry {
    source: String,
    pattern: Pattern,
    at: i64,
    text: String,
}

impl Stamps {
    pub(super) fn new() -> Self {
        let mut stamps = Self { entries: Vec::new(), local: None };
        stamps.find(dayjs::ISO);
        stamps
    }

    /// The id of a pattern in local time.
    pub(super) fn find(&mut self, source: &str) -> StampId {
        if let Some(at) = self.entries.iter().skip(1).position(|entry| entry.source == source) {
            return StampId(at + 1);
        }
        let pattern = Pattern::new(source);
        self.entries.push(Entry { source: source.to_owned(), pattern, at: i64::MIN, text: String::new() });
        StampId(self.entries.len() - 1)
    }

    /// The time `millis` in the pattern `id`.
    pub(super) fn text(&mut self, id: StampId, millis: i64) -> &[u8] {
        let entry = &mut self.entries[id.0];
        if entry.at != millis {
            entry.at = millis;
            entry.text.clear();
            if id == StampId::ISO {
                entry.pattern.write(millis, &TimeZone::UTC, &mut entry.text);
            } else {
                let zone = self.local.get_or_insert_with(|| zone::local(env::var("TZ").ok().as_deref()));
                entry.pattern.write(millis, zone, &mut entry.text);
            }
        }
        entry.text.as_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::{StampId, Stamps};

    #[test]
    fn a_pattern_is_known_once_and_its_text_follows_the_time() {
        let mut stamps = Stamps::new();
        let id = stamps.find("x");
        assert_eq!(stamps.find("x"), id);
        assert_ne!(id, StampId::ISO);
        assert_eq!(stamps.text(id, 5), b"5");
        assert_eq!(stamps.text(id, 6), b"6");
        assert_eq!(stamps.text(StampId::ISO, 6), b"1970-01-01T00:00:00.006Z");
    }
}
