//! A command line with a TARGET: `procrun [run] TARGET`, `procrun start TARGET...`, `procrun check TARGET`.
//!
//! It makes no decision about applications: the arguments become a [`Source`], and `config` and `supervisor` do
//! the rest.

use std::{
    ffi::{OsStr, OsString},
    io::Write as _,
    path::Path,
};

use clap::{
    Arg, ArgAction, ArgMatches, Command as Parser,
    error::{ContextKind, ContextValue},
    value_parser,
};

use super::{
    app_options,
    command::{Command, Run, TargetVerb},
    commands::{check, start},
    failure::usage_message,
    foreground::{is_foreground, role},
    help_text, optional_values,
    output::{print, print_notices},
    parser, source_file,
    unsupported::{self, UnsupportedCommand},
    update_apps::ATTACH,
};
use crate::{
    config::{EX_USAGE, Invocation, Problem, Problems, Source},
    spec::{ExitCode, TerminationLog},
    supervisor::{self, Role},
    sys::directory,
};

/// The exit code of `config` for a program that does not exist.
const NOT_FOUND: ExitCode = 127;

/// The request of a command line. The parser and its result are dropped before the request is carried out, or they
/// would stay in memory as long as the container runs.
enum Step {
    Print(String),
    Run(Source, Role),
    Start(start::StartRequest),
    Check(Source),
}

