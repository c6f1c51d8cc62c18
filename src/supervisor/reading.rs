//! The configuration is read again while it runs: what has changed, and whether it can be.
//!
//! With any error everything stays as it is.

use std::{collections::BTreeSet, path::Path, sync::Arc};

use tracing::{error, info, warn};

use super::{
    actor::{Supervisor, cpus_for, now, preflight, watch},
    evaluation::Running,
};
use crate::{
    config::{Difference, Loaded, Problem, Problems, Read, differences},
    control::{Answer, ClientId, KeyChange, PlannedAction, PlannedChange, select::Unknown},
    machine::{Event, Forecast, Operation},
    spec::{AppChange, AppSpec, ExitCode, Plan, diff::diff},
};

/// The exit code for files that cannot be read (sysexits.h).
const EX_IOERR: ExitCode = 74;
const STOPPING: &str = "everything is being stopped";

/// What was read and can be run.
struct Examined {
    plan: Plan,
    /// Those of it that commands have added.
    added: Vec<Arc<AppSpec>>,
    notices: Vec<String>,
}

/// For what the file is read again.
#[derive(Debug, Default)]
pub(super) struct Reading {
    /// A signal asked for it.
    by_signal: bool,
    /// The clients that requested it, and whether it is a dry run.
    clients: Vec<(ClientId, bool)>,
}

impl Reading {
    /// Requested by SIGHUP.
    pub(super) fn by_signal() -> Self {
        Self { by_signal: true, clients: Vec::new() }
    }

    fn is_wanted(&self) -> bool {
        self.by_signal || !self.clients.is_empty()
    }

    fn join(&mut self, other: Self) {
        self.by_signal |= other.by_signal;
        self.clients.extend(other.clients);
    }
}

impl Supervisor<'_> {
    /// A command requests to read the file again.
    pub(super) fn apply_file(
        &mut self,
        client: ClientId,
        file: Option<&str>,
        dry_run: bool,
    ) -> Result<Option<Answer>, Unknown> {
        if let Some(file) = file.map(Path::new)
            && !self.is_own_file(file)
        {
            return Ok(Some(Answer::FileEnvironment(self.environment_of_file(file))));
        }
        if self.source.file().is_none() {
            return Err(Unknown {
                message: "this procrun was not started with an ecosystem file".to_owned(),
                hint: Some("`procrun apply FILE` adds and changes the apps of a file".to_owned()),
            });
        }
        if self.machine.is_stopping() {
            return Err(Unknown { message: STOPPING.to_owned(), hint: None });
        }
        info!("a command asks: {} {}", if dry_run { "compare with" } else { "apply" }, self.source.name());
        self.start_reading(Reading { by_signal: false, clients: vec![(client, dry_run)] });
        Ok(None)
    }

    /// Begins to read; of several requests that come meanwhile one is done afterwards.
    pub(super) fn start_reading(&mut self, reading: Reading) {
        if self.evaluation.is_some() {
            self.next_reading.join(reading);
            return;
        }
        self.reading.join(reading);
        let source = self.source.clone();
        let read = self.workers.helpers().wait_for(move || source.read()).unwrap_or_else(|| {
            let problem = Problem::new(format!("reading {} timed out", self.source.name()));
            Err(Problems::one(
                EX_IOERR,
                problem.hint("a file system does not answer; is a network mount down?"),
            ))
        });
        match read {
            Ok(Read::Loaded(loaded)) => self.read_again(Ok(loaded)),
            Ok(Read::NeedsEvaluation(evaluation)) => {
                let helpers = self.workers.helpers();
                let env = self.source.environment();
                match Running::start(evaluation, env, self.open_files, helpers, now()) {
                    Ok(running) => self.evaluation = Some(running),
                    Err(problems) => self.read_again(Err(problems)),
                }
            }
            Err(problems) => self.read_again(Err(problems)),
        }
    }

    /// The evaluation of the file has ended.
    pub(super) fn reading_is_over(&mut self, result: Result<Loaded, Problems>) {
        let next = std::mem::take(&mut self.next_reading);
        if self.machine.is_stopping() {
            let reading = std::mem::take(&mut self.reading);
            for (client, _) in reading.clients.into_iter().chain(next.clients) {
                self.clients.answer(client, &Answer::failed(STOPPING));
            }
            return;
        }
        self.read_again(result);
        if next.is_wanted() {
            self.start_reading(next);
        }
    }

    /// Applies the file that was read again, or reports the forecast. With any error nothing changes.
    fn read_again(&mut self, result: Result<Loaded, Problems>) {
        let Reading { by_signal, clients } = std::mem::take(&mut self.reading);
        let Examined { plan, added, notices } = match self.examine(result) {
            Ok(read) => read,
            Err(problems) => {
                for problem in &problems {
                    error!("{problem}");
                }
                error!("nothing was changed");
                for (client, _) in clients {
                    let (message, hint) = (problems.join("\n"), Some("nothing was changed".to_owned()));
                    self.clients.answer(client, &Answer::Failed { message, hint });
                }
                return;
            }
        };
        let changes = planned(&self.machine.forecast(&plan, cpus_for(&plan)));
        for (client, dry_run) in &clients {
            self.clients.answer(*client, &Answer::Plan { changes: changes.clone(), dry_run: *dry_run });
        }
        let asking: Vec<ClientId> =
            clients.into_iter().filter(|(_, dry_run)| !dry_run).map(|(client, _)| client).collect();
        if !by_signal && asking.is_empty() {
            return;
        }
        self.added = added;
        for notice in notices {
            warn!("{notice}");
        }
        self.show(&diff(self.machine.plan(), &plan), &plan);
        let cpus = self.follow(&plan);
        if asking.is_empty() {
            self.feed(vec![Event::Apply { plan, cpus }]);
            return;
        }
        let names: Vec<String> = plan.apps.iter().map(|app| app.name.clone()).collect();
        for client in asking {
            self.operate_on_apps(client, names.clone(), Operation::Apply { plan: plan.clone(), cpus });
        }
    }

    /// The plan that was read, if it can be run; an error is what hinders it, a line each.
    fn examine(&mut self, result: Result<Loaded, Problems>) -> Result<Examined, Vec<String>> {
        let Loaded { plan, notices, .. } =
            result.map_err(|problems| problems.iter().map(ToString::to_string).collect::<Vec<_>>())?;
        let added = self.still_added(&plan);
        let plan = self.with_added(plan, &added);
        if let Some((app, needed)) = self.left_behind(&added, &plan) {
            return Err(vec![format!(
                "app `{}`, which a command has added, depends on `{needed}`, which has left the file",
                app.name
            )]);
        }
        let changes = diff(self.machine.plan(), &plan);
        let new = changes.iter().filter_map(|change| match change {
            AppChange::Add(app) | AppChange::Replace { new: app, .. } => Some(app),
            AppChange::Remove(_) => None,
        });
        let mut refused = Vec::new();
        let helpers = self.workers.helpers();
        let found =
            preflight(new, self.source, helpers, &mut self.held, |line| refused.push(line.to_owned()));
        if found.is_err() { Err(refused) } else { Ok(Examined { plan, added, notices }) }
    }

    /// Keeps the parts beside the machine in step with a plan: the machine keeps the old one while an
    /// application is being reloaded. Returns the number of CPUs for the plan.
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

