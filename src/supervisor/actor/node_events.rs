//! Events of Node workers: for the machine, for the log, and sockets that they request.

use std::fmt::Display;

use tokio::sync::oneshot;
use tracing::debug;

use super::{
    super::{
        helper_threads::panicked,
        job_queues::{Job, Purpose},
    },
    Continuation, Supervisor,
};
use crate::{
    machine::{
        Input, NotifyMessage, Run,
        events::{EventData, Notice, RuntimePart},
    },
    node::{HubEvent, Opening},
};

impl Supervisor<'_> {
    /// Handles the events of Node workers.
    pub(super) fn handle_node_events(&mut self) {
        let all: Vec<HubEvent> = self.node.take_events().collect();
        let mut inputs = Vec::new();
        for event in all {
            match event {
                HubEvent::OpenSocket(opening) => self.open_for_worker(opening),
                event => inputs.extend(self.handle_hub_event(event)),
            }
        }
        // Not only in a full turn: until the next one it could be hours.
        self.close_unused(Vec::new());
        self.feed(inputs);
    }

    /// Opens a unix socket that a worker of a cluster has requested.
    fn open_for_worker(&mut self, opening: Opening) {
        let (sender, opened) = oneshot::channel();
        let for_thread = opening.clone();
        let open = move || drop(sender.send(for_thread.open()));
        let job = Job::new(Purpose::Check, open).for_app(&opening.app());
        let submitted = self.workers.helpers().submit(job);
        self.deferred.add(async move {
            let result = match submitted {
                // Without a time limit: a worker whose file system does not answer waits, as it would alone.
                Ok(()) => opened.await.unwrap_or_else(|_| Err(panicked())),
                Err(error) => Err(error),
            };
            Box::new(move |supervisor: &mut Supervisor<'_>| {
                supervisor.node.opened(opening, result);
                supervisor.handle_node_events();
            }) as Continuation
        });
    }

    /// Reports an event of a Node worker, and returns the input for the machine.
    fn handle_hub_event(&mut self, event: HubEvent) -> Option<Input> {
        let (run, data) = match event {
            HubEvent::Ready(run, sign) => return Some(Input::Ready(run, sign)),
            HubEvent::Drained(run) => return Some(Input::Drained(run)),
            HubEvent::ListensAgain(run) => return Some(Input::Notified(run, NotifyMessage::Listening)),
            HubEvent::Uncaught(run, uncaught) => {
                return Some(Input::Notified(run, NotifyMessage::Uncaught(uncaught)));
            }
            HubEvent::Heartbeat(run) => return Some(Input::Notified(run, NotifyMessage::Heartbeat)),
            HubEvent::CannotListen { run, failure, is_handled } => {
                self.report_run(run, EventData::ListenFailed { failure: failure.clone() });
                return Some(Input::Notified(run, NotifyMessage::ListenFailed { failure, is_handled }));
            }
            HubEvent::CannotDrain(why) => {
                self.report(Notice::outage(RuntimePart::DrainScript, why));
                return None;
            }
            HubEvent::CannotSendHeartbeats(why) => {
                self.report(Notice::outage(RuntimePart::HeartbeatScript, why));
                return None;
            }
            HubEvent::CannotAccept(app, error) => {
                self.report(Notice::of_app(&app, EventData::AcceptFailed { error }));
                return None;
            }
            // Carried out, not reported.
            HubEvent::OpenSocket(_) => return None,
            HubEvent::Listens(run, address) => {
                self.trace(run, |instance| format!("{instance} listens on {address}"));
                return None;
            }
            HubEvent::Accepts(run, true) => {
                self.trace(run, |instance| {
                    format!("connections arrive fast: {instance} accepts them itself")
                });
                return None;
            }
            HubEvent::Accepts(run, false) => {
                self.trace(run, |instance| format!("{instance} gets its connections from procrun again"));
                return None;
            }
            HubEvent::Messages(run, count) => {
                self.trace(run, |instance| match count {
                    1 => format!("{instance} has sent a message"),
                    count => format!("{instance} has sent {count} messages"),
                });
                return None;
            }
            HubEvent::SharesSocket(run, address, other) => (run, EventData::PortShared { address, other }),
            HubEvent::ProtocolViolation(run, what) => {
                (run, EventData::ProtocolViolated { violation: what.to_owned() })
            }
            HubEvent::NoSocketForBun(run) => (run, EventData::SocketRefused {}),
            HubEvent::Disconnected(run, why) => (run, EventData::ChannelClosed { reason: why }),
        };
        self.report_run(run, data);
        None
    }

    /// Writes a line for debugging. It comes too often to be an event.
    fn trace(&self, run: Run, line: impl FnOnce(&dyn Display) -> String) {
        if !tracing::enabled!(tracing::Level::DEBUG) {
            return;
        }
        if let Some(view) = self.machine.instance(run.instance) {
            let instance = view.subject();
            debug!(app = &*instance.spec.name, id = instance.pm_id, "{}", line(&instance));
        }
    }
}
