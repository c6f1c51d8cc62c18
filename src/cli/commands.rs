//! The commands to a running supervisor, and those that make files: their words, options and help. What a
//! new command needs is a row here and a function.

use std::{
    ffi::{OsStr, OsString},
    fmt::Write as _,
};

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};

use super::{
    act, alone::ALONE, ask, background, completions, describe, dump, failure::Failure, list, logs, monit,
    reach::Supervisor, say,
};
use crate::{config::EX_USAGE, spec::ExitCode};

/// A command.
pub(super) struct Verb {
    /// Its word, then PM2's others for it.
    pub(super) words: &'static [&'static str],
    /// What stands behind it, as the help shows it.
    pub(super) takes: &'static str,
    /// How many words that are: at least, at most.
    pub(super) count: (usize, usize),
    pub(super) options: &'static [Option_],
    /// Its line in the help of procrun.
    pub(super) brief: &'static str,
    pub(super) about: &'static str,
    pub(super) run: fn(&Typed) -> Result<ExitCode, Failure>,
}

/// An option of a command.
#[derive(Clone, Copy)]
pub(super) struct Option_ {
    pub(super) long: &'static str,
    pub(super) short: Option<char>,
    /// What its value is called; empty: it has none.
    pub(super) value: &'static str,
    pub(super) help: &'static str,
}

/// What was typed behind a command.
pub(super) struct Typed {
    pub(super) words: Vec<String>,
    pub(super) socket: Option<OsString>,
    matches: ArgMatches,
}

impl Typed {
    /// Whether this option was given.
    pub(super) fn has(&self, option: &str) -> bool {
        self.matches.try_get_one::<bool>(option).ok().flatten().copied().unwrap_or(false)
    }

    /// The value of this option.
    pub(super) fn value(&self, option: &str) -> Option<&str> {
        self.matches.try_get_one::<String>(option).ok().flatten().map(String::as_str)
    }

    /// The supervisor that is meant.
    pub(super) fn supervisor(&self) -> Result<Supervisor, Failure> {
        Supervisor::find(self.socket.as_deref())
    }
}

const fn switch(long: &'static str, help: &'static str) -> Option_ {
    Option_ { long, short: None, value: "", help }
}

const JSON: Option_ = switch("json", "Answer as JSON");
const JSON_LINES: Option_ = switch("json", "A JSON record a line");
const TARGETS: &str = "<NAME|ID|NAMESPACE|all>...";
const ANY: usize = usize::MAX;

