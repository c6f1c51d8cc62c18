//! A draft → an [`AppSpec`]: defaults, paths, the environment, and derived settings.
//!
//! Bases of relative paths:
//! - `cwd`, and its default: the directory of a TOML file, but the caller's working directory for PM2's formats, as
//!   in PM2;
//! - `script`, log files and `pid_file`: the app's `cwd`;
//! - `env_file`: the directory of the file that sets it;
//! - values of flags: the caller's working directory, except log files and `pid_file`, which use the app's `cwd` as
//!   in PM2.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    path::{Path, PathBuf},
};

use super::{
    build_context::{BuildContext, BuildOutput},
    draft::Draft,
    env_file,
    keys::{APP_KEYS, INSTANCE_VAR, TIME_FORMAT, all},
    mode,
    notices::Notices,
    order::WrittenDependency,
    origin::{AppSettings, EnvVar, Origin, Setting},
    path::{expand_home, resolve},
    problem::{Problem, Problems},
    sites,
    tree::{SourceLocation, shorten},
    value::{Dialect, EndsContainer},
};
use crate::spec::{
    AppSpec, Backoff, Condition, Dependency, EnvSpec, Exec, ExecMode, Identity, Instances, Interpreter,
    LogFiles, LogSpec, OnErrored, Order, ProbeTarget, Schedule, Signal, Stdin, UnreadFile,
    validate::MAX_DURATION,
};
use crate::sys::zone;

/// Builds the application `name`.
pub(super) fn build(
    mut draft: Draft,
    name: String,
    context: &BuildContext<'_>,
    output: &mut BuildOutput<'_>,
) -> (AppSpec, AppSettings) {
    defaults_of_pm2(&mut draft, context, output.notices);
    end_of_container(&mut draft);
    let cwd = working_directory(&draft, context);
    let interpreter = interpreter(&draft, context, output.notices);
    let Variables { values: variables, provenance, unread_files } =
        variables(&mut draft, &name, context, output);
    let exec = Exec {
        script: draft.script.clone().unwrap_or_default(),
        args: std::mem::take(&mut draft.args),
        interpreter,
        interpreter_args: std::mem::take(&mut draft.interpreter_args),
        source_maps: draft.source_maps,
        stdin: draft.stdin.unwrap_or_else(|| Stdin::default_for(draft.oneshot)),
        cwd: cwd.clone(),
    };
    let exec_mode = mode::decide(&mut draft, &name, &exec, &variables, context.environment, output);
    let merge = draft.merge_logs.unwrap_or_else(|| {
        // In PM2 the instances share their log files unless their number is set.
        draft.exec_mode != Some(ExecMode::Cluster) && draft.instances == Some(Instances::CpusMinus(0))
    });
    let in_cwd = |file: &Option<String>| {
        file.as_ref().map(|file| resolve(&cwd, &expand_home(file, context.environment)))
    };
    let date_format = date_format(&mut draft);
    let schedule = schedule(&draft, &name, context, output);
    let env = EnvSpec {
        caller: None,
        inherit: draft.inherit.clone(),
        vars: variables,
        instance_var: draft.instance_var.clone().unwrap_or_else(|| INSTANCE_VAR.to_owned()),
        increment_var: draft.increment_var.clone(),
        unread_files,
    };
    if draft.is_built_in {
        socket_of_site(&mut draft, &name, &exec.args, &env, context, output.problems);
    }
    let spec = AppSpec {
        name,
        namespace: draft.namespace.clone().unwrap_or_else(|| "default".to_owned()),
        instances: draft.instances.unwrap_or(Instances::Count(1)),
        exec_mode,
        ipc: !draft.no_ipc,
        node_metrics: !draft.no_node_metrics,
        balance: draft.balance.unwrap_or_default(),
        listen: std::mem::take(&mut draft.listen),
        env,
        identity: Identity { user: draft.user.clone(), group: draft.group.clone() },
        limits: std::mem::take(&mut draft.limits),
        autostart: !draft.no_autostart,
        // Whether the dependencies exist, and which conditions they can meet, is checked later.
        order: Order { depends_on: unconditional_dependencies(&draft.depends_on), oneshot: draft.oneshot },
        restart: {
            let mut restart = draft.restart.clone();
            restart.backoff = backoff(&draft);
            // In PM2, 0 and 1 both mean that there is no restart.
            restart.max_restarts = restart.max_restarts.max(1);
            restart
        },
        max_memory: draft.max_memory,
        schedule,
        reload: draft.reload.clone(),
        stop: draft.stop.clone(),
        logs: LogSpec {
            json: draft.json_logs,
            date_format,
            disabled: draft.disable_logs,
            files: LogFiles {
                out: in_cwd(&draft.out_file),
                error: in_cwd(&draft.error_file),
                combined: in_cwd(&draft.log_file),
                merge,
                ..draft.files.clone()
            },
        },
        pid_file: in_cwd(&draft.pid_file),
        ready_when: draft.ready_when,
        health: {
            let mut health = draft.health.clone();
            health.notify |= health.heartbeat.is_some() || draft.reload.wait_ready;
            health
        },
        watch: {
            let home = |path: &str| expand_home(path, context.environment);
            std::mem::take(&mut draft.watching).spec(&cwd, home)
        },
        exec,
    };
    let mut spec = spec;
    mode::only_one_listens(&spec, output.notices);
    report_shared_probe(&spec, output.notices);
    report_contradictions(&mut spec, &draft, context.dialect, output);
    let settings = settings(&spec, &draft, provenance);
    (spec, settings)
}

