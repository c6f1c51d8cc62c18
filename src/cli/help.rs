//! What `--help` says.

use super::{
    commands::{self, Typed},
    failure::Failure,
    flags, say,
};
use crate::{
    config::{EX_USAGE, known_variables, nearest},
    spec::ExitCode,
};

pub(super) const VERSION: &str = concat!("procrun ", env!("CARGO_PKG_VERSION"), "\n");

pub(super) const USAGE: &str = "\
procrun [run] <TARGET> [OPTIONS] [-- ARGS FOR THE APP]
       procrun check <TARGET> [OPTIONS]
       procrun <COMMAND> ...";

const ABOUT: &str = "\
Runs applications in the foreground, as a container's first process or anywhere:
starts them, logs them, restarts what crashes, reaps what is orphaned, and ends
in order.";

const TARGET: &str = "\
TARGET is an ecosystem file (.toml, .json, .yaml, .config.js and the like), a
script, or a program; without a slash it is looked for here and then in PATH.
A file that has the name of a command is written `./list`.
`check` prints the effective configuration and where each value came from.";

const COMMANDS: &str = "\
Commands to the procrun that runs; a TARGET is a name, an id, a namespace, a
pattern on names ('/^api-/') or all (`procrun <COMMAND> --help` says more):";

const ALONE: &str = "Commands that make a file or print one:";

const AFTER: &str = "\
Help:
  -h, --help                        Print this
  -V, --version                     Print the version
      `procrun help environment` lists the variables that procrun reads

A TIME is in milliseconds, or 300ms, 5s, 2m, 1h. A SIZE is in bytes, or 300K,
200M, 1G. Given with an ecosystem file, an option overrides that key of every
app that runs.

Exit codes:
  0    asked to stop, or every app ended well
  N    the code of the first app that failed (128 + signal if it was killed)
  1    a command was not carried out, or not all of it
  64   wrong usage
  69   there is no procrun to give the command to
  78   wrong configuration; nothing was started
  126  the program cannot be executed, or a limit or socket cannot be had
  127  the program was not found

Examples:
  procrun ecosystem.toml                     run what the file says
  procrun ecosystem.config.js --env production --only api,worker
  procrun app.js -i max --json               one worker per CPU, JSON logs
  procrun server.py --interpreter python3.12 -- --port 80
  procrun npm -- start                       a program in PATH
  procrun check ecosystem.toml               what would be run, and why

In a Dockerfile:
  CMD [\"procrun\", \"ecosystem.toml\"]
";

const START: &str = "\
Starts what is in the list and has no process: by name, id, namespace or all.
Anything else is an ecosystem file, a script or a program that is added to the
procrun that runs; if none does, one is started in the background. Without a
TARGET it is the ecosystem file that is here. As PID 1 or called pm2-runtime, it
is `procrun run`.

Usage: procrun start [TARGET]... [OPTIONS] [-- ARGS FOR THE APP]

A name that is taken is an error without --force; the apps of a file replace
those of the same name if they have changed. Options, --update-env among them,
change an app that is in the list and restart it.

Options:
  -f, --force                       Add it under another name
  -a, --update-env                  With the environment of this command
";

/// The help of `start`.
pub(super) fn start() -> String {
    format!("{START}\n{}", flags::described().trim_end().to_owned() + "\n")
}

const ENVIRONMENT: &str = "\
Variables that procrun reads. PROCRUN_<KEY> sets a root key of the ecosystem
file. An option overrides the variable, and the variable overrides the file. An
empty variable counts as unset.

";

const ENVIRONMENT_OF_OTHERS: &str = "
PM2_HOME (under the name pm2), PM2_KILL_SIGNAL, PM2_KILL_TIMEOUT,
PM2_KILL_USE_MESSAGE and PM2_SERVE_* work as in PM2.
NO_COLOR turns colours off. TZ is the time zone.
";

/// The help of the variables.
fn environment() -> String {
    let lines = known_variables().map(|(name, what)| format!("  {name:26}  {what}\n"));
    format!("{ENVIRONMENT}{}{ENVIRONMENT_OF_OTHERS}", lines.collect::<String>())
}

/// The whole help.
pub(super) fn text() -> String {
    format!(
        "{ABOUT}\n\nUsage: {USAGE}\n\n{TARGET}\n\n{COMMANDS}\n{}\n{ALONE}\n{}\n{}{AFTER}",
        commands::described(),
        commands::described_alone(),
        flags::described()
    )
}

#[expect(clippy::unnecessary_wraps, reason = "as the table of commands wants it")]
pub(super) fn version(_: &Typed) -> Result<ExitCode, Failure> {
    Ok(say(VERSION))
}

pub(super) fn help(typed: &Typed) -> Result<ExitCode, Failure> {
    let Some(word) = typed.words.first() else { return Ok(say(&text())) };
    let found = match word.as_str() {
        "start" => Some(start()),
        "run" | "check" => Some(text()),
        "environment" => Some(environment()),
        word => commands::help_of(word),
    };
    found.map(|text| say(&text)).ok_or_else(|| {
        let failure = Failure::new(EX_USAGE, format!("`{word}` is not a command"));
        match nearest(word, commands::words().chain(["environment"])) {
            Some(near) => failure.hint(format!("did you mean `{near}`?")),
            None => failure.hint("`procrun help` lists the commands"),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::environment;

    #[test]
    fn the_variables_fit_a_terminal() {
        for line in environment().lines() {
            assert!(line.chars().count() <= 80, "{line}");
        }
    }
}
