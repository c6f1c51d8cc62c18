//! The options that set no key. The options of keys are in the rows of the key table.

use super::effect::Effect::{self, Notice};
use crate::config::{
    AppOption,
    OptionGroup::{self, App, Environment, Hidden},
    OptionValue::{self, Optional, Repeated, Required, Switch},
};

const NO_SERVICE: Effect = Notice("has no effect: procrun does not use PM2's monitoring service");

pub(super) static OPTIONS_WITHOUT_KEY: &[AppOption<Effect>] = &[
    option("--only", Repeated("NAMES"), Effect::Only, App, "Select these apps of the file (a,b)"),
    option("--socket", Required("FILE"), Effect::Socket, App, "Path of the control socket"),
    option("--env", Optional("NAME"), Effect::EnvName, Environment, "Apply env_<NAME> of the file"),
    hidden("--ext", Required("LIST"), Notice("has no effect: write `--watch='**/*.{js,json}'`")),
    hidden("--secret", Optional("KEY"), NO_SERVICE),
    hidden("--public", Optional("KEY"), NO_SERVICE),
    hidden("--machine-name", Optional("NAME"), NO_SERVICE),
    hidden(
        "--parallel",
        Required("N"),
        Notice("has no effect: `max_parallel` limits a reload, and all apps start at once"),
    ),
    hidden(
        "--no-color",
        Switch,
        Notice("has no effect: colours are used on terminals only, and NO_COLOR turns them off"),
    ),
    hidden("--no-daemon", Switch, Effect::None),
    hidden("--attach", Switch, Effect::None),
    hidden("--update-env", Switch, Effect::None).short('a'),
    hidden("--mini-list", Switch, Effect::None).short('m'),
];

const fn option(
    long: &'static str,
    value: OptionValue,
    effect: Effect,
    group: OptionGroup,
    help: &'static str,
) -> AppOption<Effect> {
    AppOption::new(effect, long, value, group, help)
}

const fn hidden(long: &'static str, value: OptionValue, effect: Effect) -> AppOption<Effect> {
    option(long, value, effect, Hidden, "")
}
