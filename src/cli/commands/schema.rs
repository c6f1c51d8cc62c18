//! `procrun schema`: the JSON Schema of ecosystem files.

use crate::{
    cli::{
        command::{Command, Run},
        failure::Failure,
        output::print_json,
        parsed_args::ParsedArgs,
    },
    config,
    spec::ExitCode,
};

pub(super) static SCHEMA: Command = Command {
    words: &["schema"],
    summary: "Print the JSON Schema of ecosystem files",
    description: "Print the JSON Schema of ecosystem files. With it, an editor completes keys,\n\
                  shows their documentation and marks mistakes. A TOML file names it at the top:\n\
                  \x20 #:schema ./procrun.schema.json",
    run: Run::Function(schema),
    ..Command::DEFAULT
};

#[expect(clippy::unnecessary_wraps, reason = "the form of `Run::Function`")]
fn schema(_: &ParsedArgs) -> Result<ExitCode, Failure> {
    Ok(print_json(&config::schema()))
}
