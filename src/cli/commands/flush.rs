//! `procrun flush`: empties log files.

use crate::{
    cli::{
        command::{Command, Group, OPTIONAL_TARGETS, Run},
        failure::Failure,
        operations::wait,
        output::print,
        parsed_args::ParsedArgs,
    },
    control::Request,
    spec::ExitCode,
};

pub(super) static FLUSH: Command = Command {
    words: &["flush"],
    group: Group::Output,
    arguments: OPTIONAL_TARGETS,
    summary: "Empty log files",
    description: "Empty the log files of all processes, or of some, and discard their recent lines\n\
                  in memory. Rotated files stay. Fails after 5 s if the consumer of procrun's\n\
                  stdout is blocked.",
    examples: &[("procrun flush api", "the log files of the app api")],
    run: Run::Function(flush),
    ..Command::DEFAULT
};

fn flush(args: &ParsedArgs) -> Result<ExitCode, Failure> {
    let request = Request::Flush { targets: args.words.clone() };
    let ids = wait(&mut args.supervisor()?, &request, |_| {})?;
    let processes = if ids.len() == 1 { "process" } else { "processes" };
    Ok(print(&format!("emptied the logs of {} {processes}\n", ids.len())))
}
