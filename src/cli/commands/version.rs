//! `procrun version`.

use crate::{
    cli::{
        command::{Command, Run},
        failure::Failure,
        help_text,
        output::print,
        parsed_args::ParsedArgs,
    },
    spec::ExitCode,
};

pub(super) static VERSION: Command = Command {
    words: &["version"],
    summary: "Print the version",
    description: "Print the version of procrun.",
    run: Run::Function(version),
    ..Command::DEFAULT
};

#[expect(clippy::unnecessary_wraps, reason = "a function of the table")]
fn version(_: &ParsedArgs) -> Result<ExitCode, Failure> {
    Ok(print(help_text::VERSION))
}