static VERBS: &[Verb] = &[
    Verb {
        words: &["list", "ls", "ps", "status", "l"],
        takes: "",
        count: (0, 0),
        options: &[JSON],
        brief: "All processes",
        about: "Shows all processes.",
        run: list::list,
    },
    Verb {
        words: &["jlist"],
        takes: "",
        count: (0, 0),
        options: &[],
        brief: "The same as JSON in PM2's shape",
        about: "Prints all processes as JSON in PM2's shape, for exporters and scripts.",
        run: list::jlist,
    },
    Verb {
        words: &["prettylist"],
        takes: "",
        count: (0, 0),
        options: &[],
        brief: "That, indented",
        about: "Prints what `jlist` prints, indented.",
        run: list::prettylist,
    },
    Verb {
        words: &["describe", "show", "info", "desc"],
        takes: TARGETS,
        count: (1, ANY),
        options: &[JSON],
        brief: "Everything about some processes",
        about: "Shows everything about some processes, with their last ends and why.",
        run: describe::describe,
    },
    Verb {
        words: &["stop"],
        takes: TARGETS,
        count: (1, ANY),
        options: &[JSON],
        brief: "End processes; they stay in the list",
        about: "Ends processes; they stay in the list. They get `kill_signal`, else SIGINT if\n\
                they are Node's and SIGTERM otherwise, and SIGKILL after `kill_timeout`.",
        run: act::stop,
    },
    Verb {
        words: &["restart"],
        takes: TARGETS,
        count: (1, ANY),
        options: &[
            Option_ {
                long: "update-env",
                short: Some('a'),
                value: "",
                help: "With the environment of this command",
            },
            JSON,
        ],
        brief: "End and start them again",
        about: "Ends processes and starts them again.",
        run: act::restart,
    },
    Verb {
        words: &["reload", "gracefulReload"],
        takes: TARGETS,
        count: (1, ANY),
        options: &[JSON],
        brief: "Replace them without a gap",
        about: "Replaces processes without a gap where that is possible. Ctrl-C stops waiting,\n\
                not the reload.",
        run: act::reload,
    },
    Verb {
        words: &["delete", "del"],
        takes: TARGETS,
        count: (1, ANY),
        options: &[JSON],
        brief: "End and forget them",
        about: "Ends processes and takes them out of the list.",
        run: act::delete,
    },
    Verb {
        words: &["scale"],
        takes: "<APP> <N|+N|-N>",
        count: (2, 2),
        options: &[JSON],
        brief: "Have so many processes of an app",
        about: "Lets an app have so many processes, or so many more or fewer.",
        run: act::scale,
    },
    Verb {
        words: &["reset"],
        takes: TARGETS,
        count: (1, ANY),
        options: &[JSON],
        brief: "Set the count of restarts back to 0",
        about: "Sets the count of restarts back to 0.",
        run: act::reset,
    },
    Verb {
        words: &["signal", "sendSignal"],
        takes: "<SIGNAL> <NAME|ID|NAMESPACE|all>...",
        count: (2, ANY),
        options: &[JSON],
        brief: "Send a signal",
        about: "Sends a signal to processes: a name (HUP, SIGUSR2) or a number.",
        run: act::signal,
    },
    Verb {
        words: &["logs", "log"],
        takes: "[NAME|ID|NAMESPACE]...",
        count: (0, ANY),
        options: &[
            Option_ {
                long: "lines",
                short: None,
                value: "N",
                help: "So many of the last lines of each (15)",
            },
            switch("nostream", "Only these"),
            switch("out", "Only what was written to stdout"),
            switch("err", "Only what was written to stderr"),
            switch("raw", "Lines as the apps wrote them"),
            JSON_LINES,
            switch("format", "key=value pairs a line"),
            Option_ {
                long: "timestamp",
                short: None,
                value: "[=FORMAT]",
                help: "A time before each line, as YYYY-MM-DD HH:mm:ss",
            },
            Option_ { long: "highlight", short: None, value: "TEXT", help: "Mark TEXT in the lines" },
        ],
        brief: "What processes said and say",
        about: "Shows the last lines of all processes, or of some, and then those that come,\n\
                until Ctrl-C. They come from memory, and from the log files where there are any.\n\
                A reader that is too slow is told how many lines it missed.",
        run: logs::logs,
    },
    Verb {
        words: &["monit", "monitor"],
        takes: "",
        count: (0, 0),
        options: &[],
        brief: "All of it on a full screen",
        about: "Shows the processes with CPU, memory and log on a full screen, as it changes.\n\
                Keys restart, reload, stop and scale them; `?` lists the keys, `q` leaves.",
        run: monit::monit,
    },
    Verb {
        words: &["flush"],
        takes: "[NAME|ID|NAMESPACE]...",
        count: (0, ANY),
        options: &[],
        brief: "Empty their log files",
        about: "Empties the log files of all processes, or of some, and forgets their recent\n\
                lines. Rotated files stay.",
        run: logs::flush,
    },
    Verb {
        words: &["env"],
        takes: "<ID|NAME>",
        count: (1, 1),
        options: &[switch("reveal", "Show secrets too"), JSON],
        brief: "The environment of a process",
        about: "Shows the environment that a start of a process would give it. What looks like\n\
                a secret is masked.",
        run: ask::env,
    },
    Verb {
        words: &["pid"],
        takes: "[NAME|ID|NAMESPACE]...",
        count: (0, ANY),
        options: &[JSON],
        brief: "Process ids, one a line",
        about: "Prints process ids, one a line.",
        run: ask::pid,
    },
    Verb {
        words: &["id"],
        takes: "<NAME|NAMESPACE|all>...",
        count: (1, ANY),
        options: &[],
        brief: "The ids of an app",
        about: "Prints the ids of an app as a JSON list.",
        run: ask::id,
    },
    Verb {
        words: &["ping"],
        takes: "",
        count: (0, 0),
        options: &[JSON],
        brief: "Is a supervisor there?",
        about: "Asks whether a supervisor is there.",
        run: ask::ping,
    },
    Verb {
        words: &["healthcheck"],
        takes: "[NAME|ID|NAMESPACE]...",
        count: (0, ANY),
        options: &[],
        brief: "0 if all are well, else 1",
        about: "Ends with 0 when the processes are well and with 1 when they are not: for\n\
                Docker's HEALTHCHECK. Well: each is online, healthy and ready as far as it has\n\
                a check, and nothing has failed or waits to be started again. Without a target,\n\
                what ended well or was stopped by hand is not looked at.",
        run: ask::healthcheck,
    },
    Verb {
        words: &["save", "dump"],
        takes: "",
        count: (0, 0),
        options: &[Option_ { long: "force", short: Some('f'), value: "", help: "Save an empty list, too" }],
        brief: "Keep the list in a file",
        about: "Keeps the list, with its environment, in dump.json of PROCRUN_HOME, else\n\
                of ~/.procrun. An empty list is saved with --force only.",
        run: dump::save,
    },
    Verb {
        words: &["resurrect"],
        takes: "",
        count: (0, 0),
        options: &[],
        brief: "Start what was saved",
        about: "Adds what `save` kept and is not there, in a supervisor in the background if\n\
                none runs. What was stopped comes back stopped.",
        run: dump::resurrect,
    },
    Verb {
        words: &["supervise"],
        takes: "",
        count: (0, 0),
        options: &[],
        brief: "Be the supervisor of the background",
        about: "Runs what `procrun start` starts in the background, here: for a service manager.\n\
                It has no applications but those that commands add.",
        run: background::supervise,
    },
    Verb {
        words: &["kill"],
        takes: "",
        count: (0, 0),
        options: &[],
        brief: "End everything, procrun too",
        about: "Ends all processes and the supervisor, and waits for it.",
        run: ask::kill,
    },
];

