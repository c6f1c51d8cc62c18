//! The cgroups of runs, as the configuration asks for them.

use std::time::Duration;

use tracing::debug;

use super::{
    super::report::{self, Reporter},
    Run, Workers,
};
use crate::{
    machine::events::RuntimePart,
    spec,
    sys::run_cgroups::{NewCgroup, Reason, RunCgroups, View, Wanted},
};

/// How long the end of procrun waits for the last processes to leave their cgroups.
const REMOVAL_LIMIT: Duration = Duration::from_millis(500);

/// A cgroup for a run, if it gets one. For a helper thread.
pub(super) fn of_run(
    cgroups: &RunCgroups,
    wanted: spec::RunCgroup,
    reporter: &Reporter,
) -> Option<NewCgroup> {
    let wanted = match wanted {
        spec::RunCgroup::Auto => Wanted::Auto,
        spec::RunCgroup::Always => Wanted::Always,
        spec::RunCgroup::Never => Wanted::Never,
    };
    cgroups.for_run(wanted, |decided| report_decision(wanted, decided, reporter))
}

fn report_decision(wanted: Wanted, decided: Result<View, &Reason>, reporter: &Reporter) {
    match decided {
        Ok(View::Namespace) => debug!("each run gets a cgroup and a cgroup namespace"),
        Ok(View::Path) => debug!("each run gets a cgroup"),
        Err(reason) if wanted == Wanted::Always => {
            reporter.report(report::outage(RuntimePart::RunCgroups, reason));
        }
        Err(reason) => debug!("runs get no cgroups: {reason}"),
    }
}

impl Workers {
    /// The directory of the cgroup of a run, if it has one.
    pub(in crate::supervisor) fn cgroup(&self, run: Run) -> Option<String> {
        Some(self.trees.cgroup(run)?.path().to_string_lossy().into_owned())
    }

    /// Removes the cgroups of all runs, whose processes have ended or get SIGKILL.
    pub(in crate::supervisor) fn remove_cgroups(&self) {
        if let Err(error) = self.cgroups.remove(REMOVAL_LIMIT) {
            debug!("cannot remove the cgroups of the runs: {error}");
        }
    }
}
