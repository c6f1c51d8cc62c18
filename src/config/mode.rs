//! Decides whether an application is a cluster, and checks the consequences for its instances.
//!
//! The mode is part of the spec: a start never changes it. [`program`] finds the kind of the script from the file as
//! it is now.

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
};

use super::{build_context::BuildOutput, draft::Draft, notices::Notices, origin::Origin};
use crate::{
    program::{self, LookupContext},
    spec::{AppSpec, Exec, ExecMode, Instances, ProgramKind, placeholder},
};

/// Decides `exec_mode`. An impossible cluster becomes plain processes, with a warning that has the reason.
pub(super) fn decide(
    draft: &mut Draft,
    name: &str,
    exec: &Exec,
    variables: &BTreeMap<String, String>,
    environment: &BTreeMap<OsString, OsString>,
    output: &mut BuildOutput<'_>,
) -> ExecMode {
    if draft.is_built_in {
        // Its instances share a held socket.
        return ExecMode::Fork;
    }
    // A task ends; a worker of a cluster does not.
    let may_cluster = draft.exec_mode.is_none() && !draft.oneshot && draft.instances.is_some();
    let depends_on_file = may_cluster
        || draft.exec_mode == Some(ExecMode::Cluster)
        || draft.stop.with_message
        || !exec.interpreter_args.is_empty();
    if !depends_on_file {
        return ExecMode::Fork;
    }
    let context = LookupContext::new(|name| {
        variables.get(name).map(OsString::from).or_else(|| environment.get(OsStr::new(name)).cloned())
    });
    let (look_up, mode) = (exec.clone(), draft.exec_mode);
    let path = exec.cwd.join(&exec.script);
    let found = output.lookups.run(&path, move || Found::look_up(&look_up, mode, may_cluster, &context));
    let found = found.unwrap_or_else(|| Err("timed out".to_owned()));
    let Found { kind, is_direct, obstacle, clusters } = found.unwrap_or_else(|why| {
        let what = format!("looking up its script {} {why}", path.display());
        let consequence = "`exec_mode` is decided by the name of the script";
        output.unanswered(name, what, consequence);
        Found::by_name(exec)
    });
    let notices = &mut *output.notices;
    if is_direct && !exec.interpreter_args.is_empty() {
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
            let Some(why) = obstacle else { return ExecMode::Cluster };
            let instances = if draft.instances.is_some_and(|count| count != Instances::Count(1)) {
                "its instances run as plain processes, of which only one can listen on a port"
            } else {
                "it runs as a plain process"
            };
            notices.add(format!("app `{name}` cannot be a cluster: {why}; {instances}"));
            draft.origins.insert("exec_mode", Origin::Derived("script"));
            ExecMode::Fork
        }
        None if may_cluster && clusters => {
            draft.origins.insert("exec_mode", Origin::Derived("instances"));
            ExecMode::Cluster
        }
        Some(ExecMode::Fork) | None => ExecMode::Fork,
    }
}

/// The facts about an application that its files show.
struct Found {
    kind: Option<ProgramKind>,
    /// No interpreter runs the script.
    is_direct: bool,
    /// Why it cannot be a cluster. A file that does not exist yet is no obstacle.
    obstacle: Option<String>,
    /// Several instances of it run as a cluster by default.
    clusters: bool,
}

impl Found {
    /// Reads the files. An error means that the facts are unknown at the moment.
    fn look_up(
        exec: &Exec,
        mode: Option<ExecMode>,
        may_cluster: bool,
        context: &LookupContext,
    ) -> Result<Self, String> {
        let found = program::resolve(exec, mode.unwrap_or(ExecMode::Fork), context);
        if let Err(failure) = &found
            && failure.is_shortage
        {
            return Err(format!("failed: {failure}"));
        }
        let kind = match &found {
            Ok(command) => Some(command.kind),
            Err(_) => program::kind_by_name(exec),
        };
        Ok(Self {
            kind,
            is_direct: found.is_ok_and(|command| command.is_direct),
            obstacle: match mode {
                Some(ExecMode::Cluster) => match program::resolve(exec, ExecMode::Cluster, context) {
                    Ok(_) => None,
                    Err(failure) => failure.no_cluster.or_else(|| not_on_node(exec, kind)),
                },
                Some(ExecMode::Fork) | None => None,
            },
            clusters: may_cluster && program::clusters_by_default(exec, context),
        })
    }

    /// The facts that the name of the script shows.
    fn by_name(exec: &Exec) -> Self {
        let kind = program::kind_by_name(exec);
        let obstacle = not_on_node(exec, kind);
        Self { kind, is_direct: false, obstacle, clusters: kind.is_some_and(ProgramKind::can_cluster) }
    }
}

fn not_on_node(exec: &Exec, kind: Option<ProgramKind>) -> Option<String> {
    let is_known = kind.is_some_and(|kind| !kind.can_cluster());
    is_known.then(|| format!("`{}` does not run on Node", exec.script))
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
