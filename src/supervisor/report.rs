//! What procrun says of its own doing: one place, one vocabulary.
//!
//! The message is for people and whole by itself; the fields (`app`, `id`, `reason`) are for
//! programs.

use std::{fmt, time::Duration};

use tracing::{debug, error, info, warn};

use crate::{
    machine::{Ending, Event, Machine, Next, Notice, Sign, StopCause, Subject},
    node::News,
};

/// Says a notice in procrun's own log.
pub(super) fn say(notice: &Notice) {
    match notice {
        Notice::Ended { who, ending, uptime, next } => ended(who, ending, Readable(*uptime), *next),
        Notice::Stopping { who, signal, cause } => {
            let (who, app, id) = (Who(who), &*who.spec.name, who.id.0);
            match cause {
                StopCause::Shutdown => debug!(app, id, "{who}: sending {signal}"),
                StopCause::Removed => info!(app, id, "{who} is no longer wanted, sending {signal}"),
                StopCause::Changed => info!(app, id, "{who} has changed, sending {signal}"),
                StopCause::Drained => debug!(app, id, "{who} has no connections left, sending {signal}"),
                StopCause::NotDrained => {
                    info!(app, id, "{who} has not finished its connections, sending {signal}");
                }
            }
        }
        Notice::Draining { who, within, cause: _ } => {
            let (who, app, id, within) = (Who(who), &*who.spec.name, who.id.0, Readable(*within));
            info!(app, id, "{who} is no longer wanted and finishes its connections, for at most {within}");
        }
        Notice::Ready { who, sign, after } => {
            let (who, app, id, after) = (Who(who), &*who.spec.name, who.id.0, Readable(*after));
            match sign {
                Sign::Listening => debug!(app, id, "{who} listens after {after}"),
                Sign::Message => debug!(app, id, "{who} says that it is ready after {after}"),
            }
        }
        Notice::Leftovers { who, signal } => {
            let (who, app, id) = (Who(who), &*who.spec.name, who.id.0);
            info!(app, id, "sending {signal} to the processes that {who} left behind");
        }
        Notice::Killing { who, waited } => {
            let (who, app, id) = (Who(who), &*who.spec.name, who.id.0);
            warn!(app, id, "{who} is still there after {}, killing its whole tree", Readable(*waited));
        }
        Notice::Unkillable { who } => {
            let (who, app, id) = (Who(who), &*who.spec.name, who.id.0);
            error!(app, id, "not even SIGKILL ended {who}, giving up on it");
        }
        Notice::ShuttingDown { alive: 1 } => info!("stopping 1 process"),
        Notice::ShuttingDown { alive } => info!("stopping {alive} processes"),
        Notice::KillingAll => warn!("asked to stop again, killing everything"),
        Notice::Escalated { who, code } => {
            let (who, app, id) = (Who(who), &*who.spec.name, who.id.0);
            error!(app, id, "{who} is errored and nothing goes on without it: ending with code {code}");
        }
    }
}

/// Says what a Node worker has said, and what it means to the machine.
pub(super) fn hear(machine: &Machine, news: News) -> Option<Event> {
    let run = match &news {
        News::Ready(run, sign) => return Some(Event::Ready(*run, *sign)),
        News::CannotAccept(app, error) => {
            error!(app, "cannot accept connections to {app}: {error}; they wait");
            return None;
        }
        News::Listens(run, _)
        | News::Messages(run, _)
        | News::Misbehaves(run, _)
        | News::NoSocketForBun(run)
        | News::CutOff(run, _) => run,
    };
    let view = machine.instance(run.instance)?;
    let who = Subject { id: view.id, spec: view.spec.clone() };
    let (who, app, id) = (Who(&who), &*who.spec.name, who.id.0);
    match news {
        News::Listens(_, address) => debug!(app, id, "{who} listens on {address}"),
        News::Messages(_, count) => debug!(app, id, count, "{who} has sent a message"),
        News::Misbehaves(_, what) => warn!(app, id, "{who} {what}; that is ignored and not said again"),
        News::NoSocketForBun(_) => warn!(
            app,
            id,
            "{who} asks its cluster for a socket, which Bun cannot take: it gets ENOTSUP \
             (`reusePort: true` lets each instance open its own)"
        ),
        News::CutOff(_, why) => error!(app, id, "{who} {why}: its channel is closed"),
        News::Ready(..) | News::CannotAccept(..) => {}
    }
    None
}

fn ended(who: &Subject, ending: &Ending, uptime: Readable, next: Next) {
    let (who, app, id) = (Who(who), &*who.spec.name, who.id.0);
    let (reason, code) = (ending.reason(), ending.code());
    let what = match ending {
        Ending::SpawnFailed(_) => format!("{who} ended: {ending}"),
        Ending::Exited(_) | Ending::Signaled { .. } => format!("{who} ended: {ending} after {uptime}"),
    };
    match next {
        Next::Restart(Duration::ZERO) => info!(app, id, reason, code, "{what}, restarting now"),
        Next::Restart(wait) => info!(app, id, reason, code, "{what}, restarting in {}", Readable(wait)),
        Next::Stay => info!(app, id, reason, code, "{what}"),
        Next::Final if code == 0 => info!(app, id, reason, code, "{what}, done"),
        Next::Final => warn!(app, id, reason, code, "{what}, not restarting it"),
        Next::Errored { unstable } => {
            let starts = if unstable == 1 { "start" } else { "starts in a row" };
            error!(app, id, reason, code, "{what}, errored: {unstable} unstable {starts}");
        }
        Next::Sweep => info!(app, id, reason, code, "{what}, but some of its processes are left"),
    }
}

/// `main (0)`.
pub(super) struct Who<'a>(pub(super) &'a Subject);

impl fmt::Display for Who<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.0.spec.name, self.0.id.0)
    }
}

/// A duration as people say it.
#[derive(Clone, Copy)]
struct Readable(Duration);

impl fmt::Display for Readable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (millis, seconds) = (self.0.as_millis(), self.0.as_secs());
        match seconds {
            _ if millis < 1000 => write!(f, "{millis} ms"),
            0..60 => write!(f, "{:.1} s", self.0.as_secs_f64()),
            60..3600 => write!(f, "{} min {} s", seconds / 60, seconds % 60),
            _ => write!(f, "{} h {} min", seconds / 3600, seconds / 60 % 60),
        }
    }
}
