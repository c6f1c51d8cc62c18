//! `procrun send`: sends a line to the standard input of a process.

use crate::{
    cli::{
        command::{Argument, Command, Group, Occurs, Run},
        failure::Failure,
        parsed_args::ParsedArgs,
        stdin_client::StdinClient,
    },
    spec::ExitCode,
};

pub(super) static SEND: Command = Command {
    words: &["send"],
    group: Group::Output,
    arguments: &[Argument::new("ID|NAME", Occurs::Once), Argument::new("LINE", Occurs::Once)],
    summary: "Send a line to the stdin of a process",
    description: "Send a line to the standard input of a process, and wait until the line is in\n\
                  its pipe. A NAME must have one process. Write `--` before a LINE that begins\n\
                  with a dash.",
    examples: &[("procrun send console status", "the line `status`")],
    run: Run::Function(send),
    ..Command::DEFAULT
};

fn send(args: &ParsedArgs) -> Result<ExitCode, Failure> {
    let mut input = StdinClient { supervisor: args.supervisor()?, target: args.words[0].clone() };
    input.send(&format!("{}\n", args.words[1]))?;
    Ok(0)
}