/// All of them.
fn verbs() -> impl Iterator<Item = &'static Verb> {
    VERBS.iter().chain(ALONE)
}

/// Options that every command to a supervisor has.
const COMMON: [Option_; 1] =
    [Option_ { long: "socket", short: None, value: "FILE", help: "The supervisor that listens there" }];

const HELP: Option_ = Option_ { long: "help", short: Some('h'), value: "", help: "Print this" };

/// Those of this command.
fn common(verb: &Verb) -> &'static [Option_] {
    if ALONE.iter().any(|alone| alone.words == verb.words) { &[] } else { &COMMON }
}

/// PM2's options that mean nothing to a command here.
const UNDERSTOOD: [(&str, Option<char>); 7] = [
    ("detached", None),
    ("no-color", None),
    ("silent", Some('s')),
    ("mini-list", Some('m')),
    ("force", Some('f')),
    ("no-vizion", None),
    ("parallel", None),
];

/// Does what was typed if it is one of the commands; gives the exit code of the process.
pub(super) fn run(line: &[OsString]) -> Option<ExitCode> {
    if let [_, help, word] = line
        && help == "help"
        && let Some(verb) = verbs().find(|verb| verb.words.iter().any(|known| word == known))
    {
        return Some(say(&self::help(verb)));
    }
    let (before, verb, rest) = find(line)?;
    let done = parse(verb, before, rest).and_then(|parsed| match parsed {
        Parsed::Help => Ok(say(&help(verb))),
        Parsed::Typed(typed) => (verb.run)(&typed),
    });
    Some(done.unwrap_or_else(|failure| {
        failure.say();
        failure.code
    }))
}

/// The command, if the first word is one, and what stands before and behind it. A file of that name
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
    Typed(Typed),
}

fn parse(verb: &'static Verb, before: &[OsString], rest: &[OsString]) -> Result<Parsed, Failure> {
    let name = OsString::from(verb.words[0]);
    let line = [&name].into_iter().chain(before).chain(rest);
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
        let message = format!("`{more}` is one word too many");
        return Err(Failure::new(EX_USAGE, message).hint(usage(verb)));
    }
    let socket = matches.get_one::<OsString>("socket").cloned();
    Ok(Parsed::Typed(Typed { words, socket, matches }))
}

fn command(verb: &'static Verb) -> Command {
    // `scale api -1`.
    let words = Arg::new("words").num_args(0..).allow_negative_numbers(true);
    let own = |long: &str| verb.options.iter().any(|option| option.long == long);
    let hidden = UNDERSTOOD.iter().filter(move |(long, _)| !own(long)).map(|(long, short)| {
        let arg = Arg::new(*long).long(*long).action(ArgAction::SetTrue).hide(true);
        if let Some(short) = short { arg.short(*short) } else { arg }
    });
    Command::new("procrun")
        .override_usage(usage(verb))
        .disable_help_flag(true)
        .args_override_self(true)
        .arg(words)
        .args(verb.options.iter().map(arg))
        .args(COMMON.iter().map(|option| arg(option).value_parser(value_parser!(OsString))))
        .args(hidden)
        .arg(Arg::new("help").short('h').long("help").action(ArgAction::SetTrue))
}

fn arg(option: &Option_) -> Arg {
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
    let start = format!("  {:30}  {}\n", "start <TARGET>...", "Start what is in the list, or add an app");
    start + &described_of(VERBS)
}

/// And those that need none.
pub(super) fn described_alone() -> String {
    described_of(ALONE)
}

fn described_of(verbs: &[Verb]) -> String {
    let mut text = String::new();
    for verb in verbs {
        let takes =
            verb.takes.replace("NAME|ID|NAMESPACE|all", "TARGET").replace("NAME|ID|NAMESPACE", "TARGET");
        let name = format!("{} {takes}", verb.words[0]);
        writeln!(text, "  {:30}  {}", name.trim_end(), verb.brief).expect("a String takes everything");
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
            Ok(Parsed::Typed(typed)) => Ok((typed.words, typed.socket)),
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
