//! Applications that commands have added: how they come into the plan, and what is kept of them.
//!
//! They are no part of the ecosystem file, and reading that again does not take them away.
//!
//! A request is computed twice: to know what the [`preflight`](super::preflight) has to check, and with its
//! results.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    actor::{Supervisor, cpus_for},
    clients::task_state,
    command_text::command_text,
    config_reload::planned,
    preflight::{Candidate, Results, without_result},
    snapshots,
};
use crate::{
    control::{Anew, Answer, ClientId, SavedApp, Taken, targets::Unknown},
    machine::{Addition, Event, InstanceId, Manner, Operation, RenameObstacle, Status, Wanted},
    spec::{
        AppSpec, Condition, Dependency, Instances, Patch, Plan,
        order::{Outside, circle, graph},
        validate::{MAX_APPS, MAX_INSTANCES, validate, validate_environment},
    },
};

/// Applications that are to be added.
#[derive(Debug, Clone)]
pub(super) struct AddRequest {
    pub(super) apps: Vec<AppSpec>,
    /// The environment that new ones inherit.
    pub(super) environment: BTreeMap<String, String>,
    /// Those that are in the list inherit it from now on, too.
    pub(super) update_environment: bool,
    /// The ecosystem file that names them, and whether it is the supervisor's own.
    pub(super) file: Option<PathBuf>,
    pub(super) is_own_file: bool,
    /// Only reports what would be done.
    pub(super) dry_run: bool,
    pub(super) taken: Taken,
    /// Which of the existing instances restart.
    pub(super) anew: Anew,
    /// The names of those that are not started.
    pub(super) resting: Vec<String>,
    /// The names of those that have no instance.
    pub(super) empty: Vec<String>,
    /// What they wait for besides, as far as it is in the list.
    pub(super) outside: Vec<Outside>,
}

/// What is to be changed in applications of the list.
#[derive(Debug, Clone)]
pub(super) struct ChangeRequest {
    /// The names of the applications.
    pub(super) names: BTreeSet<String>,
    /// The ids of the instances that restart even if nothing has changed.
    pub(super) meant: Vec<u32>,
    /// The environment that they inherit from now on.
    pub(super) environment: Option<BTreeMap<String, String>>,
    pub(super) patch: Option<Patch>,
    pub(super) anew: Anew,
}

