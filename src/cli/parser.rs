//! The parser of commands, made from their definitions. A line without a command is parsed by `target_line`.

use std::ffi::OsString;

use clap::{
    Arg, ArgAction,
    error::{ContextKind, ContextValue},
    value_parser,
};

use super::{
    app_options,
    command::{AppOptions, Command, OptionSpec, Run, SOCKET},
    failure::{Failure, usage_message},
    optional_values,
    parsed_args::ParsedArgs,
};
use crate::config::EX_USAGE;

/// PM2's options that every command accepts, and whether a value follows. A command that has such an option of
/// its own gives it a meaning; `--silent`, `--force` and `--update-env` have one for some commands.
const PM2_OPTIONS: [(&str, Option<char>, bool); 10] = [
    ("detached", None, false),
    ("no-color", None, false),
    ("silent", Some('s'), false),
    ("mini-list", Some('m'), false),
    ("force", Some('f'), false),
    ("no-vizion", None, false),
    ("parallel", None, true),
    ("update-env", Some('a'), false),
    ("attach", None, false),
    // An app that was stopped is not started by a change of files.
    ("watch", None, false),
];

/// What the words after a command mean.
pub(super) enum Parsed {
    Help,
    Args(ParsedArgs),
}

/// A command line with a command.
pub(super) struct CommandLine<'a> {
    pub(super) command: &'static Command,
    before: &'a [OsString],
    after: &'a [OsString],
}

