//! `procrun scale`: the number of processes of an app.

use crate::{
    cli::{
        command::{Argument, Command, Group, JSON, Occurs, Run},
        failure::Failure,
        operations::carry_out,
        parsed_args::ParsedArgs,
    },
    control::Request,
    spec::ExitCode,
};

pub(super) static SCALE: Command = Command {
    words: &["scale"],
    group: Group::Control,
    arguments: &[Argument::new("APP", Occurs::Once), Argument::new("N|+N|-N", Occurs::Once)],
    options: &[JSON],
    summary: "Scale an app to N processes",
    description: "Scale an app to N processes, or by +N or -N. -N keeps at least one process.",
    examples: &[
        ("procrun scale api 4", "4 processes"),
        ("procrun scale api +2", "2 more processes"),
        ("procrun scale api -1", "1 process fewer"),
    ],
    run: Run::Function(scale),
    ..Command::DEFAULT
};

fn scale(args: &ParsedArgs) -> Result<ExitCode, Failure> {
    let hint = "`4` sets the number, `+2` adds 2, `-1` removes 1";
    let count = args.words[1].parse().map_err(|error: String| Failure::not_done(error).hint(hint))?;
    carry_out(args, &Request::Scale { app: args.words[0].clone(), count })
}
