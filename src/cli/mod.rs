//! The command line: arguments, one file a command, and how answers are printed.
//!
//! It makes no decision about applications: the arguments become a [`Source`], and `config` and `supervisor` do
//! the rest.

mod anew;
mod apply;
mod attach;
mod background;
mod check;
mod commands;
mod completions;
mod connect;
mod convert;
mod create;
mod describe;
mod dump;
mod ecosystem;
mod events;
mod failure;
mod file;
mod flags;
mod help;
mod inspect;
mod invoked_as;
mod list;
mod logs;
mod mini_list;
mod monit;
mod node_version;
mod offline_commands;
mod optional_values;
mod process_commands;
mod queries;
#[cfg(test)]
mod reference;
mod serve;
mod since;
mod sort;
mod start;
mod table;
mod tree;
mod unsupported;
mod verbs;
mod wrap;

use std::{
    ffi::{OsStr, OsString},
    io::Write as _,
    path::Path,
};

use clap::{
    ArgMatches,
    error::{ContextKind, ContextValue},
};

use self::{invoked_as::InvokedAs, unsupported::UnsupportedCommand};

use crate::{
    config::{EX_USAGE, Invocation, Problem, Problems, Source},
    control::Name,
    spec::{self, ExitCode, TerminationLog},
    supervisor::{self, Role},
    sys::directory,
};

/// What `config` answers for a program that is not there.
const NOT_FOUND: ExitCode = 127;

/// The notice for PM2's `--attach`.
const ATTACH: &str = "`--attach` has no effect: `procrun logs` follows the output";

/// What to do with the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verb {
    Run,
    Start,
    Check,
}

/// What the arguments ask for. The parser and its answer are gone by the time it is done: they
/// would stay in memory as long as the container lives.
enum Step {
    Say(String),
    Run(Source, Role),
    Start(start::StartRequest),
    Check(Source),
}

/// Does what was typed; gives the exit code of the process.
pub fn main(args: impl Iterator<Item = OsString>) -> u8 {
    let command_line: Vec<OsString> = args.collect();
    if let Some((called, args)) = command_line.split_first()
        && called == spec::serve::WORKER
    {
        let args: Vec<String> = args.iter().map(|arg| arg.to_string_lossy().into_owned()).collect();
        return crate::serve::run(&args);
    }
    if let Some(code) = commands::run(&command_line) {
        return code;
    }
    let done = step(command_line).and_then(|step| match step {
        Step::Say(text) => Ok(say(&text)),
        Step::Run(source, role) => Ok(supervisor::run(&source, &role)),
        Step::Start(wish) => match start::start(&wish) {
            Ok(code) => Ok(code),
            Err(start::Refusal::Problems(problems)) => Err(problems),
            Err(start::Refusal::Failure(failure)) => {
                failure.say();
                Ok(failure.code)
            }
        },
        Step::Check(source) => check::check(&source),
    });
    done.unwrap_or_else(|problems| {
        complain(&problems);
        if std::process::id() == 1 {
            supervisor::not_started(&TerminationLog::IfThere, &problems);
        }
        problems.exit_code()
    })
}

fn parse(line: &[OsString]) -> Result<ArgMatches, clap::Error> {
    flags::command(line).try_get_matches_from(optional_values::joined(line))
}