impl<'a> CommandLine<'a> {
    /// The command, if the first word is one that this parser parses. A file with the name of a command is
    /// `./list`.
    pub(super) fn find(commands: &[&'static Command], line: &'a [OsString]) -> Option<Self> {
        let mut at = 1;
        loop {
            let word = line.get(at)?.to_str()?;
            if word == "--socket" {
                at += 2;
            } else if word.starts_with("--socket=") || matches!(word, "--no-color" | "-s" | "--silent") {
                at += 1;
            } else {
                let command = find(commands, word)?;
                return match command.run {
                    Run::Function(_) | Run::OfTable(_) => {
                        Some(Self { command, before: &line[1..at], after: &line[at + 1..] })
                    }
                    Run::Target(_) => None,
                };
            }
        }
    }

    pub(super) fn parse(&self) -> Result<Parsed, Failure> {
        let command = self.command;
        let name = OsString::from(command.name());
        let after = optional_values::joined(self.after);
        let line = [&name].into_iter().chain(self.before).chain(&after);
        let matches = parser(command).try_get_matches_from(line).map_err(|error| wrong(command, &error))?;
        if matches.get_flag("help") {
            return Ok(Parsed::Help);
        }
        let words: Vec<String> = matches.get_many("words").into_iter().flatten().cloned().collect();
        let (least, most) = command.argument_count();
        if words.len() < least {
            let needed = command.shown_arguments().replace("...", "");
            let message = format!("`{}` needs {needed}", command.name());
            return Err(Failure::new(EX_USAGE, message).hint(format!("usage: {}", command.usage())));
        }
        if let Some(more) = most.and_then(|most| words.get(most)) {
            let message = format!("unexpected argument `{more}`");
            // `pm2 status api` lists all processes and ignores the argument.
            let hint = match command.name() {
                "list" => format!("`procrun describe {more}` shows one app"),
                _ => format!("usage: {}", command.usage()),
            };
            return Err(Failure::new(EX_USAGE, message).hint(hint));
        }
        let socket = matches.get_one::<OsString>("socket").cloned();
        let args = matches.try_get_many("args").ok().flatten().map(|args| args.cloned().collect());
        Ok(Parsed::Args(ParsedArgs { words, socket, args, matches }))
    }
}

/// The command with this name or alias.
pub(super) fn find(commands: &[&'static Command], word: &str) -> Option<&'static Command> {
    commands.iter().copied().find(|command| command.has_word(word))
}

/// All names and aliases.
pub(super) fn words(commands: &[&'static Command]) -> impl Iterator<Item = &'static str> {
    commands.iter().flat_map(|command| command.words).copied()
}

fn parser(command: &'static Command) -> clap::Command {
    // `scale api -1`.
    let words = Arg::new("words").num_args(0..).allow_negative_numbers(true);
    let has_own = |long: &str| command.options.iter().any(|option| option.long == long);
    let of_apps = match command.app_options {
        AppOptions::Changes => app_options::args(app_options::OTHER_MEANING),
        AppOptions::None | AppOptions::All => Vec::new(),
    };
    let is_defined = |long: &str| has_own(long) || of_apps.iter().any(|arg| arg.get_id() == long);
    let of_pm2 = PM2_OPTIONS
        .iter()
        .filter(|(long, ..)| !is_defined(long) && (*long != "watch" || command.name() == "stop"));
    let hidden: Vec<Arg> = of_pm2
        .map(|&(long, short, has_value)| {
            let action = if has_value { ArgAction::Set } else { ArgAction::SetTrue };
            let arg = Arg::new(long).long(long).action(action).hide(true);
            if let Some(short) = short { arg.short(short) } else { arg }
        })
        .collect();
    let after = (command.app_options == AppOptions::Changes)
        .then(|| Arg::new("args").num_args(0..).last(true).value_parser(value_parser!(OsString)));
    clap::Command::new("procrun")
        .override_usage(command.usage())
        .disable_help_flag(true)
        .args_override_self(true)
        .arg(words)
        .args(command.options.iter().map(arg))
        .arg(arg(&SOCKET).value_parser(value_parser!(OsString)))
        .args(hidden)
        .args(of_apps)
        .args(after)
        .arg(Arg::new("help").short('h').long("help").action(ArgAction::SetTrue))
}

fn arg(option: &OptionSpec) -> Arg {
    let arg = Arg::new(option.long).long(option.long);
    let arg = if let Some(short) = option.short { arg.short(short) } else { arg };
    if option.value.is_empty() {
        arg.action(ArgAction::SetTrue)
    } else if option.has_optional_value() {
        arg.num_args(0..=1).require_equals(true).default_missing_value("")
    } else {
        arg.value_name(option.value).allow_negative_numbers(true)
    }
}

fn wrong(command: &Command, error: &clap::Error) -> Failure {
    let hint = match error.get(ContextKind::SuggestedArg) {
        Some(ContextValue::String(option)) => format!("did you mean `{option}`?"),
        _ => format!("`procrun {} --help` lists its options", command.name()),
    };
    Failure::new(EX_USAGE, usage_message(error)).hint(hint)
}

#[cfg(test)]
mod tests {
    use super::{super::commands::COMMANDS, *};
    use crate::spec::ExitCode;

    #[test]
    fn the_definitions_make_sound_parsers() {
        for command in COMMANDS {
            parser(command).debug_assert();
        }
        let mut all: Vec<_> = words(COMMANDS).collect();
        let count = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), count, "a word has one meaning");
    }

    /// An option that the parser accepts and that is not hidden has a definition, so the help, the completions
    /// and the reference have it too.
    #[test]
    fn every_option_of_a_parser_is_defined() {
        for command in COMMANDS.iter().filter(|command| !matches!(command.run, Run::Target(_))) {
            let parser = parser(command);
            let of_parser = parser.get_arguments().filter(|arg| !arg.is_hide_set() && !arg.is_positional());
            for arg in of_parser.filter(|arg| arg.get_id() != "socket" || command.needs_supervisor()) {
                let long = arg.get_long().expect("options have long names");
                let defined = command.all_options().find(|option| option.long == long);
                let defined = defined.unwrap_or_else(|| panic!("{}: --{long}", command.name()));
                assert_eq!(defined.short, arg.get_short(), "{}: --{long}", command.name());
            }
        }
    }

    type Meaning = Result<(Vec<String>, Option<OsString>), ExitCode>;

    fn parsed(line: &str) -> Option<Meaning> {
        let line: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        Some(match CommandLine::find(COMMANDS, &line)?.parse() {
            Ok(Parsed::Args(args)) => Ok((args.words, args.socket)),
            Ok(Parsed::Help) => Ok((vec!["help".to_owned()], None)),
            Err(failure) => Err(failure.code),
        })
    }

    #[test]
    fn a_command_is_only_a_command_in_front() {
        assert!(parsed("procrun ./list").is_none());
        assert!(parsed("procrun app.js list").is_none());
        assert!(parsed("procrun run list").is_none());
        assert!(parsed("procrun -n list app.js").is_none());
        let ok = |words: &[&str], socket: Option<&str>| {
            Some(Ok((words.iter().map(|&word| word.to_owned()).collect(), socket.map(OsString::from))))
        };
        assert_eq!(parsed("procrun list"), ok(&[], None));
        assert_eq!(parsed("procrun --socket a list"), ok(&[], Some("a")));
        assert_eq!(parsed("procrun ls --socket=a --json"), ok(&[], Some("a")));
        assert_eq!(parsed("procrun stop a b -s"), ok(&["a", "b"], None));
        assert_eq!(parsed("procrun scale api -1"), ok(&["api", "-1"], None));
        assert_eq!(parsed("procrun scale api +1"), ok(&["api", "+1"], None));
        assert_eq!(parsed("procrun stop -h"), ok(&["help"], None));
        for wrong in ["procrun stop", "procrun list x", "procrun list --jsn", "procrun scale api"] {
            assert_eq!(parsed(wrong), Some(Err(EX_USAGE)), "{wrong}");
        }
    }

    /// An example that does not parse would be wrong in the help and in the reference.
    #[test]
    fn every_example_parses_as_its_command() {
        for command in COMMANDS.iter().filter(|command| !matches!(command.run, Run::Target(_))) {
            for (example, _) in command.examples {
                let words = shlex::split(example).expect("quotes are closed");
                let line: Vec<OsString> = words.into_iter().map(OsString::from).collect();
                let found = CommandLine::find(COMMANDS, &line).expect(example);
                assert_eq!(found.command.name(), command.name(), "{example}");
                assert!(matches!(found.parse(), Ok(Parsed::Args(_))), "{example}");
            }
        }
    }
}
