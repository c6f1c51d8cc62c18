//! `procrun restart`: stops processes and starts them again, also with changes.

use crate::{
    cli::{
        command::{AppOptions, Command, ENV, Group, JSON, ONLY, Run, TARGETS_OR_FILES, UPDATE_ENV},
        failure::Failure,
        parsed_args::ParsedArgs,
        update_apps::update,
    },
    control::RestartScope,
    spec::ExitCode,
};

pub(super) static RESTART: Command = Command {
    words: &["restart", "startOrRestart"],
    group: Group::Control,
    arguments: TARGETS_OR_FILES,
    options: &[UPDATE_ENV, ONLY, ENV, JSON],
    app_options: AppOptions::Changes,
    summary: "Stop processes and start them again",
    description: "Stop processes and start them again. With an ecosystem file, apply its current\n\
                  content and start new apps. A completed or running task (`oneshot`) restarts\n\
                  only if it is named.\n\
                  Options of `procrun start` (-i 4, --watch, --cron, --node-args, -- ARGS and\n\
                  others) change the app. --name renames it. --watch without a path turns\n\
                  watching off if it is on.",
    examples: &[
        ("procrun restart api", "all instances of the app api"),
        ("procrun restart api --update-env", "with the environment of this shell"),
        ("procrun restart api --node-args --inspect", "with another command line"),
    ],
    run: Run::Function(restart),
    ..Command::DEFAULT
};

fn restart(args: &ParsedArgs) -> Result<ExitCode, Failure> {
    update(args, RestartScope::Restart)
}
