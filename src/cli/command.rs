//! The definition of a command: its words, arguments, options, help and function.
//!
//! The parser, `--help`, the completions and the reference are made from these definitions.

use super::{failure::Failure, parsed_args::ParsedArgs};
use crate::spec::ExitCode;

/// A command.
pub(super) struct Command {
    /// Its name, then its aliases.
    pub(super) words: &'static [&'static str],
    pub(super) group: Group,
    pub(super) arguments: &'static [Argument],
    pub(super) options: &'static [OptionSpec],
    pub(super) app_options: AppOptions,
    /// Its line in `procrun --help`.
    pub(super) summary: &'static str,
    /// The text of its own help, in lines of at most 80 columns.
    pub(super) description: &'static str,
    /// Command lines, each with what it does.
    pub(super) examples: &'static [(&'static str, &'static str)],
    /// The exit codes that mean more than in the table of all commands.
    pub(super) exit_codes: &'static [(ExitCode, &'static str)],
    pub(super) run: Run,
}

impl Command {
    /// A command without options. Definitions override what they need.
    pub(super) const DEFAULT: Self = Self {
        words: &[],
        group: Group::Offline,
        arguments: &[],
        options: &[],
        app_options: AppOptions::None,
        summary: "",
        description: "",
        examples: &[],
        exit_codes: &[],
        run: Run::Target(TargetVerb::Run),
    };

    pub(super) fn name(&self) -> &'static str {
        self.words[0]
    }

    pub(super) fn has_word(&self, word: &str) -> bool {
        self.words.contains(&word)
    }

    /// Its arguments as the usage line shows them: `<APP> <N|+N|-N>`.
    pub(super) fn shown_arguments(&self) -> String {
        let shown: Vec<String> = self.arguments.iter().map(Argument::shown).collect();
        shown.join(" ")
    }

    /// Its usage line.
    pub(super) fn usage(&self) -> String {
        let arguments = self.shown_arguments();
        let space = if arguments.is_empty() { "" } else { " " };
        let app_arguments = match self.app_options {
            AppOptions::All | AppOptions::Changes => " [-- ARGS]",
            AppOptions::None => "",
        };
        format!("procrun {}{space}{arguments} [OPTIONS]{app_arguments}", self.name())
    }

    /// The minimum number of arguments, and the maximum if there is one.
    pub(super) fn argument_count(&self) -> (usize, Option<usize>) {
        let min = self.arguments.iter().map(|argument| argument.occurs.min()).sum();
        let max = self.arguments.iter().map(|argument| argument.occurs.max()).sum();
        (min, max)
    }

    pub(super) fn needs_supervisor(&self) -> bool {
        self.group != Group::Offline
    }

    /// All options of its help: its own, and those that it shares with other commands.
    pub(super) fn all_options(&self) -> impl Iterator<Item = &'static OptionSpec> {
        // `--socket` is one of the options of an app.
        let socket = self.needs_supervisor() && self.app_options != AppOptions::All;
        let common = [socket.then_some(&SOCKET), Some(&HELP)];
        self.options.iter().chain(common.into_iter().flatten())
    }
}

/// The heading of a command in `procrun --help` and in the reference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Group {
    /// Applications in the foreground, and the check of an ecosystem file.
    Foreground,
    Control,
    Inspect,
    Output,
    Supervisor,
    /// No supervisor is needed.
    Offline,
}

impl Group {
    /// In the order of the help.
    pub(super) const ALL: [Self; 6] =
        [Self::Foreground, Self::Control, Self::Inspect, Self::Output, Self::Supervisor, Self::Offline];

    pub(super) fn heading(self) -> &'static str {
        match self {
            Self::Foreground => "Run and check",
            Self::Control => "Control apps",
            Self::Inspect => "Inspect apps",
            Self::Output => "Logs, events and input",
            Self::Supervisor => "The supervisor and its list",
            Self::Offline => "Files and help",
        }
    }
}

/// Which options of an app a command accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AppOptions {
    None,
    /// Those that describe how an app runs. The help of the command refers to them.
    Changes,
    /// All, also those of the run itself. The help of the command lists them.
    All,
}

