//! procrun's own log: a line for each event, and the reports of helper threads.
//!
//! The message is complete by itself; the fields (`app`, `id`, `reason`, `event`) are for programs.

use std::fmt::{self, Display, Formatter};

use tokio::sync::mpsc;
use tracing::{debug, error, info, warn};

use crate::machine::events::{EventData, Level, Notice, RuntimePart};

/// Reports of helper threads that wait for the supervisor, at most. Others are logged, and are no events.
const MAX_REPORTS: usize = 64;

/// A handle by which helper threads report events.
#[derive(Debug, Clone)]
pub(super) struct Reporter(mpsc::Sender<Notice>);

/// The reports of helper threads.
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

    /// The next one, if it has arrived.
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

/// The event for a failed part that is not tried again by itself.
pub(super) fn outage(part: RuntimePart, error: impl Display) -> Notice {
    Notice::of_runtime(EventData::Outage { part, error: error.to_string(), retry: None })
}

#[cfg(test)]
mod tests {
    use std::{fs::File, os::fd::OwnedFd};

    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;
    use crate::{
        logs::{self, Logs},
        spec::RuntimeLog,
    };

    #[tokio::test]
    async fn a_report_for_which_the_queue_has_no_room_is_logged_and_waits_for_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let stderr = dir.path().join("stderr");
        let create = |path| -> OwnedFd { File::create(path).unwrap().into() };
        let config = RuntimeLog::default();
        let logs = Logs::start_with(&config, create(dir.path().join("stdout")), create(stderr.clone()));
        let logs = logs.unwrap();
        let subscriber = tracing_subscriber::registry().with(logs::layer(logs.clone(), config.verbosity));
        let (reporter, mut reports) = queue();
        tracing::subscriber::with_default(subscriber, || {
            for number in 0..=MAX_REPORTS {
                reporter.report(outage(RuntimePart::RunCgroups, format_args!("error {number}.")));
            }
        });
        let kept: Vec<String> = std::iter::from_fn(|| reports.waiting()).map(|it| it.to_string()).collect();
        assert_eq!(kept.len(), MAX_REPORTS);
        assert!(kept.last().unwrap().contains(&format!("error {}.", MAX_REPORTS - 1)), "{kept:?}");
        logs.finish().await.unwrap();
        let logged = std::fs::read_to_string(stderr).unwrap();
        let is_logged = |number: usize| logged.contains(&format!("error {number}."));
        assert!(is_logged(MAX_REPORTS) && !(0..MAX_REPORTS).any(is_logged), "{logged}");
    }
}
