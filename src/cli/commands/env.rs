//! `procrun env`: the environment of a process.

use std::fmt::Write as _;

use crate::{
    cli::{
        command::{Argument, Command, Group, JSON, Occurs, OptionSpec, Run},
        connect::unexpected,
        failure::Failure,
        output::{print, print_json},
        parsed_args::ParsedArgs,
    },
    control::{Answer, Request, snapshot::masked},
    shown::printable,
    spec::ExitCode,
};

pub(super) static ENV: Command = Command {
    words: &["env"],
    group: Group::Inspect,
    arguments: &[Argument::new("ID|NAME", Occurs::Once)],
    options: &[OptionSpec::switch("reveal", "Show secrets"), JSON],
    summary: "Show the environment of a process",
    description: "Show the environment that the next start of a process would use. Values that\n\
                  look like secrets are masked. A NAME means the first instance of the app.",
    examples: &[("procrun env 0", "the environment of the process with id 0")],
    run: Run::Function(env),
    ..Command::DEFAULT
};

fn env(args: &ParsedArgs) -> Result<ExitCode, Failure> {
    let target = args.words[0].clone();
    let variables = match args.supervisor()?.request(&Request::Environment { target })? {
        Answer::Environment(variables) => variables,
        other => return Err(unexpected(&other)),
    };
    let reveal = args.has("reveal");
    let shown = variables.into_iter().map(|(name, value)| {
        let value = if reveal { value } else { masked(&name, &value) };
        (name, value)
    });
    if args.has("json") {
        let object: serde_json::Map<_, _> = shown.map(|(name, value)| (name, value.into())).collect();
        return Ok(print_json(&object));
    }
    let mut text = String::new();
    for (name, value) in shown {
        writeln!(text, "{}={}", printable(&name), printable(&value))
            .expect("writing to a String cannot fail");
    }
    Ok(print(&text))
}