/// What is foretold, as a client gets it; what stays as it is is left out.
pub(super) fn planned(forecasts: &[Forecast]) -> Vec<PlannedChange> {
    forecasts.iter().filter(|forecast| !forecast.is_empty()).filter_map(planned_change).collect()
}

fn planned_change(forecast: &Forecast) -> Option<PlannedChange> {
    let Forecast { old, new, replaced, rolling, started, removed, rerun_later, waits } = forecast;
    let app = new.as_ref().or(old.as_ref())?;
    let action = match (old, new) {
        _ if *waits => PlannedAction::Wait,
        (_, None) => PlannedAction::Stop,
        (None, Some(_)) => PlannedAction::Start,
        (Some(_), Some(_)) if !replaced.is_empty() && *rolling => PlannedAction::Reload,
        (Some(_), Some(_)) if !replaced.is_empty() => PlannedAction::Restart,
        (Some(_), Some(_)) if !rerun_later.is_empty() => PlannedAction::Rerun,
        (Some(_), Some(_)) if !started.is_empty() => PlannedAction::Start,
        (Some(_), Some(_)) if !removed.is_empty() => PlannedAction::Stop,
        (Some(_), Some(_)) => PlannedAction::Live,
    };
    let count = |numbers: &BTreeSet<u32>| u32::try_from(numbers.len()).unwrap_or(u32::MAX);
    let why = match (old, new) {
        (Some(old), Some(new)) => differences(old, new)
            .into_iter()
            .map(|Difference { key, old, new }| KeyChange { key, old, new })
            .collect(),
        (Some(_) | None, None) | (None, Some(_)) => Vec::new(),
    };
    Some(PlannedChange {
        app: app.name.clone(),
        action,
        replaced: count(replaced),
        started: count(started),
        removed: count(removed),
        rerun_later: count(rerun_later),
        why,
    })
}
