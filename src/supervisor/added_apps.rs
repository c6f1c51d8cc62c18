//! The applications that commands have added, beside those of the supervisor's ecosystem file.
//!
//! Reading the ecosystem file again does not remove them.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::spec::{AppSpec, Plan};

/// The added applications, and the ecosystem files that they are from.
#[derive(Debug, Default)]
pub(super) struct AddedApps {
    apps: Vec<Arc<AppSpec>>,
    /// The ecosystem files that commands have named, each with the environment with which it was read.
    files: BTreeMap<PathBuf, Arc<BTreeMap<String, String>>>,
}

impl AddedApps {
    /// Adds an application, or replaces the one of the same name.
    pub(super) fn add(&mut self, app: Arc<AppSpec>) {
        put(&mut self.apps, app);
    }

    /// Replaces the application of the same name, if it is one of these.
    pub(super) fn update(&mut self, app: Arc<AppSpec>) {
        if let Some(added) = self.apps.iter_mut().find(|added| added.name == app.name) {
            *added = app;
        }
    }

    /// An application has got another name.
    pub(super) fn rename(&mut self, from: &str, to: &str) {
        for app in &mut self.apps {
            *app = app.with_renamed(from, to);
        }
    }

    /// Keeps only these.
    pub(super) fn replace_all(&mut self, apps: Vec<Arc<AppSpec>>) {
        self.apps = apps;
    }

    /// A command has named this ecosystem file, which was read with this environment.
    pub(super) fn add_file(&mut self, file: PathBuf, environment: Arc<BTreeMap<String, String>>) {
        self.files.insert(file, environment);
    }

    /// The environment with which an ecosystem file was read by a command.
    pub(super) fn environment_of_file(&self, file: &Path) -> Option<BTreeMap<String, String>> {
        self.files.get(file).map(|environment| BTreeMap::clone(environment))
    }

    /// The applications of the current plan that stay beside those of a file that was read again.
    pub(super) fn still_added(&self, current: &Plan, of_file: &Plan) -> Vec<Arc<AppSpec>> {
        let has = |plan: &Plan, app: &AppSpec| plan.apps.iter().any(|other| other.name == app.name);
        let stays = |app: &&Arc<AppSpec>| has(current, app) && !has(of_file, app);
        self.apps.iter().filter(stays).cloned().collect()
    }
}

/// A plan that was read again, with the applications that commands have added. `coming` are the applications of the
/// plan that it replaces.
pub(super) fn with_added(mut plan: Plan, added: &[Arc<AppSpec>], coming: &[Arc<AppSpec>]) -> Plan {
    // An app that a command has given another environment keeps it.
    for app in &mut plan.apps {
        let known = coming.iter().find(|other| other.name == app.name);
        if let Some(caller) = known.and_then(|known| known.env.caller.clone()) {
            Arc::make_mut(app).env.caller = Some(caller);
        }
    }
    plan.apps.extend(added.iter().cloned());
    plan
}

/// The first added application that depends on an application which leaves with a new plan, and that application.
pub(super) fn left_behind<'a>(
    added: &'a [Arc<AppSpec>],
    before: &Plan,
    plan: &Plan,
) -> Option<(&'a AppSpec, &'a str)> {
    let has = |plan: &Plan, name: &str| plan.apps.iter().any(|app| app.name == name);
    added.iter().find_map(|app| {
        let mut needs = app.order.depends_on.iter().map(|other| other.app.as_str());
        Some((app.as_ref(), needs.find(|name| has(before, name) && !has(plan, name))?))
    })
}

/// Replaces the application of the same name, or appends.
pub(super) fn put(apps: &mut Vec<Arc<AppSpec>>, app: Arc<AppSpec>) {
    match apps.iter_mut().find(|other| other.name == app.name) {
        Some(other) => *other = app,
        None => apps.push(app),
    }
}
