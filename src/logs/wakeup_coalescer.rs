//! When to wait a moment so that lines can gather.
//!
//! A worker that makes one write a line would wake the pump for each of them. When wake-ups follow
//! each other closely and bring little, the pump naps about a millisecond before it reads. The first
//! line after silence never waits. Pure: the pump does the waiting, and a message ends it.

use std::time::Duration;

const MAX_PAUSE: Duration = Duration::from_millis(1);
/// Shorter naps are not worth their system call.
const MIN_PAUSE: Duration = Duration::from_micros(100);
/// Wake-ups further apart than this are left alone.
const CLOSE: Duration = Duration::from_millis(1);
/// A wake-up that brings this number of bytes is worth its cost.
const PLENTY: usize = 16 * 1024;

/// What was learnt from the last wake-ups.
#[derive(Debug, Default)]
pub(super) struct WakeupCoalescer {
    /// How long the last nap was; zero: none.
    length: Duration,
    last_bytes: usize,
}

impl WakeupCoalescer {
    /// There is something to read `since_last` after the last reading ended: how long to wait?
    pub(super) fn due(&mut self, since_last: Duration) -> Option<Duration> {
        if since_last > CLOSE {
            self.length = Duration::ZERO;
        } else if self.length.is_zero() && self.last_bytes < PLENTY {
            self.length = MAX_PAUSE;
        }
        (!self.length.is_zero()).then_some(self.length)
    }

    /// What the reading brought: bytes in all, and the fullest pipe's share of its capacity in
    /// percent. A pipe that nearly fills in a nap would hold its writer up.
    pub(super) fn brought(&mut self, bytes: usize, fullest: usize) {
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
        let mut nap = WakeupCoalescer::default();
        assert_eq!(nap.due(SLOW), None);
        nap.brought(100, 0);
        assert_eq!(nap.due(RAPID), Some(MAX_PAUSE));
        nap.brought(100, 0);
        assert_eq!(nap.due(SLOW), None);
    }

    #[test]
    fn it_goes_on_while_lines_gather_and_their_pipe_has_room() {
        let mut nap = WakeupCoalescer::default();
        nap.brought(100, 0);
        for _ in 0..10 {
            assert_eq!(nap.due(RAPID), Some(MAX_PAUSE));
            nap.brought(100_000, 10);
        }
    }

    #[test]
    fn a_small_pipe_makes_it_shorter_and_a_fast_writer_ends_it() {
        let mut nap = WakeupCoalescer::default();
        nap.brought(100, 0);
        assert_eq!(nap.due(RAPID), Some(MAX_PAUSE));
        nap.brought(60_000, 90);
        assert_eq!(nap.due(RAPID), Some(MAX_PAUSE / 2));
        for _ in 0..4 {
            nap.brought(60_000, 90);
        }
        assert_eq!(nap.due(RAPID), None);
    }
}
