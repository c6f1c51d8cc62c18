//! `procrun apply`, and `procrun reload` without a target: an ecosystem file is read again and its changes are
//! applied; with `--dry-run` they are only printed.

use std::{
    io::{Write as _, stdout},
    path::Path,
};

use serde::Serialize;

use crate::{
    cli::{
        command::{Argument, Command, DRY_RUN, Group, JSON, Occurs, Run},
        connect::unexpected,
        event_text::{decoded, message},
        failure::{Failure, NOT_DONE},
        operations::{OperationOutput, overview_if_running},
        output::{print, print_json, stdout_style},
        parsed_args::ParsedArgs,
        process_table::shown,
        source_file::{Found, identity, invocation, read_with},
        update_apps::{changes, refused},
    },
    config::EX_USAGE,
    control::{AddRequest, Answer, NameConflict, PlannedChange, Request, RestartScope},
    shown::printable_lines,
    spec::ExitCode,
};

pub(super) static APPLY: Command = Command {
    words: &["apply"],
    group: Group::Control,
    arguments: &[Argument::new("FILE", Occurs::Optionally)],
    options: &[DRY_RUN, JSON],
    summary: "Read the ecosystem file again, apply changes",
    description: "Read the supervisor's ecosystem file again and apply the changes, as SIGHUP\n\
                  does: new apps start, removed apps stop, changed apps are reloaded or restarted.\n\
                  Another FILE adds and changes apps, and stops none. The command waits until the\n\
                  changes are complete.",
    exit_codes: &[(NOT_DONE, "the file has errors, or a reload was aborted")],
    examples: &[("procrun apply --dry-run", "what the changed file would change, and why")],
    run: Run::Function(apply),
    ..Command::DEFAULT
};

/// What `--json` prints.
#[derive(Serialize)]
struct Report {
    dry_run: bool,
    changes: Vec<PlannedChange>,
}

pub(super) fn apply(args: &ParsedArgs) -> Result<ExitCode, Failure> {
    match changes(args.flags(), args.args.clone()) {
        Ok(changes) if changes.patch.is_none() => {}
        Ok(_) => {
            let message = "options that change an app need the name of the app";
            return Err(Failure::new(EX_USAGE, message).hint("`procrun reload NAME OPTIONS`"));
        }
        Err(problems) => return Ok(refused(&problems)),
    }
    let dry_run = args.has("dry-run");
    let mut supervisor = args.supervisor()?;
    let file = args
        .words
        .first()
        .map(|word| identity(&std::path::absolute(word).unwrap_or_else(|_| Path::new(word).to_owned())));
    let mut answer = supervisor.request(&Request::Apply { file, dry_run })?;
    if let Answer::FileEnvironment(environment) = answer {
        let mut invocation = invocation(args.words[0].clone().into(), args.flags(), None)?;
        if let Some(environment) = environment {
            read_with(&mut invocation, environment);
        }
        let found = match Found::read(invocation) {
            Ok(found) if found.is_file => found,
            Ok(_) => {
                let message = format!("`{}` is not an ecosystem file", args.words[0]);
                return Err(
                    Failure::new(EX_USAGE, message).hint("`procrun start` adds a script or a program")
                );
            }
            Err(problems) => return Ok(refused(&problems)),
        };
        let request = found.request(RestartScope::Changed, NameConflict::Replace, false);
        let forecast = AddRequest { dry_run: true, ..request.clone() };
        answer = supervisor.request(&Request::Add(Box::new(forecast)))?;
        if !dry_run && let Answer::Plan { dry_run: is_all, .. } = &mut answer {
            *is_all = false;
            supervisor.send(&Request::Add(Box::new(request)))?;
        }
    }
    let output = OperationOutput::of(args);
    let print_line = |text: &str| {
        if output == OperationOutput::Steps {
            // If the reader has closed the pipe, the operation continues.
            let _ = writeln!(stdout(), "{}", printable_lines(text));
        }
    };
    let mut planned = Vec::new();
    loop {
        match answer {
            Answer::Plan { changes, dry_run: is_all } => {
                for change in &changes {
                    print_line(&change.describe());
                }
                if changes.is_empty() {
                    print_line("no changes");
                }
                planned = changes;
                if is_all {
                    break;
                }
            }
            Answer::Step(event) => print_line(&message(&decoded(&event)?.notice)),
            Answer::Done { .. } => break,
            other => return Err(unexpected(&other)),
        }
        answer = supervisor.answer()?;
    }
    match output {
        OperationOutput::Json => Ok(print_json(&Report { dry_run, changes: planned })),
        OperationOutput::Steps if !dry_run => match overview_if_running(&mut supervisor)? {
            Some(list) => Ok(print(&shown(&list.instances, stdout_style()))),
            None => Ok(0),
        },
        OperationOutput::Steps | OperationOutput::Nothing => Ok(0),
    }
}
