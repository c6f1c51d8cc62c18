//! The wall clock, and an alarm that also fires when the clock is set.
//!
//! Durations are measured by the monotonic clock, which is not here.

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

/// The time after `wait` on the monotonic clock. A time too far away is replaced by one that is never reached:
/// an instant plus a duration panics on overflow.
pub fn after(now: Instant, wait: Duration) -> Instant {
    const FAR: Duration = Duration::from_secs(30 * 365 * 24 * 60 * 60);
    now.checked_add(wait).or_else(|| now.checked_add(FAR)).unwrap_or(now)
}

/// A time by two clocks, to see when one of them has been set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// The time of the wall clock.
    pub wall: Timestamp,
    /// The time since the machine was started, including sleep. It cannot be set.
    pub up: Duration,
}

impl Moment {
    /// Now.
    pub fn now() -> Self {
        // The clock is always there (Linux 2.6.39).
        let up = clock_gettime(nix::time::ClockId::CLOCK_BOOTTIME).map_or(Duration::ZERO, Into::into);
        Self { wall: Timestamp::now(), up }
    }
}

/// Rings once at a time of the wall clock, or when that clock is set to another time (which a machine
/// that wakes up also does).
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
    /// An alarm that does not ring yet.
    ///
    /// # Errors
    /// The error of timerfd_create(2) or epoll_ctl(2).
    pub fn new() -> io::Result<Self> {
        let timer =
            TimerFd::new(ClockId::CLOCK_REALTIME, TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC)?;
        // SAFETY: a TimerFd is open, and stays the same, until it is dropped.
        let timer = unsafe { AsyncFd::register_with_interest(Timer(timer), Interest::READABLE) }?;
        Ok(Self(timer))
    }

    /// Fires at this time, and no longer for an earlier call. A time in the past fires at once. False: the
    /// clock has been set since the last call, and no other call reports it.
    ///
    /// # Errors
    /// The error of timerfd_settime(2).
    pub fn set(&self, at: Timestamp) -> io::Result<bool> {
        // A timer of zero is none at all.
        let at = TimeSpec::new(at.as_second().max(1), at.subsec_nanosecond().max(0).into());
        let flags = TimerSetTimeFlags::TFD_TIMER_ABSTIME | TimerSetTimeFlags::TFD_TIMER_CANCEL_ON_SET;
        match self.0.get_ref().0.set(Expiration::OneShot(at), flags) {
            Ok(()) => Ok(true),
            Err(Errno::ECANCELED) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Waits until it fires. Cancel-safe.
    ///
    /// # Errors
    /// The error of read(2).
    pub async fn ring(&self) -> io::Result<()> {
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
    async fn an_alarm_rings_at_its_time_and_once() {
        let alarm = Alarm::new().unwrap();
        let at = Moment::now().wall + Duration::from_millis(30);
        assert!(alarm.set(at).unwrap());
        alarm.ring().await.unwrap();
        assert!(Moment::now().wall >= at);
        // What has passed rings at once, what has rung rings no more.
        assert!(alarm.set(Timestamp::UNIX_EPOCH).unwrap());
        alarm.ring().await.unwrap();
        assert!(alarm.set(at + Duration::from_secs(3600)).unwrap());
        let again = tokio::time::timeout(Duration::from_millis(30), alarm.ring()).await;
        assert!(again.is_err(), "nothing rings for an hour");
    }

    #[test]
    fn both_clocks_go_forward() {
        let before = Moment::now();
        assert!(before.up > Duration::ZERO);
        while Moment::now().up == before.up {}
        assert!(Moment::now().up > before.up);
    }
}
