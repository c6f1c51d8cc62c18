//! `procrun list`: all processes as a table.

use std::fmt::Write as _;

use crate::{
    cli::{
        command::{Command, Group, JSON, OptionSpec, Run},
        failure::Failure,
        mini_list,
        output::{print, print_json, print_notices, stdout_style},
        parsed_args::ParsedArgs,
        process_table::{shown, with_users},
        sort::sort,
    },
    control::Request,
    shown::printable,
    spec::ExitCode,
};

pub(super) static LIST: Command = Command {
    words: &["list", "ls", "ps", "status", "l"],
    group: Group::Inspect,
    options: &[
        OptionSpec::with_value("sort", "FIELD[:desc]", "Sort by a column: name, memory:desc, ..."),
        OptionSpec::switch("mini-list", "Print without a table").short('m'),
        JSON,
    ],
    summary: "List all processes",
    description: "List all processes with PM2's columns and the reason for the last exit. Columns\n\
                  that do not fit the terminal are left out. Without a supervisor the list is\n\
                  empty.",
    examples: &[("procrun list --sort memory:desc", "the largest process first")],
    run: Run::Function(list),
    ..Command::DEFAULT
};

fn list(args: &ParsedArgs) -> Result<ExitCode, Failure> {
    let Some(mut supervisor) = args.running_supervisor()? else {
        return Ok(list_of_none(args));
    };
    let mut overview = supervisor.overview(&Request::List)?;
    with_users(&mut overview.instances, &supervisor);
    if let Some(by) = args.value("sort") {
        sort(&mut overview.instances, by)?;
    }
    if args.has("json") {
        return Ok(print_json(&overview));
    }
    if args.has("mini-list") {
        return Ok(print(&mini_list::shown(&overview.instances)));
    }
    let mut text = shown(&overview.instances, stdout_style());
    for of in &overview.instances {
        if let Some(problem) = &of.problem {
            writeln!(text, "{} ({}): {}", of.name, of.id, printable(problem))
                .expect("writing to a String cannot fail");
        }
    }
    if overview.supervisor.stopping {
        text.push_str("procrun is stopping: no app is ready\n");
    }
    Ok(print(&text))
}

/// `list` without a supervisor: an empty list, which is not an error. PM2 starts its daemon in this case.
fn list_of_none(args: &ParsedArgs) -> ExitCode {
    if args.has("json") {
        return print_json(&serde_json::json!({ "supervisor": null, "instances": [] }));
    }
    print_notices(&["no supervisor is running; `procrun start` starts one in the background".to_owned()]);
    print(&if args.has("mini-list") { mini_list::shown(&[]) } else { shown(&[], stdout_style()) })
}
