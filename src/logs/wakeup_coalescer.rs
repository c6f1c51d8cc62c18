//! Whether to pause before a read so that lines can gather.
//!
//! A worker that makes one write a line would wake the pump for each of them. When wake-ups follow each other
//! closely and bring few bytes, the pump pauses about a millisecond before it reads. The first line after silence
//! is never delayed. Pure: the pump does the waiting, and a message ends it.

use std::time::Duration;

const MAX_PAUSE: Duration = Duration::from_millis(1);
/// Shorter pauses are not worth their system call.
const MIN_PAUSE: Duration = Duration::from_micros(100);
/// Wake-ups further apart than this are not delayed.
const CLOSE: Duration = Duration::from_millis(1);
/// A wake-up that brings this number of bytes is worth its cost.
const ENOUGH_BYTES: usize = 16 * 1024;

/// The pause that the last wake-ups suggest.
#[derive(Debug, Default)]
pub(super) struct WakeupCoalescer {
    /// The length of the last pause; zero: none.
    length: Duration,
    last_bytes: usize,
}

impl WakeupCoalescer {
    /// The pause before a read, if data arrived `since_last` after the last read ended.
    pub(super) fn due(&mut self, since_last: Duration) -> Option<Duration> {
        if since_last > CLOSE {
            self.length = Duration::ZERO;
        } else if self.length.is_zero() && self.last_bytes < ENOUGH_BYTES {
            self.length = MAX_PAUSE;
        }
        (!self.length.is_zero()).then_some(self.length)
    }

    /// Records the result of the reads: bytes in all, and the fullest pipe's share of its capacity in percent. A
    /// pipe that nearly fills in a pause would delay its writer.
    pub(super) fn record(&mut self, bytes: usize, fullest: usize) {
        self.last_bytes = bytes;
        if fullest >= 50 {
            self.length /= 2;
            if self.length < MIN_PAUSE {
                self.length = Duration::ZERO;
            }
        } else if fullest < 12 && !self.length.is_zero() {
            self.length = (self.length * 2).min(MAX_PAUSE);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{MAX_PAUSE, WakeupCoalescer};

    const RAPID: Duration = Duration::from_micros(5);
    const SLOW: Duration = Duration::from_millis(20);

    #[test]
    fn the_first_line_after_silence_goes_at_once() {
        let mut coalescer = WakeupCoalescer::default();
        assert_eq!(coalescer.due(SLOW), None);
        coalescer.record(100, 0);
        assert_eq!(coalescer.due(RAPID), Some(MAX_PAUSE));
        coalescer.record(100, 0);
        assert_eq!(coalescer.due(SLOW), None);
    }

    #[test]
    fn it_goes_on_while_lines_gather_and_their_pipe_has_room() {
        let mut coalescer = WakeupCoalescer::default();
        coalescer.record(100, 0);
        for _ in 0..10 {
            assert_eq!(coalescer.due(RAPID), Some(MAX_PAUSE));
            coalescer.record(100_000, 10);
        }
    }

    #[test]
    fn a_small_pipe_makes_it_shorter_and_a_fast_writer_ends_it() {
        let mut coalescer = WakeupCoalescer::default();
        coalescer.record(100, 0);
        assert_eq!(coalescer.due(RAPID), Some(MAX_PAUSE));
        coalescer.record(60_000, 90);
        assert_eq!(coalescer.due(RAPID), Some(MAX_PAUSE / 2));
        for _ in 0..4 {
            coalescer.record(60_000, 90);
        }
        assert_eq!(coalescer.due(RAPID), None);
    }
}
