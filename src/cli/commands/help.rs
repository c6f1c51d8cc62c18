//! `procrun help`: the help of a command, or of the environment variables.

use crate::{
    cli::{
        command::{Argument, Command, Occurs, Run},
        failure::Failure,
        help_text,
        output::print,
        parsed_args::ParsedArgs,
        parser,
    },
    config::{EX_USAGE, known_variables, nearest},
    spec::ExitCode,
};

pub(super) static HELP: Command = Command {
    words: &["help"],
    arguments: &[Argument::new("COMMAND", Occurs::Optionally)],
    summary: "Show the help of a command",
    description: "Show the options of a command; without a command, list all commands.\n\
                  `procrun help environment` lists the variables that procrun reads.",
    examples: &[("procrun help reload", "the same as `procrun reload --help`")],
    run: Run::OfTable(help),
    ..Command::DEFAULT
};

/// The topic that is not a command.
const ENVIRONMENT: &str = "environment";

const ABOUT_VARIABLES: &str = "\
Variables that procrun reads. PROCRUN_<KEY> sets a root key of the ecosystem
file. An option overrides the variable, and the variable overrides the file. An
empty variable counts as unset.

";

const OTHER_VARIABLES: &str = "
PM2_HOME (under the name pm2), PM2_KILL_SIGNAL, PM2_KILL_TIMEOUT,
PM2_KILL_USE_MESSAGE and PM2_SERVE_* work as in PM2.
NO_COLOR turns colours off. TZ sets the time zone.
";

fn help(args: &ParsedArgs, commands: &[&'static Command]) -> Result<ExitCode, Failure> {
    let Some(word) = args.words.first() else { return Ok(print(&help_text::root(commands))) };
    if word == ENVIRONMENT {
        return Ok(print(&variables()));
    }
    if let Some(command) = parser::find(commands, word) {
        return Ok(print(&help_text::of_command(command)));
    }
    let failure = Failure::new(EX_USAGE, format!("unknown command `{word}`"));
    Err(match nearest(word, parser::words(commands).chain([ENVIRONMENT])) {
        Some(near) => failure.hint(format!("did you mean `{near}`?")),
        None => failure.hint("`procrun help` lists the commands"),
    })
}

fn variables() -> String {
    let lines = known_variables().map(|(name, what)| format!("  {name:26}  {what}\n"));
    format!("{ABOUT_VARIABLES}{}{OTHER_VARIABLES}", lines.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::variables;

    #[test]
    fn the_variables_fit_a_terminal() {
        for line in variables().lines() {
            assert!(line.chars().count() <= 80, "{line}");
        }
    }
}
