//! Adds the applications that commands send.
//!
//! A request is computed twice: to know what the [`preflight`](super::super::preflight) has to check, and with its results.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    super::{
        added_apps::put,
        preflight::{Candidate, Results},
    },
    Supervisor,
    app_update::{check, check_environment},
    config_reload::planned,
    cpus_for,
    targets::task_state,
};
use crate::{
    control::{AddRequest, Answer, ClientId, NameConflict, RequestError},
    machine::{AppUpdate, InitialState, RestartScope},
    spec::{
        AppSpec, Condition, Dependency,
        dependencies::{find_cycle, graph},
        order::CrossFileDependency,
        validate::MAX_APPS,
    },
};

impl Supervisor<'_> {
    /// Adds applications and starts them; the final answer reports whether they run. `results` are those of the
    /// preflight, once there are any.
    pub(super) fn add(
        &mut self,
        client: ClientId,
        request: AddRequest,
        is_own_file: bool,
        results: Option<Results>,
    ) -> Result<(), RequestError> {
        let again = request.clone();
        let AddRequest {
            mut apps,
            environment,
            update_environment,
            file,
            dry_run,
            name_conflict,
            scope,
            stopped,
            scaled_to_zero,
            outside,
        } = request;
        check_environment(&environment)?;
        let listed_count = self.machine.pending_plan().apps.len();
        if listed_count + apps.len() > MAX_APPS {
            let message = format!(
                "{} apps are too many: {listed_count} are in the list, at most {MAX_APPS} fit",
                apps.len()
            );
            return Err(RequestError { message, hint: None });
        }
        let caller = Arc::new(environment);
        let listed = self.machine.pending_plan().apps;
        let mut renamed: BTreeMap<String, String> = BTreeMap::new();
        for app in &mut apps {
            check(app)?;
            let is_taken = |name: &str| self.is_listed(name);
            if is_taken(&app.name) {
                match name_conflict {
                    NameConflict::Replace => {}
                    NameConflict::Refuse => return Err(name_taken(&app.name)),
                    NameConflict::Rename => {
                        let mut others = (1..).map(|count| format!("{}-{count}", app.name));
                        let other =
                            others.find(|name| !is_taken(name)).expect("there are more names than apps");
                        let name = std::mem::replace(&mut app.name, other.clone());
                        renamed.insert(name, other);
                    }
                }
            }
            let known = listed.iter().find(|other| other.name == app.name && is_taken(&other.name));
            app.env.caller = match known {
                _ if update_environment => Some(caller.clone()),
                Some(known) => known.env.caller.clone(),
                // As when the supervisor itself reads its file.
                None if is_own_file => None,
                None => Some(caller.clone()),
            };
            if let Some(home) = &self.home {
                keep_logs(app, home);
            }
        }
        for dependency in apps.iter_mut().flat_map(|app| &mut app.order.depends_on) {
            if let Some(name) = renamed.get(&dependency.app) {
                dependency.app.clone_from(name);
            }
        }
        self.depend_outside(&mut apps, &outside);
        self.check_order(&apps)?;
        let names: Vec<String> = apps.iter().map(|app| app.name.clone()).collect();
        let candidates: Vec<Candidate> = apps.into_iter().map(Candidate::added).collect();
        let Some(results) = results.filter(|results| results.are_of(&candidates)) else {
            let planned: Vec<String> = names.iter().filter(|name| self.is_planned(name)).cloned().collect();
            self.check_first(candidates, move |supervisor, results| {
                let added = supervisor
                    .still_planned(&planned)
                    .and_then(|()| supervisor.add(client, again, is_own_file, Some(results)));
                supervisor.answer_failure(client, added);
            });
            return Ok(());
        };
        let apps = self.passed(results)?;
        if let Some(file) = file.map(PathBuf::from)
            && !dry_run
            && (update_environment || !is_own_file)
        {
            self.added.add_file(file, caller);
        }
        let mut updates = Vec::new();
        for app in apps {
            let app = Arc::new(app);
            if !dry_run {
                self.added.add(app.clone());
            }
            let initial_state = if scaled_to_zero.contains(&app.name) {
                InitialState::ScaledToZero
            } else if stopped.contains(&app.name) {
                InitialState::Stopped
            } else {
                InitialState::Started
            };
            updates.push(self.app_update(app, scope, initial_state));
        }
        if dry_run {
            self.answer_forecast(client, &updates, scope);
        } else {
            self.update_apps(client, &names, updates, scope);
        }
        Ok(())
    }

    /// The update of an added application, which may replace one in the list.
    fn app_update(&self, app: Arc<AppSpec>, scope: RestartScope, initial_state: InitialState) -> AppUpdate {
        // An app that `autostart` does not start is not started by a change.
        let is_selected = scope != RestartScope::Changed || app.autostart;
        let mut selected = if is_selected { self.instances_of(&app.name) } else { Vec::new() };
        // A task is neither repeated nor interrupted because its file is read again.
        selected.retain(|id| self.machine.instance(*id).is_some_and(|view| task_state(&view).is_none()));
        // An app that was scaled to zero gets the number of its spec.
        let sets_count = !self.is_listed(&app.name);
        AppUpdate { selected, sets_count, reruns_tasks: true, initial_state, app }
    }

    /// Answers with the effect of a change.
    fn answer_forecast(&mut self, client: ClientId, updates: &[AppUpdate], scope: RestartScope) {
        let plan = self.plan_with(updates);
        let forecasts = self.machine.forecast_change(updates, cpus_for(&plan), scope);
        self.clients.answer(client, &Answer::Plan { changes: planned(&forecasts), dry_run: true });
    }

    /// Adds the dependencies on applications that were not read with these and are in the list.
    fn depend_outside(&self, apps: &mut [AppSpec], outside: &[CrossFileDependency]) {
        let listed = self.machine.pending_plan().apps;
        for CrossFileDependency { app, needs, condition } in outside {
            let Some(other) = listed.iter().find(|listed| listed.name == *needs) else { continue };
            let condition = condition.filter(|condition| condition.is_possible(other));
            let condition = condition.unwrap_or_else(|| Condition::best_of(other));
            for spec in apps.iter_mut().filter(|spec| spec.name == *app) {
                spec.order.depends_on.push(Dependency { app: needs.clone(), condition });
            }
        }
    }

    /// Checks that the dependencies of these applications, and those of the list on them, can be met.
    fn check_order(&self, apps: &[AppSpec]) -> Result<(), RequestError> {
        let mut coming = self.machine.pending_plan().apps;
        for app in apps {
            put(&mut coming, Arc::new(app.clone()));
        }
        let is_new = |name: &str| apps.iter().any(|app| app.name == name);
        for app in &coming {
            for Dependency { app: other, condition } in &app.order.depends_on {
                let name = &app.name;
                match coming.iter().find(|listed| listed.name == *other) {
                    None if is_new(name) => {
                        return Err(RequestError {
                            message: format!("app `{name}` depends on `{other}`, which is not in the list"),
                            hint: Some(format!("start `{other}` first")),
                        });
                    }
                    Some(spec) if (is_new(name) || is_new(other)) && !condition.is_possible(spec) => {
                        return Err(RequestError {
                            message: format!(
                                "app `{name}` waits until `{other}` is {}, which it could never be",
                                condition.as_str()
                            ),
                            hint: Some("give one file with both of them".to_owned()),
                        });
                    }
                    Some(_) | None => {}
                }
            }
        }
        match find_cycle(&graph(coming.iter().map(AsRef::as_ref))) {
            None => Ok(()),
            Some(cycle) => Err(RequestError {
                message: format!("`depends_on` makes a dependency cycle: {}", cycle.join(" → ")),
                hint: Some("none of them could ever start; nothing was changed".to_owned()),
            }),
        }
    }
}

fn name_taken(name: &str) -> RequestError {
    RequestError {
        message: format!("app `{name}` already exists"),
        hint: Some(format!(
            "`procrun restart {name}` restarts it; a second app needs another --name, or --force"
        )),
    }
}

/// The background supervisor has no console: an app without log files gets those of PM2.
fn keep_logs(app: &mut AppSpec, home: &Path) {
    let logs = &mut app.logs;
    if logs.disabled {
        return;
    }
    let stem = app.name.replace('/', "-");
    let file = |kind: &str| home.join("logs").join(format!("{stem}-{kind}.log"));
    logs.files.private_below = Some(home.to_owned());
    logs.files.out.get_or_insert_with(|| file("out"));
    logs.files.error.get_or_insert_with(|| file("error"));
}
