//! Commands for a running supervisor, and commands that create files: parsing of the command line, and the
//! help. The tables are in `verbs` and `alone`.

use std::{
    ffi::{OsStr, OsString},
    fmt::Write as _,
};

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};

use super::{
    completions, connect::Supervisor, failure::Failure, flags, offline_commands::ALONE, optional_values, say,
    verbs::VERBS,
};
use crate::{
    config::{EX_USAGE, Flags},
    spec::ExitCode,
};

/// A command.
pub(super) struct Verb {
    /// Its word, then PM2's others for it.
    pub(super) words: &'static [&'static str],
    /// The arguments, as the help shows them.
    pub(super) takes: &'static str,
    /// How many words that are: at least, at most.
    pub(super) count: (usize, usize),
    pub(super) options: &'static [OptionSpec],
    /// Its line in the help of procrun.
    pub(super) brief: &'static str,
    pub(super) about: &'static str,
    pub(super) run: fn(&ParsedArgs) -> Result<ExitCode, Failure>,
}

/// An option of a command.
#[derive(Clone, Copy)]
pub(super) struct OptionSpec {
    pub(super) long: &'static str,
    pub(super) short: Option<char>,
    /// What its value is called; empty: it has none.
    pub(super) value: &'static str,
    pub(super) help: &'static str,
}

/// What was typed behind a command.
pub(super) struct ParsedArgs {
    pub(super) words: Vec<String>,
    pub(super) socket: Option<OsString>,
    /// The arguments after `--`, if there is a `--`.
    pub(super) args: Option<Vec<OsString>>,
    matches: ArgMatches,
}

impl ParsedArgs {
    /// Whether this option was given.
    pub(super) fn has(&self, option: &str) -> bool {
        self.matches.try_get_one::<bool>(option).ok().flatten().copied().unwrap_or(false)
    }

    /// The value of this option.
    pub(super) fn value(&self, option: &str) -> Option<&str> {
        self.matches.try_get_one::<String>(option).ok().flatten().map(String::as_str)
    }

    /// The options that say how an application runs.
    pub(super) fn flags(&self) -> Flags {
        let mut flags = flags::read(&self.matches, &OWN);
        flags.only = self.value("only").map(|names| flags::names(&[names])).unwrap_or_default();
        flags.env_name = self.value("env").filter(|name| !name.is_empty()).map(str::to_owned);
        flags
    }

    /// The selected supervisor.
    pub(super) fn supervisor(&self) -> Result<Supervisor, Failure> {
        Supervisor::find(self.socket.as_deref())
    }

    /// The selected supervisor, if one runs.
    pub(super) fn running_supervisor(&self) -> Result<Option<Supervisor>, Failure> {
        Supervisor::find_running(self.socket.as_deref())
    }
}

/// All of them.
fn verbs() -> impl Iterator<Item = &'static Verb> {
    VERBS.iter().chain(ALONE)
}

/// Options that every command to a supervisor has.
const COMMON: [OptionSpec; 1] =
    [OptionSpec { long: "socket", short: None, value: "FILE", help: "Control socket of the supervisor" }];

const HELP: OptionSpec = OptionSpec { long: "help", short: Some('h'), value: "", help: "Print help" };

/// Those of this command.
fn common(verb: &Verb) -> &'static [OptionSpec] {
    if ALONE.iter().any(|alone| alone.words == verb.words) { &[] } else { &COMMON }
}

/// PM2's options that mean nothing to a command here, and whether a value follows.
const UNDERSTOOD: [(&str, Option<char>, bool); 10] = [
    ("detached", None, false),
    ("no-color", None, false),
    ("silent", Some('s'), false),
    ("mini-list", Some('m'), false),
    ("force", Some('f'), false),
    ("no-vizion", None, false),
    ("parallel", None, true),
    ("update-env", Some('a'), false),
    ("attach", None, false),
    // What was stopped is not started by a change anyway.
    ("watch", None, false),
];

/// Of the options that say how an application runs, those that mean something else to a command.
const OWN: [&str; 7] = ["json", "socket", "update-env", "only", "env", "silent", "no-color"];

/// Whether a command takes the options that say how an application runs.
fn takes_flags(verb: &Verb) -> bool {
    matches!(verb.words[0], "restart" | "reload" | "serve")
}

/// Does what was typed if it is one of the commands; gives the exit code of the process.
pub(super) fn run(line: &[OsString]) -> Option<ExitCode> {
    let (before, verb, rest) = find(line)?;
    let done = parse(verb, before, rest).and_then(|parsed| match parsed {
        Parsed::Help => Ok(say(&help(verb))),
        Parsed::ParsedArgs(typed) => (verb.run)(&typed),
    });
    Some(done.unwrap_or_else(|failure| {
        failure.say();
        failure.code
    }))
}

