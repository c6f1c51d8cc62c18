//! `procrun completions`: scripts with which a shell completes a command line of procrun.
//!
//! The scripts are generated from the tables of options and commands. Names of apps are read at completion
//! time: `procrun completions targets` prints them, and prints nothing if no supervisor answers.

mod bash;
mod fish;
mod zsh;

use std::collections::BTreeSet;

use crate::{
    cli::{
        app_options::{self, ShownOption},
        command::{self, AppOptions, Argument, Command, Occurs, OptionSpec, Run},
        failure::Failure,
        output::print,
        parsed_args::ParsedArgs,
    },
    config::EX_USAGE,
    control::Request,
    spec::ExitCode,
};

pub(super) static COMPLETIONS: Command = Command {
    words: &["completions", "completion"],
    arguments: &[Argument::new("bash|zsh|fish", Occurs::Once)],
    summary: "Print shell completions",
    description: "Print a script that completes commands, options, files and names of apps:\n\
                  \x20 bash  source <(procrun completions bash)    in ~/.bashrc\n\
                  \x20 zsh   source <(procrun completions zsh)     in ~/.zshrc, after compinit\n\
                  \x20 fish  procrun completions fish > ~/.config/fish/completions/procrun.fish",
    run: Run::OfTable(completions),
    ..Command::DEFAULT
};

/// An option as a shell offers it.
struct OfferedOption {
    short: Option<char>,
    /// Without its dashes.
    long: &'static str,
    /// The value, if one must follow.
    value: Option<Word>,
    help: &'static str,
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
struct OfferedCommand {
    /// Its name, then its aliases.
    words: &'static [&'static str],
    summary: &'static str,
    arguments: Word,
    options: Vec<OfferedOption>,
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
fn app_options(without: &[&str]) -> impl Iterator<Item = OfferedOption> {
    let all = app_options::groups().flat_map(|(_, options)| options);
    all.filter(|option| !without.contains(&option.long)).map(OfferedOption::from)
}

const HELP_AND_VERSION: [&OptionSpec; 2] =
    [&command::HELP, &OptionSpec::switch("version", "Print the version").short('V')];

/// The kind of an argument.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Word {
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
    fn of(shown: &'static str) -> Self {
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
struct Offered {
    commands: Vec<OfferedCommand>,
    /// Options of a command line without a command.
    options: Vec<OfferedOption>,
}

impl Offered {
    fn new(commands: &[&'static Command]) -> Self {
        Self {
            commands: commands.iter().map(|command| OfferedCommand::new(command)).collect(),
            options: app_options(&[]).chain(HELP_AND_VERSION.map(OfferedOption::from)).collect(),
        }
    }
}

fn completions(args: &ParsedArgs, commands: &[&'static Command]) -> Result<ExitCode, Failure> {
    let offered = Offered::new(commands);
    Ok(print(&match args.words[0].as_str() {
        "bash" => bash::script(&offered),
        "zsh" => zsh::script(&offered),
        "fish" => fish::script(&offered),
        "targets" => targets(args),
        other => {
            let message = format!("unknown shell `{other}`: must be bash, zsh or fish");
            return Err(Failure::new(EX_USAGE, message));
        }
    }))
}

/// The targets of commands, one per line.
fn targets(args: &ParsedArgs) -> String {
    let overview = args.supervisor().and_then(|mut supervisor| supervisor.overview(&Request::List));
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

/// A string in the quotes of a POSIX shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::{super::COMMANDS, *};

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

    type Script = fn(&Offered) -> String;

    /// Each command, option and kind of argument of the definitions is in the script of each shell.
    #[test]
    fn every_command_and_option_is_in_every_script() {
        let offered = Offered::new(COMMANDS);
        let scripts: [(&str, Script); 3] =
            [("bash", bash::script), ("zsh", zsh::script), ("fish", fish::script)];
        for (shell, script) in scripts {
            let script = script(&offered);
            for command in COMMANDS {
                let name = command.name();
                // The part of the script that belongs to the command.
                let part: String = if shell == "fish" {
                    let condition = format!("'__procrun_is {}'", command.words.join(" "));
                    script.lines().filter(|line| line.contains(&condition)).collect()
                } else {
                    let begin = format!("        {})\n", command.words.join("|"));
                    let (_, rest) = script.split_once(&begin).unwrap_or_else(|| panic!("{shell}: {name}"));
                    rest.split_once("esac ;;").expect("an arm has an end").0.to_owned()
                };
                let of_app = match command.app_options {
                    AppOptions::None => Vec::new(),
                    AppOptions::Changes | AppOptions::All => {
                        app_options(app_options::OTHER_MEANING).map(|option| option.long).collect()
                    }
                };
                for long in command.all_options().map(|option| option.long).chain(of_app) {
                    let written = if shell == "fish" { format!("-l {long} ") } else { format!("--{long}") };
                    assert!(format!("{part} ").contains(&written), "{shell}: {name} --{long}");
                }
                let has_target = command
                    .arguments
                    .iter()
                    .any(|argument| matches!(Word::of(argument.name), Word::Target | Word::TargetOrFile));
                assert!(!has_target || part.contains("targets"), "{shell}: {name}");
            }
        }
    }

    #[test]
    fn every_option_is_offered_once() {
        for command in Offered::new(COMMANDS).commands {
            let mut options: Vec<_> = command.options.iter().map(|option| option.long).collect();
            let count = options.len();
            options.sort_unstable();
            options.dedup();
            assert_eq!(options.len(), count, "{:?}", command.words);
        }
    }
}
