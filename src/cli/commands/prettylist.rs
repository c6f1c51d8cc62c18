//! `procrun prettylist`: the output of `jlist` as Node prints an object.

use super::jlist::all_as_pm2;
use crate::{
    cli::{
        command::{Command, Group, Run},
        failure::Failure,
        inspect::inspect,
        output::print,
        parsed_args::ParsedArgs,
    },
    spec::ExitCode,
};

pub(super) static PRETTYLIST: Command = Command {
    words: &["prettylist"],
    group: Group::Inspect,
    summary: "Print the output of jlist, indented",
    description: "Print the output of `jlist` as Node prints an object.",
    run: Run::Function(prettylist),
    ..Command::DEFAULT
};

fn prettylist(args: &ParsedArgs) -> Result<ExitCode, Failure> {
    Ok(print(&format!("{}\n", inspect(&all_as_pm2(args)?))))
}
