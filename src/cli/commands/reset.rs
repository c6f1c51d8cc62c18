//! `procrun reset`: sets restart counts to 0.

use crate::{
    cli::{
        command::{Command, Group, JSON, Run, TARGETS},
        failure::Failure,
        operations::carry_out,
        parsed_args::ParsedArgs,
    },
    control::{Action, Request},
    spec::ExitCode,
};

pub(super) static RESET: Command = Command {
    words: &["reset"],
    group: Group::Control,
    arguments: TARGETS,
    options: &[JSON],
    summary: "Reset the restart count to 0",
    description: "Reset the restart count and backoff of processes.",
    examples: &[("procrun reset all", "every process")],
    run: Run::Function(reset),
    ..Command::DEFAULT
};

fn reset(args: &ParsedArgs) -> Result<ExitCode, Failure> {
    carry_out(args, &Request::Act { action: Action::Reset, targets: args.words.clone() })
}