fn step(command_line: Vec<OsString>) -> Result<Step, Problems> {
    let matches = parse(&command_line).map_err(wrong_option)?;
    if matches.get_flag("version") {
        return Ok(Step::Say(help::VERSION.to_owned()));
    }
    let called = command_line.first().cloned().unwrap_or_default();
    // PM2's `--no-daemon` is the foreground.
    let is_background =
        !is_foreground(&called, std::process::id()) && !flags::is_given(&matches, "no-daemon");
    let (verb, mut words) = words_of(&matches)?;
    if words.is_empty() {
        return Ok(Step::Say(if verb == Verb::Start { help::start() } else { help::text() }));
    }
    if verb == Verb::Run
        && let Some(word) = words[0].to_str()
        && let Some(stranger) = unsupported::of_pm2(word)
        // Last: the file system of an ecosystem file may not answer.
        && !Path::new(word).exists()
    {
        return match stranger {
            UnsupportedCommand::NoNeed(why) => Ok(Step::Say(format!("nothing to do: {why}\n"))),
            UnsupportedCommand::Instead(hint) => {
                let problem = Problem::new(format!("procrun does not have PM2's command `{word}`"));
                Err(usage(problem.hint(hint)))
            }
        };
    }
    let is_command = verb == Verb::Start && is_background;
    if let Some(more) = words.get(1).filter(|_| !is_command) {
        let more = more.to_string_lossy();
        let problem = Problem::new(format!("unexpected argument `{more}`: only one TARGET is allowed"));
        let hint = advice(&words[0]);
        let hint = hint.unwrap_or_else(|| format!("write arguments for the app after `--`: `-- {more}`"));
        return Err(usage(problem.hint(hint)));
    }
    let target = words[0].clone();
    let cwd = directory::working()
        .map_err(|error| usage(Problem::new(format!("cannot find the working directory: {error}"))))?;
    let invocation = Invocation {
        target: target.clone(),
        // For a command, `--silent` reduces the output of the command itself.
        flags: flags::read(&matches, if is_command { &["silent"] } else { &[] }),
        args: matches.get_many("args").map(|args| args.cloned().collect()),
        environment: std::env::vars_os().collect(),
        cwd: cwd.clone(),
        command_line,
    };
    let socket = flags::socket(&matches);
    if is_command {
        if flags::is_given(&matches, "attach") {
            file::say_notices(&[ATTACH.to_owned()]);
        }
        return Ok(Step::Start(start::StartRequest {
            words: std::mem::take(&mut words),
            socket,
            force: flags::is_given(&matches, "force"),
            update_environment: flags::is_given(&matches, "update-env"),
            is_silent: flags::is_given(&matches, "silent"),
            invocation,
        }));
    }
    let role = role(socket.as_deref(), &cwd);
    let source = Source::new(invocation).map_err(|problems| match advice(&target) {
        Some(hint) => advised(problems, hint),
        None => problems,
    })?;
    Ok(match verb {
        Verb::Run | Verb::Start => Step::Run(source, role),
        Verb::Check => Step::Check(source),
    })
}

/// The verb, if the first word is one, and the words behind it; no word at all is a wish for help.
fn words_of(matches: &ArgMatches) -> Result<(Verb, Vec<OsString>), Problems> {
    let mut words: Vec<OsString> = matches.get_many("words").into_iter().flatten().cloned().collect();
    if matches.get_flag("help") {
        let is_start = words.first().is_some_and(|word| word == "start");
        return Ok((if is_start { Verb::Start } else { Verb::Run }, Vec::new()));
    }
    let Some(first) = words.first().cloned() else {
        let problem = Problem::new("missing TARGET: an ecosystem file, a script or a program");
        return Err(usage(problem.hint(without_target(matches, ""))));
    };
    let verb = match first.to_str() {
        Some("run") => Verb::Run,
        Some("start") => Verb::Start,
        Some("check") => Verb::Check,
        // It was not the first word, or it would have been carried out.
        Some(command) if commands::is_command(&first) => {
            let problem = Problem::new(format!("options must come after the command `{command}`"));
            return Err(usage(problem.hint(format!("write `./{command}` for a file of that name"))));
        }
        _ => return Ok((Verb::Run, words)),
    };
    words.remove(0);
    if words.is_empty()
        && verb == Verb::Start
        && let Some(file) = file::default()
    {
        words.push(file);
    }
    if words.is_empty() {
        let first = first.to_string_lossy();
        let problem = format!("`{first}` needs a TARGET: an ecosystem file, a script or a program");
        return Err(usage(Problem::new(problem).hint(without_target(matches, &format!("{first} ")))));
    }
    Ok((verb, words))
}

/// The hint for a missing TARGET; `verb` is the command with a trailing space.
fn without_target(matches: &ArgMatches, verb: &str) -> String {
    // `-c` is `--config` in other tools.
    let cron = matches.try_get_one::<String>("cron").ok().flatten();
    match cron.filter(|value| Source::is_named_as_file(OsStr::new(value))) {
        Some(file) => format!("`-c` is `--cron`; the ecosystem file is the TARGET: `procrun {verb}{file}`"),
        None => format!("`procrun {verb}ecosystem.toml`; `procrun ecosystem` creates such a file"),
    }
}

/// What to do if this was to be a command.
fn advice(word: &OsString) -> Option<String> {
    let word = word.to_str()?;
    unsupported::advice(word).filter(|_| !Path::new(word).exists())
}

