//! The texts of `--help`.

use super::{
    commands::{self, ParsedArgs},
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
Run applications in the foreground, as PID 1 of a container or anywhere else.
procrun starts them, logs their output, restarts them after a crash, reaps
orphans, and stops them in order.";

const TARGET: &str = "\
TARGET is an ecosystem file (.toml, .json, .yaml, .config.js and others), a
script, or a program. A name without a slash is searched in the current
directory, then in PATH. Write `./list` for a file with the name of a command.
`check` prints the effective configuration and where each value came from.";

const COMMANDS: &str = "\
Commands for a running procrun. TARGET is a name, an id, a namespace, a pattern
on names ('/^api-/') or `all`. `procrun <COMMAND> --help` shows the options.";

const ALONE: &str = "Other commands:";

const AFTER: &str = "\
Help:
  -h, --help                        Print help
  -V, --version                     Print the version
      `procrun help environment` lists the variables that procrun reads

A TIME is in milliseconds, or has a unit: 300ms, 5s, 2m, 1h. A SIZE is in bytes,
or has a unit: 300K, 200M, 1G. With an ecosystem file, an option overrides the
key of all apps that are started.

Exit codes:
  0    stopped by a signal or command, or every app exited with 0
  N    the exit code of the first app that failed (128 + number of a signal)
  1    the command failed, completely or in part
  64   usage error
  69   no running procrun for the command
  78   configuration error; nothing was started
  126  a program is not executable, or a limit or socket is not available
  127  a program was not found

Examples:
  procrun ecosystem.toml                     run the apps of a file
  procrun ecosystem.config.js --env production --only api,worker
  procrun app.js -i max --json               one worker per CPU, JSON logs
  procrun server.py --interpreter python3.12 -- --port 80
  procrun npm -- start                       run a program in PATH
  procrun check ecosystem.toml               show the configuration

In a Dockerfile:
  CMD [\"procrun\", \"ecosystem.toml\"]
";

pub(super) const START: &str = "\
Start apps. A TARGET that is in the list (a name, an id, a namespace or `all`)
starts if it has no process. Any other TARGET is an ecosystem file, a script or
a program, and is added to the running procrun. If none runs, one starts in the
background. Without a TARGET, use the ecosystem file of the current directory.
As PID 1, or under the name pm2-runtime, this is `procrun run`.

Usage: procrun start [TARGET]... [OPTIONS] [-- ARGS FOR THE APP]

An app whose name is in use is an error without --force. The apps of a file
replace apps with the same name if they have changed. With options, such as
--update-env, an app in the list is changed and restarted.

Options:
  -f, --force                       Add the app under another name
  -a, --update-env                  Use the environment of this command
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
NO_COLOR turns colours off. TZ sets the time zone.
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
pub(super) fn version(_: &ParsedArgs) -> Result<ExitCode, Failure> {
    Ok(say(VERSION))
}

pub(super) fn help(typed: &ParsedArgs) -> Result<ExitCode, Failure> {
    let Some(word) = typed.words.first() else { return Ok(say(&text())) };
    let found = match word.as_str() {
        "start" => Some(start()),
        "run" | "check" => Some(text()),
        "environment" => Some(environment()),
        word => commands::help_of(word),
    };
    found.map(|text| say(&text)).ok_or_else(|| {
        let failure = Failure::new(EX_USAGE, format!("unknown command `{word}`"));
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
