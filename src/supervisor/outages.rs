//! Parts of the supervisor whose system calls fail for a while.
//!
//! PID 1 must not end because a part of it cannot work: every process of the container would be killed
//! without its stop signal. So an error of a part is logged once, the part rests for [`RETRY`] and is
//! tried again. Meanwhile everything else goes on.

use std::{fmt, io, time::Duration};

use tokio::time::Instant;
use tracing::{error, info};

use super::actor;

/// How long a part rests after an error.
const RETRY: Duration = Duration::from_secs(1);

/// A part of the supervisor that waits for the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// Signals. Children are still reaped, once every [`RETRY`].
    Signals,
    /// The IPC channels and held sockets of Node workers.
    Channels,
    /// The `NOTIFY_SOCKET` of workers.
    Notifications,
    /// The control socket.
    Commands,
}

impl Part {
    const ALL: [Self; 4] = [Self::Signals, Self::Channels, Self::Notifications, Self::Commands];
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Signals => "receive signals",
            Self::Channels => "serve the IPC channels of Node workers",
            Self::Notifications => "read the notification sockets of workers",
            Self::Commands => "serve the control socket",
        })
    }
}

/// Which parts have failed and not worked since.
#[derive(Debug, Default)]
pub(super) struct Outages([Option<Outage>; Part::ALL.len()]);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outage {
    RestingUntil(Instant),
    Retrying,
}

impl Outages {
    /// Whether the part may wait for the kernel now.
    pub(super) fn allows(&self, part: Part) -> bool {
        !matches!(self.0[part as usize], Some(Outage::RestingUntil(_)))
    }

    /// Takes in how a wait of the part ended.
    pub(super) fn check<T>(&mut self, part: Part, result: io::Result<T>) -> Option<T> {
        let outage = &mut self.0[part as usize];
        match result {
            Ok(value) => {
                if outage.take().is_some() {
                    info!("can {part} again");
                }
                Some(value)
            }
            Err(error) => {
                if outage.replace(Outage::RestingUntil(actor::now() + RETRY)).is_none() {
                    error!("cannot {part}: {error}; trying again every {} s", RETRY.as_secs());
                }
                None
            }
        }
    }

    /// The parts that do not work.
    pub(super) fn failing(&self) -> impl Iterator<Item = Part> {
        Part::ALL.into_iter().filter(|part| self.0[*part as usize].is_some())
    }

    /// When the next rest ends.
    pub(super) fn next(&self) -> Option<Instant> {
        let resting = self.0.iter().filter_map(|outage| match outage {
            Some(Outage::RestingUntil(until)) => Some(*until),
            Some(Outage::Retrying) | None => None,
        });
        resting.min()
    }

    /// Ends the rests that are over.
    pub(super) fn end_rests(&mut self, now: Instant) {
        for outage in self.0.iter_mut().flatten() {
            if matches!(outage, Outage::RestingUntil(until) if *until <= now) {
                *outage = Outage::Retrying;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed() -> io::Result<()> {
        Err(io::Error::from_raw_os_error(nix::libc::ENOMEM))
    }

    #[test]
    fn a_part_that_failed_rests_and_is_tried_again() {
        let mut outages = Outages::default();
        assert!(outages.allows(Part::Channels) && outages.next().is_none());
        assert_eq!(outages.check(Part::Channels, failed()), None);
        assert!(!outages.allows(Part::Channels) && outages.allows(Part::Signals));
        assert_eq!(outages.failing().collect::<Vec<_>>(), [Part::Channels]);
        let until = outages.next().expect("the rest has an end");

        // The rest ends at its time and not before; no timer is left behind.
        outages.end_rests(until - Duration::from_millis(1));
        assert!(!outages.allows(Part::Channels));
        outages.end_rests(until);
        assert!(outages.allows(Part::Channels) && outages.next().is_none());

        // A further error begins the next rest, a success ends the outage.
        assert_eq!(outages.check(Part::Channels, failed()), None);
        assert!(!outages.allows(Part::Channels));
        assert_eq!(outages.check(Part::Channels, Ok(7)), Some(7));
        assert!(outages.allows(Part::Channels) && outages.next().is_none());
    }
}
