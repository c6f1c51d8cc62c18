//! When an incomplete line is shown: after a pause of its writer, or after a time limit.
//!
//! A prompt waits for an answer before its line has ended, so it has to be shown. A line that arrives in
//! several writes must not be torn. Only streams with an incomplete line are listed here. A read does not move the
//! next check, so a busy stream costs one comparison per read, and an idle one no timer. Pure: the pump reads the clock
//! and the pipes.

use std::time::{Duration, Instant};

/// An incomplete line is shown when nothing more has arrived for this time.
const QUIET_TIME: Duration = Duration::from_millis(200);
/// The maximum delay of an incomplete line: a progress bar may never pause.
const MAX_DELAY: Duration = Duration::from_secs(1);

/// When the incomplete line that a stream holds was read.
#[derive(Debug, Clone, Copy)]
pub(super) struct PartialLine {
    /// When its first bytes were read.
    since: Instant,
    /// When its last bytes were read.
    last: Instant,
}

impl PartialLine {
    /// Updates the times after a read that left an incomplete line. `same`: the read completed no line, so this line
    /// only grew.
    pub(super) fn read(before: Option<Self>, is_continuation: bool, now: Instant) -> Self {
        let since = before.filter(|_| is_continuation).map_or(now, |line| line.since);
        Self { since, last: now }
    }

    /// When it is shown if nothing more arrives.
    pub(super) fn due(self) -> Instant {
        (self.last + QUIET_TIME).min(self.since + MAX_DELAY)
    }
}

/// The streams that hold an incomplete line, by their tokens.
#[derive(Debug, Default)]
pub(super) struct PartialLines {
    streams: Vec<u64>,
    /// No incomplete line is due before this time.
    next_check: Option<Instant>,
}

impl PartialLines {
    /// Lists a stream that holds an incomplete line and is not listed.
    pub(super) fn insert(&mut self, stream: u64, line: PartialLine) {
        self.streams.push(stream);
        self.next_check = Some(self.next_check.map_or(line.due(), |check| check.min(line.due())));
    }

    /// When to check next.
    pub(super) fn next_check(&self) -> Option<Instant> {
        self.next_check
    }

    /// The streams that may be due. Those that still hold an incomplete line must be listed again.
    pub(super) fn take_due(&mut self, now: Instant) -> Vec<u64> {
        if self.next_check.is_none_or(|check| now < check) {
            return Vec::new();
        }
        self.next_check = None;
        std::mem::take(&mut self.streams)
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::{MAX_DELAY, PartialLine, PartialLines, QUIET_TIME};

    #[expect(clippy::disallowed_methods, reason = "any time will do")]
    fn begin() -> Instant {
        Instant::now()
    }

    #[test]
    fn a_line_is_due_when_its_writer_pauses_and_after_a_second_at_most() {
        let begin = begin();
        let mut line = PartialLine::read(None, false, begin);
        assert_eq!(line.due(), begin + QUIET_TIME);
        for ms in (0..900).step_by(100) {
            let now = begin + Duration::from_millis(ms);
            line = PartialLine::read(Some(line), true, now);
            assert_eq!(line.due(), (now + QUIET_TIME).min(begin + MAX_DELAY));
        }
        line = PartialLine::read(Some(line), true, begin + Duration::from_millis(990));
        assert_eq!(line.due(), begin + MAX_DELAY);
        let now = begin + MAX_DELAY;
        assert_eq!(
            PartialLine::read(Some(line), false, now).due(),
            now + QUIET_TIME,
            "another line has begun"
        );
    }

    #[test]
    fn an_idle_pump_has_no_next_check() {
        let begin = begin();
        let mut pauses = PartialLines::default();
        assert_eq!(pauses.next_check(), None);
        pauses.insert(7, PartialLine::read(None, false, begin + QUIET_TIME));
        pauses.insert(9, PartialLine::read(None, false, begin));
        assert_eq!(pauses.next_check(), Some(begin + QUIET_TIME));
        assert!(pauses.take_due(begin).is_empty(), "too early");
        assert_eq!(pauses.take_due(begin + QUIET_TIME), [7, 9]);
        assert_eq!(pauses.next_check(), None);
        assert!(pauses.take_due(begin + MAX_DELAY).is_empty());
    }
}
