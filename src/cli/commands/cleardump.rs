//! `procrun cleardump`: saves an empty list.

use crate::{
    cli::{
        command::{Command, Group, Run},
        failure::Failure,
        parsed_args::ParsedArgs,
        saved_list::save_list,
    },
    spec::ExitCode,
};

pub(super) static CLEARDUMP: Command = Command {
    words: &["cleardump"],
    group: Group::Supervisor,
    summary: "Save an empty list",
    description: "Save an empty list. `resurrect` then starts nothing.",
    run: Run::Function(cleardump),
    ..Command::DEFAULT
};

fn cleardump(_: &ParsedArgs) -> Result<ExitCode, Failure> {
    save_list(Vec::new())
}
