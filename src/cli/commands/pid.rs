//! `procrun pid`: the process ids of instances.

use std::fmt::Write as _;

use crate::{
    cli::{
        command::{Command, Group, JSON, OPTIONAL_TARGETS, Run},
        failure::{Failure, NOT_DONE},
        output::{print, print_json},
        parsed_args::ParsedArgs,
    },
    spec::ExitCode,
};

pub(super) static PID: Command = Command {
    words: &["pid"],
    group: Group::Inspect,
    arguments: OPTIONAL_TARGETS,
    options: &[JSON],
    summary: "Print process ids, one per line",
    description: "Print the process ids of all apps, or of some, one per line. Instances without a\n\
                  process are left out.",
    exit_codes: &[(NOT_DONE, "none of the named apps has a process")],
    examples: &[("procrun pid api", "the process ids of the app api")],
    run: Run::Function(pid),
    ..Command::DEFAULT
};

fn pid(args: &ParsedArgs) -> Result<ExitCode, Failure> {
    let details = args.supervisor()?.details(args.words.clone())?;
    let pids: Vec<i32> = details.iter().filter_map(|detail| detail.brief.pid).collect();
    if args.has("json") {
        return Ok(print_json(&pids));
    }
    let mut text = String::new();
    for pid in &pids {
        writeln!(text, "{pid}").expect("writing to a String cannot fail");
    }
    print(&text);
    // A script must not continue without the process id of an app that does not run.
    Ok(if pids.is_empty() && !args.words.is_empty() { NOT_DONE } else { 0 })
}
