//! When an incomplete line is shown: its writer pauses, or takes long.
//!
//! A prompt waits for an answer before its line has ended, so it has to be shown; a line that arrives in
//! several writes must not be torn for that. Streams are only listed here while they hold a part of a line, and
//! the next check is not moved with each read: at rest there is none, and a busy stream costs one comparison a
//! read. Pure: the pump reads the clock and the pipes.

use std::time::{Duration, Instant};

/// A part of a line is shown when nothing more has arrived for this time.
const QUIET: Duration = Duration::from_millis(200);
/// The maximum delay of a part of a line: a progress bar may never pause.
const MAX_PAUSE: Duration = Duration::from_secs(1);

/// The part of a line that a stream holds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Part {
    /// When its first bytes were read.
    since: Instant,
    /// When its last bytes were read.
    last: Instant,
}

impl Part {
    /// Updates the part after a read that left one. `same`: the read completed no line, so the part only grew.
    pub(super) fn read(before: Option<Self>, same: bool, now: Instant) -> Self {
        let since = before.filter(|_| same).map_or(now, |part| part.since);
        Self { since, last: now }
    }

    /// When it is shown if nothing more arrives.
    pub(super) fn due(self) -> Instant {
        (self.last + QUIET).min(self.since + MAX_PAUSE)
    }
}

/// The streams that hold a part of a line, by their tokens.
#[derive(Debug, Default)]
pub(super) struct Pauses {
    streams: Vec<u64>,
    /// No part is due before this time.
    look: Option<Instant>,
}

impl Pauses {
    /// Lists a stream that holds a part now and is not listed.
    pub(super) fn list(&mut self, stream: u64, part: Part) {
        self.streams.push(stream);
        self.look = Some(self.look.map_or(part.due(), |look| look.min(part.due())));
    }

    /// When to check next.
    pub(super) fn look_at(&self) -> Option<Instant> {
        self.look
    }

    /// The streams that may be due. Those that still hold a part that is not due must be listed again.
    pub(super) fn take(&mut self, now: Instant) -> Vec<u64> {
        if self.look.is_none_or(|look| now < look) {
            return Vec::new();
        }
        self.look = None;
        std::mem::take(&mut self.streams)
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::{MAX_PAUSE, Part, Pauses, QUIET};

    #[expect(clippy::disallowed_methods, reason = "any time will do")]
    fn begin() -> Instant {
        Instant::now()
    }

    #[test]
    fn a_part_is_due_when_its_writer_pauses_and_at_the_latest_after_a_second() {
        let begin = begin();
        let mut part = Part::read(None, false, begin);
        assert_eq!(part.due(), begin + QUIET);
        for ms in (0..900).step_by(100) {
            let now = begin + Duration::from_millis(ms);
            part = Part::read(Some(part), true, now);
            assert_eq!(part.due(), (now + QUIET).min(begin + MAX_PAUSE));
        }
        part = Part::read(Some(part), true, begin + Duration::from_millis(990));
        assert_eq!(part.due(), begin + MAX_PAUSE);
        let now = begin + MAX_PAUSE;
        assert_eq!(Part::read(Some(part), false, now).due(), now + QUIET, "another line has begun");
    }

    #[test]
    fn at_rest_there_is_no_time_to_look() {
        let begin = begin();
        let mut pauses = Pauses::default();
        assert_eq!(pauses.look_at(), None);
        pauses.list(7, Part::read(None, false, begin + QUIET));
        pauses.list(9, Part::read(None, false, begin));
        assert_eq!(pauses.look_at(), Some(begin + QUIET));
        assert!(pauses.take(begin).is_empty(), "too early");
        assert_eq!(pauses.take(begin + QUIET), [7, 9]);
        assert_eq!(pauses.look_at(), None);
        assert!(pauses.take(begin + MAX_PAUSE).is_empty());
    }
}
