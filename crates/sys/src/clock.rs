//! The wall clock, and a timer that also fires when the wall clock is set.
//!
//! Durations are measured by the monotonic clock, which is not in this module.

use std::{
    io,
    os::fd::{AsFd as _, AsRawFd, RawFd},
    time::{Duration, Instant},
};

use jiff::Timestamp;
use nix::{
    errno::Errno,
    sys::{
        time::TimeSpec,
        timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags},
    },
    time::clock_gettime,
};
use tokio::io::{Interest, unix::AsyncFd};

/// The instant `wait` after `now`. If that overflows, an instant in 30 years: addition of a duration to an instant
/// would panic.
pub fn after(now: Instant, wait: Duration) -> Instant {
    const FAR: Duration = Duration::from_secs(30 * 365 * 24 * 60 * 60);
    now.checked_add(wait).or_else(|| now.checked_add(FAR)).unwrap_or(now)
}

/// A time by two clocks, which shows when the wall clock has been set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// The time of the wall clock.
    pub wall: Timestamp,
    /// The time since boot, including suspend (`CLOCK_BOOTTIME`). It cannot be set.
    pub since_boot: Duration,
}

impl Moment {
    /// The current time.
    pub fn now() -> Self {
        // `CLOCK_BOOTTIME` exists since Linux 2.6.39.
        let since_boot = clock_gettime(nix::time::ClockId::CLOCK_BOOTTIME).map_or(Duration::ZERO, Into::into);
        Self { wall: Timestamp::now(), since_boot }
    }
}

/// A timer that fires at a time of the wall clock, or when that clock is set to another time. A machine that resumes
/// from suspend also sets it.
#[derive(Debug)]
pub struct Alarm(AsyncFd<Timer>);

#[derive(Debug)]
struct Timer(TimerFd);

impl AsRawFd for Timer {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

impl Alarm {
    /// Creates a timer that is not set.
    ///
    /// # Errors
    ///
    /// The error of timerfd_create(2) or epoll_ctl(2).
    pub fn new() -> io::Result<Self> {
        let timer =
            TimerFd::new(ClockId::CLOCK_REALTIME, TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC)?;
        // SAFETY: a TimerFd is open, and stays the same, until it is dropped.
        let timer = unsafe { AsyncFd::register_with_interest(Timer(timer), Interest::READABLE) }?;
        Ok(Self(timer))
    }

    /// Sets the timer to this time and replaces the earlier time. A time in the past fires at once. Returns false
    /// once when the clock has been set since the last call.
    ///
    /// # Errors
    ///
    /// The error of timerfd_settime(2).
    pub fn set(&self, at: Timestamp) -> io::Result<bool> {
        // A time of zero would disarm the timer (timerfd_settime(2)).
        let at = TimeSpec::new(at.as_second().max(1), at.subsec_nanosecond().max(0).into());
        let flags = TimerSetTimeFlags::TFD_TIMER_ABSTIME | TimerSetTimeFlags::TFD_TIMER_CANCEL_ON_SET;
        match self.0.get_ref().0.set(Expiration::OneShot(at), flags) {
            Ok(()) => Ok(true),
            Err(Errno::ECANCELED) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Waits until the timer fires. Cancel-safe.
    ///
    /// # Errors
    ///
    /// The error of read(2).
    pub async fn wait(&self) -> io::Result<()> {
        loop {
            let mut ready = self.0.readable().await?;
            match nix::unistd::read(&self.0.get_ref().0, &mut [0; 8]) {
                Ok(_) | Err(Errno::ECANCELED) => return Ok(()),
                Err(Errno::EAGAIN) => ready.clear_ready(),
                Err(Errno::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "current_thread")]
    async fn a_timer_fires_at_its_time_and_once() {
        let alarm = Alarm::new().unwrap();
        let at = Moment::now().wall + Duration::from_millis(30);
        assert!(alarm.set(at).unwrap());
        alarm.wait().await.unwrap();
        assert!(Moment::now().wall >= at);
        // A time in the past fires at once, and the timer fires only once.
        assert!(alarm.set(Timestamp::UNIX_EPOCH).unwrap());
        alarm.wait().await.unwrap();
        assert!(alarm.set(at + Duration::from_secs(3600)).unwrap());
        let again = tokio::time::timeout(Duration::from_millis(30), alarm.wait()).await;
        assert!(again.is_err(), "the next time is in an hour");
    }

    #[test]
    fn both_clocks_go_forward() {
        let before = Moment::now();
        assert!(before.since_boot > Duration::ZERO);
        while Moment::now().since_boot == before.since_boot {}
        assert!(Moment::now().since_boot > before.since_boot);
    }
}
