//! How a process stops.

use crate::{
    config::{
        draft::Draft,
        keys::{
            Key, Kind, ZeroMeans,
            app::row::{OWN, PM2, field},
            option::{
                OptionGroup,
                OptionValue::{Required, Switch},
                Sets, option,
            },
            part::KeyPatch,
            show::{only_true, readable, shown},
        },
    },
    spec::{AppSpec, StopSignalScope},
};

pub(super) static KEYS: &[Key<Draft, AppSpec>] = &[
    Key {
        name: "kill_signal",
        meaning: "[stop signal](signals.md#stop-signal)",
        default: "SIGINT for Node, SIGTERM for other programs; in a shutdown, the signal that procrun receives",
        example: "'SIGTERM'",
        kind: Kind::Signal(|app, signal| app.stop.kill_signal = Some(signal)),
        show: |app| {
            app.stop.kill_signal.map_or_else(
                || shown("SIGINT for Node, else SIGTERM; in a shutdown, the signal that procrun receives"),
                shown,
            )
        },
        options: &[option(
            "--kill-signal",
            Required("SIGNAL"),
            OptionGroup::Stop,
            "Signal that stops the app",
        )],
        part: field!(stop.kill_signal),
        patch: KeyPatch::Copy,
        ..OWN
    },
    Key {
        name: "stop_signal_scope",
        meaning: "[processes that receive the stop signal](signals.md#stop-signal): `auto`, `main`, `group` or `tree`",
        default: "`auto`",
        example: "'tree'",
        kind: Kind::Choice(&[
            ("auto", |app| app.stop.signal_scope = StopSignalScope::Auto),
            ("main", |app| app.stop.signal_scope = StopSignalScope::Main),
            ("group", |app| app.stop.signal_scope = StopSignalScope::Group),
            ("tree", |app| app.stop.signal_scope = StopSignalScope::Tree),
        ]),
        show: |app| {
            let scope = app.stop.signal_scope;
            (scope != StopSignalScope::Auto).then(|| scope.as_str().to_owned())
        },
        options: &[option(
            "--stop-signal-scope",
            Required("SCOPE"),
            OptionGroup::Stop,
            "Signal goes to: auto, main, group or tree",
        )],
        part: field!(stop.signal_scope),
        patch: KeyPatch::Copy,
        ..OWN
    },
    Key {
        name: "kill_timeout",
        meaning: "time from the stop signal to SIGKILL",
        default: "8 s",
        example: "'20s'",
        kind: Kind::Duration(|app, time| app.stop.kill_timeout = time, ZeroMeans::IsUnset),
        show: |app| shown(readable(app.stop.kill_timeout)),
        options: &[option(
            "--kill-timeout",
            Required("TIME"),
            OptionGroup::Stop,
            "Time between stop signal and SIGKILL",
        )
        .short('k')],
        part: field!(stop.kill_timeout),
        patch: KeyPatch::Copy,
        ..PM2
    },
    Key {
        name: "shutdown_with_message",
        meaning: "send a Node app the message `shutdown` instead of the signal; PM2's variable `PM2_KILL_USE_MESSAGE` does so for all apps",
        default: "false",
        example: "true",
        kind: Kind::Boolean(|app, on| app.stop.with_message = on),
        show: |app| only_true(app.stop.with_message),
        options: &[option(
            "--shutdown-with-message",
            Switch,
            OptionGroup::Stop,
            "Stop by an IPC message, not a signal",
        )],
        part: field!(stop.with_message),
        patch: KeyPatch::Copy,
        ..PM2
    },
    Key {
        name: "drain",
        meaning: r#"time for a replaced worker to finish [its connections](../explanation/draining.md); `"off"` sends the signal at once"#,
        default: "10 s",
        example: "'30s'",
        kind: Kind::DurationOrOff(|app, time| app.stop.drain = time),
        show: |app| app.is_cluster().then(|| app.stop.drain.map_or_else(|| "off".to_owned(), readable)),
        part: field!(stop.drain),
        ..OWN
    },
    Key {
        name: "treekill",
        meaning: "end the whole [process tree](../explanation/process-trees.md)",
        default: "true",
        example: "false",
        kind: Kind::Boolean(|app, on| app.stop.treekill = on),
        show: |app| shown(app.stop.treekill),
        options: &[option("--no-treekill", Switch, OptionGroup::Stop, "Do not stop descendants of the app")
            .sets(Sets::False)],
        part: field!(stop.treekill),
        patch: KeyPatch::Copy,
        ..PM2
    },
];
