//! procrun's own log: a line for each event, and what the parts around the machine report.
//!
//! The message is for people and whole by itself; the fields (`app`, `id`, `reason`, `event`) are for
//! programs.

use std::fmt::{self, Display, Formatter};

use tokio::sync::mpsc;
use tracing::{debug, error, info, warn};

use super::actor::Supervisor;
use crate::{
    machine::{
        Input, NotifyMessage, Run,
        events::{EventData, Level, Notice, RuntimePart},
    },
    node::HubEvent,
    spec::HumanDuration,
    watch,
};

/// Reports of helper threads that wait for the supervisor, at most. Others are logged, and are no events.
const MAX_REPORTS: usize = 64;

/// A handle for helper threads to report what they find.
#[derive(Debug, Clone)]
pub(super) struct Reporter(mpsc::Sender<Notice>);

/// What helper threads have reported.
#[derive(Debug)]
pub(super) struct ThreadReports(mpsc::Receiver<Notice>);

/// A queue from helper threads to the supervisor.
pub(super) fn queue() -> (Reporter, ThreadReports) {
    let (sender, receiver) = mpsc::channel(MAX_REPORTS);
    (Reporter(sender), ThreadReports(receiver))
}

impl Reporter {
    /// Reports it. Never waits.
    pub(super) fn report(&self, notice: Notice) {
        if let Err(refused) = self.0.try_send(notice) {
            log(&refused.into_inner());
        }
    }
}

impl ThreadReports {
    /// Waits for the next one. Cancel-safe.
    pub(super) async fn next(&mut self) -> Notice {
        match self.0.recv().await {
            Some(notice) => notice,
            None => std::future::pending().await,
        }
    }

    /// The next one, if there is one already.
    pub(super) fn waiting(&mut self) -> Option<Notice> {
        self.0.try_recv().ok()
    }
}

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

/// A failure of a part that is not tried again by itself.
pub(super) fn outage(part: RuntimePart, error: impl Display) -> Notice {
    Notice::of_runtime(EventData::Outage { part, error: error.to_string(), retry: None })
}

impl Supervisor<'_> {
    /// Takes in and reports what the watcher has found.
    pub(super) fn take_watch_events(&mut self, events: Vec<watch::WatchEvent>) {
        let events = events.into_iter().filter_map(|event| self.take_watch_event(event)).collect();
        self.feed(events);
    }

    fn take_watch_event(&mut self, event: watch::WatchEvent) -> Option<Input> {
        let (app, data) = match event {
            watch::WatchEvent::Changed { app, path } => return Some(Input::FilesChanged { app, path }),
            watch::WatchEvent::Watching { app, what, took } => {
                let took = HumanDuration(took);
                debug!(app, "{app}: watching {what}, found in {took}");
                return None;
            }
            watch::WatchEvent::Missing { app, path, why } => {
                (app, EventData::PathMissing { path, error: why })
            }
            watch::WatchEvent::Polling { app, why, interval } => {
                (app, EventData::WatchPolling { reason: why, interval })
            }
        };
        self.report(Notice::of_app(&app, data));
        None
    }

    /// Reports what a Node worker has sent, and returns what it means to the machine.
    pub(super) fn take_hub_event(&mut self, event: HubEvent) -> Option<Input> {
        let (run, data) = match event {
            HubEvent::Ready(run, sign) => return Some(Input::Ready(run, sign)),
            HubEvent::Drained(run) => return Some(Input::Drained(run)),
            HubEvent::ListensAgain(run) => return Some(Input::Notified(run, NotifyMessage::Listening)),
            HubEvent::Uncaught(run, uncaught) => {
                return Some(Input::Notified(run, NotifyMessage::Uncaught(uncaught)));
            }
            HubEvent::Heartbeat(run) => return Some(Input::Notified(run, NotifyMessage::Heartbeat)),
            HubEvent::CannotListen { run, failure, is_handled } => {
                self.report_of(run, EventData::ListenFailed { failure: failure.clone() });
                return Some(Input::Notified(run, NotifyMessage::ListenFailed { failure, is_handled }));
            }
            HubEvent::CannotDrain(why) => {
                self.report(outage(RuntimePart::DrainScript, why));
                return None;
            }
            HubEvent::CannotSendHeartbeats(why) => {
                self.report(outage(RuntimePart::HeartbeatScript, why));
                return None;
            }
            HubEvent::CannotAccept(app, error) => {
                self.report(Notice::of_app(&app, EventData::AcceptFailed { error }));
                return None;
            }
            // Carried out, not reported.
            HubEvent::OpenSocket(_) => return None,
            HubEvent::Listens(run, address) => {
                self.trace(run, |who| format!("{who} listens on {address}"));
                return None;
            }
            HubEvent::Accepts(run, true) => {
                self.trace(run, |who| format!("connections arrive fast: {who} accepts them itself"));
                return None;
            }
            HubEvent::Accepts(run, false) => {
                self.trace(run, |who| format!("{who} gets its connections from procrun again"));
                return None;
            }
            HubEvent::Messages(run, count) => {
                self.trace(run, |who| match count {
                    1 => format!("{who} has sent a message"),
                    count => format!("{who} has sent {count} messages"),
                });
                return None;
            }
            HubEvent::SharesSocket(run, place, other) => (run, EventData::PortShared { place, other }),
            HubEvent::ProtocolViolation(run, what) => {
                (run, EventData::ProtocolViolated { violation: what.to_owned() })
            }
            HubEvent::NoSocketForBun(run) => (run, EventData::SocketRefused {}),
            HubEvent::Disconnected(run, why) => (run, EventData::ChannelClosed { reason: why }),
        };
        self.report_of(run, data);
        None
    }

    /// Reports something that has happened to a run, unless its instance is forgotten.
    pub(super) fn report_of(&mut self, run: Run, data: EventData) {
        if let Some(view) = self.machine.instance(run.instance) {
            let notice = Notice::of(view.subject(), data);
            self.report(notice);
        }
    }

    /// A line for those who look for a fault. It comes too often to be an event.
    fn trace(&self, run: Run, line: impl FnOnce(&dyn Display) -> String) {
        if !tracing::enabled!(tracing::Level::DEBUG) {
            return;
        }
        if let Some(view) = self.machine.instance(run.instance) {
            let who = view.subject();
            debug!(app = &*who.spec.name, id = who.pm_id, "{}", line(&who));
        }
    }
}
