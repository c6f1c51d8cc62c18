//! The process list as `procrun save` keeps it.

use std::collections::BTreeMap;

use super::{Supervisor, snapshots};
use crate::{
    control::{SavedApp, sendable_environment},
    machine::Status,
    spec::{AppSpec, Instances, validate::MAX_INSTANCES},
};

impl Supervisor<'_> {
    /// The applications of the list, as they are when all operations that are under way have ended.
    pub(super) fn saved(&self) -> Vec<SavedApp> {
        let apps = self.machine.pending_plan().apps;
        let saved = apps.iter().map(|app| {
            let statuses: Vec<Status> = snapshots::settled(self)
                .filter(|view| view.spec.name == app.name)
                .map(|view| view.status)
                .collect();
            let mut spec = AppSpec::clone(app);
            // A dependency that was deleted would never come when the list is restored.
            spec.order.depends_on.retain(|other| apps.iter().any(|app| app.name == other.app));
            let (count, is_scaled) = (statuses.len(), self.machine.is_scaled(&app.name));
            if count > 0 && (is_scaled || matches!(spec.instances, Instances::Count(_))) {
                spec.instances = Instances::Count(u32::try_from(count).unwrap_or(MAX_INSTANCES));
            }
            let environment = match spec.env.caller.take() {
                Some(caller) => BTreeMap::clone(&caller),
                None => sendable_environment(self.source.environment()),
            };
            let stopped = statuses.iter().all(|status| *status == Status::Stopped);
            SavedApp { app: spec, environment, stopped, scaled_to_zero: count == 0 }
        });
        saved.collect()
    }
}
