//! The text of `--help`, made from the definitions of commands and options.

use std::fmt::Write as _;

use super::{
    app_options,
    command::{AppOptions, Command, Group, OptionSpec},
};

pub(super) const VERSION: &str = concat!("procrun ", env!("CARGO_PKG_VERSION"), "\n");

const ABOUT: &str = "\
Run applications in the foreground, as PID 1 of a container or anywhere else.
procrun starts them, logs their output, restarts them after a crash, reaps
orphans, and stops them in order.

Usage: procrun [run] <TARGET> [OPTIONS] [-- ARGS]
       procrun <COMMAND> [ARGUMENTS] [OPTIONS]

TARGET is an ecosystem file (.toml, .json, .yaml, .config.js and others), a
script, or a program. A name without a slash is looked up in the current
directory, then in PATH. Write `./list` for a file with the name of a command.
ARGS are arguments for the app.

Commands control a running procrun. Their target is a name, an id, a namespace,
a pattern on names ('/^api-/') or `all`. `procrun <COMMAND> --help` shows the
options of a command.
";

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
  126  a program cannot run: its file, user, directory, limit or socket
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

const TARGET_FORMS: &str = "
A NAME may also be the path of a script, which selects all apps that run it, or
a pattern: a regular expression between slashes, such as '/^api-/' ('/^API-/i'
ignores case).
";

/// The help of procrun.
pub(super) fn root(commands: &[&Command]) -> String {
    format!("{ABOUT}{}\n{}{AFTER}", commands_by_group(commands), app_options::described())
}

fn commands_by_group(commands: &[&Command]) -> String {
    let mut text = String::new();
    for group in Group::ALL {
        writeln!(text, "\n{}:", group.heading()).expect("writing to a String cannot fail");
        for command in commands.iter().filter(|command| command.group == group) {
            let arguments = command
                .shown_arguments()
                .replace("NAME|ID|NAMESPACE|all|FILE", "TARGET|FILE")
                .replace("NAME|ID|NAMESPACE|all", "TARGET")
                .replace("NAME|ID|NAMESPACE", "TARGET");
            let name = format!("{} {arguments}", command.name());
            writeln!(text, "  {:29}  {}", name.trim_end(), command.summary)
                .expect("writing to a String cannot fail");
        }
    }
    text
}

/// The help of a command.
pub(super) fn of_command(command: &Command) -> String {
    let mut text = format!("{}\n\nUsage: {}\n", command.description, command.usage());
    let mut put = |line: &str| {
        writeln!(text, "{line}").expect("writing to a String cannot fail");
    };
    if let [_, aliases @ ..] = command.words
        && !aliases.is_empty()
    {
        put(&format!("Also:  {}", aliases.join(", ")));
    }
    if command.arguments.iter().any(|argument| argument.name.contains("NAMESPACE")) {
        put(TARGET_FORMS.trim_end());
    }
    put("\nOptions:");
    let width = command.all_options().map(|option| option_name(option).len()).max().unwrap_or(0);
    for option in command.all_options() {
        put(&format!("  {:width$}  {}", option_name(option), option.help));
    }
    if command.app_options == AppOptions::All {
        put("");
        put(app_options::described().trim_end());
    }
    if !command.exit_codes.is_empty() {
        put("\nExit codes:");
        for (code, meaning) in command.exit_codes {
            put(&format!("  {code:<3}  {meaning}"));
        }
    }
    if !command.examples.is_empty() {
        put("\nExamples:");
        let width = command.examples.iter().map(|(line, _)| line.chars().count()).max().unwrap_or(0);
        for (line, meaning) in command.examples {
            put(&format!("  {line:width$}  {meaning}"));
        }
    }
    text
}

/// Both names of an option, and its value.
fn option_name(option: &OptionSpec) -> String {
    let short = option.short.map_or_else(|| "    ".to_owned(), |short| format!("-{short}, "));
    format!("{short}{}", option.shown())
}

#[cfg(test)]
mod tests {
    use super::{super::commands::COMMANDS, *};

    #[test]
    fn the_help_fits_a_terminal() {
        let of_commands = COMMANDS.iter().map(|command| of_command(command));
        for text in of_commands.chain([root(COMMANDS)]) {
            for line in text.lines() {
                assert!(line.chars().count() <= 80, "{line}");
                assert_eq!(line, line.trim_end());
            }
        }
    }

    #[test]
    fn the_help_of_a_command_has_its_definition() {
        for command in COMMANDS {
            let (text, root) = (of_command(command), root(COMMANDS));
            assert!(root.contains(command.summary), "{}", command.name());
            for argument in command.arguments {
                assert!(text.contains(argument.name), "{}: {}", command.name(), argument.name);
            }
            for option in command.all_options() {
                assert!(text.contains(&option.shown()), "{}: --{}", command.name(), option.long);
                assert!(text.contains(option.help), "{}: --{}", command.name(), option.long);
            }
            for alias in &command.words[1..] {
                assert!(text.contains(alias), "{}: {alias}", command.name());
            }
        }
    }
}
