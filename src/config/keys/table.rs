//! The key table: every key an ecosystem file may hold. What a new key needs is a row here.
//!
//! It holds no control flow.

use std::{path::Path, time::Duration};

use super::{
    super::{
        draft::{Draft, RuntimeDraft},
        health, listen, order, watching,
    },
    Key, Kind, OutOfRange, Owner, ZeroMeans,
};
use crate::spec::{
    AppSpec, Backoff, Balance, ByteSize, ExecMode, HumanDuration, InheritEnv, Instances, Interpreter,
    LogStyle, MemoryLimit, OnErrored, OomGuard, PrincipalRef, RunCgroup, Runtime, Stdin, StopSignalScope,
    TerminationLog, Verbosity,
    validate::{MAX_COUNT, MAX_RESTARTS, MIN_LOG_SIZE, NICE, OOM_SCORE_ADJ},
};

const fn app(
    name: &'static str,
    aliases: &'static [&'static str],
    kind: Kind<Draft>,
    show: fn(&AppSpec) -> Option<String>,
) -> Key<Draft, AppSpec> {
    Key { name, aliases, kind, show, owner: Owner::Pm2 }
}

/// A key that PM2 does not have.
const fn own(
    name: &'static str,
    aliases: &'static [&'static str],
    kind: Kind<Draft>,
    show: fn(&AppSpec) -> Option<String>,
) -> Key<Draft, AppSpec> {
    Key { name, aliases, kind, show, owner: Owner::Procrun }
}

const fn of_pm2(name: &'static str) -> Key<Draft, AppSpec> {
    Key { name, aliases: &[], kind: Kind::Unsupported, show: nothing, owner: Owner::Pm2 }
}

const fn runtime(
    name: &'static str,
    kind: Kind<RuntimeDraft>,
    show: fn(&Runtime) -> Option<String>,
) -> Key<RuntimeDraft, Runtime> {
    Key { name, aliases: &[], kind, show, owner: Owner::Procrun }
}

fn nothing(_: &AppSpec) -> Option<String> {
    None
}

#[expect(clippy::unnecessary_wraps, clippy::needless_pass_by_value, reason = "as the table wants it")]
fn shown(text: impl ToString) -> Option<String> {
    Some(text.to_string())
}

fn quoted(words: &[String]) -> Option<String> {
    (!words.is_empty()).then(|| format!("{words:?}"))
}

/// `1500` ms as `1.5s`.
pub(in crate::config) fn readable(duration: Duration) -> String {
    HumanDuration(duration).exact()
}

fn principal(principal: Option<&PrincipalRef>) -> Option<String> {
    principal.map(|principal| match principal {
        PrincipalRef::Id(id) => id.to_string(),
        PrincipalRef::Name(name) => name.clone(),
    })
}

fn is_waited_for(app: &AppSpec) -> bool {
    app.reload.wait_ready || app.can_overlap() || app.health.gate().is_some()
}

fn has_files(app: &AppSpec) -> bool {
    let files = &app.logs.files;
    files.out.is_some() || files.error.is_some() || files.combined.is_some()
}

/// As the file will be called: `<instance>` and `<id>` stand for what differs.
fn log_name(app: &AppSpec, path: &Path) -> String {
    app.log_file_of_instance(path, "<instance>", "<id>").display().to_string()
}

