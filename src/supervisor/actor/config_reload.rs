//! Reads the supervisor's ecosystem file again and applies its changes.
//!
//! With any error nothing changes. An application for which a file system does not answer is no error: as long as
//! it is in the list it stays as it is, and the others change.
//!
//! Helper threads read the files and check what the applications need ([`preflight`](super::super::preflight)). The
//! supervisor goes on meanwhile. One reading is under way at a time ([`Reading`](super::super::reading::Reading)).

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use super::{
    super::{
        added_apps::{left_behind, with_added},
        clock::now,
        evaluation::Running,
        preflight::{Candidate, Results},
        reading::ReadRequest,
    },
    Supervisor, cpus_for,
};
use crate::{
    config::{
        Difference, EX_IOERR, Loaded, Problem, Problems, Read, UNANSWERED_HINT, Unanswered, changed_keys,
        differences,
    },
    control::{Answer, ClientId, KeyChange, PlannedAction, PlannedChange, RequestError},
    machine::{
        Forecast, Input, Operation,
        events::{ConfigChange, EventData, Notice},
    },
    spec::{
        AppChange, AppSpec, Plan,
        dependencies::{find_cycle, graph},
        diff::diff,
    },
};

/// How long reading the files may take.
const TIMEOUT: Duration = Duration::from_secs(5);
const STOPPING: &str = "everything is being stopped";

/// A plan that was read, and what it needs before it can be applied.
struct Examined {
    plan: Plan,
    /// The applications of it that commands have added.
    added: Vec<Arc<AppSpec>>,
    /// The applications that must pass the preflight.
    candidates: Vec<Candidate>,
}

