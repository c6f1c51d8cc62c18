//! Whether an application is a cluster, and the effects for its instances.
//!
//! The mode is decided here, once, and is part of the spec: a start never changes it. [`program`] finds the
//! kind of the script from the file as it is now.

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
};

use super::{draft::Draft, notices::Notices, origin::Origin};
use crate::{
    program::{self, Around},
    spec::{AppSpec, Exec, ExecMode, Instances, ProgramKind, placeholder},
};

/// Decides `exec_mode`. An impossible cluster becomes plain processes, with a warning that has the reason.
pub(super) fn decide(
    draft: &mut Draft,
    name: &str,
    exec: &Exec,
    variables: &BTreeMap<String, String>,
    environment: &BTreeMap<OsString, OsString>,
    notices: &mut Notices,
) -> ExecMode {
    if draft.is_built_in {
        // Its instances share a socket anyway.
        return ExecMode::Fork;
    }
    let look = Around::new(|name| {
        variables.get(name).map(OsString::from).or_else(|| environment.get(OsStr::new(name)).cloned())
    });
    let found = program::resolve(exec, draft.exec_mode.unwrap_or(ExecMode::Fork), &look);
    let kind = match &found {
        Ok(command) => Some(command.kind),
        Err(_) => program::kind_by_name(exec),
    };
    if found.is_ok_and(|command| command.is_direct) && !exec.interpreter_args.is_empty() {
        notices.add(format!(
            "app `{name}`: `interpreter_args` has no effect, because no interpreter runs `{}`",
            exec.script
        ));
    }
    if draft.stop.with_message && kind.is_some_and(|kind| !kind.may_take_messages()) {
        notices.add(format!(
            "app `{name}` does not run on Node: it is stopped by a signal, not by a message \
             (`shutdown_with_message`)"
        ));
    }
    match draft.exec_mode {
        Some(ExecMode::Cluster) => {
            let Some(why) = obstacle(exec, kind, &look) else { return ExecMode::Cluster };
            let instances = if draft.instances.is_some_and(|count| count != Instances::Count(1)) {
                "its instances run as plain processes, of which only one can listen on a port"
            } else {
                "it runs as a plain process"
            };
            notices.add(format!("app `{name}` cannot be a cluster: {why}; {instances}"));
            draft.origins.insert("exec_mode", Origin::Derived("script"));
            ExecMode::Fork
        }
        // A task ends, and a worker of a cluster does not.
        None if !draft.oneshot && draft.instances.is_some() && program::clusters_by_default(exec, &look) => {
            draft.origins.insert("exec_mode", Origin::Derived("instances"));
            ExecMode::Cluster
        }
        Some(ExecMode::Fork) | None => ExecMode::Fork,
    }
}

/// Why it cannot be a cluster, as far as that is known: a file that is not there yet is taken at its word.
fn obstacle(exec: &Exec, kind: Option<ProgramKind>, look: &Around) -> Option<String> {
    match program::resolve(exec, ExecMode::Cluster, look) {
        Ok(_) => None,
        Err(failure) => failure.no_cluster.or_else(|| {
            let is_known = kind.is_some_and(|kind| !kind.can_cluster());
            is_known.then(|| format!("`{}` does not run on Node", exec.script))
        }),
    }
}

/// Warns when several plain processes listen on one port.
pub(super) fn only_one_listens(spec: &AppSpec, notices: &mut Notices) {
    let is_alone = spec.instances == Instances::Count(1);
    if is_alone
        || spec.can_overlap()
        || spec.order.oneshot
        || spec.env.increment_var.as_deref() == Some("PORT")
    {
        return;
    }
    if let Some(port) = spec.env.vars.get("PORT").filter(|port| !port.contains(placeholder::INSTANCE)) {
        notices.add(format!(
            "app `{}`: its instances are plain processes and all get PORT={port}, but only one of them can \
             listen there; `exec_mode` \"cluster\" lets workers of Node share a port, `listen` any others, and \
             PORT=\"300{{instance}}\" gives each one its own",
            spec.name
        ));
    }
}
