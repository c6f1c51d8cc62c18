//! How many processes an app has, and how they share sockets.

use crate::{
    config::{
        draft::Draft,
        keys::{
            Change, Key, Kind,
            app::row::{OWN, PM2, field},
            option::{OptionGroup, OptionValue::Hyphenated, option},
            part::KeyPatch,
            show::shown,
        },
        listen,
    },
    spec::{AppSpec, Balance, ExecMode, Instances},
};

pub(super) static KEYS: &[Key<Draft, AppSpec>] = &[
    Key {
        name: "instances",
        meaning: "number of processes; `max` or 0: one per CPU; -1: one less",
        default: "1",
        example: "4",
        kind: Kind::Instances(|app, instances| app.instances = Some(instances)),
        show: |app| match app.instances {
            Instances::Count(count) => shown(count),
            Instances::CpusMinus(0) => shown("one per CPU"),
            Instances::CpusMinus(less) => Some(format!("one per CPU less {less}")),
        },
        options: &[option(
            "--instances",
            Hyphenated("N|max"),
            OptionGroup::App,
            "Number of processes; max or 0: one per CPU",
        )
        .short('i')],
        change: Change::Live,
        part: field!(instances),
        patch: KeyPatch::Copy,
        ..PM2
    },
    Key {
        name: "exec_mode",
        meaning: "`fork` or [`cluster`](../how-to/node-clusters.md)",
        default: "`fork`; `cluster` for a Node app with `instances`",
        example: "'cluster'",
        kind: Kind::Choice(&[
            ("fork", |app| app.exec_mode = Some(ExecMode::Fork)),
            ("cluster", |app| app.exec_mode = Some(ExecMode::Cluster)),
            ("fork_mode", |app| app.exec_mode = Some(ExecMode::Fork)),
            ("cluster_mode", |app| app.exec_mode = Some(ExecMode::Cluster)),
        ]),
        show: |app| shown(app.exec_mode.as_str().trim_end_matches("_mode")),
        part: field!(exec_mode),
        ..PM2
    },
    Key {
        name: "ipc",
        meaning: "give each process Node's [IPC channel](../explanation/clusters.md#messages)",
        default: "true",
        example: "false",
        kind: Kind::Boolean(|app, on| app.no_ipc = !on),
        show: |app| (!app.ipc).then(|| "false".to_owned()),
        part: field!(ipc),
        ..OWN
    },
    Key {
        name: "node_metrics",
        meaning: "measure [event loop, heap and HTTP requests](../how-to/monitor.md#node) of Node processes",
        default: "true",
        example: "false",
        kind: Kind::Boolean(|app, on| app.no_node_metrics = !on),
        show: |app| (!app.node_metrics).then(|| "false".to_owned()),
        change: Change::Live,
        part: field!(node_metrics),
        patch: KeyPatch::Copy,
        ..OWN
    },
    Key {
        name: "balance",
        meaning: "how a [cluster](../how-to/node-clusters.md#choose-how-connections-are-shared) shares its connections: `auto`, `round-robin`, `shared` or `sticky`",
        default: "`auto`",
        example: "'sticky'",
        kind: Kind::Choice(&[
            ("auto", |app| app.balance = Some(Balance::Auto)),
            ("round-robin", |app| app.balance = Some(Balance::RoundRobin)),
            ("shared", |app| app.balance = Some(Balance::Shared)),
            ("sticky", |app| app.balance = Some(Balance::Sticky)),
        ]),
        show: |app| app.is_cluster().then(|| app.balance.as_str().to_owned()),
        part: field!(balance),
        ..OWN
    },
    Key {
        name: "listen",
        meaning: "[sockets](../how-to/socket-activation.md) to open for the app: one address or a list",
        default: "none",
        example: "['http=tcp://0.0.0.0:8080']",
        kind: Kind::Listen(|app, sockets| app.listen = sockets),
        show: |app| listen::shown_all(&app.listen),
        part: field!(listen),
        ..OWN
    },
];