impl Supervisor<'_> {
    /// A command asks to read the supervisor's own file again.
    pub(super) fn apply_file(&mut self, client: ClientId, dry_run: bool) -> Result<(), RequestError> {
        if self.source.file().is_none() {
            return Err(RequestError {
                message: "this procrun was not started with an ecosystem file".to_owned(),
                hint: Some("`procrun apply FILE` adds and changes the apps of a file".to_owned()),
            });
        }
        if self.machine.is_stopping() {
            return Err(RequestError { message: STOPPING.to_owned(), hint: None });
        }
        let command = if dry_run { "apply --dry-run" } else { "apply" };
        self.report_command(format!("{command} {}", self.source.name()));
        self.start_reading(ReadRequest::by_client(client, dry_run));
        Ok(())
    }

    /// Begins to read the files, unless a reading is under way: then the request is for the next one.
    pub(super) fn start_reading(&mut self, request: ReadRequest) {
        if !self.reading.begin(request) {
            return;
        }
        let source = self.source.clone();
        let Some(read) = self.reading.submit(self.workers.helpers(), move || source.read()) else {
            return self.has_read(None);
        };
        self.when_answered(read, TIMEOUT, |supervisor, read| {
            supervisor.has_read(read);
        });
    }

    /// Handles the files; `None`: they have not been read in time.
    fn has_read(&mut self, read: Option<Result<Read, Problems>>) {
        match read {
            Some(Ok(Read::Loaded(loaded))) => self.has_loaded(Some(Ok(loaded))),
            Some(Ok(Read::NeedsEvaluation(evaluation))) => {
                let helpers = self.workers.helpers();
                let env = self.source.environment();
                match Running::start(evaluation, env, self.open_files, helpers, now()) {
                    Ok(running) => self.evaluation = Some(running),
                    Err(problems) => self.has_loaded(Some(Err(problems))),
                }
            }
            Some(Err(problems)) => self.has_loaded(Some(Err(problems))),
            None => self.has_loaded(None),
        }
    }

    /// The evaluation of the file has ended.
    pub(super) fn has_evaluated(&mut self, running: Running) {
        let Some(loaded) = self.reading.submit(self.workers.helpers(), move || running.finish()) else {
            return self.has_loaded(None);
        };
        self.when_answered(loaded, TIMEOUT, |supervisor, loaded| {
            supervisor.has_loaded(loaded);
        });
    }

    /// Checks what the applications need that would change; `None`: a file system does not answer.
    fn has_loaded(&mut self, result: Option<Result<Loaded, Problems>>) {
        let result = result.unwrap_or_else(|| {
            let problem = Problem::new(format!("reading {} timed out", self.source.name()));
            Err(Problems::one(EX_IOERR, problem.hint(UNANSWERED_HINT)))
        });
        let lines = |problems: Problems| problems.iter().map(ToString::to_string).collect::<Vec<_>>();
        match result.map_err(lines).and_then(|loaded| Ok((self.examine(&loaded)?, loaded))) {
            Ok((Examined { candidates, .. }, loaded)) => {
                self.check_first(candidates, |supervisor, results| supervisor.has_checked(loaded, results));
            }
            Err(problems) => self.refuse_reading(&problems),
        }
    }

    /// Applies the file, or answers with the changes that it would make.
    fn has_checked(&mut self, mut loaded: Loaded, results: Results) {
        let examined = match self.examine(&loaded) {
            Ok(examined) => examined,
            Err(problems) => return self.refuse_reading(&problems),
        };
        if !results.are_of(&examined.candidates) {
            let candidates = examined.candidates;
            self.check_first(candidates, |supervisor, results| supervisor.has_checked(loaded, results));
            return;
        }
        if let Some((refused, _)) = results.refusals() {
            return self.refuse_reading(&refused);
        }
        let unanswered: Vec<Unanswered> =
            results.unanswered().filter(|unanswered| self.is_planned(&unanswered.app)).collect();
        results.into_apps(&mut self.listen_sockets);
        let Examined { plan, added, .. } = if unanswered.is_empty() {
            examined
        } else {
            loaded.unanswered.extend(unanswered);
            match self.examine(&loaded) {
                Ok(examined) => examined,
                Err(problems) => return self.refuse_reading(&problems),
            }
        };
        self.apply_plan(plan, added, loaded);
        self.end_reading();
    }

    fn apply_plan(&mut self, plan: Plan, added: Vec<Arc<AppSpec>>, loaded: Loaded) {
        let ReadRequest { by_signal, clients } = self.reading.take_request();
        let kept: Vec<Notice> = loaded.unanswered.iter().filter_map(|it| self.kept(it)).collect();
        for notice in kept {
            self.clients.report_to(notice, &clients.iter().map(|(client, _)| *client).collect::<Vec<_>>());
        }
        let changes = planned(&self.machine.forecast(&plan, cpus_for(&plan)));
        for (client, dry_run) in &clients {
            self.clients.answer(*client, &Answer::Plan { changes: changes.clone(), dry_run: *dry_run });
        }
        let asking: Vec<ClientId> =
            clients.into_iter().filter(|(_, dry_run)| !dry_run).map(|(client, _)| client).collect();
        if !by_signal && asking.is_empty() {
            return;
        }
        self.added.replace_all(added);
        for message in loaded.notices {
            self.report(Notice::of_runtime(EventData::ConfigWarning { message }));
        }
        self.report_changes(&diff(self.machine.plan(), &plan), &plan);
        let cpus = self.follow(&plan);
        if asking.is_empty() {
            self.feed(vec![Input::Apply { plan, cpus }]);
            return;
        }
        let names: Vec<String> = plan.apps.iter().map(|app| app.name.clone()).collect();
        for client in asking {
            self.operate_on_apps(client, names.clone(), Operation::Apply { plan: plan.clone(), cpus });
        }
    }

    /// The notice for an application that stays as it is.
    fn kept(&self, Unanswered { app, what, hint }: &Unanswered) -> Option<Notice> {
        let data = || EventData::AppKept { reason: format!("{what}; {hint}") };
        self.is_planned(app).then(|| Notice::of_app(app, data()))
    }

    /// Reports why nothing changes.
    fn refuse_reading(&mut self, problems: &[String]) {
        if !self.machine.is_stopping() {
            let data = EventData::ConfigRejected { problems: problems.to_vec() };
            self.report(Notice::of_runtime(data));
        }
        let (message, hint) = (problems.join("\n"), Some("nothing was changed".to_owned()));
        let failed = Answer::Failed(RequestError { message, hint });
        for (client, _) in self.reading.take_request().clients {
            self.clients.answer(client, &failed);
        }
        self.end_reading();
    }

    fn end_reading(&mut self) {
        let next = self.reading.end();
        if self.machine.is_stopping() {
            for (client, _) in next.clients {
                self.clients.answer(client, &Answer::failed(STOPPING));
            }
        } else if !next.is_empty() {
            self.start_reading(next);
        }
    }

    /// The plan that was read, with the applications that it does not change.
    fn examine(&self, loaded: &Loaded) -> Result<Examined, Vec<String>> {
        if self.machine.is_stopping() {
            return Err(vec![STOPPING.to_owned()]);
        }
        let coming = self.machine.pending_plan().apps;
        let mut plan = loaded.plan.clone();
        for Unanswered { app, .. } in &loaded.unanswered {
            let new = plan.apps.iter_mut().find(|other| other.name == *app);
            if let (Some(new), Some(old)) = (new, coming.iter().find(|other| other.name == *app)) {
                new.clone_from(old);
            }
        }
        let added = self.added.still_added(self.machine.plan(), &plan);
        let plan = with_added(plan, &added, &coming);
        if let Some((app, needed)) = left_behind(&added, self.machine.plan(), &plan) {
            return Err(vec![format!(
                "app `{}`, which a command has added, depends on `{needed}`, which has left the file",
                app.name
            )]);
        }
        if !loaded.unanswered.is_empty() {
            check_order(&plan)?;
        }
        let changes = diff(self.machine.plan(), &plan).into_iter();
        let new = changes.filter_map(|change| match change {
            AppChange::Add(app) | AppChange::Replace { new: app, .. } => Some(app),
            AppChange::Remove(_) => None,
        });
        let candidates = new.map(Candidate::complete).collect();
        Ok(Examined { plan, added, candidates })
    }

    fn report_changes(&mut self, changes: &[AppChange], plan: &Plan) {
        let now = &self.machine.plan().runtime;
        if (&plan.runtime.log, &plan.runtime.web) != (&now.log, &now.web) {
            self.report(Notice::of_runtime(EventData::RestartRequired {}));
        }
        for change in changes {
            self.report(app_changed(change));
        }
        self.report(Notice::of_runtime(EventData::ConfigApplied { changes: changes.len() }));
    }
}

