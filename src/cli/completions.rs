//! `procrun completions`: scripts with which a shell completes a command line of procrun.
//!
//! The scripts are generated from the tables of options and commands. Names of apps are read at completion
//! time: `procrun completions targets` prints them, and prints nothing if no supervisor answers.

mod bash;
mod fish;
mod zsh;

use std::collections::BTreeSet;

use super::{
    commands::{self, ParsedArgs},
    failure::Failure,
    flags, list, say,
};
use crate::{config::EX_USAGE, control::Request, spec::ExitCode};

/// An option as a shell offers it.
pub(super) struct Offer {
    pub(super) short: Option<char>,
    /// Without its dashes.
    pub(super) long: &'static str,
    /// The word behind it, if there is always one.
    pub(super) value: Option<Word>,
    pub(super) help: &'static str,
}

/// A command as a shell offers it.
pub(super) struct Command {
    /// Its word, then its others.
    pub(super) words: &'static [&'static str],
    pub(super) brief: &'static str,
    /// Its arguments.
    pub(super) takes: Word,
    pub(super) options: Vec<Offer>,
}

/// The kind of an argument.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Word {
    /// Nothing that could be offered.
    Any,
    File,
    /// A target of a command to a running supervisor.
    Target,
    /// The same, or an ecosystem file.
    TargetOrFile,
    /// One of these.
    Of(Vec<&'static str>),
}

impl Word {
    /// What the help calls `FILE`, `<NAME|ID|NAMESPACE|all>...`, `toml|json`, `[simple]` or `N`.
    pub(super) fn of(shown: &'static str) -> Self {
        let shown = shown.trim_end_matches("...").trim_matches(['<', '>', '[', ']']);
        let choices: Vec<&str> = shown.split('|').collect();
        if shown.contains("NAMESPACE") && shown.contains("FILE") {
            Self::TargetOrFile
        } else if shown.contains("FILE") || shown.contains("DIR") || shown.contains("PATH") {
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

/// Everything that can be typed.
struct Offered {
    /// The commands; first those that run something.
    commands: Vec<Command>,
    /// Options of a command line without a command.
    options: Vec<Offer>,
}

/// The commands that take the options of a line without a command.
const RUNS: [(&[&str], &str); 3] = [
    (&["run"], "Run in the foreground"),
    (&["start"], "Run in the background"),
    (&["check"], "Show the effective configuration"),
];

impl Offered {
    fn all() -> Self {
        let runs = RUNS.map(|(words, brief)| Command {
            words,
            brief,
            takes: Word::File,
            options: flags::offered().collect(),
        });
        Self {
            commands: runs.into_iter().chain(commands::offered()).collect(),
            options: flags::offered().collect(),
        }
    }
}

pub(super) fn completions(typed: &ParsedArgs) -> Result<ExitCode, Failure> {
    Ok(say(&match typed.words[0].as_str() {
        "bash" => bash::script(&Offered::all()),
        "zsh" => zsh::script(&Offered::all()),
        "fish" => fish::script(&Offered::all()),
        "targets" => targets(typed),
        other => {
            let message = format!("unknown shell `{other}`: must be bash, zsh or fish");
            return Err(Failure::new(EX_USAGE, message));
        }
    }))
}

/// What the commands to the supervisor can be about, one a line.
fn targets(typed: &ParsedArgs) -> String {
    let overview = typed.supervisor().and_then(|mut of| list::overview(&mut of, &Request::List));
    let Ok(overview) = overview else { return String::new() };
    let instances = overview.instances;
    let words: BTreeSet<String> = instances
        .iter()
        .flat_map(|one| [one.name.clone(), one.namespace.clone(), one.id.to_string()])
        .chain(["all".to_owned()])
        .filter(|word| !word.contains('\n'))
        .collect();
    words.into_iter().map(|word| word + "\n").collect()
}

/// A text in the quotes of a POSIX shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_help_calls_a_value_says_what_it_may_be() {
        for (shown, word) in [
            ("FILE", Word::File),
            ("<FILE>", Word::File),
            ("FILE|-", Word::File),
            ("<NAME|ID|NAMESPACE|all>...", Word::Target),
            ("<NAME|ID|NAMESPACE|all|FILE>...", Word::TargetOrFile),
            ("<SIGNAL> <NAME|ID|NAMESPACE|all>...", Word::Target),
            ("<APP> <N|+N|-N>", Word::Target),
            ("<ID|NAME>", Word::Target),
            ("toml|json", Word::Of(vec!["toml", "json"])),
            ("[simple]", Word::Of(vec!["simple"])),
            ("N", Word::Any),
            ("N|max", Word::Any),
            ("", Word::Any),
        ] {
            assert_eq!(Word::of(shown), word, "{shown}");
        }
    }

    #[test]
    fn every_command_and_option_is_offered_once() {
        let offered = Offered::all();
        let mut words: Vec<_> = offered.commands.iter().flat_map(|command| command.words).collect();
        let count = words.len();
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), count);
        for command in &offered.commands {
            let mut options: Vec<_> = command.options.iter().map(|option| option.long).collect();
            let count = options.len();
            options.sort_unstable();
            options.dedup();
            assert_eq!(options.len(), count, "{:?}", command.words);
        }
    }
}
