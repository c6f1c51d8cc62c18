//! Patches of keys that are more than the copy of one field.

use crate::spec::{AppSpec, OnErrored, WatchSpec};

/// Copies the value of one key from an application to another.
pub(in crate::config) type PatchFn<S> = fn(&S, &mut S) -> Result<(), String>;

/// The condition "on success" does not change the behaviour on failure.
#[expect(clippy::unnecessary_wraps, reason = "the form of `PatchFn`")]
pub(in crate::config) fn ends_container(from: &AppSpec, to: &mut AppSpec) -> Result<(), String> {
    to.restart.ends_on_success = from.restart.ends_on_success;
    if from.restart.on_errored == OnErrored::Exit || !from.restart.ends_on_success {
        to.restart.on_errored = from.restart.on_errored;
    }
    Ok(())
}

/// Another pattern keeps the time zone.
#[expect(clippy::unnecessary_wraps, reason = "the form of `PatchFn`")]
pub(in crate::config) fn schedule(from: &AppSpec, to: &mut AppSpec) -> Result<(), String> {
    let mut schedule = from.schedule.clone();
    if let (Some(new), Some(old)) = (&mut schedule, &to.schedule) {
        new.zone_name.clone_from(&old.zone_name);
        new.zone.clone_from(&old.zone);
    }
    to.schedule = schedule;
    Ok(())
}

/// A program that is not Node reports readiness by `NOTIFY_SOCKET`.
#[expect(clippy::unnecessary_wraps, reason = "the form of `PatchFn`")]
pub(in crate::config) fn wait_ready(from: &AppSpec, to: &mut AppSpec) -> Result<(), String> {
    to.reload.wait_ready = from.reload.wait_ready;
    to.health.notify |= from.reload.wait_ready;
    Ok(())
}

#[expect(clippy::unnecessary_wraps, reason = "the form of `PatchFn`")]
pub(in crate::config) fn variables(from: &AppSpec, to: &mut AppSpec) -> Result<(), String> {
    to.env.vars.extend(from.env.vars.clone());
    Ok(())
}

/// The variable exists in each process, with 0 unless it has a value.
#[expect(clippy::unnecessary_wraps, reason = "the form of `PatchFn`")]
pub(in crate::config) fn increment_var(from: &AppSpec, to: &mut AppSpec) -> Result<(), String> {
    to.env.increment_var.clone_from(&from.env.increment_var);
    if let Some((name, value)) =
        from.env.increment_var.as_ref().and_then(|name| from.env.vars.get_key_value(name))
    {
        to.env.vars.entry(name.clone()).or_insert_with(|| value.clone());
    }
    Ok(())
}

/// Without a path, the working directory of the application is watched.
#[expect(clippy::unnecessary_wraps, reason = "the form of `PatchFn`")]
pub(in crate::config) fn watch(from: &AppSpec, to: &mut AppSpec) -> Result<(), String> {
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

pub(in crate::config) fn ignore_watch(from: &AppSpec, to: &mut AppSpec) -> Result<(), String> {
    let (from, to) = both_watch(from, to)?;
    to.ignore.clone_from(&from.ignore);
    Ok(())
}

pub(in crate::config) fn watch_delay(from: &AppSpec, to: &mut AppSpec) -> Result<(), String> {
    let (from, to) = both_watch(from, to)?;
    to.delay = from.delay;
    Ok(())
}

fn both_watch<'a>(
    from: &'a AppSpec,
    to: &'a mut AppSpec,
) -> Result<(&'a WatchSpec, &'a mut WatchSpec), String> {
    match (&from.watch, &mut to.watch) {
        (Some(from), Some(to)) => Ok((from, to)),
        _ => Err("it watches no files: add `--watch`".to_owned()),
    }
}
