//! procrun's own log: a line for each event, and what the parts around the machine report.
//!
//! The message is for people and whole by itself; the fields (`app`, `id`, `reason`, `event`) are for
//! programs.

use std::fmt::{self, Display, Formatter};

use tracing::{debug, error, info, warn};

use crate::{
    machine::{
        Event, Machine, Run, Word,
        events::{Level, Notice},
    },
    node::HubEvent,
    spec::{HumanDuration, Signal},
    watch,
};

/// Writes an event to procrun's own log.
pub(super) fn log(notice: &Notice) {
    let (app, id) = (notice.subject.app.as_deref(), notice.subject.id);
    let (pid, reason, code, event) = (notice.pid(), notice.reason(), notice.code(), notice.data.kind());
    macro_rules! line {
        ($level:ident) => {
            $level!(app, id, pid, reason, code, event, "{notice}{}", Hint(notice))
        };
    }
    match notice.level() {
        Level::Debug => line!(debug),
        Level::Info => line!(info),
        Level::Warn => line!(warn),
        Level::Error => line!(error),
    }
}

/// The hint of an event, on a line of its own.
struct Hint<'a>(&'a Notice);

impl Display for Hint<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.0.hint().map_or(Ok(()), |hint| write!(f, "\n  hint: {hint}"))
    }
}

/// Logs a report of the file watcher. Returns its event for the machine, if it has one.
pub(super) fn watch_event(event: watch::WatchEvent) -> Option<Event> {
    match event {
        watch::WatchEvent::Changed { app, path } => Some(Event::FilesChanged { app, path }),
        watch::WatchEvent::Watching { app, what, took } => {
            let took = HumanDuration(took);
            debug!(app, "{app}: watching {what}, found in {took}");
            None
        }
        watch::WatchEvent::Missing { app, path, why } => {
            warn!(app, "{app}: cannot watch {path}: {why}; it is watched as soon as it is there");
            None
        }
        watch::WatchEvent::Polling { app, why, interval } => {
            let interval = HumanDuration(interval);
            warn!(app, "{app}: {why}; its files are looked at every {interval} instead");
            None
        }
    }
}

/// Logs a report of the hub of Node workers. Returns its event for the machine, if it has one.
pub(super) fn hub_event(machine: &Machine, event: HubEvent) -> Option<Event> {
    let run = match &event {
        HubEvent::Ready(run, sign) => return Some(Event::Ready(*run, *sign)),
        HubEvent::Drained(run) => return Some(Event::Drained(*run)),
        HubEvent::ListensAfterAll(run) => return Some(Event::Notified(*run, Word::Listens)),
        HubEvent::Uncaught(run, uncaught) => return Some(Event::Notified(*run, Word::Uncaught(*uncaught))),
        HubEvent::CannotDrain(why) => {
            warn!(
                "there is no place for the script that drains workers: {why}; \
                 they are asked to end without\n  hint: mount a tmpfs on /dev/shm, or set drain = \"off\""
            );
            return None;
        }
        HubEvent::Beats(run) => return Some(Event::Notified(*run, Word::Alive)),
        HubEvent::CannotBeat(why) => {
            warn!(
                "there is no place for the script that tells whether a worker's loop turns: {why}; \
                 without it `heartbeat` hears nothing\n  hint: mount a tmpfs on /dev/shm"
            );
            return None;
        }
        HubEvent::CannotAccept(app, error) => {
            error!(app, "cannot accept connections to {app}: {error}; they wait");
            return None;
        }
        // Carried out, not reported.
        HubEvent::Opens(_) => return None,
        HubEvent::Listens(run, _)
        | HubEvent::CannotListen { run, .. }
        | HubEvent::SharesSocket(run, ..)
        | HubEvent::Accepts(run, _)
        | HubEvent::Messages(run, _)
        | HubEvent::Misbehaves(run, _)
        | HubEvent::NoSocketForBun(run)
        | HubEvent::CutOff(run, _) => run,
    };
    let view = machine.instance(run.instance)?;
    let who = view.subject();
    let (who, app, id) = (&who, &*who.spec.name, who.pm_id);
    match event {
        HubEvent::Listens(_, address) => debug!(app, id, "{who} listens on {address}"),
        HubEvent::CannotListen { run, failure, is_handled } => {
            warn!(app, id, "{who} {failure}");
            return Some(Event::Notified(run, Word::CannotListen { failure, is_handled }));
        }
        HubEvent::SharesSocket(_, place, other) => warn!(
            app,
            id,
            "{who} listens on {place}, as {other} does: connections go to the workers of both\n  \
             hint: give one of them another port if that is not what you want"
        ),
        HubEvent::Accepts(_, true) => debug!(app, id, "connections arrive fast: {who} accepts them itself"),
        HubEvent::Accepts(_, false) => debug!(app, id, "{who} gets its connections from procrun again"),
        HubEvent::Messages(_, count) => debug!(app, id, count, "{who} has sent a message"),
        HubEvent::Misbehaves(_, what) => warn!(app, id, "{who} {what}; that is ignored and not said again"),
        HubEvent::NoSocketForBun(_) => warn!(
            app,
            id,
            "{who} asks its cluster for a socket, which Bun cannot take: it gets ENOTSUP \
             (`reusePort: true` lets each instance open its own)"
        ),
        HubEvent::CutOff(_, why) => error!(app, id, "{who} {why}: its channel is closed"),
        HubEvent::Ready(..)
        | HubEvent::Drained(_)
        | HubEvent::ListensAfterAll(_)
        | HubEvent::Uncaught(..)
        | HubEvent::Beats(_)
        | HubEvent::CannotDrain(_)
        | HubEvent::CannotBeat(_)
        | HubEvent::CannotAccept(..)
        | HubEvent::Opens(_) => {}
    }
    None
}

/// Says that a run cannot get the message that asks it to end.
pub(super) fn no_message(machine: &Machine, run: Run, signal: Signal) {
    let Some(view) = machine.instance(run.instance) else { return };
    let (who, app, id) = (view.subject(), &*view.spec.name, view.pm_id);
    info!(app, id, "{who} has no channel for the message `shutdown`, sending {signal}");
}