/// The command, if the first word is one, with the words before and after it. A file with the name of a command
/// is `./list`.
fn find(line: &[OsString]) -> Option<(&[OsString], &'static Verb, &[OsString])> {
    let mut at = 1;
    loop {
        let word = line.get(at)?.to_str()?;
        if word == "--socket" {
            at += 2;
        } else if word.starts_with("--socket=") || matches!(word, "--no-color" | "-s" | "--silent") {
            at += 1;
        } else {
            let verb = verbs().find(|verb| verb.words.contains(&word))?;
            return Some((&line[1..at], verb, &line[at + 1..]));
        }
    }
}

enum Parsed {
    Help,
    ParsedArgs(ParsedArgs),
}

fn parse(verb: &'static Verb, before: &[OsString], rest: &[OsString]) -> Result<Parsed, Failure> {
    let name = OsString::from(verb.words[0]);
    let rest = optional_values::joined(rest);
    let line = [&name].into_iter().chain(before).chain(&rest);
    let matches = command(verb).try_get_matches_from(line).map_err(|error| wrong(verb, &error))?;
    if matches.get_flag("help") {
        return Ok(Parsed::Help);
    }
    let words: Vec<String> = matches.get_many("words").into_iter().flatten().cloned().collect();
    let (least, most) = verb.count;
    if words.len() < least {
        let message = format!("`{}` needs {}", verb.words[0], verb.takes.replace("...", ""));
        return Err(Failure::new(EX_USAGE, message).hint(usage(verb)));
    }
    if let Some(more) = words.get(most) {
        let message = format!("unexpected argument `{more}`");
        // `pm2 status api` lists all processes and ignores the argument.
        let hint = match verb.words[0] {
            "list" => format!("procrun describe {more}"),
            _ => usage(verb),
        };
        return Err(Failure::new(EX_USAGE, message).hint(hint));
    }
    let socket = matches.get_one::<OsString>("socket").cloned();
    let args = matches.try_get_many("args").ok().flatten().map(|args| args.cloned().collect());
    Ok(Parsed::ParsedArgs(ParsedArgs { words, socket, args, matches }))
}

fn command(verb: &'static Verb) -> Command {
    // `scale api -1`.
    let words = Arg::new("words").num_args(0..).allow_negative_numbers(true);
    let own = |long: &str| verb.options.iter().any(|option| option.long == long);
    let of_apps = if takes_flags(verb) { flags::args(&OWN) } else { Vec::new() };
    let is_there = |long: &str| own(long) || of_apps.iter().any(|arg| arg.get_id() == long);
    let understood = UNDERSTOOD
        .iter()
        .filter(|(long, ..)| !is_there(long) && (*long != "watch" || verb.words[0] == "stop"));
    let hidden: Vec<Arg> = understood
        .map(|&(long, short, takes)| {
            let action = if takes { ArgAction::Set } else { ArgAction::SetTrue };
            let arg = Arg::new(long).long(long).action(action).hide(true);
            if let Some(short) = short { arg.short(short) } else { arg }
        })
        .collect();
    let behind = takes_flags(verb)
        .then(|| Arg::new("args").num_args(0..).last(true).value_parser(value_parser!(OsString)));
    Command::new("procrun")
        .override_usage(usage(verb))
        .disable_help_flag(true)
        .args_override_self(true)
        .arg(words)
        .args(verb.options.iter().map(arg))
        .args(COMMON.iter().map(|option| arg(option).value_parser(value_parser!(OsString))))
        .args(hidden)
        .args(of_apps)
        .args(behind)
        .arg(Arg::new("help").short('h').long("help").action(ArgAction::SetTrue))
}

fn arg(option: &OptionSpec) -> Arg {
    let arg = Arg::new(option.long).long(option.long);
    let arg = if let Some(short) = option.short { arg.short(short) } else { arg };
    if option.value.is_empty() {
        arg.action(ArgAction::SetTrue)
    } else if option.value.starts_with('[') {
        arg.num_args(0..=1).require_equals(true).default_missing_value("")
    } else {
        arg.value_name(option.value).allow_negative_numbers(true)
    }
}

fn wrong(verb: &Verb, error: &clap::Error) -> Failure {
    let text = error.to_string();
    let line = text.lines().next().unwrap_or_default();
    let hint = format!("`procrun {} --help` lists its options", verb.words[0]);
    Failure::new(EX_USAGE, line.strip_prefix("error: ").unwrap_or(line)).hint(hint)
}

fn usage(verb: &Verb) -> String {
    let takes = if verb.takes.is_empty() { String::new() } else { format!(" {}", verb.takes) };
    format!("procrun {}{takes} [OPTIONS]", verb.words[0])
}

