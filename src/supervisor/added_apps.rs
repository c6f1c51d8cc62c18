//! The applications that commands have added, beside those of the supervisor's ecosystem file: what is kept of them.
//!
//! Reading the ecosystem file again does not remove them.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use super::{actor::Supervisor, snapshots};
use crate::{
    control::SavedApp,
    machine::Status,
    spec::{AppSpec, Instances, Plan, validate::MAX_INSTANCES},
};

impl Supervisor<'_> {
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

    /// The applications that commands have added and that stay beside those of a file that was read again.
    pub(super) fn still_added(&self, of_file: &Plan) -> Vec<Arc<AppSpec>> {
        let has = |plan: &Plan, app: &AppSpec| plan.apps.iter().any(|other| other.name == app.name);
        let stays = |app: &&Arc<AppSpec>| has(self.machine.plan(), app) && !has(of_file, app);
        self.added.iter().filter(stays).cloned().collect()
    }

    /// A plan that was read again, with the applications that commands have added.
    pub(super) fn with_added(&self, mut plan: Plan, added: &[Arc<AppSpec>]) -> Plan {
        // Who was given another environment keeps it.
        let coming = self.machine.pending_plan().apps;
        for app in &mut plan.apps {
            let known = coming.iter().find(|other| other.name == app.name);
            if let Some(caller) = known.and_then(|known| known.env.caller.clone()) {
                Arc::make_mut(app).env.caller = Some(caller);
            }
        }
        plan.apps.extend(added.iter().cloned());
        plan
    }

    /// Who was added and needs what leaves with this plan, and what that is.
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
        let apps = self.machine.pending_plan().apps;
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

/// Replaces the application of the same name, or appends.
pub(super) fn put(apps: &mut Vec<Arc<AppSpec>>, app: Arc<AppSpec>) {
    match apps.iter_mut().find(|other| other.name == app.name) {
        Some(other) => *other = app,
        None => apps.push(app),
    }
}
