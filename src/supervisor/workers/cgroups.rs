//! The cgroups of runs, as the configuration asks for them.

use std::time::Duration;

use tracing::debug;

use super::{
    super::{
        event_queue::EventSender,
        job_queues::{Job, Purpose},
    },
    Run, Workers,
};
use crate::{
    machine::events::{Notice, RuntimePart},
    spec,
    sys::run_cgroups::{CgroupMode, NewCgroup, NoCgroupReason, RunCgroups, View},
};

/// How long the end of procrun waits for the last processes to leave their cgroups.
const REMOVAL_LIMIT: Duration = Duration::from_millis(500);

/// A cgroup for a run, if it gets one. For a helper thread.
pub(super) fn of_run(
    cgroups: &RunCgroups,
    wanted: spec::RunCgroup,
    event_sender: &EventSender,
) -> Option<NewCgroup> {
    let wanted = as_wanted(wanted);
    cgroups.for_run(wanted, |decided| report_decision(wanted, decided, event_sender))
}

/// Finds out whether runs get cgroups, and prepares one for the next run. For a helper thread.
pub(in crate::supervisor) fn prepare(cgroups: &RunCgroups, wanted: spec::RunCgroup) {
    cgroups.prepare(as_wanted(wanted));
}

fn as_wanted(wanted: spec::RunCgroup) -> CgroupMode {
    match wanted {
        spec::RunCgroup::Auto => CgroupMode::Auto,
        spec::RunCgroup::Always => CgroupMode::Always,
        spec::RunCgroup::Never => CgroupMode::Never,
    }
}

fn report_decision(wanted: CgroupMode, decided: Result<View, &NoCgroupReason>, event_sender: &EventSender) {
    match decided {
        Ok(View::Namespace) => debug!("each run gets a cgroup and a cgroup namespace"),
        Ok(View::Path) => debug!("each run gets a cgroup"),
        Err(reason) if wanted == CgroupMode::Always => {
            event_sender.send(Notice::outage(RuntimePart::RunCgroups, reason));
        }
        Err(reason) => debug!("runs get no cgroups: {reason}"),
    }
}

impl Workers {
    /// The directory of the cgroup of a run, if it has one.
    pub(in crate::supervisor) fn cgroup(&self, run: Run) -> Option<String> {
        Some(self.trees.cgroup(run)?.path().to_string_lossy().into_owned())
    }

    /// Has the cgroups removed that a killed procrun has left.
    pub(in crate::supervisor) fn remove_stale_cgroups(&self) {
        let cgroups = self.cgroups.clone();
        // Without a thread for it, the next procrun removes them.
        let _ = self.helpers().submit(Job::new(Purpose::File, move || cgroups.remove_stale()));
    }

    /// Removes the cgroups of all runs, whose processes have ended or get SIGKILL.
    pub(in crate::supervisor) fn remove_cgroups(&self) {
        if let Err(error) = self.cgroups.remove(REMOVAL_LIMIT) {
            debug!("cannot remove the cgroups of the runs: {error}");
        }
    }
}