fn date_format(draft: &mut Draft) -> Option<String> {
    if draft.date_format.is_none() && draft.time {
        draft.origins.insert("log_date_format", Origin::Derived("time"));
        return Some(TIME_FORMAT.to_owned());
    }
    draft.date_format.clone()
}

/// Adds the socket of the built-in file server, unless the file sets others.
fn socket_of_site(
    draft: &mut Draft,
    name: &str,
    args: &[String],
    env: &EnvSpec,
    context: &BuildContext<'_>,
    problems: &mut Problems,
) {
    let of_caller = |name: &str| Some(context.environment.get(OsStr::new(name))?.to_str()?.to_owned());
    match sites::listen(draft, args, env, of_caller) {
        Ok(socket) => draft.listen.extend(socket),
        Err(why) => {
            let place = draft.origin("script").place().cloned();
            problems.push(Problem { place, message: format!("app `{name}`: {why}"), hint: None });
        }
    }
}

fn unconditional_dependencies(wanted: &[WrittenDependency]) -> Vec<Dependency> {
    let dependency =
        |wanted: &WrittenDependency| Dependency { app: wanted.app.clone(), condition: Condition::Started };
    wanted.iter().map(dependency).collect()
}

/// Reports settings of one application that contradict each other.
fn report_contradictions(spec: &mut AppSpec, draft: &Draft, dialect: Dialect, output: &mut BuildOutput<'_>) {
    let name = spec.name.clone();
    let mut wrong = |key: &'static str, what: &str, hint: &str, consequence: &str| {
        let place = draft.origin(key).place().cloned();
        let message = format!("`{key}` in app `{name}` {what}");
        let problem = Problem { place, message, hint: Some(hint.to_owned()) };
        output.notices.own_key(problem, consequence, dialect, output.problems);
    };
    if spec.order.oneshot && (spec.is_cluster() || !spec.listen.is_empty()) {
        let (what, hint) = if spec.is_cluster() {
            ("is a task that ends, but a worker of a cluster does not", "leave `exec_mode` out")
        } else {
            ("is a task that ends, but with `listen` it would serve", "leave one of them out")
        };
        wrong("oneshot", what, hint, "it is ignored");
        spec.order.oneshot = dialect == Dialect::Toml;
        spec.exec.stdin = draft.stdin.unwrap_or_else(|| Stdin::default_for(spec.order.oneshot));
    }
    let ends_on_failure = draft.ends_container.and_then(|when| match when {
        EndsContainer::Always | EndsContainer::OnFailure => Some(true),
        EndsContainer::Never => Some(false),
        EndsContainer::OnSuccess => None,
    });
    for (key, ends) in [("critical", draft.critical), ("ends_container", ends_on_failure)] {
        let contradiction = ends.map(|ends| if ends { OnErrored::Continue } else { OnErrored::Exit });
        if contradiction.is_some() && draft.explicit_on_errored == contradiction {
            let hint = "they set the same thing: leave one of them out";
            wrong(key, "contradicts its `on_errored`", hint, "the container ends");
        }
    }
}

/// Sets `on_errored` and `ends_on_success` from `critical` and `ends_container`.
fn end_of_container(draft: &mut Draft) {
    use EndsContainer::{Always, OnFailure, OnSuccess};
    let when = draft.ends_container;
    draft.restart.ends_on_success = matches!(when, Some(Always | OnSuccess));
    let by_condition = matches!(when, Some(Always | OnFailure));
    if by_condition || draft.critical == Some(true) {
        draft.restart.on_errored = OnErrored::Exit;
        let origin = draft.origin(if by_condition { "ends_container" } else { "critical" });
        draft.origins.entry("on_errored").or_insert(origin);
    }
}

