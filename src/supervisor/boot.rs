//! The boot: a helper thread reads the configuration and begins the preflight, while the supervisor sets itself up.

use std::io;

use tokio::sync::oneshot;

use super::{
    early_stop::unless_stopped,
    helper_threads::{HelperThreads, panicked},
    job_queues::{Job, Purpose},
    listen_sockets::ListenSockets,
    preflight::{Candidate, PendingResults, Preflight},
    read_config::finish_reading,
    set_up::failed_set_up,
    workers,
};
use crate::{
    config::{Loaded, Problems, Read, Source},
    spec::{Plan, Signal},
    sys::{process::OpenFiles, run_cgroups::RunCgroups, signals::Signals, spawn},
};

/// The results of the helper thread.
pub(super) struct BootFindings {
    pub(super) read: Result<Read, Problems>,
    pub(super) preflight: Preflight,
    /// The checks that have begun; `None`: the plan is not known yet.
    pub(super) results: Option<PendingResults>,
}

/// A boot that has begun.
pub(super) struct Boot {
    pub(super) helpers: HelperThreads,
    pub(super) listen_sockets: ListenSockets,
    pub(super) cgroups: RunCgroups,
    /// An error: there is no thread.
    pub(super) found: io::Result<oneshot::Receiver<BootFindings>>,
}

impl Boot {
    /// Begins to read `source`.
    pub(super) fn begin(source: &Source) -> Self {
        let (helpers, listen_sockets) = (HelperThreads::default(), ListenSockets::default());
        let cgroups = RunCgroups::default();
        let (sender, receiver) = oneshot::channel();
        let (helpers_of_thread, source_of_thread) = (helpers.clone(), source.clone());
        let (open, their_cgroups) = (listen_sockets.open().clone(), cgroups.clone());
        let work = move || {
            let read = source_of_thread.read();
            let mut preflight = Preflight::default();
            let plan = match &read {
                Ok(Read::Loaded(loaded)) => Some(&loaded.plan),
                Ok(Read::NeedsEvaluation(_)) | Err(_) => None,
            };
            let wanted = plan.map(|plan| plan.runtime.cgroup);
            let results = plan
                .map(|plan| preflight.begin(candidates(plan), &source_of_thread, &open, &helpers_of_thread));
            // There is no receiver if a signal has asked to stop.
            let _ = sender.send(BootFindings { read, preflight, results });
            if let Some(wanted) = wanted {
                // After the checks, and before the first start needs it.
                let prepare = move || {
                    spawn::prepare();
                    workers::prepare_cgroups(&their_cgroups, wanted);
                };
                let _ = helpers_of_thread.submit(Job::new(Purpose::Request, prepare));
            }
        };
        let found = helpers.submit(Job::new(Purpose::Request, work)).map(|()| receiver);
        Self { helpers, listen_sockets, cgroups, found }
    }
}

/// The applications of a plan, to be checked before any of them starts.
fn candidates(plan: &Plan) -> Vec<Candidate> {
    plan.apps.iter().cloned().map(Candidate::complete).collect()
}

/// Everything that is known before the first start.
pub(super) struct Prepared {
    pub(super) loaded: Loaded,
    pub(super) preflight: Preflight,
    pub(super) results: PendingResults,
}

/// Waits until the configuration is read. `Err`: a signal asked to stop.
pub(super) async fn finish(
    found: io::Result<oneshot::Receiver<BootFindings>>,
    source: &Source,
    signals: &mut Signals,
    open_files: OpenFiles,
    helpers: &HelperThreads,
    listen_sockets: &ListenSockets,
) -> Result<Result<Prepared, Problems>, Signal> {
    let found = match found {
        Ok(found) => {
            let found = unless_stopped(signals, found).await?;
            found.and_then(|found| found.map_err(|_| panicked()))
        }
        // Without a thread, better here than not at all.
        Err(_) => Ok(BootFindings { read: source.read(), preflight: Preflight::default(), results: None }),
    };
    let BootFindings { read, mut preflight, results } = match found {
        Ok(found) => found,
        Err(error) => return Ok(Err(failed_set_up(&error))),
    };
    let loaded = finish_reading(source, read, signals, open_files, helpers).await?;
    Ok(loaded.map(|loaded| {
        let results = results.unwrap_or_else(|| {
            preflight.begin(candidates(&loaded.plan), source, listen_sockets.open(), helpers)
        });
        Prepared { loaded, preflight, results }
    }))
}
