//! Some keys of one application, applied to another: the change of an application in the list.
//!
//! It knows keys and parts, not where they were written.

use serde::{Deserialize, Serialize};

use super::{AppSpec, OnErrored};

/// What is to change in an application.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Patch {
    /// The keys that count, by their names in an ecosystem file.
    pub keys: Vec<String>,
    /// An application that holds their values, and nothing else of use.
    pub from: Box<AppSpec>,
}

impl Patch {
    /// Whether an application that is there can be given this key.
    pub fn takes(key: &str) -> bool {
        part(key).is_some()
    }

    /// The new name of the application, if the patch has one.
    pub fn name(&self) -> Option<&str> {
        self.keys.iter().any(|key| key == "name").then_some(&*self.from.name)
    }

    /// Lets `--watch` without a path end the watching of an application that watches, as in PM2.
    pub fn toggle_watch(&mut self) {
        for key in self.keys.iter_mut().filter(|key| *key == "watch") {
            TOGGLE_WATCH.clone_into(key);
        }
    }

    /// Whether the patch sets the number of instances.
    pub fn counts(&self) -> bool {
        self.keys.iter().any(|key| key == "instances")
    }

    /// Applies all keys to an application.
    ///
    /// # Errors
    /// A key that cannot be applied to it, as text.
    pub fn apply(&self, to: &mut AppSpec) -> Result<(), String> {
        for key in &self.keys {
            let part = part(key).ok_or_else(|| format!("`{key}` cannot be changed"))?;
            part(&self.from, to)?;
        }
        Ok(())
    }
}

/// In the place of `watch` where it is toggled.
const TOGGLE_WATCH: &str = "toggle watch";

/// Gives one part of an application to another.
type Part = fn(&AppSpec, &mut AppSpec) -> Result<(), String>;

/// A part that is just copied.
macro_rules! part {
    ($($field:ident).+) => {
        |from, to| {
            to.$($field).+.clone_from(&from.$($field).+);
            Ok(())
        }
    };
}

/// The part that a key speaks for.
fn part(key: &str) -> Option<Part> {
    Some(match key {
        "name" => part!(name),
        "namespace" => part!(namespace),
        "args" => part!(exec.args),
        "cwd" => part!(exec.cwd),
        "interpreter" => part!(exec.interpreter),
        "interpreter_args" => part!(exec.interpreter_args),
        "source_map_support" | "disable_source_map_support" => part!(exec.source_maps),
        "instances" => part!(instances),
        "uid" => part!(identity.user),
        "gid" => part!(identity.group),
        "autorestart" => part!(restart.autorestart),
        "stop_exit_codes" => part!(restart.stop_exit_codes),
        "restart_delay" | "exp_backoff_restart_delay" => part!(restart.backoff),
        "min_uptime" => part!(restart.min_uptime),
        "max_restarts" => part!(restart.max_restarts),
        "on_errored" => part!(restart.on_errored),
        "ends_container" => ends_container,
        "max_memory_restart" => part!(max_memory),
        "cron_restart" => schedule,
        "wait_ready" => wait_ready,
        "listen_timeout" => part!(reload.listen_timeout),
        "kill_signal" => part!(stop.kill_signal),
        "stop_signal_scope" => part!(stop.signal_scope),
        "kill_timeout" => part!(stop.kill_timeout),
        "shutdown_with_message" => part!(stop.with_message),
        "treekill" => part!(stop.treekill),
        "out_file" => part!(logs.files.out),
        "error_file" => part!(logs.files.error),
        "log_file" => part!(logs.files.combined),
        "merge_logs" => part!(logs.files.merge),
        "log_max_size" => part!(logs.files.max_size),
        "log_keep" => part!(logs.files.keep),
        "log_compress" => part!(logs.files.compress),
        "log_type" => part!(logs.json),
        "log_date_format" | "time" => part!(logs.date_format),
        "disable_logs" => part!(logs.disabled),
        "pid_file" => part!(pid_file),
        "filter_env" => part!(env.inherit),
        "env_file" => variables,
        "instance_var" => part!(env.instance_var),
        "increment_var" => part!(env.increment_var),
        "watch" => watch,
        TOGGLE_WATCH => toggle_watch,
        "ignore_watch" => ignore_watch,
        "watch_delay" => watch_delay,
        _ => return None,
    })
}

/// The condition "on success" does not change the behaviour on failure.
#[expect(clippy::unnecessary_wraps, reason = "as the others")]
fn ends_container(from: &AppSpec, to: &mut AppSpec) -> Result<(), String> {
    to.restart.ends_on_success = from.restart.ends_on_success;
    if from.restart.on_errored == OnErrored::Exit || !from.restart.ends_on_success {
        to.restart.on_errored = from.restart.on_errored;
    }
    Ok(())
}

/// Another pattern leaves the time zone as it is.
#[expect(clippy::unnecessary_wraps, reason = "as the others")]
fn schedule(from: &AppSpec, to: &mut AppSpec) -> Result<(), String> {
    let mut schedule = from.schedule.clone();
    if let (Some(new), Some(old)) = (&mut schedule, &to.schedule) {
        new.zone_name.clone_from(&old.zone_name);
        new.zone.clone_from(&old.zone);
    }
    to.schedule = schedule;
    Ok(())
}

/// Whatever it is, it can say that it is ready by one of the two ways that it is given.
#[expect(clippy::unnecessary_wraps, reason = "as the others")]
fn wait_ready(from: &AppSpec, to: &mut AppSpec) -> Result<(), String> {
    to.reload.wait_ready = from.reload.wait_ready;
    to.health.notify |= from.reload.wait_ready;
    Ok(())
}

#[expect(clippy::unnecessary_wraps, reason = "as the others")]
fn variables(from: &AppSpec, to: &mut AppSpec) -> Result<(), String> {
    to.env.vars.extend(from.env.vars.clone());
    Ok(())
}

/// Without a path, where the application runs is watched.
#[expect(clippy::unnecessary_wraps, reason = "as the others")]
fn watch(from: &AppSpec, to: &mut AppSpec) -> Result<(), String> {
    let before = to.watch.take();
    to.watch.clone_from(&from.watch);
    if let Some(watch) = &mut to.watch {
        if watch.paths == [from.exec.cwd.clone()] {
            watch.paths = vec![to.exec.cwd.clone()];
        }
        if let Some(before) = before {
            watch.ignore = before.ignore;
            watch.delay = before.delay;
        }
    }
    Ok(())
}

fn toggle_watch(from: &AppSpec, to: &mut AppSpec) -> Result<(), String> {
    if to.watch.take().is_some() { Ok(()) } else { watch(from, to) }
}

fn ignore_watch(from: &AppSpec, to: &mut AppSpec) -> Result<(), String> {
    let (from, to) = both_watch(from, to)?;
    to.ignore.clone_from(&from.ignore);
    Ok(())
}

fn watch_delay(from: &AppSpec, to: &mut AppSpec) -> Result<(), String> {
    let (from, to) = both_watch(from, to)?;
    to.delay = from.delay;
    Ok(())
}

fn both_watch<'a>(
    from: &'a AppSpec,
    to: &'a mut AppSpec,
) -> Result<(&'a super::WatchSpec, &'a mut super::WatchSpec), String> {
    match (&from.watch, &mut to.watch) {
        (Some(from), Some(to)) => Ok((from, to)),
        _ => Err("it watches no files: add `--watch`".to_owned()),
    }
}
