//! Environment variables.

use crate::{
    config::{
        draft::Draft,
        keys::{
            Key, Kind, OutOfRange,
            app::{
                parts,
                row::{OWN, PM2, field},
            },
            option::{
                OptionGroup,
                OptionValue::{Repeated, Required},
                option,
            },
            part::KeyPatch,
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
        kind: Kind::EnvFilter(|app, inherit| app.inherit = inherit),
        show: |app| match &app.env.inherit {
            InheritEnv::All => None,
            InheritEnv::Without(parts) => quoted(parts),
            InheritEnv::WithoutName(name) => shown(name),
            InheritEnv::Nothing => shown("true"),
        },
        options: &[option(
            "--filter-env",
            Repeated("PART"),
            OptionGroup::Environment,
            "Remove variables with PART in the name",
        )],
        part: field!(env.inherit),
        patch: KeyPatch::Copy,
        ..PM2
    },
    Key {
        name: "env_file",
        meaning: "[dotenv files](environment.md#what-an-app-gets)",
        default: "none",
        example: "{ path = '.env', required = false }",
        kind: Kind::EnvFiles(|app, files| app.env_files = files),
        options: &[option(
            "--env-file",
            Repeated("FILE"),
            OptionGroup::Environment,
            "Read variables from a dotenv file",
        )],
        patch: KeyPatch::With(patches::variables),
        ..OWN
    },
    Key {
        name: "env",
        meaning: "variables",
        default: "none",
        example: "{ NODE_ENV = 'production' }",
        kind: Kind::Environment(|app, env| app.env.extend(env)),
        part: Some(parts::VARIABLES),
        ..PM2
    },
    Key {
        name: "port",
        meaning: "the variable `PORT`",
        default: "none",
        example: "3000",
        kind: Kind::Integer(0, 65535, OutOfRange::IsWrong, |app, port| app.port = Some(port)),
        ..PM2
    },
    Key {
        name: "instance_var",
        meaning: "variable with the number of the instance",
        default: "`NODE_APP_INSTANCE`",
        example: "'INSTANCE'",
        kind: Kind::Variable(|app, name| app.instance_var = Some(name)),
        show: |app| shown(&app.env.instance_var),
        options: &[option(
            "--instance-var",
            Required("NAME"),
            OptionGroup::Environment,
            "Variable that holds the instance number",
        )],
        part: field!(env.instance_var),
        patch: KeyPatch::Copy,
        ..PM2
    },
    Key {
        name: "increment_var",
        meaning: "variable whose number grows by one with each instance",
        default: "none",
        example: "'PORT'",
        kind: Kind::Variable(|app, name| app.increment_var = Some(name)),
        show: |app| app.env.increment_var.clone(),
        options: &[option(
            "--increment-var",
            Required("NAME"),
            OptionGroup::Environment,
            "Variable that grows with each instance",
        )],
        part: field!(env.increment_var),
        patch: KeyPatch::With(patches::increment_var),
        ..PM2
    },
];
