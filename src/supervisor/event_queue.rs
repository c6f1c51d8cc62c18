//! Events of helper threads, on their way to the supervisor.

use tokio::sync::mpsc;

use super::log_event::log_event;
use crate::machine::events::Notice;

/// Maximum number of queued events of helper threads. Further ones are only logged: event consumers do not see them.
const MAX_QUEUED_EVENTS: usize = 64;

/// A handle by which helper threads report events.
#[derive(Debug, Clone)]
pub(super) struct EventSender(mpsc::Sender<Notice>);

/// The events of helper threads, for the supervisor.
#[derive(Debug)]
pub(super) struct EventReceiver(mpsc::Receiver<Notice>);

/// A queue from helper threads to the supervisor.
pub(super) fn event_queue() -> (EventSender, EventReceiver) {
    let (sender, receiver) = mpsc::channel(MAX_QUEUED_EVENTS);
    (EventSender(sender), EventReceiver(receiver))
}

impl EventSender {
    /// Sends an event. Never waits.
    pub(super) fn send(&self, notice: Notice) {
        if let Err(refused) = self.0.try_send(notice) {
            log_event(&refused.into_inner());
        }
    }
}

impl EventReceiver {
    /// Waits for the next event. Cancel-safe.
    pub(super) async fn next(&mut self) -> Notice {
        match self.0.recv().await {
            Some(notice) => notice,
            None => std::future::pending().await,
        }
    }

    /// The next event, if it has arrived.
    pub(super) fn arrived(&mut self) -> Option<Notice> {
        self.0.try_recv().ok()
    }
}

#[cfg(test)]
mod tests {
    use std::{fs::File, os::fd::OwnedFd};

    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;
    use crate::{
        logs::{self, Logs},
        machine::events::RuntimePart,
        spec::RuntimeLog,
    };

    #[tokio::test]
    async fn an_event_for_which_the_queue_has_no_room_is_logged_and_waits_for_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let stderr = dir.path().join("stderr");
        let create = |path| -> OwnedFd { File::create(path).unwrap().into() };
        let config = RuntimeLog::default();
        let logs = Logs::start_with(&config, create(dir.path().join("stdout")), create(stderr.clone()));
        let logs = logs.unwrap();
        let subscriber = tracing_subscriber::registry().with(logs::layer(logs.clone(), config.verbosity));
        let (sender, mut receiver) = event_queue();
        tracing::subscriber::with_default(subscriber, || {
            for number in 0..=MAX_QUEUED_EVENTS {
                sender.send(Notice::outage(RuntimePart::RunCgroups, format_args!("error {number}.")));
            }
        });
        let kept: Vec<String> = std::iter::from_fn(|| receiver.arrived()).map(|it| it.to_string()).collect();
        assert_eq!(kept.len(), MAX_QUEUED_EVENTS);
        assert!(kept.last().unwrap().contains(&format!("error {}.", MAX_QUEUED_EVENTS - 1)), "{kept:?}");
        logs.finish().await.unwrap();
        let logged = std::fs::read_to_string(stderr).unwrap();
        let is_logged = |number: usize| logged.contains(&format!("error {number}."));
        assert!(is_logged(MAX_QUEUED_EVENTS) && !(0..MAX_QUEUED_EVENTS).any(is_logged), "{logged}");
    }
}