/// The same problems. If the program is missing, that problem gets this hint.
fn advised(problems: Problems, hint: String) -> Problems {
    let missing = problems.iter().next().filter(|_| problems.exit_code() == NOT_FOUND).cloned();
    missing.map_or(problems, |problem| Problems::one(NOT_FOUND, problem.hint(hint)))
}

/// PM2's images say `pm2-runtime start …` or make `procrun start …` the container's command.
fn is_foreground(called: &OsStr, pid: u32) -> bool {
    pid == 1 || InvokedAs::by(called) == InvokedAs::Pm2Runtime
}

/// The role of a supervisor in the foreground.
fn role(socket: Option<&OsStr>, cwd: &Path) -> Role {
    Role {
        places: connect::places_from(socket, cwd),
        name: match std::process::id() {
            1 => Name::Default,
            pid => Name::Pid(pid),
        },
        background: None,
    }
}

/// Prints an answer. If the reader has closed the pipe, the error is ignored.
fn say(text: &str) -> u8 {
    let _ = std::io::stdout().lock().write_all(text.as_bytes());
    0
}

/// The error of the argument parser, in the form of all other errors.
#[expect(clippy::needless_pass_by_value, reason = "as map_err hands it over")]
fn wrong_option(error: clap::Error) -> Problems {
    let text = error.to_string();
    let line = text.lines().next().unwrap_or_default();
    let problem = Problem::new(line.strip_prefix("error: ").unwrap_or(line));
    if let Some(ContextValue::String(option)) = error.get(ContextKind::InvalidArg)
        && let Some(hint) = unsupported::option(option)
    {
        return usage(problem.hint(hint));
    }
    usage(match error.get(ContextKind::SuggestedArg) {
        Some(ContextValue::String(option)) => problem.hint(format!("did you mean `{option}`?")),
        _ => problem.hint("`procrun --help` lists the options; write options of the app after `--`"),
    })
}

fn usage(problem: Problem) -> Problems {
    Problems::one(EX_USAGE, problem)
}

fn complain(problems: &Problems) {
    // There is no other place to report a failed write to stderr.
    let _ = writeln!(std::io::stderr().lock(), "{problems}");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(line: &str) -> Result<(Verb, Vec<String>), u8> {
        let words: Vec<OsString> = line.split_whitespace().map(OsString::from).collect();
        let matches = parse(&words).map_err(|_| 1)?;
        let (verb, words) = words_of(&matches).map_err(|problems| problems.exit_code())?;
        Ok((verb, words.into_iter().map(|word| word.into_string().unwrap()).collect()))
    }

    #[test]
    fn a_verb_is_only_a_verb_in_front() {
        let words = |verb, words: &[&str]| Ok((verb, words.iter().map(|&word| word.to_owned()).collect()));
        assert_eq!(typed("procrun app.js"), words(Verb::Run, &["app.js"]));
        assert_eq!(typed("procrun run app.js"), words(Verb::Run, &["app.js"]));
        assert_eq!(typed("procrun --raw run --json app.js"), words(Verb::Run, &["app.js"]));
        assert_eq!(typed("procrun check x.toml"), words(Verb::Check, &["x.toml"]));
        assert_eq!(typed("pm2-runtime start app.js"), words(Verb::Start, &["app.js"]));
        assert_eq!(typed("procrun start a b"), words(Verb::Start, &["a", "b"]));
        assert_eq!(typed("procrun ./run"), words(Verb::Run, &["./run"]));
        assert_eq!(typed("procrun run"), Err(EX_USAGE));
        assert_eq!(typed("procrun"), Err(EX_USAGE));
        assert_eq!(typed("procrun --raw list"), Err(EX_USAGE));
        assert_eq!(typed("procrun run -h"), words(Verb::Run, &[]));
        assert_eq!(typed("procrun app.js -- more"), words(Verb::Run, &["app.js"]));
    }

    #[test]
    fn start_means_the_foreground_in_a_container_only() {
        assert!(is_foreground(OsStr::new("/usr/bin/pm2-runtime"), 7));
        assert!(is_foreground(OsStr::new("pm2-docker"), 7));
        assert!(is_foreground(OsStr::new("procrun"), 1));
        assert!(!is_foreground(OsStr::new("/usr/bin/procrun"), 7));
        assert!(!is_foreground(OsStr::new("/usr/bin/pm2"), 7));
    }
}
