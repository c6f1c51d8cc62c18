//! Changes applications of the list by the options of a command.
//!
//! A request is computed twice: to know what the [`preflight`](super::super::preflight) has to check, and with its results.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{
    super::preflight::{Candidate, Results},
    Supervisor,
    app_update::{check, check_environment},
};
use crate::{
    config::Patch,
    control::{ClientId, RequestError},
    machine::{AppUpdate, InitialState, Input, InstanceId, RenameObstacle, RestartScope},
    spec::{AppSpec, Instances},
};

/// The change of some applications.
#[derive(Debug, Clone)]
pub(super) struct AppChange {
    /// The names of the applications.
    pub(super) names: BTreeSet<String>,
    /// The ids of the instances that restart even if nothing has changed.
    pub(super) selected: Vec<u32>,
    /// The environment that they inherit from now on.
    pub(super) environment: Option<BTreeMap<String, String>>,
    pub(super) patch: Option<Patch>,
    pub(super) scope: RestartScope,
}

impl Supervisor<'_> {
    /// Changes applications, and restarts the selected instances. `results` are those of the
    /// preflight, once there are any.
    pub(super) fn change(
        &mut self,
        client: ClientId,
        change: AppChange,
        results: Option<Results>,
    ) -> Result<(), RequestError> {
        let again = change.clone();
        let AppChange { names, selected, environment, patch, scope } = change;
        let patch = patch.as_ref();
        if let Some(environment) = &environment {
            check_environment(environment)?;
        }
        let caller = environment.map(Arc::new);
        let renamed = match patch.and_then(Patch::name) {
            Some(to) => self.renamed(&names, to)?,
            None => None,
        };
        let mut candidates = Vec::new();
        let before = self.machine.pending_plan().apps.into_iter().filter(|app| names.contains(&app.name));
        let before: Vec<Arc<AppSpec>> = before.collect();
        if before.is_empty() {
            self.still_planned(&names)?;
        }
        for app in &before {
            let mut new = AppSpec::clone(app);
            if let Some(caller) = &caller {
                new.env.caller = Some(caller.clone());
            }
            if let Some(patch) = patch {
                let refused =
                    |why| RequestError { message: format!("app `{}`: {why}", app.name), hint: None };
                patch.apply(&mut new).map_err(refused)?;
                check(&new)?;
            }
            candidates.push(Candidate {
                // PM2's rule for a start holds here, too: several processes of a Node script are a cluster.
                may_cluster: patch.is_some()
                    && app.instances == Instances::Count(1)
                    && new.instances != Instances::Count(1),
                needs_zone: patch.is_some(),
                spec: Arc::new(new),
            });
        }
        let Some(results) = results.filter(|results| results.are_of(&candidates)) else {
            let planned: Vec<String> = before.iter().map(|app| app.name.clone()).collect();
            self.check_first(candidates, move |supervisor, results| {
                let changed = supervisor
                    .still_planned(&planned)
                    .and_then(|()| supervisor.change(client, again, Some(results)));
                supervisor.answer_failure(client, changed);
            });
            return Ok(());
        };
        let (mut updates, mut changed) = (Vec::new(), Vec::new());
        for (app, new) in before.into_iter().zip(self.passed(results)?) {
            let of_app: Vec<InstanceId> = self.instances_of(&app.name);
            let is_selected = |id: &InstanceId| {
                self.machine.instance(*id).is_some_and(|view| selected.contains(&view.pm_id))
            };
            let new = if new == *app { app } else { Arc::new(new) };
            updates.push(AppUpdate {
                // All instances of an application have one name.
                selected: of_app.into_iter().filter(|id| renamed.is_some() || is_selected(id)).collect(),
                sets_count: patch.is_some_and(Patch::sets_instances),
                reruns_tasks: false,
                initial_state: InitialState::Started,
                app: new.clone(),
            });
            changed.push(new);
        }
        let mut names: Vec<String> = names.into_iter().collect();
        // The new name is in force when its processes start.
        let scope = if renamed.is_some() { RestartScope::Restart } else { scope };
        if let Some((from, to)) = renamed {
            self.added.rename(&from, &to);
            names = vec![to.clone()];
            self.feed(vec![Input::Rename { from, to }]);
        }
        for app in changed {
            // An app of the supervisor's file stays part of the file.
            self.added.update(app);
        }
        self.update_apps(client, &names, updates, scope);
        Ok(())
    }

    /// The old and the new name of the one application that gets another name; `None` if it has that name.
    fn renamed(&self, names: &BTreeSet<String>, to: &str) -> Result<Option<(String, String)>, RequestError> {
        let [from] = names.iter().collect::<Vec<_>>()[..] else {
            let message = format!("`--name` is for one application, not for {}", names.len());
            return Err(RequestError::new(message));
        };
        if from == to {
            return Ok(None);
        }
        match self.machine.rename_obstacle(to) {
            Some(RenameObstacle::NameTaken) => {
                let error = RequestError::new(format!("app `{to}` already exists"));
                return Err(error.hint("choose a name that is not in use"));
            }
            Some(RenameObstacle::Reload) => {
                let error = RequestError::new(format!("`{from}` cannot be renamed during a reload"));
                return Err(error.hint("try again when the reload is over"));
            }
            Some(RenameObstacle::NotRunning) => {
                let message = format!("`{from}` cannot be renamed while procrun starts or stops");
                return Err(RequestError::new(message));
            }
            None => {}
        }
        let coming = self.machine.pending_plan().apps;
        if coming.iter().any(|app| app.name == *from && !app.listen.is_empty()) {
            let message = format!("`{from}` has held sockets (`listen`) and cannot be renamed");
            return Err(RequestError::new(message)
                .hint("`procrun delete` it, then `procrun start` it with its new --name"));
        }
        Ok(Some((from.clone(), to.to_owned())))
    }
}
