//! What lies between two plans.

use std::sync::Arc;

use super::{AppSpec, EnvSpec, HealthSpec, Limits, Plan};

/// What has to be done to one application so that the new plan holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AppChange {
    /// It is new: start it.
    Add(Arc<AppSpec>),
    /// It is gone: stop it and forget it.
    Remove(Arc<AppSpec>),
    /// It has changed: run it again with the new spec.
    Replace {
        /// As it was.
        old: Arc<AppSpec>,
        /// The new spec.
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

/// Whether two specs differ in nothing that a process could feel, such as the number of instances:
/// those that run may go on.
pub fn same_but_instances(old: &AppSpec, new: &AppSpec) -> bool {
    std::ptr::eq(old, new)
        || AppSpec {
            instances: new.instances,
            max_memory: new.max_memory,
            schedule: new.schedule.clone(),
            watch: new.watch.clone(),
            order: new.order.clone(),
            ..old.clone()
        } == *new
}

/// Whether two specs of a task describe the same work: what it executes, with which variables, and as which
/// user. What it inherits from a command, and its handling of failures, do not change the work.
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

/// The parts in which two specs differ, by the names of their keys.
pub fn changed(old: &AppSpec, new: &AppSpec) -> Vec<&'static str> {
    // Taken apart by name, so that a new part of a spec cannot be forgotten here.
    let AppSpec {
        name: _,
        namespace,
        exec,
        instances,
        exec_mode,
        ipc,
        balance,
        listen,
        env,
        identity,
        limits,
        autostart,
        order,
        restart,
        max_memory,
        schedule,
        reload,
        stop,
        logs,
        pid_file,
        health: HealthSpec { liveness, readiness, heartbeat, notify },
        watch,
    } = new;
    let Limits { resources, nice, oom_score_adj, umask, no_new_privileges } = limits;
    // It comes with a heartbeat, too.
    let is_notify_news = *notify != old.health.notify && *heartbeat == old.health.heartbeat;
    [
        (*namespace != old.namespace, "namespace"),
        (exec.script != old.exec.script, "script"),
        (exec.args != old.exec.args, "args"),
        (exec.cwd != old.exec.cwd, "cwd"),
        (exec.interpreter != old.exec.interpreter, "interpreter"),
        (
            exec.interpreter_args != old.exec.interpreter_args || exec.source_maps != old.exec.source_maps,
            "interpreter_args",
        ),
        (exec.stdin != old.exec.stdin, "stdin"),
        (*instances != old.instances, "instances"),
        (*exec_mode != old.exec_mode, "exec_mode"),
        (*ipc != old.ipc, "ipc"),
        (*balance != old.balance, "balance"),
        (*listen != old.listen, "listen"),
        (*env != old.env, "env"),
        (*identity != old.identity, "user"),
        (*resources != old.limits.resources, "rlimits"),
        (*nice != old.limits.nice, "nice"),
        (*oom_score_adj != old.limits.oom_score_adj, "oom_score_adj"),
        (*umask != old.limits.umask, "umask"),
        (*no_new_privileges != old.limits.no_new_privileges, "no_new_privileges"),
        (*autostart != old.autostart, "autostart"),
        (order.depends_on != old.order.depends_on, "depends_on"),
        (order.oneshot != old.order.oneshot, "oneshot"),
        (*restart != old.restart, "restart policy"),
        (*max_memory != old.max_memory, "max_memory_restart"),
        (*schedule != old.schedule, "cron_restart"),
        (*reload != old.reload, "reload policy"),
        (*stop != old.stop, "stop policy"),
        (*logs != old.logs, "logs"),
        (*pid_file != old.pid_file, "pid_file"),
        (*liveness != old.health.liveness, "health"),
        (*readiness != old.health.readiness, "readiness"),
        (*heartbeat != old.health.heartbeat, "heartbeat"),
        (is_notify_news, "notify"),
        (*watch != old.watch, "watch"),
    ]
    .into_iter()
    .filter_map(|(differs, key)| differs.then_some(key))
    .collect()
}
