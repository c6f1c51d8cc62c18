//! Keys of PM2 that have no effect: its own services.

use crate::{
    config::{
        draft::Draft,
        keys::{
            Key, Kind,
            app::row::PM2,
            option::{OptionValue::Switch, Sets, hidden},
        },
    },
    spec::AppSpec,
};

pub(super) static KEYS: &[Key<Draft, AppSpec>] = &[
    Key { name: "force", kind: Kind::Ignored, options: &[hidden("--force", Switch).short('f')], ..PM2 },
    Key {
        name: "vizion",
        kind: Kind::Unsupported,
        options: &[hidden("--no-vizion", Switch).sets(Sets::False)],
        ..PM2
    },
    Key {
        name: "pmx",
        kind: Kind::Unsupported,
        options: &[hidden("--no-pmx", Switch).sets(Sets::False)],
        ..PM2
    },
    Key {
        name: "automation",
        kind: Kind::Unsupported,
        options: &[hidden("--no-automation", Switch).sets(Sets::False)],
        ..PM2
    },
    Key { name: "trace", kind: Kind::Unsupported, options: &[hidden("--trace", Switch)], ..PM2 },
    Key {
        name: "disable_trace",
        kind: Kind::Unsupported,
        options: &[hidden("--disable-trace", Switch)],
        ..PM2
    },
    Key { name: "v8", kind: Kind::Unsupported, options: &[hidden("--v8", Switch)], ..PM2 },
    Key {
        name: "deep_monitoring",
        kind: Kind::Unsupported,
        options: &[hidden("--deep-monitoring", Switch)],
        ..PM2
    },
    Key {
        name: "event_loop_inspector",
        kind: Kind::Unsupported,
        options: &[hidden("--event-loop-inspector", Switch)],
        ..PM2
    },
    Key { name: "io", kind: Kind::Unsupported, ..PM2 },
    Key { name: "post_update", kind: Kind::Unsupported, ..PM2 },
    Key { name: "windowsHide", kind: Kind::Unsupported, ..PM2 },
    Key { name: "install_url", kind: Kind::Unsupported, ..PM2 },
    Key { name: "write", kind: Kind::Unsupported, options: &[hidden("--write", Switch).short('w')], ..PM2 },
    Key { name: "username", kind: Kind::Unsupported, ..PM2 },
    Key { name: "kill_retry_time", kind: Kind::Unsupported, ..PM2 },
    Key {
        name: "execute_command",
        kind: Kind::Unsupported,
        options: &[hidden("--execute-command", Switch).short('x')],
        ..PM2
    },
];