impl Supervisor<'_> {
    /// Adds applications and starts them; the last answer says whether they run. `results` are those of the
    /// preflight, once there are any.
    pub(super) fn add(
        &mut self,
        client: ClientId,
        request: AddRequest,
        results: Option<Results>,
    ) -> Result<(), Unknown> {
        let again = request.clone();
        let AddRequest {
            mut apps,
            environment,
            update_environment,
            file,
            is_own_file,
            dry_run,
            taken,
            anew,
            resting,
            empty,
            outside,
        } = request;
        check_environment(&environment)?;
        let listed_count = self.machine.coming_plan().apps.len();
        if listed_count + apps.len() > MAX_APPS {
            let message = format!(
                "{} apps are too many: {listed_count} are in the list, at most {MAX_APPS} fit",
                apps.len()
            );
            return Err(Unknown { message, hint: None });
        }
        let caller = Arc::new(environment);
        let listed = self.machine.coming_plan().apps;
        let mut renamed: BTreeMap<String, String> = BTreeMap::new();
        for app in &mut apps {
            check(app)?;
            let is_taken = |name: &str| self.is_listed(name);
            if is_taken(&app.name) {
                match taken {
                    Taken::Replace => {}
                    Taken::Refuse => return Err(name_taken(&app.name)),
                    Taken::Rename => {
                        let mut others = (1..).map(|count| format!("{}-{count}", app.name));
                        let other =
                            others.find(|name| !is_taken(name)).expect("there are more names than apps");
                        let name = std::mem::replace(&mut app.name, other.clone());
                        renamed.insert(name, other);
                    }
                }
            }
            let there = listed.iter().find(|other| other.name == app.name && is_taken(&other.name));
            app.env.caller = match there {
                _ if update_environment => Some(caller.clone()),
                Some(there) => there.env.caller.clone(),
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
                    .and_then(|()| supervisor.add(client, again, Some(results)));
                supervisor.answer_failure(client, added);
            });
            return Ok(());
        };
        let apps = self.passed(results)?;
        if let Some(file) = file
            && !dry_run
            && (update_environment || !is_own_file)
        {
            self.files.insert(file, caller);
        }
        let mut wanted = Vec::new();
        for app in apps {
            let app = Arc::new(app);
            if !dry_run {
                put(&mut self.added, app.clone());
            }
            let addition = if empty.contains(&app.name) {
                Addition::Empty
            } else if resting.contains(&app.name) {
                Addition::Rests
            } else {
                Addition::Starts
            };
            wanted.push(self.wanted(app, anew, addition));
        }
        if dry_run {
            self.say_change(client, &wanted, anew);
        } else {
            self.let_become(client, &names, wanted, anew);
        }
        Ok(())
    }

    /// An application with its present spec.
    fn wanted(&self, app: Arc<AppSpec>, anew: Anew, addition: Addition) -> Wanted {
        // An application without `autostart` is not started by this.
        let is_meant = anew != Anew::Changed || app.autostart;
        let mut meant = if is_meant { self.instances_of(&app.name) } else { Vec::new() };
        // A task is neither done again nor interrupted because its file is read again.
        meant.retain(|id| self.machine.instance(*id).is_some_and(|view| task_state(&view).is_none()));
        // Scaled to none: a command that adds it means its present number, not the scaled one.
        let counted = !self.is_listed(&app.name);
        Wanted { meant, counted, reruns_tasks: true, addition, app }
    }

    /// Reports what this change would do.
    fn say_change(&mut self, client: ClientId, wanted: &[Wanted], anew: Anew) {
        let mut plan = self.machine.coming_plan();
        for wanted in wanted {
            put(&mut plan.apps, wanted.app.clone());
        }
        let forecasts = self.machine.forecast_change(wanted, cpus_for(&plan), manner(anew));
        self.clients.answer(client, &Answer::Plan { changes: planned(&forecasts), dry_run: true });
    }

    /// Changes something in applications, and restarts the instances that are meant. `results` are those of the
    /// preflight, once there are any.
    pub(super) fn change(
        &mut self,
        client: ClientId,
        request: ChangeRequest,
        results: Option<Results>,
    ) -> Result<(), Unknown> {
        let again = request.clone();
        let ChangeRequest { names, meant, environment, patch, anew } = request;
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
        let before = self.machine.coming_plan().apps.into_iter().filter(|app| names.contains(&app.name));
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
                let refused = |why| Unknown { message: format!("app `{}`: {why}", app.name), hint: None };
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
        let (mut wanted, mut changed) = (Vec::new(), Vec::new());
        for (app, new) in before.into_iter().zip(self.passed(results)?) {
            let of_app: Vec<InstanceId> = self.instances_of(&app.name);
            let is_meant =
                |id: &InstanceId| self.machine.instance(*id).is_some_and(|view| meant.contains(&view.pm_id));
            let new = if new == *app { app } else { Arc::new(new) };
            wanted.push(Wanted {
                // All of an application has one name.
                meant: of_app.into_iter().filter(|id| renamed.is_some() || is_meant(id)).collect(),
                counted: patch.is_some_and(Patch::counts),
                reruns_tasks: false,
                addition: Addition::Starts,
                app: new.clone(),
            });
            changed.push(new);
        }
        let mut names: Vec<String> = names.into_iter().collect();
        // The new name is used when its processes start.
        let anew = if renamed.is_some() { Anew::Restart } else { anew };
        if let Some((from, to)) = renamed {
            for app in &mut self.added {
                *app = app.with_renamed(&from, &to);
            }
            names = vec![to.clone()];
            self.feed(vec![Event::Rename { from, to }]);
        }
        for app in changed {
            // What stands in the file stays the file's.
            if let Some(added) = self.added.iter_mut().find(|added| added.name == app.name) {
                *added = app;
            }
        }
        self.let_become(client, &names, wanted, anew);
        Ok(())
    }

    /// Refuses a request about applications of which one has been deleted or renamed during the preflight.
    fn still_planned<'a>(&self, names: impl IntoIterator<Item = &'a String>) -> Result<(), Unknown> {
        match names.into_iter().find(|name| !self.is_planned(name)) {
            None => Ok(()),
            Some(name) => Err(Unknown {
                message: format!("app `{name}` has left the list meanwhile"),
                hint: Some("nothing was changed".to_owned()),
            }),
        }
    }

    /// The old and the new name of the one application that gets another name; `None` if it has that name.
    fn renamed(&self, names: &BTreeSet<String>, to: &str) -> Result<Option<(String, String)>, Unknown> {
        let refuse = |message: String, hint: &str| {
            let hint = (!hint.is_empty()).then(|| hint.to_owned());
            Err(Unknown { message, hint })
        };
        let [from] = names.iter().collect::<Vec<_>>()[..] else {
            return refuse(format!("`--name` is for one application, not for {}", names.len()), "");
        };
        if from == to {
            return Ok(None);
        }
        match self.machine.rename_obstacle(to) {
            Some(RenameObstacle::NameTaken) => {
                return refuse(
                    format!("there is an application `{to}` already"),
                    "choose a name that is not in use",
                );
            }
            Some(RenameObstacle::Reload) => {
                let message = format!("`{from}` cannot be renamed during a reload");
                return refuse(message, "try again when it is over");
            }
            Some(RenameObstacle::NotRunning) => {
                return refuse(format!("`{from}` cannot be renamed while procrun starts or stops"), "");
            }
            None => {}
        }
        let coming = self.machine.coming_plan().apps;
        if coming.iter().any(|app| app.name == *from && !app.listen.is_empty()) {
            let hint = "`procrun delete` it, then `procrun start` it with its new --name";
            return refuse(format!("`{from}` has held sockets (`listen`) and cannot be renamed"), hint);
        }
        Ok(Some((from.clone(), to.to_owned())))
    }

    /// Lets applications read like this; everything that they need has been found.
    fn let_become(&mut self, client: ClientId, names: &[String], wanted: Vec<Wanted>, anew: Anew) {
        let mut plan = self.machine.coming_plan();
        for wanted in &wanted {
            put(&mut plan.apps, wanted.app.clone());
        }
        let cpus = self.follow(&plan);
        let operation = Operation::Become { apps: wanted, cpus, manner: manner(anew) };
        self.report_command(command_text(&operation, names));
        self.operate_on_apps(client, names.to_vec(), operation);
    }

    /// The applications that have passed the preflight; an error is why not all have. One that runs is not
    /// replaced by one that may be unable to start.
    fn passed(&mut self, results: Results) -> Result<Vec<AppSpec>, Unknown> {
        if let Some((refused, _)) = results.refusals() {
            return Err(Unknown { message: refused.join("\n"), hint: None });
        }
        match without_result(results.unanswered().filter(|unanswered| self.is_listed(&unanswered.app))) {
            Some(message) => Err(Unknown { message, hint: None }),
            None => Ok(results.into_apps(&mut self.listen_sockets)),
        }
    }

    /// Lets applications wait for what was not read with them and is in the list.
    fn depend_outside(&self, apps: &mut [AppSpec], outside: &[Outside]) {
        let listed = self.machine.coming_plan().apps;
        for Outside { app, needs, condition } in outside {
            let Some(other) = listed.iter().find(|listed| listed.name == *needs) else { continue };
            let condition = condition.filter(|condition| condition.is_possible(other));
            let condition = condition.unwrap_or_else(|| Condition::best_of(other));
            for spec in apps.iter_mut().filter(|spec| spec.name == *app) {
                spec.order.depends_on.push(Dependency { app: needs.clone(), condition });
            }
        }
    }

    /// Whether each of these can wait for what it depends on, and each that is there can go on doing so.
    fn check_order(&self, apps: &[AppSpec]) -> Result<(), Unknown> {
        let mut coming = self.machine.coming_plan().apps;
        for app in apps {
            put(&mut coming, Arc::new(app.clone()));
        }
        let is_new = |name: &str| apps.iter().any(|app| app.name == name);
        for app in &coming {
            for Dependency { app: other, condition } in &app.order.depends_on {
                let name = &app.name;
                match coming.iter().find(|listed| listed.name == *other) {
                    None if is_new(name) => {
                        return Err(Unknown {
                            message: format!("app `{name}` depends on `{other}`, which is not in the list"),
                            hint: Some(format!("start `{other}` first")),
                        });
                    }
                    Some(spec) if (is_new(name) || is_new(other)) && !condition.is_possible(spec) => {
                        return Err(Unknown {
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
        match circle(&graph(coming.iter().map(AsRef::as_ref))) {
            None => Ok(()),
            Some(circle) => Err(Unknown {
                message: format!("`depends_on` makes a dependency cycle: {}", circle.join(" → ")),
                hint: Some("none of them could ever start; nothing was changed".to_owned()),
            }),
        }
    }

    /// The environment with which an ecosystem file was read: by a command, or as the supervisor's own. So
    /// a file that has not changed reads the same for every command.
    pub(super) fn environment_of_file(
        &self,
        file: &Path,
        is_own_file: bool,
    ) -> Option<BTreeMap<String, String>> {
        match self.files.get(file) {
            Some(environment) => Some(BTreeMap::clone(environment)),
            None => is_own_file.then(|| self.own_environment()),
        }
    }

    /// What of the supervisor's own environment can be sent.
    fn own_environment(&self) -> BTreeMap<String, String> {
        let own = self.source.environment().iter();
        own.filter_map(|(name, value)| Some((name.to_str()?.to_owned(), value.to_str()?.to_owned())))
            .collect()
    }

    /// Whether an application of that name is in the list: it has an instance.
    fn is_listed(&self, name: &str) -> bool {
        snapshots::settled(self).any(|view| view.spec.name == name)
    }

    fn instances_of(&self, name: &str) -> Vec<InstanceId> {
        snapshots::settled(self).filter(|view| view.spec.name == name).map(|view| view.id).collect()
    }

    /// The applications that commands have added and that stay beside those of a file that was read again.
    pub(super) fn still_added(&self, of_file: &Plan) -> Vec<Arc<AppSpec>> {
        let has = |plan: &Plan, app: &AppSpec| plan.apps.iter().any(|other| other.name == app.name);
        let stays = |app: &&Arc<AppSpec>| has(self.machine.plan(), app) && !has(of_file, app);
        self.added.iter().filter(stays).cloned().collect()
    }

    /// A plan that was read again, with the applications that commands have added.
    pub(super) fn with_added(&self, mut plan: Plan, added: &[Arc<AppSpec>]) -> Plan {
        // An application with another environment keeps it.
        let coming = self.machine.coming_plan().apps;
        for app in &mut plan.apps {
            let known = coming.iter().find(|other| other.name == app.name);
            if let Some(caller) = known.and_then(|known| known.env.caller.clone()) {
                Arc::make_mut(app).env.caller = Some(caller);
            }
        }
        plan.apps.extend(added.iter().cloned());
        plan
    }

    /// The added applications that need what leaves with this plan, and what that is.
    pub(super) fn left_behind<'a>(
        &self,
        added: &'a [Arc<AppSpec>],
        plan: &Plan,
    ) -> Option<(&'a AppSpec, &'a str)> {
        let has = |plan: &Plan, name: &str| plan.apps.iter().any(|app| app.name == name);
        let before = self.machine.plan();
        added.iter().find_map(|app| {
            let mut needs = app.order.depends_on.iter().map(|other| other.app.as_str());
            Some((app.as_ref(), needs.find(|name| has(before, name) && !has(plan, name))?))
        })
    }

    /// The list as it is to be kept.
    pub(super) fn saved(&self) -> Vec<SavedApp> {
        // As it is when what is under way has come to its end.
        let apps = self.machine.coming_plan().apps;
        let saved = apps.iter().map(|app| {
            let places: Vec<Status> = snapshots::settled(self)
                .filter(|view| view.spec.name == app.name)
                .map(|view| view.status)
                .collect();
            let mut spec = AppSpec::clone(app);
            // What was deleted is not waited for when the list comes back: it would never come.
            spec.order.depends_on.retain(|other| apps.iter().any(|app| app.name == other.app));
            let (count, is_scaled) = (places.len(), self.machine.is_scaled(&app.name));
            if count > 0 && (is_scaled || matches!(spec.instances, Instances::Count(_))) {
                spec.instances = Instances::Count(u32::try_from(count).unwrap_or(MAX_INSTANCES));
            }
            let environment = match spec.env.caller.take() {
                Some(caller) => BTreeMap::clone(&caller),
                None => self.own_environment(),
            };
            let stopped = places.iter().all(|status| *status == Status::Stopped);
            SavedApp { app: spec, environment, stopped, empty: count == 0 }
        });
        saved.collect()
    }
}

fn manner(anew: Anew) -> Manner {
    match anew {
        Anew::Changed => Manner::Changed,
        Anew::Reload => Manner::Reload,
        Anew::Restart => Manner::Restart,
    }
}

/// In place of the one of the same name, or behind all.
fn put(apps: &mut Vec<Arc<AppSpec>>, app: Arc<AppSpec>) {
    match apps.iter_mut().find(|other| other.name == app.name) {
        Some(other) => *other = app,
        None => apps.push(app),
    }
}

/// A client may send any application.
fn check(app: &AppSpec) -> Result<(), Unknown> {
    validate(app).map_err(|violation| Unknown { message: violation.to_string(), hint: None })
}

fn check_environment(environment: &BTreeMap<String, String>) -> Result<(), Unknown> {
    validate_environment(environment).map_err(|message| Unknown { message, hint: None })
}

fn name_taken(name: &str) -> Unknown {
    Unknown {
        message: format!("there is an application `{name}` already"),
        hint: Some(format!(
            "`procrun restart {name}` starts it again; another one needs another --name, or --force"
        )),
    }
}

/// The console of a background supervisor has no reader: apps without log files get PM2's.
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