/// Applications that stay as they are may not fit those that change.
fn check_order(plan: &Plan) -> Result<(), Vec<String>> {
    let known: BTreeMap<&str, &Arc<AppSpec>> = plan.apps.iter().map(|app| (app.name.as_str(), app)).collect();
    for app in &plan.apps {
        for other in &app.order.depends_on {
            if !known.contains_key(other.app.as_str()) {
                let needed = &other.app;
                return Err(vec![format!(
                    "app `{}` stays as it is and depends on `{needed}`, which has left the file",
                    app.name
                )]);
            }
        }
    }
    match find_cycle(&graph(plan.apps.iter().map(AsRef::as_ref))) {
        None => Ok(()),
        Some(cycle) => Err(vec![format!(
            "an app stays as it is, and that makes a dependency cycle: {}",
            cycle.join(" → ")
        )]),
    }
}

fn app_changed(change: &AppChange) -> Notice {
    let (app, change, keys) = match change {
        AppChange::Add(app) => (app, ConfigChange::Added, Vec::new()),
        AppChange::Remove(app) => (app, ConfigChange::Removed, Vec::new()),
        AppChange::Replace { old, new } => (new, ConfigChange::Changed, changed_keys(old, new)),
    };
    let keys = keys.into_iter().map(Cow::Borrowed).collect();
    Notice::of_app(&app.name, EventData::AppChanged { change, keys })
}

/// A forecast as a client gets it, without applications that do not change.
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
