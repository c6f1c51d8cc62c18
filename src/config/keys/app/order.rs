//! When an app starts.

use crate::{
    config::{
        draft::Draft,
        keys::{
            Change, Key, Kind,
            app::row::{OWN, PM2, field},
            option::{OptionGroup, OptionValue::Switch, Sets, option},
            show::{only_true, shown},
        },
        order,
    },
    spec::AppSpec,
};

pub(super) static KEYS: &[Key<Draft, AppSpec>] = &[
    Key {
        name: "autostart",
        meaning: "start the app with procrun",
        default: "true",
        example: "false",
        kind: Kind::Boolean(|app, on| app.no_autostart = !on),
        show: |app| shown(app.autostart),
        options: &[option("--no-autostart", Switch, OptionGroup::App, "Add the app without starting it")
            .sets(Sets::False)],
        part: field!(autostart),
        ..PM2
    },
    Key {
        name: "depends_on",
        meaning: "[apps that must be ready](../how-to/start-order.md) before this one starts",
        default: "none",
        example: "['db']",
        kind: Kind::DependsOn(|app, wanted| app.depends_on = wanted),
        show: |app| (!app.order.depends_on.is_empty()).then(|| order::shown(&app.order.depends_on)),
        part: field!(order.depends_on),
        change: Change::Live,
        ..OWN
    },
    Key {
        name: "oneshot",
        meaning: "a [task](../how-to/start-order.md#tasks) that runs to completion",
        default: "false",
        example: "true",
        kind: Kind::Boolean(|app, on| app.oneshot = on),
        show: |app| only_true(app.order.oneshot),
        part: field!(order.oneshot),
        ..OWN
    },
];