/// Defaults that PM2 reads from its environment.
fn defaults_of_pm2(draft: &mut Draft, context: &BuildContext<'_>, notices: &mut Notices) {
    let variable = |name: &str| {
        let value = context.environment.get(OsStr::new(name)).filter(|value| !value.is_empty());
        value.map(|value| value.to_string_lossy())
    };
    let mut ignored = |name: &str, value: &str, wanted: &str| {
        notices
            .once(name, || format!("the variable {name} is ignored: `{}` is not a {wanted}", shorten(value)));
    };
    if draft.stop.kill_signal.is_none()
        && let Some(value) = variable("PM2_KILL_SIGNAL")
    {
        if let Some(signal) = Signal::parse(&value) {
            draft.stop.kill_signal = Some(signal);
            draft.origins.insert("kill_signal", Origin::Environment("PM2_KILL_SIGNAL".into()));
        } else {
            ignored("PM2_KILL_SIGNAL", &value, "signal such as SIGTERM");
        }
    }
    // As in PM2, any value except the empty string sets it, whatever the file sets.
    if variable("PM2_KILL_USE_MESSAGE").is_some() {
        draft.stop.with_message = true;
        draft.origins.insert("shutdown_with_message", Origin::Environment("PM2_KILL_USE_MESSAGE".into()));
    }
    if !draft.origins.contains_key("kill_timeout")
        && let Some(value) = variable("PM2_KILL_TIMEOUT")
    {
        match value.parse::<u32>() {
            Ok(0) => {}
            Ok(ms) => {
                let timeout = std::time::Duration::from_millis(ms.into());
                draft.stop.kill_timeout = timeout.min(MAX_DURATION);
                draft.origins.insert("kill_timeout", Origin::Environment("PM2_KILL_TIMEOUT".into()));
            }
            Err(_) => ignored("PM2_KILL_TIMEOUT", &value, "whole number of milliseconds"),
        }
    }
}

fn working_directory(draft: &Draft, context: &BuildContext<'_>) -> PathBuf {
    let base = match draft.origin("cwd") {
        Origin::Flag(_) => context.caller_cwd,
        _ => context.base,
    };
    match &draft.cwd {
        Some(cwd) => resolve(base, &expand_home(cwd, context.environment)),
        None => resolve(base, Path::new("")),
    }
}

fn interpreter(draft: &Draft, context: &BuildContext<'_>, notices: &mut Notices) -> Interpreter {
    if draft.is_built_in {
        return Interpreter::BuiltIn;
    }
    match draft.interpreter.as_deref() {
        None => Interpreter::Auto,
        Some("none") => Interpreter::None,
        // PM2 runs this version from nvm.
        Some(program) => match program.strip_prefix("node@") {
            None => Interpreter::Program(program.to_owned()),
            Some(version) => {
                let nvm = context.environment.get(OsStr::new("NVM_DIR")).and_then(|dir| dir.to_str());
                if let Some(nvm) = nvm {
                    return Interpreter::Program(format!("{nvm}/versions/node/v{version}/bin/node"));
                }
                notices.once("node@", || {
                    format!("`interpreter` needs node {version} of nvm, but NVM_DIR is not set: the node in PATH is used")
                });
                Interpreter::Program("node".to_owned())
            }
        },
    }
}

/// Warns about a `health` probe of a port that several instances share: any of them may respond.
fn report_shared_probe(spec: &AppSpec, notices: &mut Notices) {
    let probes_port = spec.health.liveness.as_ref().is_some_and(|probe| match probe.target {
        ProbeTarget::Http { .. } | ProbeTarget::Tcp(_) => true,
        ProbeTarget::Exec(_) | ProbeTarget::Shell(_) => false,
    });
    let is_shared = spec.can_overlap() && spec.instances != Instances::Count(1);
    if probes_port && is_shared && spec.health.heartbeat.is_none() {
        let name = &spec.name;
        notices.once("health", || {
            format!(
                "app `{name}`: its instances share a port, so a `health` probe reaches any of them and cannot \
                 find the one that hangs; use `heartbeat`"
            )
        });
    }
}

fn schedule(
    draft: &Draft,
    app: &str,
    context: &BuildContext<'_>,
    output: &mut BuildOutput<'_>,
) -> Option<Schedule> {
    let pattern = draft.cron.clone()?;
    let zone_name = draft.cron_timezone.clone();
    let tz = context.environment.get(OsStr::new("TZ")).and_then(|tz| tz.to_str()).map(str::to_owned);
    let file = match &zone_name {
        Some(name) => zone::file(name)?,
        None => zone::local_file(tz.as_deref()),
    };
    let theirs = zone_name.clone();
    let look_up = move || match theirs {
        Some(name) => zone::named(&name),
        None => zone::find_local(tz.as_deref()).map(Some),
    };
    let found = match output.lookups.run(&file, look_up) {
        Some(result) => result.map_err(|error| format!("failed: {error}")),
        // Built-in zones need no file.
        None => zone_name.as_deref().and_then(zone::built_in).map(Some).ok_or_else(|| "timed out".to_owned()),
    };
    let zone = found.unwrap_or_else(|why| {
        let what = format!("looking up its time zone {} {why}", file.display());
        output.unanswered(app, what, "its schedule begins when the zone is known");
        None
    });
    Some(Schedule { pattern, zone, zone_name })
}

