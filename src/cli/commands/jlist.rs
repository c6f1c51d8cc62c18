//! `procrun jlist`: the processes as PM2's JSON.

use serde_json::Value;

use crate::{
    cli::{
        command::{Command, Group, Run},
        failure::Failure,
        node_version,
        output::print,
        parsed_args::ParsedArgs,
    },
    control::jlist as pm2,
    spec::ExitCode,
};

pub(super) static JLIST: Command = Command {
    words: &["jlist"],
    group: Group::Inspect,
    summary: "List all processes as JSON, as PM2 does",
    description: "Print all processes as JSON with PM2's fields, for exporters and scripts.\n\
                  Without a supervisor, print an empty list.",
    run: Run::Function(jlist),
    ..Command::DEFAULT
};

fn jlist(args: &ParsedArgs) -> Result<ExitCode, Failure> {
    Ok(print(&format!("{}\n", all_as_pm2(args)?)))
}

/// All instances in PM2's form. Without a supervisor the list is empty, because programs that read it expect a list.
pub(super) fn all_as_pm2(args: &ParsedArgs) -> Result<Value, Failure> {
    Ok(match args.running_supervisor()? {
        Some(mut supervisor) => {
            let details = supervisor.details(Vec::new())?;
            pm2(&details, node_version::of, supervisor.user().as_deref())
        }
        None => pm2(&[], node_version::of, None),
    })
}
