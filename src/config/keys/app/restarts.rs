//! When an app restarts, and when it is given up.

use crate::{
    config::{
        draft::Draft,
        keys::{
            Change, Key, Kind, OutOfRange, ZeroMeans,
            app::{
                parts,
                row::{OWN, PM2, field},
            },
            option::{
                OptionGroup,
                OptionValue::{AfterEquals, Repeated, Required, Switch},
                Sets, option,
            },
            part::KeyPatch,
            patches,
            show::{readable, shown},
        },
    },
    spec::{AppSpec, Backoff, MemoryLimit, OnErrored, validate::MAX_RESTARTS},
};

pub(super) static KEYS: &[Key<Draft, AppSpec>] = &[
    Key {
        name: "autorestart",
        meaning: "[restart](../how-to/restarts.md) the process when it ends",
        default: "true",
        example: "false",
        kind: Kind::Boolean(|app, on| app.restart.autorestart = on),
        show: |app| shown(app.restart.autorestart),
        options: &[option(
            "--no-autorestart",
            Switch,
            OptionGroup::Restart,
            "Do not restart the app when it exits",
        )
        .sets(Sets::False)],
        part: field!(restart.autorestart),
        patch: KeyPatch::Copy,
        ..PM2
    },
    Key {
        name: "stop_exit_codes",
        meaning: "exit codes that are not followed by a restart",
        default: "none",
        example: "[0, 143]",
        kind: Kind::ExitCodes(|app, codes| app.restart.stop_exit_codes = codes),
        show: |app| {
            let codes = &app.restart.stop_exit_codes;
            (!codes.is_empty()).then(|| format!("{codes:?}"))
        },
        options: &[option(
            "--stop-exit-codes",
            Repeated("CODES"),
            OptionGroup::Restart,
            "Exit codes without a restart (0,1)",
        )],
        part: field!(restart.stop_exit_codes),
        patch: KeyPatch::Copy,
        ..PM2
    },
    Key {
        name: "restart_delay",
        meaning: "fixed delay before a restart, instead of the backoff",
        default: "the backoff",
        example: "'5s'",
        kind: Kind::Duration(|app, delay| app.restart_delay = Some(delay), ZeroMeans::IsUnset),
        show: |app| match app.restart.backoff {
            Backoff::Fixed(delay) => shown(readable(delay)),
            Backoff::Exponential { .. } => None,
        },
        options: &[option(
            "--restart-delay",
            Required("TIME"),
            OptionGroup::Restart,
            "Delay before each restart",
        )],
        part: Some(parts::RESTART_DELAY),
        patch: KeyPatch::Copy,
        ..PM2
    },
    Key {
        name: "exp_backoff_restart_delay",
        meaning: "initial delay of the backoff, which grows to 15 s",
        default: "at once, then 100 ms",
        example: "'500ms'",
        kind: Kind::Duration(|app, delay| app.backoff_delay = Some(delay), ZeroMeans::IsUnset),
        show: |app| match app.restart.backoff {
            Backoff::Fixed(_) => None,
            Backoff::Exponential { initial, first_at_once } => Some(format!(
                "{}{}, growing to 15s",
                if first_at_once { "at once, then " } else { "" },
                readable(initial)
            )),
        },
        options: &[option(
            "--exp-backoff-restart-delay",
            Required("TIME"),
            OptionGroup::Restart,
            "Initial backoff delay",
        )],
        part: Some(parts::BACKOFF),
        patch: KeyPatch::Copy,
        ..PM2
    },
    Key {
        name: "min_uptime",
        meaning: "a shorter run is unstable",
        default: "1 s",
        example: "'5s'",
        kind: Kind::Duration(|app, time| app.restart.min_uptime = time, ZeroMeans::Counts),
        show: |app| shown(readable(app.restart.min_uptime)),
        options: &[option(
            "--min-uptime",
            Required("TIME"),
            OptionGroup::Restart,
            "Shorter runs count as unstable",
        )],
        part: field!(restart.min_uptime),
        patch: KeyPatch::Copy,
        ..PM2
    },
    Key {
        name: "max_restarts",
        meaning: "unstable runs in a row before the app is `errored`",
        default: "16",
        example: "10",
        kind: Kind::Integer(0, MAX_RESTARTS, OutOfRange::IsNearest, |app, count| {
            app.restart.max_restarts = count;
        }),
        show: |app| shown(app.restart.max_restarts),
        options: &[option(
            "--max-restarts",
            Required("N"),
            OptionGroup::Restart,
            "Unstable runs in a row before status errored",
        )],
        part: field!(restart.max_restarts),
        patch: KeyPatch::Copy,
        ..PM2
    },
    Key {
        name: "on_errored",
        meaning: "`continue`, or `exit`: stop everything and exit with the app's code",
        default: "`continue`",
        example: "'exit'",
        kind: Kind::Choice(&[
            ("continue", |app| app.on_errored(OnErrored::Continue)),
            ("exit", |app| app.on_errored(OnErrored::Exit)),
        ]),
        show: |app| match app.restart.on_errored {
            OnErrored::Continue => shown("continue"),
            OnErrored::Exit => shown("exit"),
        },
        options: &[option(
            "--on-errored",
            Required("ACTION"),
            OptionGroup::Restart,
            "If errored: continue or exit (stop procrun)",
        )],
        part: field!(restart.on_errored),
        patch: KeyPatch::Copy,
        ..OWN
    },
    Key {
        name: "critical",
        meaning: r#"`true` is `on_errored = "exit"`"#,
        default: "false",
        example: "true",
        kind: Kind::Boolean(|app, on| app.critical = Some(on)),
        ..OWN
    },
    Key {
        name: "ends_container",
        meaning: r#"[stop all apps and exit](../how-to/restarts.md#end-the-container-with-one-app) when the app has exited and does not restart: true, `"on_success"` or `"on_failure"`"#,
        default: "false",
        example: "'on_success'",
        kind: Kind::EndsContainer(|app, when| app.ends_container = Some(when)),
        show: |app| {
            let is_always = app.restart.on_errored == OnErrored::Exit;
            app.restart.ends_on_success.then(|| if is_always { "true" } else { "on_success" }.to_owned())
        },
        options: &[option(
            "--ends-container",
            AfterEquals("WHEN"),
            OptionGroup::Restart,
            "Stop all apps when this app has exited",
        )],
        part: field!(restart.ends_on_success),
        patch: KeyPatch::With(patches::ends_container),
        ..OWN
    },
    Key {
        name: "max_memory_restart",
        meaning: "[memory limit](../how-to/memory-limits.md) of a process tree: a size, or a share of the container's limit",
        default: "no limit",
        example: "'300M'",
        kind: Kind::MemoryLimit(|app, limit| app.max_memory = limit),
        show: |app| {
            app.max_memory.map(|limit| match limit {
                MemoryLimit::Bytes(_) => limit.to_string(),
                MemoryLimit::Share(_) => format!("{limit} of the container's memory"),
            })
        },
        options: &[option(
            "--max-memory-restart",
            Required("SIZE"),
            OptionGroup::Restart,
            "Restart above this memory usage (300M, 80%)",
        )],
        change: Change::Live,
        part: field!(max_memory),
        patch: KeyPatch::Copy,
        ..PM2
    },
    Key {
        name: "cron_restart",
        aliases: &["cron"],
        meaning: "[restart on a schedule](../how-to/schedules.md)",
        default: "none",
        example: "'0 3 * * *'",
        kind: Kind::Cron(|app, pattern| app.cron = pattern),
        show: |app| app.schedule.as_ref().and_then(|schedule| shown(schedule.pattern.as_str())),
        options: &[option("--cron", Required("PATTERN"), OptionGroup::Restart, "Restart on a schedule")
            .short('c')
            .aliases(&["cron-restart"])],
        part: Some(parts::CRON_PATTERN),
        change: Change::Live,
        patch: KeyPatch::With(patches::schedule),
        ..PM2
    },
    Key {
        name: "cron_timezone",
        meaning: "time zone of the schedule",
        default: "local time",
        example: "'Europe/Berlin'",
        kind: Kind::TimeZone(|app, zone| app.cron_timezone = Some(zone)),
        show: |app| {
            let name = app.schedule.as_ref()?.zone_name.as_deref();
            shown(name.unwrap_or("local time"))
        },
        part: Some(parts::CRON_ZONE),
        change: Change::Live,
        ..OWN
    },
];
