//! An option as a parser of clap, and its effect on the settings of the command line.

use clap::{Arg, ArgAction, ArgMatches, parser::ValueSource};

use crate::{
    cli::name_list::names,
    config::{AppOption, FlagValue, Flags, OptionValue, Sets},
};

/// What an option does.
#[derive(Clone, Copy)]
pub(super) enum Effect {
    /// Sets this key.
    SetsKey(&'static str, Sets),
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
            Self::SetsKey(key, _) => Some(key),
            Self::Only | Self::EnvName | Self::Socket | Self::Notice(_) | Self::None => None,
        }
    }
}

/// The option for a parser.
pub(super) fn arg(option: &AppOption<Effect>) -> Arg {
    let mut arg = Arg::new(option.id()).long(option.id()).aliases(option.aliases.iter().copied());
    if let Some(short) = option.short {
        arg = arg.short(short);
    }
    match option.value {
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

/// The values of an option and its position, if it was given.
pub(super) fn values<'m>(
    option: &AppOption<Effect>,
    matches: &'m ArgMatches,
) -> Option<(usize, Vec<&'m str>)> {
    let id = option.id();
    // An error here is an option that the parser was not built for.
    let is_known = matches.try_contains_id(id).unwrap_or(false);
    if !is_known || matches.value_source(id) != Some(ValueSource::CommandLine) {
        return None;
    }
    let at = matches.indices_of(id)?.next_back()?;
    if option.value == OptionValue::Switch {
        return Some((at, Vec::new()));
    }
    Some((at, matches.get_many::<String>(id)?.map(String::as_str).collect()))
}

/// Carries out the effect of an option that was given with these values.
pub(super) fn apply(option: &AppOption<Effect>, values: &[&str], flags: &mut Flags) {
    let last = values.last().copied().unwrap_or_default();
    match option.effect {
        Effect::SetsKey(key, sets) => {
            let value = match sets {
                Sets::Value => flag_value(option.value, values, last),
                Sets::False => FlagValue::Switch(false),
                Sets::Word(word) => FlagValue::Text(word.to_owned()),
                Sets::Seconds => FlagValue::Seconds(last.to_owned()),
            };
            flags.set(key, option.long, value);
        }
        Effect::Only => flags.only = names(values),
        Effect::EnvName => flags.env_name = Some(last.to_owned()).filter(|name| !name.is_empty()),
        Effect::Notice(notice) => flags.notices.push(format!("`{}` {notice}", option.long)),
        Effect::Socket | Effect::None => {}
    }
}

fn flag_value(value: OptionValue, values: &[&str], last: &str) -> FlagValue {
    match value {
        OptionValue::Switch => FlagValue::Switch(true),
        OptionValue::AfterEquals(_) if last.is_empty() => FlagValue::Switch(true),
        OptionValue::Repeated(_) => FlagValue::List(values.iter().map(|&value| value.to_owned()).collect()),
        OptionValue::Required(_)
        | OptionValue::Hyphenated(_)
        | OptionValue::AfterEquals(_)
        | OptionValue::Optional(_) => FlagValue::Text(last.to_owned()),
    }
}
