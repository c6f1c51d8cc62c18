//! The flag table: every option, the key that it sets, and its line in the help. A new option needs a row here.

use std::{ffi::OsString, fmt::Write as _};

use clap::{Arg, ArgAction, ArgMatches, Command, parser::ValueSource, value_parser};

use super::{
    completions::{self, Offer},
    help,
};
use crate::config::{FlagValue, Flags};

/// One option.
struct Flag {
    short: Option<char>,
    /// The long name with its dashes.
    long: &'static str,
    /// Other long names, without dashes.
    aliases: &'static [&'static str],
    takes: Takes,
    means: Means,
    group: Group,
    help: &'static str,
}

/// What follows an option.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Takes {
    Nothing,
    /// One value, so called in the help.
    One(&'static str),
    /// One value that may begin with a dash.
    Dashed(&'static str),
    /// One value a time, any number of times.
    Many(&'static str),
    /// `=value` or nothing.
    Maybe(&'static str),
    /// The next word unless that is an option, or nothing: PM2's `[value]`.
    Optional(&'static str),
}

impl Takes {
    fn shown(self) -> String {
        match self {
            Nothing => String::new(),
            One(name) | Dashed(name) | Many(name) => format!(" <{name}>"),
            Maybe(name) => format!("[={name}]"),
            Optional(name) => format!(" [{name}]"),
        }
    }
}

/// What an option is for.
#[derive(Clone, Copy)]
enum Means {
    /// It gives this key its value; without one, true.
    Key(&'static str),
    /// It makes this key false.
    Not(&'static str),
    /// It gives this key this word.
    Word(&'static str, &'static str),
    /// It gives this key seconds, unless the value has a unit.
    Seconds(&'static str),
    /// Which apps of the file.
    Only,
    /// Which `env_<name>`.
    Env,
    /// Where the control socket is.
    Socket,
    /// No effect; the notice says so.
    Notice(&'static str),
    /// No effect, and no notice.
    Nothing,
}

/// The group of an option in the help.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Group {
    What,
    Env,
    Restart,
    Stop,
    Output,
    Files,
    Later,
    /// Understood, but not shown.
    Hidden,
}

impl Group {
    fn heading(self) -> &'static str {
        match self {
            Self::What => "What to run",
            Self::Env => "Environment and user",
            Self::Restart => "Restarts",
            Self::Stop => "Stopping",
            Self::Output => "Output",
            Self::Files => "Log files",
            Self::Later | Self::Hidden => "Accepted, without effect",
        }
    }
}

const fn flag(
    short: Option<char>,
    long: &'static str,
    takes: Takes,
    means: Means,
    group: Group,
    help: &'static str,
) -> Flag {
    Flag { short, long, aliases: &[], takes, means, group, help }
}

const NO_SERVICE: &str = "has no effect: procrun does not use PM2's monitoring service";

use Group::{Env, Files, Hidden, Later, Output, Restart, Stop, What};
use Means::{Key, Not, Notice, Seconds, Word};
use Takes::{Dashed, Many, Maybe, Nothing, One, Optional};

/// The groups in the order of the help.
const GROUPS: [Group; 7] = [What, Env, Restart, Stop, Output, Files, Later];

static FLAGS: &[Flag] = &[
    flag(
        Some('i'),
        "--instances",
        Dashed("N|max"),
        Key("instances"),
        What,
        "Number of processes; max or 0: one per CPU",
    ),
    flag(Some('n'), "--name", One("NAME"), Key("name"), What, "Name of the app"),
    flag(None, "--namespace", One("NAME"), Key("namespace"), What, "Namespace of the app"),
    flag(
        None,
        "--interpreter",
        One("PROGRAM"),
        Key("interpreter"),
        What,
        "Program that runs the script, or none",
    ),
    Flag {
        aliases: &["node-args"],
        ..flag(
            None,
            "--interpreter-args",
            Dashed("ARGS"),
            Key("interpreter_args"),
            What,
            "Interpreter arguments [also: --node-args]",
        )
    },
    flag(None, "--cwd", One("DIR"), Key("cwd"), What, "Working directory of the app"),
    flag(None, "--only", Many("NAMES"), Means::Only, What, "Select these apps of the file (a,b)"),
    flag(None, "--delay", One("SECONDS"), Seconds("start_delay"), What, "Wait before the first start"),
    flag(None, "--no-autostart", Nothing, Not("autostart"), What, "Add the app without starting it"),
    flag(None, "--no-auto-exit", Nothing, Not("auto_exit"), What, "Keep running when all apps have ended"),
    flag(None, "--socket", One("FILE"), Means::Socket, What, "Path of the control socket"),
    flag(
        None,
        "--source-map-support",
        Nothing,
        Key("source_map_support"),
        What,
        "Enable source maps in Node",
    ),
    flag(None, "--env", Optional("NAME"), Means::Env, Env, "Apply env_<NAME> of the file"),
    flag(None, "--env-file", Many("FILE"), Key("env_file"), Env, "Read variables from a dotenv file"),
    flag(
        None,
        "--filter-env",
        Many("PART"),
        Key("filter_env"),
        Env,
        "Remove variables with PART in the name",
    ),
    flag(
        None,
        "--instance-var",
        One("NAME"),
        Key("instance_var"),
        Env,
        "Variable that holds the instance number",
    ),
    flag(None, "--uid", One("USER"), Key("uid"), Env, "Run as this user"),
    flag(None, "--gid", One("GROUP"), Key("gid"), Env, "Run as this group"),
    flag(Some('u'), "--user", One("USER"), Key("uid"), Hidden, "Run as this user"),
    flag(
        None,
        "--no-autorestart",
        Nothing,
        Not("autorestart"),
        Restart,
        "Do not restart the app when it exits",
    ),
    flag(
        None,
        "--stop-exit-codes",
        Many("CODES"),
        Key("stop_exit_codes"),
        Restart,
        "Exit codes without a restart (0,1)",
    ),
    flag(None, "--restart-delay", One("TIME"), Key("restart_delay"), Restart, "Delay before each restart"),
    flag(
        None,
        "--exp-backoff-restart-delay",
        One("TIME"),
        Key("exp_backoff_restart_delay"),
        Restart,
        "Initial backoff delay",
    ),
    flag(None, "--min-uptime", One("TIME"), Key("min_uptime"), Restart, "Shorter runs count as unstable"),
    flag(
        None,
        "--max-restarts",
        One("N"),
        Key("max_restarts"),
        Restart,
        "Unstable restarts before status errored",
    ),
    flag(
        None,
        "--on-errored",
        One("ANSWER"),
        Key("on_errored"),
        Restart,
        "When errored: continue, or exit procrun",
    ),
    flag(
        None,
        "--ends-container",
        Maybe("WHEN"),
        Key("ends_container"),
        Restart,
        "Stop everything when this app ends",
    ),
    flag(None, "--watch", Maybe("PATHS"), Key("watch"), Restart, "Restart when files change (src,config)"),
    flag(
        None,
        "--ignore-watch",
        Many("PATTERNS"),
        Key("ignore_watch"),
        Restart,
        "Ignore changes of these paths",
    ),
    flag(None, "--kill-signal", One("SIGNAL"), Key("kill_signal"), Stop, "Signal that stops the app"),
    flag(
        None,
        "--stop-signal-scope",
        One("SCOPE"),
        Key("stop_signal_scope"),
        Stop,
        "Its receivers: auto, main, group or tree",
    ),
    flag(
        Some('k'),
        "--kill-timeout",
        One("TIME"),
        Key("kill_timeout"),
        Stop,
        "Time between stop signal and SIGKILL",
    ),
    flag(None, "--no-treekill", Nothing, Not("treekill"), Stop, "Do not stop descendants of the app"),
    flag(
        None,
        "--formatted",
        Nothing,
        Word("log_format", "prefix"),
        Output,
        "Print id|name before each line (default)",
    ),
    flag(None, "--raw", Nothing, Word("log_format", "raw"), Output, "Print lines as the apps wrote them"),
    flag(None, "--json", Nothing, Word("log_format", "json"), Output, "Print each line as a JSON record"),
    flag(
        None,
        "--format",
        Nothing,
        Word("log_format", "keyvalue"),
        Output,
        "Print each line as key=value pairs",
    ),
    flag(None, "--time", Nothing, Key("time"), Output, "Prefix each line with the time"),
    flag(
        None,
        "--log-date-format",
        One("FORMAT"),
        Key("log_date_format"),
        Output,
        "Time format, as YYYY-MM-DD HH:mm:ss",
    ),
    flag(None, "--log-type", One("TYPE"), Key("log_type"), Output, "json: merge lines that are JSON"),
    flag(
        None,
        "--log-level",
        One("LEVEL"),
        Key("log_level"),
        Output,
        "Own logs: off, error, warn, info or debug",
    ),
    flag(None, "--disable-logs", Nothing, Key("disable_logs"), Output, "Discard the app's output"),
    flag(Some('o'), "--output", One("FILE"), Key("out_file"), Files, "Also write stdout to a file"),
    flag(Some('e'), "--error", One("FILE"), Key("error_file"), Files, "Also write stderr to a file"),
    flag(Some('l'), "--log", One("FILE"), Key("log_file"), Files, "Also write both to one file"),
    flag(None, "--merge-logs", Nothing, Key("merge_logs"), Files, "Use the same files for all instances"),
    flag(None, "--log-max-size", One("SIZE"), Key("log_max_size"), Files, "Rotate files at this size (10M)"),
    flag(None, "--log-keep", One("N"), Key("log_keep"), Files, "Number of rotated files to keep (5)"),
    flag(None, "--log-compress", Nothing, Key("log_compress"), Files, "Compress rotated files"),
    flag(Some('p'), "--pid", One("FILE"), Key("pid_file"), Files, "Write the process id to a file"),
    flag(
        None,
        "--max-memory-restart",
        One("SIZE"),
        Key("max_memory_restart"),
        Restart,
        "Restart above this memory use (300M, 80%)",
    ),
    Flag {
        aliases: &["cron-restart"],
        ..flag(Some('c'), "--cron", One("PATTERN"), Key("cron_restart"), Restart, "Restart on a schedule")
    },
    flag(None, "--wait-ready", Nothing, Key("wait_ready"), Restart, "Ready only after process.send('ready')"),
    flag(
        None,
        "--listen-timeout",
        One("TIME"),
        Key("listen_timeout"),
        Restart,
        "Time to become ready in a reload (60s)",
    ),
    flag(
        None,
        "--shutdown-with-message",
        Nothing,
        Key("shutdown_with_message"),
        Stop,
        "Stop by an IPC message, not a signal",
    ),
    flag(
        None,
        "--web",
        Maybe("PORT"),
        Notice("has no effect: there is no web page"),
        Later,
        "Status page on this port",
    ),
    flag(None, "--watch-delay", One("SECONDS"), Seconds("watch_delay"), Hidden, ""),
    flag(None, "--ext", One("LIST"), Notice("has no effect: write `--watch='**/*.{js,json}'`"), Hidden, ""),
    flag(None, "--increment-var", One("NAME"), Key("increment_var"), Hidden, ""),
    flag(Some('f'), "--force", Nothing, Key("force"), Hidden, ""),
    flag(Some('x'), "--execute-command", Nothing, Key("execute_command"), Hidden, ""),
    flag(Some('w'), "--write", Nothing, Key("write"), Hidden, ""),
    flag(Some('s'), "--silent", Nothing, Word("log_level", "off"), Hidden, ""),
    flag(None, "--auto-exit", Nothing, Key("auto_exit"), Hidden, ""),
    flag(None, "--disable-source-map-support", Nothing, Key("disable_source_map_support"), Hidden, ""),
    flag(None, "--no-vizion", Nothing, Not("vizion"), Hidden, ""),
    flag(None, "--no-pmx", Nothing, Not("pmx"), Hidden, ""),
    flag(None, "--no-automation", Nothing, Not("automation"), Hidden, ""),
    flag(None, "--trace", Nothing, Key("trace"), Hidden, ""),
    flag(None, "--disable-trace", Nothing, Key("disable_trace"), Hidden, ""),
    flag(None, "--v8", Nothing, Key("v8"), Hidden, ""),
    flag(None, "--event-loop-inspector", Nothing, Key("event_loop_inspector"), Hidden, ""),
    flag(None, "--deep-monitoring", Nothing, Key("deep_monitoring"), Hidden, ""),
    flag(None, "--secret", Optional("KEY"), Notice(NO_SERVICE), Hidden, ""),
    flag(None, "--public", Optional("KEY"), Notice(NO_SERVICE), Hidden, ""),
    flag(None, "--machine-name", Optional("NAME"), Notice(NO_SERVICE), Hidden, ""),
    flag(
        None,
        "--parallel",
        One("N"),
        Notice("has no effect: `max_parallel` limits a reload, and all apps start at once"),
        Hidden,
        "",
    ),
    flag(
        None,
        "--no-color",
        Nothing,
        Notice("has no effect: colours are used on terminals only, and NO_COLOR turns them off"),
        Hidden,
        "",
    ),
    flag(None, "--no-daemon", Nothing, Means::Nothing, Hidden, ""),
    flag(None, "--attach", Nothing, Means::Nothing, Hidden, ""),
    flag(Some('a'), "--update-env", Nothing, Means::Nothing, Hidden, ""),
    flag(Some('m'), "--mini-list", Nothing, Means::Nothing, Hidden, ""),
];

impl Flag {
    fn id(&self) -> &'static str {
        self.long.trim_start_matches('-')
    }

    fn arg(&self) -> Arg {
        let mut arg = Arg::new(self.id()).long(self.id()).aliases(self.aliases.iter().copied());
        if let Some(short) = self.short {
            arg = arg.short(short);
        }
        match self.takes {
            Nothing => arg.action(ArgAction::SetTrue),
            // So that it is the value that is wrong, not an option called `-1`.
            One(name) => arg.value_name(name).allow_negative_numbers(true),
            Dashed(name) => arg.value_name(name).allow_hyphen_values(true),
            Many(name) => arg.value_name(name).action(ArgAction::Append),
            Maybe(name) => {
                arg.value_name(name).num_args(0..=1).require_equals(true).default_missing_value("")
            }
            Optional(name) => arg.value_name(name).num_args(0..=1).default_missing_value(""),
        }
    }

    /// The values of the option and its position, if it was given.
    fn values<'m>(&self, matches: &'m ArgMatches) -> Option<(usize, Vec<&'m str>)> {
        // An error here is an option that the parser was not built for.
        let known = matches.try_contains_id(self.id()).unwrap_or(false);
        if !known || matches.value_source(self.id()) != Some(ValueSource::CommandLine) {
            return None;
        }
        let at = matches.indices_of(self.id())?.next_back()?;
        if self.takes == Nothing {
            return Some((at, Vec::new()));
        }
        Some((at, matches.get_many::<String>(self.id())?.map(String::as_str).collect()))
    }

    fn tell(&self, values: &[&str], flags: &mut Flags) {
        let last = values.last().copied().unwrap_or_default();
        match self.means {
            Key(key) => flags.set(key, self.long, self.value(values, last)),
            Not(key) => flags.set(key, self.long, FlagValue::Switch(false)),
            Word(key, word) => flags.set(key, self.long, FlagValue::Text(word.to_owned())),
            Seconds(key) => flags.set(key, self.long, FlagValue::Seconds(last.to_owned())),
            Means::Only => flags.only = names(values),
            Means::Env => flags.env_name = Some(last.to_owned()).filter(|name| !name.is_empty()),
            Notice(notice) => flags.notices.push(format!("`{}` {notice}", self.long)),
            Means::Socket | Means::Nothing => {}
        }
    }

    fn value(&self, values: &[&str], last: &str) -> FlagValue {
        match self.takes {
            Nothing => FlagValue::Switch(true),
            Maybe(_) if last.is_empty() => FlagValue::Switch(true),
            Many(_) => FlagValue::List(values.iter().map(|&value| value.to_owned()).collect()),
            One(_) | Dashed(_) | Maybe(_) | Optional(_) => FlagValue::Text(last.to_owned()),
        }
    }
}

/// The names in `a,b` and `a b`.
pub(super) fn names(values: &[&str]) -> Vec<String> {
    let words = values.iter().flat_map(|value| value.split([',', ' ']));
    words.filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

/// The parser of the command line. A line without a single option (`procrun ecosystem.toml`) gets a parser
/// without options: building the options takes longer than reading the file.
pub(super) fn command(line: &[OsString]) -> Command {
    let options = if has_options(line) { FLAGS } else { &[] };
    let words = Arg::new("words").value_name("TARGET").num_args(0..).value_parser(value_parser!(OsString));
    let args =
        Arg::new("args").value_name("ARGS").num_args(0..).last(true).value_parser(value_parser!(OsString));
    Command::new("procrun")
        .override_usage(help::USAGE)
        .disable_version_flag(true)
        .disable_help_flag(true)
        .args_override_self(true)
        .args([words, args])
        .args(options.iter().map(Flag::arg))
        .arg(Arg::new("help").short('h').long("help").action(ArgAction::SetTrue))
        .arg(Arg::new("version").short('V').short_alias('v').long("version").action(ArgAction::SetTrue))
}

/// The options as the help shows them: group by group, at most 80 columns wide.
pub(super) fn described() -> String {
    const COLUMN: usize = 36;
    let mut text = String::new();
    for group in GROUPS {
        text.push_str(group.heading());
        text.push_str(":\n");
        for flag in FLAGS.iter().filter(|flag| flag.group == group) {
            let short = flag.short.map_or_else(|| "    ".to_owned(), |short| format!("-{short}, "));
            let name = format!("  {short}{}{}", flag.long, flag.takes.shown());
            let gap = if name.len() < COLUMN { String::new() } else { format!("\n{:COLUMN$}", "") };
            writeln!(text, "{name:COLUMN$}{gap}{}", flag.help).expect("a String takes everything");
        }
        text.push('\n');
    }
    text
}

/// An option as the reference shows it.
#[cfg(test)]
pub(super) struct Row {
    pub(super) names: String,
    pub(super) key: Option<&'static str>,
    pub(super) effect: &'static str,
}

/// The headings of the groups and their options as the reference shows them.
#[cfg(test)]
pub(super) fn groups() -> Vec<(&'static str, Vec<Row>)> {
    let row = |flag: &Flag| {
        let short = flag.short.map_or_else(String::new, |short| format!("`-{short}`, "));
        let key = match flag.means {
            Key(key) | Not(key) | Word(key, _) | Seconds(key) => Some(key),
            Means::Only | Means::Env | Means::Socket | Notice(_) | Means::Nothing => None,
        };
        Row { names: format!("{short}`{}{}`", flag.long, flag.takes.shown()), key, effect: flag.help }
    };
    let of_group = |group: Group| FLAGS.iter().filter(|flag| flag.group == group).map(row).collect();
    GROUPS.into_iter().map(|group| (group.heading(), of_group(group))).collect()
}

/// The options as a shell offers them.
pub(super) fn offered() -> impl Iterator<Item = Offer> {
    let own = [("help", 'h', "Print help"), ("version", 'V', "Print the version")];
    let own = own.map(|(long, short, help)| Offer { short: Some(short), long, value: None, help });
    let flags = FLAGS.iter().filter(|flag| flag.group != Hidden).map(|flag| Offer {
        short: flag.short,
        long: flag.id(),
        value: match flag.takes {
            Nothing | Maybe(_) | Optional(_) => None,
            One(value) | Dashed(value) | Many(value) => Some(completions::Word::of(value)),
        },
        help: flag.help,
    });
    flags.chain(own)
}

fn has_options(line: &[OsString]) -> bool {
    let before_args = line.iter().skip(1).take_while(|word| *word != "--");
    before_args.into_iter().any(|word| word.as_encoded_bytes().starts_with(b"-"))
}

/// Whether this switch was given.
pub(super) fn is_given(matches: &ArgMatches, id: &str) -> bool {
    matches.try_get_one::<bool>(id).ok().flatten().copied().unwrap_or(false)
}

/// The value of `--socket`.
pub(super) fn socket(matches: &ArgMatches) -> Option<OsString> {
    let flag = FLAGS.iter().find(|flag| matches!(flag.means, Means::Socket))?;
    flag.values(matches).and_then(|(_, values)| values.last().map(OsString::from))
}

/// The options for another parser, without those of these names.
pub(super) fn args(without: &[&str]) -> Vec<Arg> {
    FLAGS.iter().filter(|flag| !without.contains(&flag.id())).map(|flag| flag.arg().hide(true)).collect()
}

/// What the options say, without those of these names. Of two that say something about the same key
/// the last counts.
pub(super) fn read(matches: &ArgMatches, without: &[&str]) -> Flags {
    let mut said: Vec<_> = FLAGS
        .iter()
        .filter(|flag| !without.contains(&flag.id()))
        .filter_map(|flag| flag.values(matches).map(|(at, values)| (at, flag, values)))
        .collect();
    said.sort_by_key(|&(at, ..)| at);
    let mut flags = Flags::default();
    for (_, flag, values) in said {
        flag.tell(&values, &mut flags);
    }
    flags
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_makes_a_sound_parser() {
        command(&["p".into(), "--raw".into()]).debug_assert();
        command(&["p".into()]).debug_assert();
    }

    #[test]
    fn the_help_fits_a_terminal() {
        for line in help::text().lines().chain(help::start().lines()) {
            assert!(line.chars().count() <= 80, "{line}");
        }
    }

    #[test]
    fn every_key_of_the_table_is_known() {
        for flag in FLAGS {
            let (Key(key) | Not(key) | Word(key, _) | Seconds(key)) = flag.means else { continue };
            assert!(Flags::knows(key), "{key}");
        }
    }

    /// A new option has to be taken by `spec::Patch`, or be listed here.
    #[test]
    fn every_option_changes_an_app_that_is_there_or_is_known_not_to() {
        const NOT: [&str; 5] = ["auto_exit", "autostart", "log_format", "log_level", "start_delay"];
        let keys = FLAGS.iter().filter_map(|flag| match flag.means {
            Key(key) | Not(key) | Word(key, _) | Seconds(key) => Some(key),
            _ => None,
        });
        let mut not: Vec<&str> = keys.filter(|key| !crate::config::can_change(key)).collect();
        not.sort_unstable();
        not.dedup();
        assert_eq!(not, NOT);
    }

    fn parsed(line: &[&str]) -> Flags {
        let line: Vec<OsString> = line.iter().map(OsString::from).collect();
        read(&command(&line).get_matches_from(&line), &[])
    }

    #[test]
    fn values_reach_their_flags() {
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
