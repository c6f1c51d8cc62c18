//! The difference of two plans, and whether a difference concerns running processes.

use std::sync::Arc;

use super::{AppSpec, EnvSpec, Plan};

/// What must be done to one application so that the new plan holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AppChange {
    /// Start it: only the new plan has it.
    Add(Arc<AppSpec>),
    /// Stop it and remove it from the list: only the old plan has it.
    Remove(Arc<AppSpec>),
    /// Change it: its spec differs.
    Replace {
        /// The spec in the old plan.
        old: Arc<AppSpec>,
        /// The spec in the new plan.
        new: Arc<AppSpec>,
    },
}

/// The changes that lead from `old` to `new`, removals first, then in the order of `new`.
/// Two specs belong to the same application if they have the same name.
pub fn diff(old: &Plan, new: &Plan) -> Vec<AppChange> {
    let find = |plan: &Plan, name: &str| plan.apps.iter().find(|app| app.name == name).cloned();
    let removed =
        old.apps.iter().filter(|app| find(new, &app.name).is_none()).cloned().map(AppChange::Remove);
    let others = new.apps.iter().filter_map(|app| match find(old, &app.name) {
        None => Some(AppChange::Add(app.clone())),
        Some(old) if old == *app => None,
        Some(old) => Some(AppChange::Replace { old, new: app.clone() }),
    });
    removed.chain(others).collect()
}

/// Whether two specs differ only in what does not concern a running process, such as the number of instances.
/// Then the processes keep running. The rows of the key table state the same for each key.
pub fn same_but_instances(old: &AppSpec, new: &AppSpec) -> bool {
    std::ptr::eq(old, new)
        || AppSpec {
            instances: new.instances,
            max_memory: new.max_memory,
            schedule: new.schedule.clone(),
            watch: new.watch.clone(),
            ready_when: new.ready_when,
            node_metrics: new.node_metrics,
            order: new.order.clone(),
            ..old.clone()
        } == *new
}

/// Whether two specs of a task describe the same work: what it executes, with which variables, and as which
/// user. The environment of the command that added it, and its handling of failures, do not change the work.
pub fn same_work(old: &AppSpec, new: &AppSpec) -> bool {
    let AppSpec {
        exec,
        env: EnvSpec { inherit, caller: _, vars, instance_var, increment_var, unread_files: _ },
        identity,
        ..
    } = old;
    *exec == new.exec
        && *inherit == new.env.inherit
        && *vars == new.env.vars
        && *instance_var == new.env.instance_var
        && *increment_var == new.env.increment_var
        && *identity == new.identity
}
