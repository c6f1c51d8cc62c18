//! Instances as JSON: `describe --json`, and PM2's `jlist`.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::snapshot::InstanceDetails;
use crate::{
    config::{non_default_settings, shown_checks},
    spec::{AppSpec, Backoff, MemoryLimit, PrincipalRef},
};

impl InstanceDetails {
    /// The JSON of `describe --json`: `settings` has the keys that are not the default, as `check` prints them.
    pub fn as_json(&self) -> Value {
        let Value::Object(mut all) = json!(self) else { unreachable!("a struct is an object") };
        all.remove("app");
        all.extend(typed_settings(&self.app));
        let settings = non_default_settings(&self.app).into_iter();
        let settings: Map<String, Value> =
            settings.map(|(key, value)| (key.to_owned(), value.into())).collect();
        all.insert("settings".to_owned(), settings.into());
        all.into()
    }
}

/// The settings that PM2 has too, as numbers and lists in its units.
fn typed_settings(app: &AppSpec) -> Map<String, Value> {
    let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let restart_delay = match app.restart.backoff {
        Backoff::Fixed(delay) => Some(millis(delay)),
        Backoff::Exponential { .. } => None,
    };
    let user = app.identity.user.as_ref().map(|user| match user {
        PrincipalRef::Id(id) => id.to_string(),
        PrincipalRef::Name(name) => name.clone(),
    });
    let watch: Vec<_> =
        app.watch.iter().flat_map(|watch| &watch.paths).map(|path| path.to_string_lossy()).collect();
    let settings = json!({
        "script": app.exec.script,
        "args": app.exec.args,
        "cwd": app.exec.cwd.to_string_lossy(),
        "interpreter_args": app.exec.interpreter_args,
        "user": user,
        "limits": app.limits.shown(),
        "checks": shown_checks(&app.health),
        "depends_on": app.order.depends_on.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "instance_var": app.env.instance_var,
        "autorestart": app.restart.autorestart,
        "min_uptime": millis(app.restart.min_uptime),
        "max_restarts": app.restart.max_restarts,
        "max_memory_restart": app.max_memory.map(|limit| limit.to_string()),
        "restart_delay": restart_delay,
        "cron": app.schedule.as_ref().map(|schedule| schedule.pattern.as_str()),
        "cron_timezone": app.schedule.as_ref().and_then(|schedule| schedule.zone_name.as_deref()),
        "autostart": app.autostart,
        "merge_logs": app.logs.files.merge,
        "treekill": app.stop.treekill,
        "watch": watch,
        "wait_ready": app.reload.wait_ready,
        "kill_timeout": millis(app.stop.kill_timeout),
        "stop_exit_codes": app.restart.stop_exit_codes,
    });
    let Value::Object(mut settings) = settings else { unreachable!("it is an object") };
    if let Some(MemoryLimit::Bytes(bytes)) = app.max_memory {
        settings.insert("max_memory_bytes".to_owned(), bytes.into());
    }
    settings
}

/// PM2's `jlist`, which exporters, editors and playbooks read. Variables of the environment are
/// under `pm2_env.env` only, secrets masked; PM2 spreads them over `pm2_env` in clear.
/// `node_version` finds the version of the Node that runs a process; `user` is that of the supervisor.
pub fn jlist(
    details: &[InstanceDetails],
    mut node_version: impl FnMut(&InstanceDetails) -> Option<String>,
    user: Option<&str>,
) -> Value {
    Value::Array(details.iter().map(|detail| pm2_process(detail, node_version(detail), user)).collect())
}

fn pm2_process(detail: &InstanceDetails, node_version: Option<String>, user: Option<&str>) -> Value {
    let brief = &detail.brief;
    let env: Map<String, Value> =
        detail.env.iter().map(|(name, value)| (name.clone(), Value::from(value.as_str()))).collect();
    let memory = brief.memory.unwrap_or(0);
    let app = typed_settings(&detail.app);
    let mut process = json!({
        "pid": brief.pid.unwrap_or(0),
        "name": brief.name,
        "pm_id": brief.id,
        "monit": { "memory": memory, "cpu": brief.cpu.unwrap_or(0.0) },
        "pm2_env": {
            "name": brief.name,
            "namespace": brief.namespace,
            "pm_id": brief.id,
            "status": brief.status.pm2_word(),
            "restart_time": brief.restarts,
            "unstable_restarts": detail.unstable_restarts,
            "created_at": detail.created_at,
            "pm_uptime": brief.started_at.unwrap_or(0),
            "exec_mode": format!("{}_mode", brief.mode),
            "instances": detail.instances,
            "pm_exec_path": detail.exec_path,
            "pm_cwd": app["cwd"],
            "args": app["args"],
            "exec_interpreter": detail.interpreter.as_deref().unwrap_or("none"),
            "node_args": app["interpreter_args"],
            "pm_out_log_path": detail.out_file.as_deref().unwrap_or("/dev/null"),
            "pm_err_log_path": detail.error_file.as_deref().unwrap_or("/dev/null"),
            "pm_pid_path": detail.pid_file.as_deref().unwrap_or(""),
            "autorestart": app["autorestart"],
            "min_uptime": app["min_uptime"],
            "max_restarts": app["max_restarts"],
            // PM2 has a number here, but no shares.
            "max_memory_restart": app.get("max_memory_bytes").unwrap_or(&app["max_memory_restart"]),
            "kill_timeout": app["kill_timeout"],
            "instance_var": app["instance_var"],
            "exit_code": detail.exits.last().map_or(0, |exit| exit.code),
            "watch": brief.watching,
            "cron_restart": app["cron"],
            "restart_delay": app["restart_delay"].as_u64().unwrap_or(0),
            "wait_ready": app["wait_ready"],
            "axm_actions": [],
            "axm_monitor": brief.node.as_ref().map(|node| node.axm_monitor()).unwrap_or_default(),
            "axm_options": {},
            "axm_dynamic": {},
            "vizion_running": false,
            "env": env,
        },
    });
    let pm2_env = process["pm2_env"].as_object_mut().expect("it was made above");
    pm2_env.insert(detail.app.env.instance_var.clone(), brief.number.into());
    // Unique among all instances, and constant while the instance is in the list.
    let unique_id = format!("{:x}-{}", detail.created_at, brief.id);
    for (key, value) in [
        ("version", Value::from(brief.version.as_deref().unwrap_or("N/A"))),
        ("NODE_ENV", Value::from(detail.node_env.as_deref())),
        ("next_cron", detail.next_cron.into()),
        ("username", if app["user"].is_null() { user.into() } else { app["user"].clone() }),
        ("exit_reason", Value::from(detail.exits.last().map(|exit| exit.reason.as_str()))),
        ("autostart", app["autostart"].clone()),
        ("node_version", node_version.map_or(Value::Null, Value::from)),
        ("treekill", app["treekill"].clone()),
        ("merge_logs", app["merge_logs"].clone()),
        ("unique_id", unique_id.into()),
    ] {
        pm2_env.insert(key.to_owned(), value);
    }
    if let Some(ready) = brief.ready {
        pm2_env.insert("ready".to_owned(), ready.into());
    }
    if let Some(healthy) = brief.healthy {
        pm2_env.insert("healthy".to_owned(), healthy.into());
    }
    if let Some(problem) = &brief.problem {
        pm2_env.insert("problem".to_owned(), problem.as_str().into());
    }
    if let Some(path) = &detail.log_file {
        pm2_env.insert("pm_log_path".to_owned(), path.as_str().into());
    }
    process
}
