//! Restarts when files change.

use crate::{
    config::{
        draft::Draft,
        keys::{
            Change, Key, Kind,
            app::{parts, row::PM2},
            option::{
                OptionGroup,
                OptionValue::{AfterEquals, Repeated, Required},
                Sets, option,
            },
            part::KeyPatch,
            patches,
            show::{quoted, readable},
        },
        watching,
    },
    spec::AppSpec,
};

pub(super) static KEYS: &[Key<Draft, AppSpec>] = &[
    Key {
        name: "watch",
        meaning: "[restart when files change](../how-to/watch-files.md): true, a path or a list",
        default: "false",
        example: "['src']",
        kind: Kind::Watch(|app, paths| app.watching.paths = paths),
        show: |app| {
            let paths: Vec<String> = app
                .watch
                .iter()
                .flat_map(|watch| &watch.paths)
                .map(|path| path.display().to_string())
                .collect();
            quoted(&paths)
        },
        options: &[option(
            "--watch",
            AfterEquals("PATHS"),
            OptionGroup::Restart,
            "Restart when files change (src,config)",
        )],
        part: Some(parts::WATCHED_PATHS),
        change: Change::Live,
        patch: KeyPatch::With(patches::watch),
        ..PM2
    },
    Key {
        name: "ignore_watch",
        meaning: "paths to ignore",
        default: "[ignored paths](../how-to/watch-files.md#what-is-ignored)",
        example: "['logs', '*.tmp']",
        kind: Kind::Patterns(|app, patterns| app.watching.ignore = patterns),
        show: |app| app.watch.as_ref().and_then(|watch| quoted(&watch.ignore)),
        options: &[option(
            "--ignore-watch",
            Repeated("PATTERNS"),
            OptionGroup::Restart,
            "Ignore changes of these paths",
        )],
        part: Some(parts::IGNORED_PATHS),
        change: Change::Live,
        patch: KeyPatch::With(patches::ignore_watch),
        ..PM2
    },
    Key {
        name: "watch_delay",
        meaning: "time without changes before the restart",
        default: "100 ms",
        example: "'500ms'",
        kind: Kind::Delay(|app, delay| app.watching.delay = Some(delay)),
        show: |app| app.watch.as_ref().map(|watch| readable(watch.delay)),
        options: &[option(
            "--watch-delay",
            Required("SECONDS"),
            OptionGroup::Restart,
            "Time without changes before the restart",
        )
        .sets(Sets::Seconds)],
        part: Some(parts::WATCH_DELAY),
        change: Change::Live,
        patch: KeyPatch::With(patches::watch_delay),
        ..PM2
    },
    Key {
        name: "watch_options",
        meaning: "chokidar's options",
        default: "none",
        example: "{ use_polling = true }",
        kind: Kind::WatchOptions(|app, options| app.watching.options = options),
        show: |app| app.watch.as_ref().and_then(|watch| watching::show_options(watch, readable)),
        part: Some(parts::WATCH_OPTIONS),
        change: Change::Live,
        ..PM2
    },
];