/// All keys of an application, in the order in which they are shown.
pub(in crate::config) static APP_KEYS: &[Key<Draft, AppSpec>] = &[
    app("name", &[], Kind::Label(|app, name| app.name = Some(name)), |app| shown(&app.name)),
    app("name_prefix", &[], Kind::Label(|app, prefix| app.name_prefix = Some(prefix)), nothing),
    app("append_env_to_name", &[], Kind::Switch(|app, on| app.append_env_to_name = on), nothing),
    app("namespace", &[], Kind::Label(|app, name| app.namespace = Some(name)), |app| shown(&app.namespace)),
    app("script", &["exec", "cmd", "command"], Kind::Text(|app, script| app.script = Some(script)), |app| {
        shown(&app.exec.script)
    }),
    app("args", &[], Kind::Words(|app, args| app.args = args), |app| quoted(&app.exec.args)),
    app("cwd", &[], Kind::Text(|app, cwd| app.cwd = Some(cwd)), |app| shown(app.exec.cwd.display())),
    app(
        "interpreter",
        &["exec_interpreter"],
        Kind::Text(|app, program| app.interpreter = Some(program)),
        |app| match &app.exec.interpreter {
            Interpreter::Auto => shown("by the file's type"),
            Interpreter::None => shown("none"),
            Interpreter::Program(program) => shown(program),
            Interpreter::BuiltIn => shown("procrun itself"),
        },
    ),
    app("interpreter_args", &["node_args"], Kind::Words(|app, args| app.interpreter_args = args), |app| {
        quoted(&app.exec.interpreter_args)
    }),
    app("source_map_support", &[], Kind::Switch(|app, on| app.source_maps = Some(on)), |app| {
        app.exec.source_maps.map(|on| on.to_string())
    }),
    own(
        "stdin",
        &[],
        Kind::Choice(&[
            ("open", |app| app.stdin = Some(Stdin::Open)),
            ("null", |app| app.stdin = Some(Stdin::Null)),
        ]),
        |app| {
            let stdin = app.exec.stdin;
            (stdin != Stdin::default_for(app.order.oneshot)).then(|| stdin.as_str().to_owned())
        },
    ),
    app(
        "disable_source_map_support",
        &[],
        Kind::Switch(|app, off| app.source_maps = if off { Some(false) } else { app.source_maps }),
        nothing,
    ),
    app("instances", &[], Kind::Instances(|app, instances| app.instances = Some(instances)), |app| match app
        .instances
    {
        Instances::Count(count) => shown(count),
        Instances::CpusMinus(0) => shown("one per CPU"),
        Instances::CpusMinus(less) => Some(format!("one per CPU less {less}")),
    }),
    app(
        "exec_mode",
        &[],
        Kind::Choice(&[
            ("fork", |app| app.exec_mode = Some(ExecMode::Fork)),
            ("cluster", |app| app.exec_mode = Some(ExecMode::Cluster)),
            ("fork_mode", |app| app.exec_mode = Some(ExecMode::Fork)),
            ("cluster_mode", |app| app.exec_mode = Some(ExecMode::Cluster)),
        ]),
        |app| shown(app.exec_mode.as_str().trim_end_matches("_mode")),
    ),
    own("ipc", &[], Kind::Switch(|app, on| app.no_ipc = !on), |app| (!app.ipc).then(|| "false".to_owned())),
    own(
        "balance",
        &[],
        Kind::Choice(&[
            ("auto", |app| app.balance = Some(Balance::Auto)),
            ("round-robin", |app| app.balance = Some(Balance::RoundRobin)),
            ("shared", |app| app.balance = Some(Balance::Shared)),
            ("sticky", |app| app.balance = Some(Balance::Sticky)),
        ]),
        |app| app.is_cluster().then(|| app.balance.as_str().to_owned()),
    ),
    own("listen", &[], Kind::Listen(|app, sockets| app.listen = sockets), |app| {
        listen::shown_all(&app.listen)
    }),
    app("uid", &["user"], Kind::Principal(|app, user| app.user = Some(user)), |app| {
        principal(app.identity.user.as_ref())
    }),
    app("gid", &[], Kind::Principal(|app, group| app.group = Some(group)), |app| {
        principal(app.identity.group.as_ref())
    }),
    own("rlimits", &[], Kind::Rlimits(|app, resources| app.limits.resources = resources), |app| {
        app.limits.show("rlimits")
    }),
    own("nice", &[], Kind::Whole(NICE.0, NICE.1, |app, nice| app.limits.nice = Some(nice)), |app| {
        app.limits.show("nice")
    }),
    own(
        "oom_score_adj",
        &[],
        Kind::Whole(OOM_SCORE_ADJ.0, OOM_SCORE_ADJ.1, |app, adjustment| {
            app.limits.oom_score_adj = Some(adjustment);
        }),
        |app| app.limits.show("oom_score_adj"),
    ),
    own("umask", &[], Kind::Umask(|app, umask| app.limits.umask = Some(umask)), |app| {
        app.limits.show("umask")
    }),
    own("no_new_privileges", &[], Kind::Switch(|app, on| app.limits.no_new_privileges = on), |app| {
        app.limits.show("no_new_privileges")
    }),
    app("autostart", &[], Kind::Switch(|app, on| app.no_autostart = !on), |app| shown(app.autostart)),
    own("depends_on", &[], Kind::DependsOn(|app, wanted| app.depends_on = wanted), |app| {
        (!app.order.depends_on.is_empty()).then(|| order::shown(&app.order.depends_on))
    }),
    own("oneshot", &[], Kind::Switch(|app, on| app.oneshot = on), |app| {
        app.order.oneshot.then(|| "true".to_owned())
    }),
    app("autorestart", &[], Kind::Switch(|app, on| app.restart.autorestart = on), |app| {
        shown(app.restart.autorestart)
    }),
    app("stop_exit_codes", &[], Kind::Codes(|app, codes| app.restart.stop_exit_codes = codes), |app| {
        let codes = &app.restart.stop_exit_codes;
        (!codes.is_empty()).then(|| format!("{codes:?}"))
    }),
    app(
        "restart_delay",
        &[],
        Kind::Duration(|app, delay| app.restart_delay = Some(delay), ZeroMeans::IsUnset),
        |app| match app.restart.backoff {
            Backoff::Fixed(delay) => shown(readable(delay)),
            Backoff::Exponential { .. } => None,
        },
    ),
    app(
        "exp_backoff_restart_delay",
        &[],
        Kind::Duration(|app, delay| app.backoff_delay = Some(delay), ZeroMeans::IsUnset),
        |app| match app.restart.backoff {
            Backoff::Fixed(_) => None,
            Backoff::Exponential { initial, first_at_once } => Some(format!(
                "{}{}, growing to 15s",
                if first_at_once { "at once, then " } else { "" },
                readable(initial)
            )),
        },
    ),
    app(
        "min_uptime",
        &[],
        Kind::Duration(|app, time| app.restart.min_uptime = time, ZeroMeans::Counts),
        |app| shown(readable(app.restart.min_uptime)),
    ),
    app(
        "max_restarts",
        &[],
        Kind::Count(0, MAX_RESTARTS, OutOfRange::IsNearest, |app, count| app.restart.max_restarts = count),
        |app| shown(app.restart.max_restarts),
    ),
    own(
        "on_errored",
        &[],
        Kind::Choice(&[
            ("continue", |app| app.on_errored(OnErrored::Continue)),
            ("exit", |app| app.on_errored(OnErrored::Exit)),
        ]),
        |app| match app.restart.on_errored {
            OnErrored::Continue => shown("continue"),
            OnErrored::Exit => shown("exit"),
        },
    ),
    own("critical", &[], Kind::Switch(|app, on| app.critical = Some(on)), nothing),
    own("ends_container", &[], Kind::EndsContainer(|app, when| app.ends_container = Some(when)), |app| {
        let is_always = app.restart.on_errored == OnErrored::Exit;
        app.restart.ends_on_success.then(|| if is_always { "true" } else { "on_success" }.to_owned())
    }),
    app("max_memory_restart", &[], Kind::Memory(|app, limit| app.max_memory = limit), |app| {
        app.max_memory.map(|limit| match limit {
            MemoryLimit::Bytes(_) => limit.to_string(),
            MemoryLimit::Share(_) => format!("{limit} of the container's memory"),
        })
    }),
    app("cron_restart", &["cron"], Kind::Cron(|app, pattern| app.cron = pattern), |app| {
        app.schedule.as_ref().and_then(|schedule| shown(schedule.pattern.as_str()))
    }),
    own("cron_timezone", &[], Kind::Zone(|app, zone| app.cron_timezone = Some(zone)), |app| {
        let name = app.schedule.as_ref()?.zone_name.as_deref();
        shown(name.unwrap_or("local time"))
    }),
    app("wait_ready", &[], Kind::Switch(|app, on| app.reload.wait_ready = on), |app| {
        app.reload.wait_ready.then(|| "true".to_owned())
    }),
    app(
        "listen_timeout",
        &[],
        Kind::Duration(|app, time| app.reload.listen_timeout = time, ZeroMeans::IsUnset),
        |app| is_waited_for(app).then(|| readable(app.reload.listen_timeout)),
    ),
    own(
        "max_parallel",
        &[],
        Kind::Count(1, MAX_COUNT, OutOfRange::IsWrong, |app, count| app.reload.max_parallel = count),
        |app| app.can_overlap().then(|| app.reload.max_parallel.to_string()),
    ),
    own("health", &[], Kind::Probe(|app, probe| app.health.liveness = probe), |app| {
        app.health.liveness.as_ref().map(|probe| health::shown(probe, readable))
    }),
    own("readiness", &[], Kind::Probe(|app, probe| app.health.readiness = probe), |app| {
        app.health.readiness.as_ref().map(|probe| health::shown(probe, readable))
    }),
    own("heartbeat", &[], Kind::DurationOrOff(|app, time| app.health.heartbeat = time), |app| {
        app.health.heartbeat.map(readable)
    }),
    own("notify", &[], Kind::Switch(|app, on| app.health.notify = on), |app| {
        let is_implied = app.health.heartbeat.is_some() || app.reload.wait_ready;
        (app.health.notify && !is_implied).then(|| "true".to_owned())
    }),
    own("kill_signal", &[], Kind::Signal(|app, signal| app.stop.kill_signal = Some(signal)), |app| {
        app.stop.kill_signal.map_or_else(|| shown("the one procrun gets"), shown)
    }),
    own(
        "stop_signal_scope",
        &[],
        Kind::Choice(&[
            ("auto", |app| app.stop.signal_scope = StopSignalScope::Auto),
            ("main", |app| app.stop.signal_scope = StopSignalScope::Main),
            ("group", |app| app.stop.signal_scope = StopSignalScope::Group),
            ("tree", |app| app.stop.signal_scope = StopSignalScope::Tree),
        ]),
        |app| {
            let scope = app.stop.signal_scope;
            (scope != StopSignalScope::Auto).then(|| scope.as_str().to_owned())
        },
    ),
    app(
        "kill_timeout",
        &[],
        Kind::Duration(|app, time| app.stop.kill_timeout = time, ZeroMeans::IsUnset),
        |app| shown(readable(app.stop.kill_timeout)),
    ),
    app("shutdown_with_message", &[], Kind::Switch(|app, on| app.stop.with_message = on), |app| {
        app.stop.with_message.then(|| "true".to_owned())
    }),
    own("drain", &[], Kind::DurationOrOff(|app, time| app.stop.drain = time), |app| {
        app.is_cluster().then(|| app.stop.drain.map_or_else(|| "off".to_owned(), readable))
    }),
    app("treekill", &[], Kind::Switch(|app, on| app.stop.treekill = on), |app| shown(app.stop.treekill)),
    app("out_file", &["out_log", "output", "out"], Kind::LogFile(|app, file| app.out_file = file), |app| {
        app.logs.files.out.as_deref().map(|path| log_name(app, path))
    }),
    app(
        "error_file",
        &["err_log", "err_file", "err", "error"],
        Kind::LogFile(|app, file| app.error_file = file),
        |app| app.logs.files.error.as_deref().map(|path| log_name(app, path)),
    ),
    app("log_file", &["log"], Kind::LogFile(|app, file| app.log_file = file), |app| {
        app.logs.files.combined.as_deref().map(|path| log_name(app, path))
    }),
    app("merge_logs", &["combine_logs"], Kind::Switch(|app, on| app.merge_logs = Some(on)), |app| {
        has_files(app).then(|| app.logs.files.merge.to_string())
    }),
    own("log_max_size", &[], Kind::Size(MIN_LOG_SIZE, |app, size| app.files.max_size = size), |app| {
        has_files(app).then(|| ByteSize(app.logs.files.max_size).exact())
    }),
    own(
        "log_keep",
        &[],
        Kind::Count(0, MAX_COUNT, OutOfRange::IsWrong, |app, count| app.files.keep = count),
        |app| has_files(app).then(|| app.logs.files.keep.to_string()),
    ),
    own("log_compress", &[], Kind::Switch(|app, on| app.files.compress = on), |app| {
        has_files(app).then(|| app.logs.files.compress.to_string())
    }),
    app(
        "log_type",
        &[],
        Kind::Hint(&[("json", |app| app.json_logs = true), ("raw", |app| app.json_logs = false)]),
        |app| app.logs.json.then(|| "json".to_owned()),
    ),
    app("log_date_format", &[], Kind::Label(|app, format| app.date_format = Some(format)), |app| {
        app.logs.date_format.clone()
    }),
    app("time", &[], Kind::Switch(|app, on| app.time = on), nothing),
    app("disable_logs", &[], Kind::Switch(|app, on| app.disable_logs = on), |app| {
        app.logs.disabled.then(|| "true".to_owned())
    }),
    app("pid_file", &["pid"], Kind::PidFile(|app, file| app.pid_file = Some(file)), |app| {
        app.pid_file_of_instance("<instance>", "<id>").map(|path| path.display().to_string())
    }),
    app("filter_env", &[], Kind::Filter(|app, inherit| app.inherit = inherit), |app| {
        match &app.env.inherit {
            InheritEnv::All => None,
            InheritEnv::Without(parts) => quoted(parts),
            InheritEnv::WithoutName(name) => shown(name),
            InheritEnv::Nothing => shown("true"),
        }
    }),
    own("env_file", &[], Kind::EnvFiles(|app, files| app.env_files = files), nothing),
    app("env", &[], Kind::Environment(|app, env| app.env.extend(env)), nothing),
    app("port", &[], Kind::Count(0, 65535, OutOfRange::IsWrong, |app, port| app.port = Some(port)), nothing),
    app("instance_var", &[], Kind::Variable(|app, name| app.instance_var = Some(name)), |app| {
        shown(&app.env.instance_var)
    }),
    app("increment_var", &[], Kind::Variable(|app, name| app.increment_var = Some(name)), |app| {
        app.env.increment_var.clone()
    }),
    app("force", &[], Kind::Ignored, nothing),
    app("watch", &[], Kind::Watch(|app, paths| app.watching.paths = paths), |app| {
        let paths: Vec<String> =
            app.watch.iter().flat_map(|watch| &watch.paths).map(|path| path.display().to_string()).collect();
        quoted(&paths)
    }),
    app("ignore_watch", &[], Kind::Patterns(|app, patterns| app.watching.ignore = patterns), |app| {
        app.watch.as_ref().and_then(|watch| quoted(&watch.ignore))
    }),
    app("watch_delay", &[], Kind::Delay(|app, delay| app.watching.delay = Some(delay)), |app| {
        app.watch.as_ref().map(|watch| readable(watch.delay))
    }),
    app("watch_options", &[], Kind::WatchOptions(|app, options| app.watching.options = options), |app| {
        app.watch.as_ref().and_then(|watch| watching::show_options(watch, readable))
    }),
    of_pm2("vizion"),
    of_pm2("pmx"),
    of_pm2("automation"),
    of_pm2("trace"),
    of_pm2("disable_trace"),
    of_pm2("v8"),
    of_pm2("deep_monitoring"),
    of_pm2("event_loop_inspector"),
    of_pm2("io"),
    of_pm2("post_update"),
    of_pm2("windowsHide"),
    of_pm2("install_url"),
    of_pm2("write"),
    of_pm2("username"),
    of_pm2("kill_retry_time"),
    of_pm2("execute_command"),
];

