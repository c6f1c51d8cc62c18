//! `procrun run`: runs applications in the foreground. `target_line` carries it out.

use crate::cli::command::{AppOptions, Argument, Command, Group, Occurs, Run, TargetVerb};

pub(super) static RUN: Command = Command {
    words: &["run"],
    group: Group::Foreground,
    arguments: &[Argument::new("TARGET", Occurs::Once)],
    app_options: AppOptions::All,
    summary: "Run apps in the foreground (also without `run`)",
    description: "Run applications in the foreground: start them, log their output, restart them\n\
                  after a crash, and stop them in order on SIGTERM or SIGINT. TARGET is an\n\
                  ecosystem file, a script or a program. ARGS are arguments for the app.\n\
                  `procrun TARGET` without `run` is the same.",
    exit_codes: &[],
    examples: &[
        ("procrun ecosystem.toml", "run the apps of a file"),
        ("procrun run app.js -i max", "one worker per CPU"),
        ("procrun npm -- start", "a program in PATH, with arguments"),
    ],
    run: Run::Target(TargetVerb::Run),
    ..Command::DEFAULT
};
