//! What lies between two plans.

use std::sync::Arc;

use super::{AppSpec, Plan};

/// What has to be done to one application so that the new plan holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AppChange {
    /// It is new: start it.
    Add(Arc<AppSpec>),
    /// It is gone: stop it and forget it.
    Remove(Arc<AppSpec>),
    /// It reads otherwise: run it again as it reads now.
    Replace {
        /// As it was.
        old: Arc<AppSpec>,
        /// As it is to be.
        new: Arc<AppSpec>,
    },
}

/// The changes that lead from `old` to `new`, removals first, then in the order of `new`.
/// An application is the same if its name is.
pub fn diff(old: &Plan, new: &Plan) -> Vec<AppChange> {
    let find = |plan: &Plan, name: &str| plan.apps.iter().find(|app| app.name == name).cloned();
    let removed =
        old.apps.iter().filter(|app| find(new, &app.name).is_none()).cloned().map(AppChange::Remove);
    let others = new.apps.iter().filter_map(|app| match find(old, &app.name) {
        None => Some(AppChange::Add(app.clone())),
        Some(was) if was == *app => None,
        Some(was) => Some(AppChange::Replace { old: was, new: app.clone() }),
    });
    removed.chain(others).collect()
}