/// What `time = true` stands for, in PM2 too.
pub(in crate::config) const TIME_FORMAT: &str = "YYYY-MM-DDTHH:mm:ss";

/// procrun's own keys, which stand beside `apps` at the root.
pub(in crate::config) static RUNTIME_KEYS: &[Key<RuntimeDraft, Runtime>] =
    &[
        runtime("auto_exit", Kind::Switch(|draft, on| draft.runtime.auto_exit = on), |runtime| {
            shown(runtime.auto_exit)
        }),
        runtime(
            "start_delay",
            Kind::Duration(|draft, delay| draft.runtime.start_delay = delay, ZeroMeans::Counts),
            |runtime| (!runtime.start_delay.is_zero()).then(|| readable(runtime.start_delay)),
        ),
        runtime(
            "shutdown_timeout",
            Kind::Duration(
                |draft, time| draft.runtime.shutdown_timeout = Some(time).filter(|time| !time.is_zero()),
                ZeroMeans::Counts,
            ),
            |runtime| runtime.shutdown_timeout.map(readable),
        ),
        runtime(
            "pre_stop_delay",
            Kind::Duration(|draft, delay| draft.runtime.pre_stop_delay = delay, ZeroMeans::Counts),
            |runtime| (!runtime.pre_stop_delay.is_zero()).then(|| readable(runtime.pre_stop_delay)),
        ),
        runtime("oom_guard", Kind::Guard(|draft, guard| draft.runtime.oom_guard = guard), |runtime| {
            match runtime.oom_guard {
                guard if guard == OomGuard::default() => None,
                OomGuard::At(share) => shown(share),
                OomGuard::Off => shown(false),
            }
        }),
        runtime(
            "cgroup",
            Kind::AutoSwitch(|draft, on| {
                draft.runtime.cgroup = match on {
                    None => RunCgroup::Auto,
                    Some(true) => RunCgroup::Always,
                    Some(false) => RunCgroup::Never,
                };
            }),
            |runtime| match runtime.cgroup {
                RunCgroup::Auto => None,
                RunCgroup::Always => shown(true),
                RunCgroup::Never => shown(false),
            },
        ),
        runtime(
            "termination_log",
            Kind::LogFile(|draft, file| {
                draft.runtime.termination_log =
                    file.map_or(TerminationLog::Off, |file| TerminationLog::File(file.into()));
            }),
            |runtime| match &runtime.termination_log {
                TerminationLog::IfThere => None,
                TerminationLog::File(file) => shown(file.display()),
                TerminationLog::Off => shown("false"),
            },
        ),
        runtime(
            "log_format",
            Kind::Choice(&[
                ("prefix", |draft| draft.runtime.log.style = LogStyle::Prefix),
                ("raw", |draft| draft.runtime.log.style = LogStyle::Raw),
                ("json", |draft| draft.runtime.log.style = LogStyle::Json),
                ("keyvalue", |draft| draft.runtime.log.style = LogStyle::KeyValue),
            ]),
            |runtime| {
                shown(match runtime.log.style {
                    LogStyle::Prefix => "prefix",
                    LogStyle::Raw => "raw",
                    LogStyle::Json => "json",
                    LogStyle::KeyValue => "keyvalue",
                })
            },
        ),
        runtime(
            "log_date_format",
            Kind::Label(|draft, format| draft.runtime.log.date_format = Some(format)),
            |runtime| runtime.log.date_format.clone(),
        ),
        runtime("time", Kind::Switch(|draft, on| draft.time = on), |_| None),
        runtime(
            "log_history_lines",
            Kind::Count(0, 1_000_000, OutOfRange::IsWrong, |draft, count| {
                draft.runtime.log.history.lines = count;
            }),
            |runtime| shown(runtime.log.history.lines),
        ),
        runtime(
            "log_history_size",
            Kind::Size(16 * 1024, |draft, size| draft.runtime.log.history.bytes = size),
            |runtime| shown(ByteSize(runtime.log.history.bytes).exact()),
        ),
        runtime(
            "log_level",
            Kind::Choice(&[
                ("off", |draft| draft.runtime.log.verbosity = Verbosity::Off),
                ("error", |draft| draft.runtime.log.verbosity = Verbosity::Error),
                ("warn", |draft| draft.runtime.log.verbosity = Verbosity::Warn),
                ("info", |draft| draft.runtime.log.verbosity = Verbosity::Info),
                ("debug", |draft| draft.runtime.log.verbosity = Verbosity::Debug),
                ("trace", |draft| draft.runtime.log.verbosity = Verbosity::Trace),
            ]),
            |runtime| {
                shown(match runtime.log.verbosity {
                    Verbosity::Off => "off",
                    Verbosity::Error => "error",
                    Verbosity::Warn => "warn",
                    Verbosity::Info => "info",
                    Verbosity::Debug => "debug",
                    Verbosity::Trace => "trace",
                })
            },
        ),
    ];
