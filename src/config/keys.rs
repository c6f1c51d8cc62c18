//! The key table: every key of an ecosystem file, one row each. A row has the names of the key, its documentation,
//! how its value is decoded and shown, and what a change of it does. `check`, `describe`, the options of the command
//! line, the reference pages and the JSON Schema are made from it. A new key is a field in the spec and in `Draft`, a
//! line in `build`, and a row here; if `Kind` has no such type, also a variant there and its decoder in `apply`.
//!
//! It decodes no value itself: `apply` does, by the kind of the key.

mod app;
mod key;
mod kind;
mod option;
mod part;
pub(super) mod patches;
#[cfg(test)]
mod reference;
mod root;
mod schema;
mod settings;
mod show;
#[cfg(test)]
mod tests;

pub(super) use self::{
    app::APP_KEYS,
    key::{Change, Key, Owner, Section, all, find, is_camel_case, words},
    kind::{Choice, Kind, OutOfRange, ZeroMeans},
    part::{KeyPatch, Part},
    root::{APPS, CWD, DEFAULTS, INCLUDE, RUNTIME_KEYS, STATIC, TIME_FORMAT, file_keys},
    settings::INSTANCE_VAR,
    show::readable,
};
pub use self::{
    option::{AppOption, OptionGroup, OptionValue, Sets},
    schema::schema,
    settings::{changed_keys, non_default_settings},
};

/// The options that set keys, each with the name of its key: those of apps, then those of procrun itself.
pub fn key_options() -> impl Iterator<Item = (&'static str, &'static AppOption<Sets>)> {
    let of_apps = all(APP_KEYS).map(|key| (key.name, key.options));
    let of_procrun = all(RUNTIME_KEYS).map(|key| (key.name, key.options));
    of_apps.chain(of_procrun).flat_map(|(name, options)| options.iter().map(move |option| (name, option)))
}
