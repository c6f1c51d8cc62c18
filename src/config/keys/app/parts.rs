//! Parts of an application's spec that are not exactly one field.

use std::time::Duration;

use crate::{
    config::keys::part::Part,
    spec::{AppSpec, Backoff, Schedule, Stdin, WatchSpec},
};

/// The default depends on `oneshot`.
pub(super) const STDIN: Part<AppSpec> = Part {
    same: |one, other| {
        let set = |app: &AppSpec| {
            let default = Stdin::default_for(app.order.oneshot);
            Some(app.exec.stdin).filter(|stdin| *stdin != default)
        };
        set(one) == set(other)
    },
    copy: |from, to| to.exec.stdin = from.exec.stdin,
};

/// One field is the part of two keys: the delay belongs to the key whose kind of backoff it is.
pub(super) const RESTART_DELAY: Part<AppSpec> =
    Part { same: |one, other| fixed_delay(one) == fixed_delay(other), copy: copy_backoff };

pub(super) const BACKOFF: Part<AppSpec> = Part {
    same: |one, other| {
        let backoff = |app: &AppSpec| fixed_delay(app).is_none().then_some(app.restart.backoff);
        backoff(one) == backoff(other)
    },
    copy: copy_backoff,
};

fn fixed_delay(app: &AppSpec) -> Option<Duration> {
    match app.restart.backoff {
        Backoff::Fixed(delay) => Some(delay),
        Backoff::Exponential { .. } => None,
    }
}

fn copy_backoff(from: &AppSpec, to: &mut AppSpec) {
    to.restart.backoff = from.restart.backoff;
}

pub(super) const CRON_PATTERN: Part<AppSpec> = Part {
    same: |one, other| {
        let pattern = |app: &AppSpec| app.schedule.as_ref().map(|schedule| schedule.pattern.clone());
        pattern(one) == pattern(other)
    },
    copy: |from, to| to.schedule.clone_from(&from.schedule),
};

/// Without a schedule there is no time zone. The zone itself can be unknown for a while after the start.
pub(super) const CRON_ZONE: Part<AppSpec> = Part {
    same: |one, other| match (&one.schedule, &other.schedule) {
        (Some(one), Some(other)) => one.zone_name == other.zone_name && one.zone == other.zone,
        (one, other) => zone_name(one.as_ref()) == zone_name(other.as_ref()),
    },
    copy: |from, to| {
        if let (Some(from), Some(to)) = (&from.schedule, &mut to.schedule) {
            to.zone_name.clone_from(&from.zone_name);
            to.zone.clone_from(&from.zone);
        }
    },
};

fn zone_name(schedule: Option<&Schedule>) -> Option<&str> {
    schedule?.zone_name.as_deref()
}

/// A heartbeat and `wait_ready` turn it on too.
pub(super) const NOTIFY: Part<AppSpec> = Part {
    same: |one, other| is_notify_set(one) == is_notify_set(other),
    copy: |from, to| to.health.notify = from.health.notify,
};

/// Whether `notify` is more than a consequence of other keys.
pub(super) fn is_notify_set(app: &AppSpec) -> bool {
    app.health.notify && app.health.heartbeat.is_none() && !app.reload.wait_ready
}

/// The variables, also those of the command that has added the application and of files that are not read yet.
pub(super) const VARIABLES: Part<AppSpec> = Part {
    same: |one, other| {
        one.env.vars == other.env.vars
            && one.env.caller == other.env.caller
            && one.env.unread_files == other.env.unread_files
    },
    copy: |from, to| {
        to.env.vars.clone_from(&from.env.vars);
        to.env.caller.clone_from(&from.env.caller);
        to.env.unread_files.clone_from(&from.env.unread_files);
    },
};

pub(super) const WATCHED_PATHS: Part<AppSpec> = Part {
    same: |one, other| {
        let paths = |app: &AppSpec| app.watch.as_ref().map(|watch| watch.paths.clone());
        paths(one) == paths(other)
    },
    copy: |from, to| match (&from.watch, &mut to.watch) {
        (Some(from), Some(to)) => to.paths.clone_from(&from.paths),
        (from, to) => to.clone_from(from),
    },
};

/// A part of the settings for watching: the default applies where nothing is watched.
macro_rules! watch_part {
    ($($field:ident),+) => {
        Part {
            same: |one, other| {
                let (one, other) = (watching(one), watching(other));
                $(one.$field == other.$field)&&+
            },
            copy: |from, to| {
                if let (Some(from), Some(to)) = (&from.watch, &mut to.watch) {
                    $(to.$field.clone_from(&from.$field);)+
                }
            },
        }
    };
}

pub(super) const IGNORED_PATHS: Part<AppSpec> = watch_part!(ignore);
pub(super) const WATCH_DELAY: Part<AppSpec> = watch_part!(delay);
pub(super) const WATCH_OPTIONS: Part<AppSpec> = watch_part!(follow_links, depth, polling, interval);

fn watching(app: &AppSpec) -> WatchSpec {
    app.watch.as_deref().cloned().unwrap_or_default()
}
