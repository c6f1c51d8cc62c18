//! `procrun id`: the ids of the instances of an app.

use crate::{
    cli::{
        command::{Argument, Command, Group, Occurs, Run},
        failure::Failure,
        output::print,
        parsed_args::ParsedArgs,
    },
    spec::ExitCode,
};

pub(super) static ID: Command = Command {
    words: &["id"],
    group: Group::Inspect,
    arguments: &[Argument::new("NAME|NAMESPACE|all", Occurs::OnceOrMore)],
    summary: "Print the ids of an app",
    description: "Print the ids (pm_id) of an app as a list: [ 0, 1 ].",
    examples: &[("procrun id api", "the ids of the app api")],
    run: Run::Function(id),
    ..Command::DEFAULT
};

fn id(args: &ParsedArgs) -> Result<ExitCode, Failure> {
    let details = args.supervisor()?.details(args.words.clone())?;
    let ids: Vec<String> = details.iter().map(|detail| detail.brief.id.to_string()).collect();
    Ok(print(&format!("[ {} ]\n", ids.join(", "))))
}
