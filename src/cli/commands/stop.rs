//! `procrun stop`: stops processes, which stay in the list.

use crate::{
    cli::{
        command::{Command, ENV, Group, JSON, ONLY, Run, TARGETS_OR_FILES},
        failure::Failure,
        parsed_args::ParsedArgs,
        update_apps::act_on_targets_or_files,
    },
    control::Action,
    spec::ExitCode,
};

pub(super) static STOP: Command = Command {
    words: &["stop"],
    group: Group::Control,
    arguments: TARGETS_OR_FILES,
    options: &[ONLY, ENV, JSON],
    summary: "Stop processes and keep them in the list",
    description: "Stop processes and keep them in the list. Each gets `kill_signal` (default:\n\
                  SIGINT for Node, SIGTERM for other programs), and SIGKILL after `kill_timeout`.\n\
                  With an ecosystem file, stop the apps that the file names.",
    examples: &[("procrun stop api", "all instances of the app api"), ("procrun stop 3 4", "by id")],
    run: Run::Function(stop),
    ..Command::DEFAULT
};

fn stop(args: &ParsedArgs) -> Result<ExitCode, Failure> {
    act_on_targets_or_files(args, Action::Stop)
}