fn backoff(draft: &Draft) -> Backoff {
    match (draft.backoff_delay, draft.restart_delay) {
        (Some(initial), _) if !initial.is_zero() => Backoff::Exponential { initial, first_at_once: false },
        (_, Some(delay)) => Backoff::Fixed(delay),
        _ => Backoff::DEFAULT,
    }
}

/// Variables that procrun sets for each worker. `process.env` of a file cannot change them.
const OWN_VARIABLES: [&str; 6] = ["PWD", "name", "namespace", "exec_mode", "instances", "pm_id"];

/// The variables that the file has set in its `process.env`. They count as inherited, as in PM2.
fn from_process_env<'a>(
    draft: &'a Draft,
    context: &'a BuildContext<'_>,
) -> impl Iterator<Item = EnvVar> + 'a {
    let instance_var = draft.instance_var.as_deref().unwrap_or(INSTANCE_VAR);
    let variables = context.process_env.iter().filter(move |(name, _)| {
        draft.inherit.takes(name) && !OWN_VARIABLES.contains(&name.as_str()) && name != instance_var
    });
    variables.map(|(name, value)| EnvVar {
        name: name.clone(),
        value: value.clone(),
        origin: Origin::Evaluated(SourceLocation { file: context.name.into(), position: None }),
    })
}

/// The variables of an application, each with its origin.
struct Variables {
    values: BTreeMap<String, String>,
    provenance: Vec<EnvVar>,
    unread_files: Vec<UnreadFile>,
}

/// Merges the file's `process.env`, `env_file`, `env`, `port` and `env_<name>`. A later one overrides.
fn variables(
    draft: &mut Draft,
    app: &str,
    context: &BuildContext<'_>,
    output: &mut BuildOutput<'_>,
) -> Variables {
    let mut merged: Vec<EnvVar> = from_process_env(draft, context).collect();
    let origin = draft.origin("env_file");
    // Each with the number of variables that are set before it.
    let mut unread: Vec<(UnreadFile, usize)> = Vec::new();
    for file in std::mem::take(&mut draft.env_files) {
        let before = merged.len();
        let timed_out = env_file::read(&file, app, &origin, context, output, &mut merged);
        unread.extend(timed_out.map(|file| (file, before)));
    }
    merged.append(&mut draft.env);
    if let Some(port) = draft.port {
        merged.push(EnvVar {
            name: "PORT".to_owned(),
            value: port.to_string(),
            origin: draft.origin("port"),
        });
    }
    for (name, variables) in std::mem::take(&mut draft.named_envs) {
        if context.env_name == Some(name.as_str()) {
            merged.extend(variables);
        }
    }
    if let Some(variable) = &draft.increment_var
        && !merged.iter().any(|it| it.name == *variable)
    {
        let origin = Origin::Derived("increment_var");
        merged.push(EnvVar { name: variable.clone(), value: "0".to_owned(), origin });
    }
    let keeps = |before: usize| merged[before..].iter().map(|variable| variable.name.clone()).collect();
    let unread_files =
        unread.into_iter().map(|(file, before)| UnreadFile { keeps: keeps(before), ..file }).collect();
    let mut variables = BTreeMap::new();
    let mut provenance: BTreeMap<String, EnvVar> = BTreeMap::new();
    for variable in merged {
        variables.insert(variable.name.clone(), variable.value.clone());
        provenance.insert(variable.name.clone(), variable);
    }
    Variables { values: variables, provenance: provenance.into_values().collect(), unread_files }
}

fn settings(spec: &AppSpec, draft: &Draft, variables: Vec<EnvVar>) -> AppSettings {
    let keys = all(APP_KEYS).filter_map(|key| {
        let value = (key.show)(spec)?;
        let origin = match (key.name, draft.origin(key.name)) {
            ("name", Origin::Default) => Origin::Derived("script"),
            (_, origin) => origin,
        };
        Some(Setting { key: key.name.to_owned(), value, origin })
    });
    let variables = variables.into_iter().map(|variable| Setting {
        key: format!("env.{}", variable.name),
        value: variable.value,
        origin: variable.origin,
    });
    AppSettings { name: spec.name.clone(), settings: keys.chain(variables).collect() }
}
