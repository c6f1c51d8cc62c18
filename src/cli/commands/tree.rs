//! `procrun tree`: the processes of each app and why they belong to it.

use crate::{
    cli::{
        command::{Command, Group, JSON, OPTIONAL_TARGETS, Run},
        connect::unexpected,
        failure::Failure,
        output::{print, print_json},
        parsed_args::ParsedArgs,
        process_tree::{read_command_line, shown},
    },
    control::{Answer, Request},
    spec::ExitCode,
};

pub(super) static TREE: Command = Command {
    words: &["tree"],
    group: Group::Inspect,
    arguments: OPTIONAL_TARGETS,
    options: &[JSON],
    summary: "Show the process tree of each app",
    description: "Show the process tree of all apps, or of some: each process with its memory and\n\
                  how procrun found it. Memory limits count these processes, and a stop ends them.",
    examples: &[("procrun tree api", "the app api")],
    run: Run::Function(tree),
    ..Command::DEFAULT
};

fn tree(args: &ParsedArgs) -> Result<ExitCode, Failure> {
    let request = Request::Tree { targets: args.words.clone() };
    let mut trees = match args.supervisor()?.request(&request)? {
        Answer::Trees(trees) => trees,
        other => return Err(unexpected(&other)),
    };
    let processes = trees.instances.iter_mut().flat_map(|tree| &mut tree.processes);
    processes.chain(&mut trees.unowned).for_each(read_command_line);
    if args.has("json") {
        return Ok(print_json(&trees));
    }
    Ok(print(&shown(&trees)))
}
