//! `procrun delete`: stops processes and removes them from the list.

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

pub(super) static DELETE: Command = Command {
    words: &["delete", "del"],
    group: Group::Control,
    arguments: TARGETS_OR_FILES,
    options: &[ONLY, ENV, JSON],
    summary: "Stop processes and remove them from the list",
    description: "Stop processes and remove them from the list, until a file names them again or a\n\
                  command adds them. With an ecosystem file, delete the apps that the file names.",
    examples: &[("procrun delete api", "the app api"), ("procrun delete all", "everything")],
    run: Run::Function(delete),
    ..Command::DEFAULT
};

fn delete(args: &ParsedArgs) -> Result<ExitCode, Failure> {
    act_on_targets_or_files(args, Action::Delete)
}
