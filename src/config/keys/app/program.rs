//! What runs: script, arguments, interpreter.

use crate::{
    config::{
        draft::Draft,
        keys::{
            Key, Kind,
            app::{
                parts,
                row::{OWN, PM2, field},
            },
            option::{
                OptionGroup,
                OptionValue::{Hyphenated, Required, Switch},
                hidden, option,
            },
            part::KeyPatch,
            show::{quoted, shown},
        },
    },
    spec::{AppSpec, Interpreter, Stdin},
};

pub(super) static KEYS: &[Key<Draft, AppSpec>] = &[
    Key {
        name: "name",
        meaning: "name of the app",
        default: "the stem of the file name",
        example: "'api'",
        kind: Kind::SingleLine(|app, name| app.name = Some(name)),
        show: |app| shown(&app.name),
        options: &[option("--name", Required("NAME"), OptionGroup::App, "Name of the app").short('n')],
        part: field!(name),
        patch: KeyPatch::Copy,
        ..PM2
    },
    Key {
        name: "name_prefix",
        meaning: "string before the name",
        default: "none",
        example: "'shop'",
        kind: Kind::SingleLine(|app, prefix| app.name_prefix = Some(prefix)),
        ..PM2
    },
    Key {
        name: "append_env_to_name",
        meaning: "append the name of `--env` to the app's name",
        default: "false",
        example: "true",
        kind: Kind::Boolean(|app, on| app.append_env_to_name = on),
        ..PM2
    },
    Key {
        name: "namespace",
        meaning: "group that commands can name as a target",
        default: "`default`",
        example: "'shop'",
        kind: Kind::SingleLine(|app, name| app.namespace = Some(name)),
        show: |app| shown(&app.namespace),
        options: &[option("--namespace", Required("NAME"), OptionGroup::App, "Namespace of the app")],
        part: field!(namespace),
        patch: KeyPatch::Copy,
        ..PM2
    },
    Key {
        name: "script",
        aliases: &["exec", "cmd", "command"],
        meaning: "a file, a program in `PATH`, or a shell line",
        default: "required",
        example: "'dist/main.js'",
        kind: Kind::String(|app, script| app.script = Some(script)),
        show: |app| shown(&app.exec.script),
        part: field!(exec.script),
        ..PM2
    },
    Key {
        name: "args",
        meaning: "arguments: a string or a list",
        default: "none",
        example: "['--port', '3000']",
        kind: Kind::Arguments(|app, args| app.args = args),
        show: |app| quoted(&app.exec.args),
        part: field!(exec.args),
        patch: KeyPatch::Copy,
        ..PM2
    },
    Key {
        name: "cwd",
        meaning: "working directory",
        default: "the caller's; in TOML the file's",
        example: "'/srv/api'",
        kind: Kind::String(|app, cwd| app.cwd = Some(cwd)),
        show: |app| shown(app.exec.cwd.display()),
        options: &[option("--cwd", Required("DIR"), OptionGroup::App, "Working directory of the app")],
        part: field!(exec.cwd),
        patch: KeyPatch::Copy,
        ..PM2
    },
    Key {
        name: "interpreter",
        aliases: &["exec_interpreter"],
        meaning: "[program that runs the script](../how-to/other-languages.md); `none` executes the script itself",
        default: "by the type of the file",
        example: "'python3'",
        kind: Kind::String(|app, program| app.interpreter = Some(program)),
        show: |app| match &app.exec.interpreter {
            Interpreter::Auto => shown("by the file's type"),
            Interpreter::None => shown("none"),
            Interpreter::Program(program) => shown(program),
            Interpreter::BuiltIn => shown("procrun itself"),
        },
        options: &[option(
            "--interpreter",
            Required("PROGRAM"),
            OptionGroup::App,
            "Program that runs the script, or none",
        )],
        part: field!(exec.interpreter),
        patch: KeyPatch::Copy,
        ..PM2
    },
    Key {
        name: "interpreter_args",
        aliases: &["node_args"],
        meaning: "arguments of the interpreter",
        default: "none",
        example: "['--max-old-space-size=300']",
        kind: Kind::Arguments(|app, args| app.interpreter_args = args),
        show: |app| quoted(&app.exec.interpreter_args),
        options: &[option(
            "--interpreter-args",
            Hyphenated("ARGS"),
            OptionGroup::App,
            "Interpreter arguments [also: --node-args]",
        )
        .aliases(&["node-args"])],
        part: field!(exec.interpreter_args),
        patch: KeyPatch::Copy,
        ..PM2
    },
    Key {
        name: "source_map_support",
        meaning: "give Node `--enable-source-maps`, or not",
        default: "true if a source map is beside the script",
        example: "true",
        kind: Kind::Boolean(|app, on| app.source_maps = Some(on)),
        show: |app| app.exec.source_maps.map(|on| on.to_string()),
        options: &[option("--source-map-support", Switch, OptionGroup::App, "Enable source maps in Node")],
        part: field!(exec.source_maps),
        patch: KeyPatch::Copy,
        ..PM2
    },
    Key {
        name: "stdin",
        meaning: "[standard input](../how-to/other-languages.md#standard-input): `open` is a pipe, `null` is `/dev/null`",
        default: "`open`; `null` for a task",
        example: "'null'",
        kind: Kind::Choice(&[
            ("open", |app| app.stdin = Some(Stdin::Open)),
            ("null", |app| app.stdin = Some(Stdin::Null)),
        ]),
        show: |app| {
            let stdin = app.exec.stdin;
            (stdin != Stdin::default_for(app.order.oneshot)).then(|| stdin.as_str().to_owned())
        },
        part: Some(parts::STDIN),
        ..OWN
    },
    Key {
        name: "disable_source_map_support",
        meaning: "the opposite of `source_map_support`",
        default: "false",
        example: "true",
        kind: Kind::Boolean(|app, off| app.source_maps = if off { Some(false) } else { app.source_maps }),
        options: &[hidden("--disable-source-map-support", Switch)],
        patch: KeyPatch::With(|from, to| {
            to.exec.source_maps.clone_from(&from.exec.source_maps);
            Ok(())
        }),
        ..PM2
    },
];