/// Carries out a command line; returns the exit code of the process.
pub(super) fn run(commands: &[&'static Command], command_line: Vec<OsString>) -> ExitCode {
    let done = step(commands, command_line).and_then(|step| match step {
        Step::Print(text) => Ok(print(&text)),
        Step::Run(source, role) => Ok(supervisor::run(&source, &role)),
        Step::Start(request) => match start::start(&request) {
            Ok(code) => Ok(code),
            Err(start::StartError::Problems(problems)) => Err(problems),
            Err(start::StartError::Failure(failure)) => {
                failure.print();
                Ok(failure.code)
            }
        },
        Step::Check(source) => check::check(&source),
    });
    done.unwrap_or_else(|problems| {
        // There is no other place to report a failed write to stderr.
        let _ = writeln!(std::io::stderr().lock(), "{problems}");
        if std::process::id() == 1 {
            supervisor::not_started(&TerminationLog::IfThere, &problems);
        }
        problems.exit_code()
    })
}

/// The parser. A line without a single option (`procrun ecosystem.toml`) gets a parser without options: building
/// the options takes longer than reading the file.
fn parser(line: &[OsString]) -> Parser {
    let words = Arg::new("words").value_name("TARGET").num_args(0..).value_parser(value_parser!(OsString));
    let args =
        Arg::new("args").value_name("ARGS").num_args(0..).last(true).value_parser(value_parser!(OsString));
    let options = has_options(line).then(app_options::all_args);
    Parser::new("procrun")
        .override_usage("procrun [run] <TARGET> [OPTIONS] [-- ARGS]")
        .disable_version_flag(true)
        .disable_help_flag(true)
        .args_override_self(true)
        .args([words, args])
        .args(options.into_iter().flatten())
        .arg(Arg::new("help").short('h').long("help").action(ArgAction::SetTrue))
        .arg(Arg::new("version").short('V').short_alias('v').long("version").action(ArgAction::SetTrue))
}

fn has_options(line: &[OsString]) -> bool {
    let before_args = line.iter().skip(1).take_while(|word| *word != "--");
    before_args.into_iter().any(|word| word.as_encoded_bytes().starts_with(b"-"))
}

fn parse(line: &[OsString]) -> Result<ArgMatches, clap::Error> {
    parser(line).try_get_matches_from(optional_values::joined(line))
}

/// Whether this switch was given.
fn is_given(matches: &ArgMatches, id: &str) -> bool {
    matches.try_get_one::<bool>(id).ok().flatten().copied().unwrap_or(false)
}

fn step(commands: &[&'static Command], command_line: Vec<OsString>) -> Result<Step, Problems> {
    let matches = parse(&command_line).map_err(wrong_option)?;
    if matches.get_flag("version") {
        return Ok(Step::Print(help_text::VERSION.to_owned()));
    }
    let program = command_line.first().cloned().unwrap_or_default();
    // PM2's `--no-daemon` is the foreground.
    let is_background = !is_foreground(&program, std::process::id()) && !is_given(&matches, "no-daemon");
    let (verb, mut words) = match meaning(commands, &matches)? {
        Meaning::Help(None) => return Ok(Step::Print(help_text::root(commands))),
        Meaning::Help(Some(command)) => return Ok(Step::Print(help_text::of_command(command))),
        Meaning::Target(verb, words) => (verb, words),
    };
    if verb == TargetVerb::Run
        && let Some(word) = words[0].to_str()
        && let Some(unsupported) = unsupported::of_pm2(word)
        // Last: the file system of an ecosystem file may not answer.
        && !Path::new(word).exists()
    {
        return match unsupported {
            UnsupportedCommand::NoNeed(why) => Ok(Step::Print(format!("nothing to do: {why}\n"))),
            UnsupportedCommand::Instead(hint) => {
                let problem = Problem::new(format!("procrun does not have PM2's command `{word}`"));
                Err(usage(problem.hint(hint)))
            }
        };
    }
    let is_command = verb == TargetVerb::Start && is_background;
    if let Some(more) = words.get(1).filter(|_| !is_command) {
        let more = more.to_string_lossy();
        let problem = Problem::new(format!("unexpected argument `{more}`: only one TARGET is allowed"));
        let hint = advice(commands, &words[0]);
        let hint = hint.unwrap_or_else(|| format!("write arguments for the app after `--`: `-- {more}`"));
        return Err(usage(problem.hint(hint)));
    }
    let target = words[0].clone();
    let cwd = directory::working()
        .map_err(|error| usage(Problem::new(format!("cannot find the working directory: {error}"))))?;
    let invocation = Invocation {
        target: target.clone(),
        // For a command, `--silent` reduces the output of the command itself.
        flags: app_options::read(&matches, if is_command { &["silent"] } else { &[] }),
        args: matches.get_many("args").map(|args| args.cloned().collect()),
        environment: std::env::vars_os().collect(),
        cwd: cwd.clone(),
        command_line,
    };
    let socket = app_options::socket(&matches);
    if is_command {
        if is_given(&matches, "attach") {
            print_notices(&[ATTACH.to_owned()]);
        }
        return Ok(Step::Start(start::StartRequest {
            words: std::mem::take(&mut words),
            socket,
            force: is_given(&matches, "force"),
            update_environment: is_given(&matches, "update-env"),
            is_silent: is_given(&matches, "silent"),
            invocation,
        }));
    }
    let role = role(socket.as_deref(), &cwd);
    let source = Source::new(invocation).map_err(|problems| match advice(commands, &target) {
        Some(hint) => advised(problems, hint),
        None => problems,
    })?;
    Ok(match verb {
        TargetVerb::Run | TargetVerb::Start => Step::Run(source, role),
        TargetVerb::Check => Step::Check(source),
    })
}

/// The meaning of the words of a line.
enum Meaning {
    /// The help of a command, or of procrun.
    Help(Option<&'static Command>),
    /// At least one word.
    Target(TargetVerb, Vec<OsString>),
}

fn meaning(commands: &[&'static Command], matches: &ArgMatches) -> Result<Meaning, Problems> {
    let mut words: Vec<OsString> = matches.get_many("words").into_iter().flatten().cloned().collect();
    let command = words.first().and_then(|word| parser::find(commands, word.to_str()?));
    let target_command = command.and_then(|command| match command.run {
        Run::Target(verb) => Some((command, verb)),
        Run::Function(_) | Run::OfTable(_) => None,
    });
    if matches.get_flag("help") {
        return Ok(Meaning::Help(target_command.map(|(command, _)| command)));
    }
    if words.is_empty() {
        let problem = Problem::new("missing TARGET: an ecosystem file, a script or a program");
        return Err(usage(problem.hint(without_target(matches, ""))));
    }
    let Some((command, verb)) = target_command else {
        return match command {
            // It was not the first word, or its own parser would have parsed the line.
            Some(command) => {
                let word = words[0].to_string_lossy();
                let problem = Problem::new(format!("options must come after the command `{word}`"));
                let hint = format!("`{}`; write `./{word}` for a file of that name", command.usage());
                Err(usage(problem.hint(hint)))
            }
            None => Ok(Meaning::Target(TargetVerb::Run, words)),
        };
    };
    words.remove(0);
    if words.is_empty()
        && verb == TargetVerb::Start
        && let Some(file) = source_file::default()
    {
        words.push(file);
    }
    if words.is_empty() {
        let name = command.name();
        let problem = format!("`{name}` needs a TARGET: an ecosystem file, a script or a program");
        return Err(usage(Problem::new(problem).hint(without_target(matches, &format!("{name} ")))));
    }
    Ok(Meaning::Target(verb, words))
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

/// The hint for a word that resembles a command and is not a file.
fn advice(commands: &[&'static Command], word: &OsString) -> Option<String> {
    let word = word.to_str()?;
    unsupported::advice(word, parser::words(commands)).filter(|_| !Path::new(word).exists())
}

/// The same problems. If the program is missing, that problem gets this hint.
fn advised(problems: Problems, hint: String) -> Problems {
    let missing = problems.iter().next().filter(|_| problems.exit_code() == NOT_FOUND).cloned();
    missing.map_or(problems, |problem| Problems::one(NOT_FOUND, problem.hint(hint)))
}

/// The error of the argument parser, in the form of all other errors.
#[expect(clippy::needless_pass_by_value, reason = "as map_err hands it over")]
fn wrong_option(error: clap::Error) -> Problems {
    let problem = Problem::new(usage_message(&error));
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

#[cfg(test)]
mod tests {
    use super::{super::commands::COMMANDS, *};

    #[test]
    fn the_options_make_a_sound_parser() {
        parser(&["p".into(), "--raw".into()]).debug_assert();
        parser(&["p".into()]).debug_assert();
    }

    type Typed = Result<(TargetVerb, Vec<String>), u8>;

    fn typed(line: &str) -> Typed {
        let words: Vec<OsString> = line.split_whitespace().map(OsString::from).collect();
        let matches = parse(&words).map_err(|_| 1)?;
        match meaning(COMMANDS, &matches).map_err(|problems| problems.exit_code())? {
            Meaning::Help(command) => {
                Ok((TargetVerb::Run, command.map(|command| command.name().to_owned()).into_iter().collect()))
            }
            Meaning::Target(verb, words) => {
                Ok((verb, words.into_iter().map(|word| word.into_string().unwrap()).collect()))
            }
        }
    }

    #[test]
    fn a_word_is_a_command_only_in_front() {
        let words = |verb, words: &[&str]| Ok((verb, words.iter().map(|&word| word.to_owned()).collect()));
        assert_eq!(typed("procrun app.js"), words(TargetVerb::Run, &["app.js"]));
        assert_eq!(typed("procrun run app.js"), words(TargetVerb::Run, &["app.js"]));
        assert_eq!(typed("procrun --raw run --json app.js"), words(TargetVerb::Run, &["app.js"]));
        assert_eq!(typed("procrun check x.toml"), words(TargetVerb::Check, &["x.toml"]));
        assert_eq!(typed("pm2-runtime start app.js"), words(TargetVerb::Start, &["app.js"]));
        assert_eq!(typed("procrun start a b"), words(TargetVerb::Start, &["a", "b"]));
        assert_eq!(typed("procrun ./run"), words(TargetVerb::Run, &["./run"]));
        assert_eq!(typed("procrun run"), Err(EX_USAGE));
        assert_eq!(typed("procrun"), Err(EX_USAGE));
        assert_eq!(typed("procrun --raw list"), Err(EX_USAGE));
        assert_eq!(typed("procrun run -h"), words(TargetVerb::Run, &["run"]));
        assert_eq!(typed("procrun app.js -h"), words(TargetVerb::Run, &[]));
        assert_eq!(typed("procrun app.js -- more"), words(TargetVerb::Run, &["app.js"]));
    }
}