fn help(verb: &Verb) -> String {
    let mut text = format!("{}\n\nUsage: {}\n", verb.about, usage(verb));
    if verb.words.len() > 1 {
        writeln!(text, "Also:  {}", verb.words[1..].join(", ")).expect("a String takes everything");
    }
    if verb.takes.contains("NAME") {
        text.push_str(
            "\nA NAME may also be the path of a script, which selects all apps that run it, or\n\
             a pattern: a regular expression between slashes, such as '/^api-/' ('/^API-/i'\n\
             ignores case).\n",
        );
    }
    text.push_str("\nOptions:\n");
    for option in verb.options.iter().chain(common(verb)).chain(&[HELP]) {
        let short = match option.short {
            Some(short) => format!("-{short}, "),
            None => "    ".to_owned(),
        };
        let value = match option.value {
            "" => String::new(),
            value if value.starts_with('[') => value.to_owned(),
            value => format!(" <{value}>"),
        };
        let name = format!("{short}--{}{value}", option.long);
        writeln!(text, "  {name:28}  {}", option.help).expect("a String takes everything");
    }
    text
}

/// The help of the command with this word.
pub(super) fn help_of(word: &str) -> Option<String> {
    verbs().find(|verb| verb.words.contains(&word)).map(help)
}

/// Whether this word is a command.
pub(super) fn is_command(word: &OsStr) -> bool {
    word.to_str().is_some_and(|word| verbs().any(|verb| verb.words.contains(&word)))
}

/// All words that are commands.
pub(super) fn words() -> impl Iterator<Item = &'static str> {
    verbs().flat_map(|verb| verb.words).copied()
}

/// The commands as a shell offers them.
pub(super) fn offered() -> impl Iterator<Item = completions::Command> {
    verbs().map(|verb| completions::Command {
        words: verb.words,
        brief: verb.brief,
        takes: completions::Word::of(verb.takes),
        options: verb
            .options
            .iter()
            .chain(common(verb))
            .chain(&[HELP])
            .map(|option| completions::Offer {
                short: option.short,
                long: option.long,
                value: (!option.value.is_empty() && !option.value.starts_with('['))
                    .then(|| completions::Word::of(option.value)),
                help: option.help,
            })
            .collect(),
    })
}

/// The commands to a supervisor as the help of procrun shows them.
pub(super) fn described() -> String {
    let start = format!("  {:29}  {}\n", "start <TARGET>...", "Start stopped apps, or add new ones");
    start + &described_of(VERBS)
}

/// And those that need none.
pub(super) fn described_alone() -> String {
    described_of(ALONE)
}

fn described_of(verbs: &[Verb]) -> String {
    let mut text = String::new();
    for verb in verbs {
        let takes = verb
            .takes
            .replace("NAME|ID|NAMESPACE|all|FILE", "TARGET|FILE")
            .replace("NAME|ID|NAMESPACE|all", "TARGET")
            .replace("NAME|ID|NAMESPACE", "TARGET");
        let name = format!("{} {takes}", verb.words[0]);
        writeln!(text, "  {:29}  {}", name.trim_end(), verb.brief).expect("a String takes everything");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_makes_sound_parsers_and_help_that_fits() {
        for verb in verbs() {
            command(verb).debug_assert();
            for line in help(verb).lines().chain(described().lines()).chain(described_alone().lines()) {
                assert!(line.chars().count() <= 80, "{line}");
            }
        }
        let mut words: Vec<_> = verbs().flat_map(|verb| verb.words).collect();
        let all = words.len();
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), all, "a word has one meaning");
    }

    type Meant = Result<(Vec<String>, Option<OsString>), ExitCode>;

    fn typed(line: &str) -> Option<Meant> {
        let line: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        let (before, verb, rest) = find(&line)?;
        Some(match parse(verb, before, rest) {
            Ok(Parsed::ParsedArgs(typed)) => Ok((typed.words, typed.socket)),
            Ok(Parsed::Help) => Ok((vec!["help".to_owned()], None)),
            Err(failure) => Err(failure.code),
        })
    }

    #[test]
    fn a_command_is_only_a_command_in_front() {
        assert!(typed("procrun ./list").is_none());
        assert!(typed("procrun app.js list").is_none());
        assert!(typed("procrun run list").is_none());
        assert!(typed("procrun -n list app.js").is_none());
        let ok = |words: &[&str], socket: Option<&str>| {
            Some(Ok((words.iter().map(|&word| word.to_owned()).collect(), socket.map(OsString::from))))
        };
        assert_eq!(typed("procrun list"), ok(&[], None));
        assert_eq!(typed("procrun --socket a list"), ok(&[], Some("a")));
        assert_eq!(typed("procrun ls --socket=a --json"), ok(&[], Some("a")));
        assert_eq!(typed("procrun stop a b -s"), ok(&["a", "b"], None));
        assert_eq!(typed("procrun scale api -1"), ok(&["api", "-1"], None));
        assert_eq!(typed("procrun scale api +1"), ok(&["api", "+1"], None));
        assert_eq!(typed("procrun stop -h"), ok(&["help"], None));
        for wrong in ["procrun stop", "procrun list x", "procrun list --jsn", "procrun scale api"] {
            assert_eq!(typed(wrong), Some(Err(EX_USAGE)), "{wrong}");
        }
    }
}
