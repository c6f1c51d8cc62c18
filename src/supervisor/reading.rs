//! The configuration is read again while it runs: what has changed, and whether it can be.
//!
//! With any error everything stays as it is.

use tracing::{error, info, warn};

use super::{
    actor::{Supervisor, cpus_for, now, preflight, watch},
    evaluation::Running,
};
use crate::{
    config::{Loaded, Problems, Read},
    machine::Event,
    spec::{AppChange, Plan, diff::diff},
};

impl Supervisor<'_> {
    /// Begins to read; of several wishes that come meanwhile one is done afterwards.
    pub(super) fn start_reading(&mut self) {
        if self.evaluation.is_some() {
            self.read_once_more = true;
            return;
        }
        match self.source.read() {
            Ok(Read::Loaded(loaded)) => self.read_again(Ok(loaded)),
            Ok(Read::NeedsEvaluation(evaluation)) => {
                match Running::start(evaluation, self.source.environment(), self.open_files, now()) {
                    Ok(running) => self.evaluation = Some(running),
                    Err(problems) => self.read_again(Err(problems)),
                }
            }
            Err(problems) => self.read_again(Err(problems)),
        }
    }

    /// Applies what has been read again; with any error everything stays as it is.
    pub(super) fn read_again(&mut self, result: Result<Loaded, Problems>) {
        let Loaded { plan, notices, .. } = match result {
            Ok(loaded) => loaded,
            Err(problems) => {
                for problem in problems.iter() {
                    error!("{problem}");
                }
                error!("nothing was changed");
                return;
            }
        };
        let plan = self.with_added(plan);
        if let Some((app, needed)) = self.left_behind(&plan) {
            error!(
                "app `{}`, which a command has added, depends on `{needed}`, which has left the file",
                app.name
            );
            error!("nothing was changed");
            return;
        }
        let changes = diff(self.machine.plan(), &plan);
        let new = changes.iter().filter_map(|change| match change {
            AppChange::Add(app) | AppChange::Replace { new: app, .. } => Some(app.as_ref()),
            AppChange::Remove(_) => None,
        });
        if preflight(new, self.source, &mut self.held, |line| error!("{line}")).is_err() {
            error!("nothing was changed");
            return;
        }
        for notice in notices {
            warn!("{notice}");
        }
        self.show(&changes, &plan);
        self.apply(plan);
    }

    /// The applications are these from now on; everything that they need has been found.
    fn apply(&mut self, plan: Plan) {
        let cpus = self.follow(&plan);
        self.feed(vec![Event::Apply { plan, cpus }]);
    }

    /// Keeps what is beside the machine in step with a plan: the machine's own is the old one as long as
    /// an application is being reloaded. Says how many CPUs there are for it.
    pub(super) fn follow(&mut self, plan: &Plan) -> u32 {
        self.held.announce();
        self.schedules.follow(plan);
        watch(&mut self.watcher, plan);
        self.memory.follow(plan);
        cpus_for(plan)
    }

    fn show(&self, changes: &[AppChange], plan: &Plan) {
        if plan.runtime.log != self.machine.plan().runtime.log {
            warn!("how lines look changes only when procrun starts again");
        }
        if changes.is_empty() {
            info!("no application has changed");
        }
        for change in changes {
            info!("{}", change.describe());
        }
    }
}
