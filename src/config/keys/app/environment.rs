//! Environment variables.

use crate::{
    config::{
        draft::Draft,
        keys::{
            Key, Kind, OutOfRange,
            app::{OWN, PM2, copy},
            patches,
            show::{quoted, shown},
        },
    },
    spec::{AppSpec, InheritEnv},
};

pub(super) static KEYS: &[Key<Draft, AppSpec>] = &[
    Key {
        name: "filter_env",
        meaning: "variables of procrun that the app does [not inherit](environment.md#what-an-app-gets)",
        default: "none",
        example: "['AWS_', 'npm_']",
        kind: Kind::Filter(|app, inherit| app.inherit = inherit),
        show: |app| match &app.env.inherit {
            InheritEnv::All => None,
            InheritEnv::Without(parts) => quoted(parts),
            InheritEnv::WithoutName(name) => shown(name),
            InheritEnv::Nothing => shown("true"),
        },
        patch: copy!(env.inherit),
        ..PM2
    },
    Key {
        name: "env_file",
        meaning: "[dotenv files](environment.md#what-an-app-gets)",
        default: "none",
        example: "{ path = '.env', required = false }",
        kind: Kind::EnvFiles(|app, files| app.env_files = files),
        patch: Some(patches::variables),
        ..OWN
    },
    Key {
        name: "env",
        meaning: "variables",
        default: "none",
        example: "{ NODE_ENV = 'production' }",
        kind: Kind::Environment(|app, env| app.env.extend(env)),
        ..PM2
    },
    Key {
        name: "port",
        meaning: "the variable `PORT`",
        default: "none",
        example: "3000",
        kind: Kind::Count(0, 65535, OutOfRange::IsWrong, |app, port| app.port = Some(port)),
        ..PM2
    },
    Key {
        name: "instance_var",
        meaning: "variable with the number of the instance",
        default: "`NODE_APP_INSTANCE`",
        example: "'INSTANCE'",
        kind: Kind::Variable(|app, name| app.instance_var = Some(name)),
        show: |app| shown(&app.env.instance_var),
        patch: copy!(env.instance_var),
        ..PM2
    },
    Key {
        name: "increment_var",
        meaning: "variable whose number grows by one with each instance",
        default: "none",
        example: "'PORT'",
        kind: Kind::Variable(|app, name| app.increment_var = Some(name)),
        show: |app| app.env.increment_var.clone(),
        patch: Some(patches::increment_var),
        ..PM2
    },
];
