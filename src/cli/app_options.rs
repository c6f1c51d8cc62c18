//! The options that describe how an app runs, and those of a run in the foreground: those in the rows of the key
//! table, and those that set no key.

mod effect;
mod without_key;

use std::{ffi::OsString, fmt::Write as _};

use clap::{Arg, ArgMatches};

use self::{
    effect::{Effect, apply, arg, values},
    without_key::OPTIONS_WITHOUT_KEY,
};
use crate::config::{AppOption, Flags, OptionGroup, key_options};

/// Options that have another meaning for the commands that change apps.
pub(super) const OTHER_MEANING: &[&str] =
    &["json", "socket", "update-env", "only", "env", "silent", "no-color"];

/// All options.
fn all() -> impl Iterator<Item = AppOption<Effect>> {
    let of_keys = key_options().map(|(key, option)| option.with_effect(Effect::SetsKey(key, option.effect)));
    of_keys.chain(OPTIONS_WITHOUT_KEY.iter().copied())
}

/// All options for a parser.
pub(super) fn all_args() -> impl Iterator<Item = Arg> {
    all().map(|option| arg(&option))
}

/// The options for another parser, hidden, without those of these names.
pub(super) fn args(without: &[&str]) -> Vec<Arg> {
    let options = all().filter(|option| !without.contains(&option.id()));
    options.map(|option| arg(&option).hide(true)).collect()
}

/// The options as the help shows them: group by group, at most 80 columns wide.
pub(super) fn described() -> String {
    const COLUMN: usize = 36;
    let mut text = String::new();
    for group in OptionGroup::SHOWN {
        text.push_str(group.heading());
        text.push_str(":\n");
        for option in all().filter(|option| option.group == group) {
            let short = option.short.map_or_else(|| "    ".to_owned(), |short| format!("-{short}, "));
            let name = format!("  {short}{}{}", option.long, option.value.shown());
            let gap = if name.len() < COLUMN { String::new() } else { format!("\n{:COLUMN$}", "") };
            writeln!(text, "{name:COLUMN$}{gap}{}", option.help).expect("writing to a String cannot fail");
        }
        text.push('\n');
    }
    text
}

/// An option as the completions and the reference show it.
pub(super) struct ShownOption {
    pub(super) short: Option<char>,
    /// Without dashes.
    pub(super) long: &'static str,
    /// What follows the name in the help.
    #[cfg(test)]
    pub(super) value: String,
    /// The name of a value that must follow.
    pub(super) required_value: Option<&'static str>,
    /// The key that it sets.
    #[cfg(test)]
    pub(super) key: Option<&'static str>,
    pub(super) help: &'static str,
}

impl ShownOption {
    fn new(option: &AppOption<Effect>) -> Self {
        Self {
            short: option.short,
            long: option.id(),
            #[cfg(test)]
            value: option.value.shown(),
            required_value: option.value.required(),
            #[cfg(test)]
            key: option.effect.key(),
            help: option.help,
        }
    }
}

/// The headings of the groups and their options.
pub(super) fn groups() -> impl Iterator<Item = (&'static str, Vec<ShownOption>)> {
    OptionGroup::SHOWN.into_iter().map(|group| {
        let options = all().filter(|option| option.group == group);
        (group.heading(), options.map(|option| ShownOption::new(&option)).collect())
    })
}

/// The value of `--socket`.
pub(super) fn socket(matches: &ArgMatches) -> Option<OsString> {
    let option = all().find(|option| matches!(option.effect, Effect::Socket))?;
    values(&option, matches).and_then(|(_, values)| values.last().map(OsString::from))
}

/// The settings of the given options, without the options of these names. Of two that set the same key, the
/// last one counts.
pub(super) fn read(matches: &ArgMatches, without: &[&str]) -> Flags {
    let mut given: Vec<_> = all()
        .filter(|option| !without.contains(&option.id()))
        .filter_map(|option| values(&option, matches).map(|(at, values)| (at, option, values)))
        .collect();
    given.sort_by_key(|&(at, ..)| at);
    let mut flags = Flags::default();
    for (_, option, values) in given {
        apply(&option, &values, &mut flags);
    }
    flags
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The key of a new option has a `patch` in the key table, or is listed here.
    #[test]
    fn every_option_changes_a_listed_app_or_is_known_not_to() {
        const NOT: [&str; 6] = ["auto_exit", "autostart", "log_format", "log_level", "start_delay", "web"];
        let keys = all().filter_map(|option| option.effect.key());
        let mut not: Vec<&str> = keys.filter(|key| !crate::config::can_change(key)).collect();
        not.sort_unstable();
        not.dedup();
        assert_eq!(not, NOT);
    }

    fn parsed(line: &[&str]) -> Flags {
        let parser = clap::Command::new("procrun").args_override_self(true).args(all_args());
        let parser =
            parser.arg(Arg::new("words").num_args(0..)).arg(Arg::new("args").num_args(0..).last(true));
        read(&parser.get_matches_from(line), &[])
    }

    #[test]
    fn values_reach_their_keys() {
        let line = "p a.js -i -1 --node-args --inspect --only a,b --only c --env x --watch=src --no-pmx";
        let flags = parsed(&line.split(' ').collect::<Vec<_>>());
        assert_eq!(flags.only, ["a", "b", "c"]);
        assert_eq!(flags.env_name.as_deref(), Some("x"));
        assert!(flags.check().is_ok());
        for line in ["p --secret --public --machine-name --env --raw a.js", "p a.js --secret x --env"] {
            let flags = parsed(&line.split(' ').collect::<Vec<_>>());
            assert_eq!(flags.env_name, None, "{line}");
            assert!(flags.notices.iter().any(|notice| notice.contains("--secret")), "{line}");
        }
        assert_eq!(parsed(&["p", "a.js", "--", "--only", "x"]).only, [""; 0]);
        let flags = parsed(&["p", "a.js", "-i", "many", "--kill-timeout=-5"]);
        let problems = flags.check().unwrap_err();
        assert_eq!(problems.exit_code(), 64);
        assert_eq!(problems.iter().count(), 2);
    }
}
