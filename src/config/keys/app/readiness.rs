//! Readiness, health and reload.

use crate::{
    config::{
        draft::Draft,
        health,
        keys::{
            Change, Key, Kind, OutOfRange, ZeroMeans,
            app::{
                parts,
                row::{OWN, PM2, field},
            },
            option::{
                OptionGroup,
                OptionValue::{Required, Switch},
                option,
            },
            part::KeyPatch,
            patches,
            show::{has_readiness, only_true, readable, shown},
        },
    },
    spec::{AppSpec, validate::MAX_COUNT},
};

pub(super) static KEYS: &[Key<Draft, AppSpec>] = &[
    Key {
        name: "wait_ready",
        meaning: "ready when the app says so: `process.send('ready')` or `READY=1`",
        default: "false",
        example: "true",
        kind: Kind::Boolean(|app, on| app.reload.wait_ready = on),
        show: |app| only_true(app.reload.wait_ready),
        options: &[option(
            "--wait-ready",
            Switch,
            OptionGroup::Restart,
            "Ready only after process.send('ready')",
        )],
        part: field!(reload.wait_ready),
        patch: KeyPatch::With(patches::wait_ready),
        ..PM2
    },
    Key {
        name: "listen_timeout",
        meaning: "time to become [ready](../explanation/readiness-and-reload.md#ready)",
        default: "60 s",
        example: "'30s'",
        kind: Kind::Duration(|app, time| app.reload.listen_timeout = time, ZeroMeans::IsUnset),
        show: |app| has_readiness(app).then(|| readable(app.reload.listen_timeout)),
        options: &[option(
            "--listen-timeout",
            Required("TIME"),
            OptionGroup::Restart,
            "Time to become ready [default: 60s]",
        )],
        part: field!(reload.listen_timeout),
        patch: KeyPatch::Copy,
        ..PM2
    },
    Key {
        name: "max_parallel",
        meaning: "processes that a [reload](../how-to/reload.md) replaces at a time",
        default: "1",
        example: "2",
        kind: Kind::Integer(1, MAX_COUNT, OutOfRange::IsWrong, |app, count| app.reload.max_parallel = count),
        show: |app| app.can_overlap().then(|| app.reload.max_parallel.to_string()),
        part: field!(reload.max_parallel),
        ..OWN
    },
    Key {
        name: "health",
        meaning: "[probe](../how-to/health-checks.md) whose failure restarts the process",
        default: "none",
        example: "{ http = '/healthz' }",
        kind: Kind::Probe(|app, probe| app.health.liveness = probe),
        show: |app| app.health.liveness.as_ref().map(|probe| health::shown(probe, readable)),
        part: field!(health.liveness),
        ..OWN
    },
    Key {
        name: "readiness",
        meaning: "[probe](../how-to/health-checks.md) that decides whether the process is ready",
        default: "none",
        example: "{ tcp = 3000 }",
        kind: Kind::Probe(|app, probe| app.health.readiness = probe),
        show: |app| app.health.readiness.as_ref().map(|probe| health::shown(probe, readable)),
        part: field!(health.readiness),
        ..OWN
    },
    Key {
        name: "ready_when",
        meaning: r#"instances that must be ready before [the app is](../how-to/monitor.md#probes): a number, `"2 of 4"` or `"75%"`"#,
        default: "all",
        example: "'75%'",
        kind: Kind::Quorum(|app, quorum| app.ready_when = Some(quorum)),
        show: |app| app.ready_when.and_then(shown),
        change: Change::Live,
        part: field!(ready_when),
        patch: KeyPatch::Copy,
        ..OWN
    },
    Key {
        name: "heartbeat",
        meaning: "restart a process whose [event loop](../how-to/health-checks.md#heartbeat) is silent for this time",
        default: "none",
        example: "'30s'",
        kind: Kind::DurationOrOff(|app, time| app.health.heartbeat = time),
        show: |app| app.health.heartbeat.map(readable),
        part: field!(health.heartbeat),
        ..OWN
    },
    Key {
        name: "notify",
        meaning: "give the app a [`NOTIFY_SOCKET`](../how-to/health-checks.md#notify_socket)",
        default: "false",
        example: "true",
        kind: Kind::Boolean(|app, on| app.health.notify = on),
        show: |app| only_true(parts::is_notify_set(app)),
        part: Some(parts::NOTIFY),
        ..OWN
    },
];
