//! What `--help` says beside the options.

use super::flags;

pub(super) const USAGE: &str = "\
procrun <TARGET> [OPTIONS] [-- ARGS FOR THE APP]
       procrun run <TARGET> …     the same
       procrun check <TARGET> …   check it and print the effective configuration";

pub(super) const ABOUT: &str = "\
Runs applications in the foreground, as a container's first process or anywhere: starts them, \
logs them, restarts what crashes, reaps what is orphaned, and ends in order.

TARGET is an ecosystem file (.toml, .json, .yaml, .config.js and the like), a script, or a \
program; without a slash it is looked for here and then in PATH.";

pub(super) const AFTER: &str = "\
Exit codes:
  0    asked to stop, or every app ended well
  N    the code of the first app that failed (128 + signal if it was killed)
  64   wrong usage
  78   wrong configuration; nothing was started
  126  the program cannot be executed
  127  the program was not found

Examples:
  procrun ecosystem.toml                     run what the file says
  procrun ecosystem.config.js --env production --only api,worker
  procrun app.js -i max --json               one worker per CPU, JSON logs
  procrun server.py --interpreter python3.12 -- --port 80
  procrun npm -- start                       a program in PATH
  procrun check ecosystem.toml               what would be run, and why

In a Dockerfile:
  CMD [\"procrun\", \"ecosystem.toml\"]";

/// Prints the help, as `--help` does.
pub(super) fn print() {
    let _ = flags::command().print_long_help();
}
