//! The definition of an option that describes how an app runs.

use clap::{Arg, ArgAction, ArgMatches, parser::ValueSource};

use crate::config::{FlagValue, Flags};

/// One option.
pub(super) struct AppOption {
    pub(super) short: Option<char>,
    /// The long name with its dashes.
    pub(super) long: &'static str,
    /// Other long names, without dashes.
    pub(super) aliases: &'static [&'static str],
    pub(super) value: OptionValue,
    pub(super) effect: Effect,
    pub(super) group: OptionGroup,
    pub(super) help: &'static str,
}

/// What follows an option.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum OptionValue {
    /// Nothing.
    Switch,
    /// One value of this name.
    Required(&'static str),
    /// One value that may begin with a dash.
    Hyphenated(&'static str),
    /// One value; the option may be repeated.
    Repeated(&'static str),
    /// `=value` or nothing.
    AfterEquals(&'static str),
    /// The next word unless that is an option, or nothing: PM2's `[value]`.
    Optional(&'static str),
}

impl OptionValue {
    pub(super) fn shown(self) -> String {
        match self {
            Self::Switch => String::new(),
            Self::Required(name) | Self::Hyphenated(name) | Self::Repeated(name) => format!(" <{name}>"),
            Self::AfterEquals(name) => format!("[={name}]"),
            Self::Optional(name) => format!(" [{name}]"),
        }
    }

    /// The name of a value that must follow.
    pub(super) fn required(self) -> Option<&'static str> {
        match self {
            Self::Required(name) | Self::Hyphenated(name) | Self::Repeated(name) => Some(name),
            Self::Switch | Self::AfterEquals(_) | Self::Optional(_) => None,
        }
    }
}

/// What an option does.
#[derive(Clone, Copy)]
pub(super) enum Effect {
    /// Sets this key to its value; without a value, to true.
    Sets(&'static str),
    /// Sets this key to false.
    SetsFalse(&'static str),
    /// Sets this key to this word.
    SetsWord(&'static str, &'static str),
    /// Sets this key to a number of seconds, unless the value has a unit.
    SetsSeconds(&'static str),
    /// Selects apps of the file.
    Only,
    /// Selects an `env_<name>`.
    EnvName,
    /// Path of the control socket.
    Socket,
    /// No effect; the notice reports it.
    Notice(&'static str),
    /// No effect, and no notice.
    None,
}

impl Effect {
    /// The key that the option sets.
    #[cfg(test)]
    pub(super) fn key(self) -> Option<&'static str> {
        match self {
            Self::Sets(key) | Self::SetsFalse(key) | Self::SetsWord(key, _) | Self::SetsSeconds(key) => {
                Some(key)
            }
            Self::Only | Self::EnvName | Self::Socket | Self::Notice(_) | Self::None => None,
        }
    }
}

/// The group of an option in the help.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum OptionGroup {
    App,
    Environment,
    Restart,
    Stop,
    Output,
    Files,
    NoEffect,
    /// Accepted, but not shown.
    Hidden,
}

impl OptionGroup {
    /// In the order of the help.
    pub(super) const SHOWN: [Self; 7] =
        [Self::App, Self::Environment, Self::Restart, Self::Stop, Self::Output, Self::Files, Self::NoEffect];

    pub(super) fn heading(self) -> &'static str {
        match self {
            Self::App => "What to run",
            Self::Environment => "Environment and user",
            Self::Restart => "Restarts",
            Self::Stop => "Stopping",
            Self::Output => "Output",
            Self::Files => "Log files",
            Self::NoEffect | Self::Hidden => "Accepted, without effect",
        }
    }
}

pub(super) const fn option(
    short: Option<char>,
    long: &'static str,
    value: OptionValue,
    effect: Effect,
    group: OptionGroup,
    help: &'static str,
) -> AppOption {
    AppOption { short, long, aliases: &[], value, effect, group, help }
}

impl AppOption {
    /// Its long name without dashes.
    pub(super) fn id(&self) -> &'static str {
        self.long.trim_start_matches('-')
    }

    pub(super) fn arg(&self) -> Arg {
        let mut arg = Arg::new(self.id()).long(self.id()).aliases(self.aliases.iter().copied());
        if let Some(short) = self.short {
            arg = arg.short(short);
        }
        match self.value {
            OptionValue::Switch => arg.action(ArgAction::SetTrue),
            // So that the value is the error, not an option called `-1`.
            OptionValue::Required(name) => arg.value_name(name).allow_negative_numbers(true),
            OptionValue::Hyphenated(name) => arg.value_name(name).allow_hyphen_values(true),
            OptionValue::Repeated(name) => arg.value_name(name).action(ArgAction::Append),
            OptionValue::AfterEquals(name) => {
                arg.value_name(name).num_args(0..=1).require_equals(true).default_missing_value("")
            }
            OptionValue::Optional(name) => arg.value_name(name).num_args(0..=1).default_missing_value(""),
        }
    }

    /// The values of the option and its position, if it was given.
    pub(super) fn values<'m>(&self, matches: &'m ArgMatches) -> Option<(usize, Vec<&'m str>)> {
        // An error here is an option that the parser was not built for.
        let known = matches.try_contains_id(self.id()).unwrap_or(false);
        if !known || matches.value_source(self.id()) != Some(ValueSource::CommandLine) {
            return None;
        }
        let at = matches.indices_of(self.id())?.next_back()?;
        if self.value == OptionValue::Switch {
            return Some((at, Vec::new()));
        }
        Some((at, matches.get_many::<String>(self.id())?.map(String::as_str).collect()))
    }

    pub(super) fn apply(&self, values: &[&str], flags: &mut Flags) {
        let last = values.last().copied().unwrap_or_default();
        match self.effect {
            Effect::Sets(key) => flags.set(key, self.long, self.flag_value(values, last)),
            Effect::SetsFalse(key) => flags.set(key, self.long, FlagValue::Switch(false)),
            Effect::SetsWord(key, word) => flags.set(key, self.long, FlagValue::Text(word.to_owned())),
            Effect::SetsSeconds(key) => flags.set(key, self.long, FlagValue::Seconds(last.to_owned())),
            Effect::Only => flags.only = names(values),
            Effect::EnvName => flags.env_name = Some(last.to_owned()).filter(|name| !name.is_empty()),
            Effect::Notice(notice) => flags.notices.push(format!("`{}` {notice}", self.long)),
            Effect::Socket | Effect::None => {}
        }
    }

    fn flag_value(&self, values: &[&str], last: &str) -> FlagValue {
        match self.value {
            OptionValue::Switch => FlagValue::Switch(true),
            OptionValue::AfterEquals(_) if last.is_empty() => FlagValue::Switch(true),
            OptionValue::Repeated(_) => {
                FlagValue::List(values.iter().map(|&value| value.to_owned()).collect())
            }
            OptionValue::Required(_)
            | OptionValue::Hyphenated(_)
            | OptionValue::AfterEquals(_)
            | OptionValue::Optional(_) => FlagValue::Text(last.to_owned()),
        }
    }
}

/// The names in `a,b` and `a b`.
pub(in crate::cli) fn names(values: &[&str]) -> Vec<String> {
    let words = values.iter().flat_map(|value| value.split([',', ' ']));
    words.filter(|word| !word.is_empty()).map(str::to_owned).collect()
}
