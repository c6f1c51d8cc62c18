//! The commands, options and kinds of arguments that a shell offers.

use crate::cli::{
    app_options::{self, ShownOption},
    command::{self, AppOptions, Command, OptionSpec},
};

/// An option as a shell offers it.
pub(super) struct OfferedOption {
    pub(super) short: Option<char>,
    /// Without its dashes.
    pub(super) long: &'static str,
    /// The value, if one must follow.
    pub(super) value: Option<Word>,
    pub(super) help: &'static str,
}

impl From<&'static OptionSpec> for OfferedOption {
    fn from(option: &'static OptionSpec) -> Self {
        let value = option.required_value().map(Word::of);
        Self { short: option.short, long: option.long, value, help: option.help }
    }
}

impl From<ShownOption> for OfferedOption {
    fn from(option: ShownOption) -> Self {
        let value = option.required_value.map(Word::of);
        Self { short: option.short, long: option.long, value, help: option.help }
    }
}

/// A command as a shell offers it.
pub(super) struct OfferedCommand {
    /// Its name, then its aliases.
    pub(super) words: &'static [&'static str],
    pub(super) summary: &'static str,
    pub(super) arguments: Word,
    pub(super) options: Vec<OfferedOption>,
}

impl OfferedCommand {
    fn new(command: &'static Command) -> Self {
        let mut words = command.arguments.iter().map(|argument| Word::of(argument.name));
        let own = command.all_options().map(OfferedOption::from);
        let of_app: Vec<OfferedOption> = match command.app_options {
            AppOptions::None => Vec::new(),
            AppOptions::Changes => app_options(app_options::OTHER_MEANING).collect(),
            AppOptions::All => app_options(&[]).collect(),
        };
        let mut options: Vec<OfferedOption> = own.collect();
        let is_new = |option: &OfferedOption| options.iter().all(|known| known.long != option.long);
        let of_app: Vec<OfferedOption> = of_app.into_iter().filter(is_new).collect();
        options.extend(of_app);
        Self {
            words: command.words,
            summary: command.summary,
            arguments: words.find(|word| *word != Word::Any).unwrap_or(Word::Any),
            options,
        }
    }
}

/// The options that describe how an app runs, as far as the help shows them, without those of these names.
pub(super) fn app_options(without: &[&str]) -> impl Iterator<Item = OfferedOption> {
    let all = app_options::groups().flat_map(|(_, options)| options);
    all.filter(|option| !without.contains(&option.long)).map(OfferedOption::from)
}

const HELP_AND_VERSION: [&OptionSpec; 2] =
    [&command::HELP, &OptionSpec::switch("version", "Print the version").short('V')];

/// The kind of an argument.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Word {
    /// Nothing to offer.
    Any,
    File,
    /// A target of a command to a running supervisor.
    Target,
    /// A target or an ecosystem file.
    TargetOrFile,
    /// One of these.
    Of(Vec<&'static str>),
}

impl Word {
    /// By the name in the help: `FILE`, `NAME|ID|NAMESPACE|all`, `toml|json`, `simple` or `N`.
    pub(super) fn of(shown: &'static str) -> Self {
        let choices: Vec<&str> = shown.split('|').collect();
        if shown.contains("NAMESPACE") && shown.contains("FILE") {
            Self::TargetOrFile
        } else if ["FILE", "DIR", "PATH", "TARGET"].iter().any(|name| shown.contains(name)) {
            Self::File
        } else if shown.contains("NAMESPACE") || shown.starts_with("APP") || shown.starts_with("ID|NAME") {
            Self::Target
        } else if choices.iter().all(|word| !word.is_empty() && word.chars().all(|c| c.is_ascii_lowercase()))
        {
            Self::Of(choices)
        } else {
            Self::Any
        }
    }
}

/// All commands and options.
pub(super) struct Offered {
    pub(super) commands: Vec<OfferedCommand>,
    /// Options of a command line without a command.
    pub(super) options: Vec<OfferedOption>,
}

impl Offered {
    pub(super) fn new(commands: &[&'static Command]) -> Self {
        Self {
            commands: commands.iter().map(|command| OfferedCommand::new(command)).collect(),
            options: app_options(&[]).chain(HELP_AND_VERSION.map(OfferedOption::from)).collect(),
        }
    }
}

/// A string in the quotes of a POSIX shell.
pub(super) fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::Word;

    #[test]
    fn the_name_of_a_value_decides_what_is_offered() {
        for (shown, word) in [
            ("FILE", Word::File),
            ("FILE|-", Word::File),
            ("TARGET", Word::File),
            ("NAME|ID|NAMESPACE|all", Word::Target),
            ("NAME|ID|NAMESPACE|all|FILE", Word::TargetOrFile),
            ("APP", Word::Target),
            ("ID|NAME", Word::Target),
            ("SIGNAL", Word::Any),
            ("toml|json", Word::Of(vec!["toml", "json"])),
            ("simple", Word::Of(vec!["simple"])),
            ("N", Word::Any),
            ("N|max", Word::Any),
        ] {
            assert_eq!(Word::of(shown), word, "{shown}");
        }
    }
}
