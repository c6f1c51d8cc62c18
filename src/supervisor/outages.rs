//! Parts of the supervisor whose system calls fail for a while.
//!
//! PID 1 must not end because one of its parts fails: every process of the container would be killed
//! without its stop signal. So an error of a part is reported once, the part rests for [`RETRY_INTERVAL`] and is
//! tried again. Meanwhile everything else goes on.

use std::{io, time::Duration};

use tokio::time::Instant;

use super::clock;
use crate::machine::events::{EventData, RuntimePart};

/// How long a part rests after an error.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// A part of the supervisor that waits for the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// Signals. Children are still reaped, once every [`RETRY_INTERVAL`].
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

impl From<Part> for RuntimePart {
    fn from(part: Part) -> Self {
        match part {
            Part::Signals => Self::Signals,
            Part::Channels => Self::IpcChannels,
            Part::Notifications => Self::NotifySockets,
            Part::Commands => Self::ControlSocket,
        }
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

    /// Handles the result of a part that waited for the kernel. Returns its value, and the event to report.
    pub(super) fn check<T>(&mut self, part: Part, result: io::Result<T>) -> (Option<T>, Option<EventData>) {
        let outage = &mut self.0[part as usize];
        match result {
            Ok(value) => {
                let recovered = outage.take().map(|_| EventData::Recovered { part: part.into() });
                (Some(value), recovered)
            }
            Err(error) => {
                let is_new = outage.replace(Outage::RestingUntil(clock::now() + RETRY_INTERVAL)).is_none();
                let error = || EventData::Outage {
                    part: part.into(),
                    error: error.to_string(),
                    retry: Some(RETRY_INTERVAL),
                };
                (None, is_new.then(error))
            }
        }
    }

    /// The parts that do not work.
    pub(super) fn failing(&self) -> impl Iterator<Item = RuntimePart> {
        Part::ALL.into_iter().filter(|part| self.0[*part as usize].is_some()).map(Into::into)
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
        let (none, report) = outages.check(Part::Channels, failed());
        assert_eq!(none, None);
        assert!(matches!(
            report,
            Some(EventData::Outage { part: RuntimePart::IpcChannels, retry: Some(RETRY_INTERVAL), .. })
        ));
        assert!(!outages.allows(Part::Channels) && outages.allows(Part::Signals));
        assert_eq!(outages.failing().collect::<Vec<_>>(), [RuntimePart::IpcChannels]);
        let until = outages.next().expect("the rest has an end");

        // The rest ends at its time and not before; no timer is left behind.
        outages.end_rests(until - Duration::from_millis(1));
        assert!(!outages.allows(Part::Channels));
        outages.end_rests(until);
        assert!(outages.allows(Part::Channels) && outages.next().is_none());

        // A further error begins the next rest and is not reported, a success ends the outage.
        assert_eq!(outages.check(Part::Channels, failed()), (None, None));
        assert!(!outages.allows(Part::Channels));
        let recovered = EventData::Recovered { part: RuntimePart::IpcChannels };
        assert_eq!(outages.check(Part::Channels, Ok(7)), (Some(7), Some(recovered)));
        assert_eq!(outages.check(Part::Channels, Ok(7)), (Some(7), None));
        assert!(outages.allows(Part::Channels) && outages.next().is_none());
    }
}
