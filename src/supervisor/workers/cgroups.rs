//! The cgroups of runs, as the configuration asks for them.

use std::time::Duration;

use tracing::{debug, warn};

use super::{Run, Workers};
use crate::{
    spec,
    sys::run_cgroups::{NewCgroup, Reason, RunCgroups, View, Wanted},
};

/// How long the end of procrun waits for the last processes to leave their cgroups.
const REMOVAL_LIMIT: Duration = Duration::from_millis(500);

/// A cgroup for a run, if it gets one. For a helper thread.
pub(super) fn of_run(cgroups: &RunCgroups, wanted: spec::RunCgroup) -> Option<NewCgroup> {
    let wanted = match wanted {
        spec::RunCgroup::Auto => Wanted::Auto,
        spec::RunCgroup::Always => Wanted::Always,
        spec::RunCgroup::Never => Wanted::Never,
    };
    cgroups.for_run(wanted, |decided| say(wanted, decided))
}

fn say(wanted: Wanted, decided: Result<View, &Reason>) {
    match decided {
        Ok(View::Namespace) => debug!("each run gets a cgroup and a cgroup namespace"),
        Ok(View::Path) => debug!("each run gets a cgroup"),
        Err(reason) if wanted == Wanted::Always => {
            warn!("`cgroup` is true, but runs get no cgroups: {reason}");
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