/// What a command runs.
#[derive(Clone, Copy)]
pub(super) enum Run {
    /// A function, after the parser of commands.
    Function(fn(&ParsedArgs) -> Result<ExitCode, Failure>),
    /// A function that describes the commands.
    OfTable(fn(&ParsedArgs, &[&'static Command]) -> Result<ExitCode, Failure>),
    /// The parser of a line with a TARGET, which accepts options before the command.
    Target(TargetVerb),
}

/// What to do with the TARGET of a command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TargetVerb {
    Run,
    Start,
    Check,
}

/// A positional argument.
pub(super) struct Argument {
    pub(super) name: &'static str,
    pub(super) occurs: Occurs,
}

/// How often an argument is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Occurs {
    Once,
    Optionally,
    OnceOrMore,
    AnyNumber,
}

impl Occurs {
    fn min(self) -> usize {
        match self {
            Self::Once | Self::OnceOrMore => 1,
            Self::Optionally | Self::AnyNumber => 0,
        }
    }

    /// `None`: no limit.
    fn max(self) -> Option<usize> {
        match self {
            Self::Once | Self::Optionally => Some(1),
            Self::OnceOrMore | Self::AnyNumber => None,
        }
    }
}

impl Argument {
    pub(super) const fn new(name: &'static str, occurs: Occurs) -> Self {
        Self { name, occurs }
    }

    fn shown(&self) -> String {
        let name = self.name;
        match self.occurs {
            Occurs::Once => format!("<{name}>"),
            Occurs::Optionally => format!("[{name}]"),
            Occurs::OnceOrMore => format!("<{name}>..."),
            Occurs::AnyNumber => format!("[{name}]..."),
        }
    }
}

/// An option of a command.
#[derive(Clone, Copy)]
pub(super) struct OptionSpec {
    /// Its name without dashes.
    pub(super) long: &'static str,
    pub(super) short: Option<char>,
    /// The name of its value; empty: a switch; `[=NAME]`: the value may be left out.
    pub(super) value: &'static str,
    pub(super) help: &'static str,
}

impl OptionSpec {
    /// An option without a value.
    pub(super) const fn switch(long: &'static str, help: &'static str) -> Self {
        Self { long, short: None, value: "", help }
    }

    pub(super) const fn with_value(long: &'static str, value: &'static str, help: &'static str) -> Self {
        Self { long, short: None, value, help }
    }

    pub(super) const fn short(self, short: char) -> Self {
        Self { short: Some(short), ..self }
    }

    pub(super) fn has_optional_value(&self) -> bool {
        self.value.starts_with('[')
    }

    /// The name of a value that must follow.
    pub(super) fn required_value(&self) -> Option<&'static str> {
        (!self.value.is_empty() && !self.has_optional_value()).then_some(self.value)
    }

    /// As the help shows it: `--lines <N>`.
    pub(super) fn shown(&self) -> String {
        match self.required_value() {
            Some(value) => format!("--{} <{value}>", self.long),
            None => format!("--{}{}", self.long, self.value),
        }
    }
}

/// Every command to a supervisor has this option.
pub(super) const SOCKET: OptionSpec =
    OptionSpec::with_value("socket", "FILE", "Control socket of the supervisor");
pub(super) const HELP: OptionSpec = OptionSpec::switch("help", "Print help").short('h');

// Arguments and options of several commands.

pub(super) const TARGETS: &[Argument] = &[Argument::new("NAME|ID|NAMESPACE|all", Occurs::OnceOrMore)];
pub(super) const OPTIONAL_TARGETS: &[Argument] = &[Argument::new("NAME|ID|NAMESPACE", Occurs::AnyNumber)];
pub(super) const TARGETS_OR_FILES: &[Argument] =
    &[Argument::new("NAME|ID|NAMESPACE|all|FILE", Occurs::OnceOrMore)];
pub(super) const JSON: OptionSpec = OptionSpec::switch("json", "Print the result as JSON");
pub(super) const JSON_LINES: OptionSpec = OptionSpec::switch("json", "Print each line as a JSON record");
pub(super) const UPDATE_ENV: OptionSpec =
    OptionSpec::switch("update-env", "Use the environment of this command").short('a');
pub(super) const ONLY: OptionSpec =
    OptionSpec::with_value("only", "NAMES", "Select these apps of the file (a,b)");
pub(super) const ENV: OptionSpec = OptionSpec::with_value("env", "NAME", "Apply env_<NAME> of the file");
pub(super) const DRY_RUN: OptionSpec =
    OptionSpec::switch("dry-run", "Print what would change and why; change nothing");
