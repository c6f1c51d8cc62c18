//! Requests that change something: a command waits until the operation is complete and prints each step.

use std::io::{Write as _, stdout};

use super::{
    connect::{Supervisor, unexpected},
    event_text::{decoded, message},
    failure::Failure,
    output::{print, print_json, stdout_style},
    parsed_args::ParsedArgs,
    process_table::{shown, with_users},
};
use crate::{
    control::{Answer, Request, snapshot::Overview},
    machine::events::Notice,
    spec::ExitCode,
};

/// How much a command prints about an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OperationOutput {
    /// Each step, then the list.
    Steps,
    /// The changed instances as JSON.
    Json,
    Nothing,
}

impl OperationOutput {
    pub(super) fn of(args: &ParsedArgs) -> Self {
        if args.has("json") {
            Self::Json
        } else if args.has("silent") {
            Self::Nothing
        } else {
            Self::Steps
        }
    }
}

/// Sends the request of a command, prints its steps and then the list.
pub(super) fn carry_out(args: &ParsedArgs, request: &Request) -> Result<ExitCode, Failure> {
    wait_and_show(&mut args.supervisor()?, request, OperationOutput::of(args))
}

/// Sends the request, prints each step as it arrives, then prints the list.
pub(super) fn wait_and_show(
    supervisor: &mut Supervisor,
    request: &Request,
    output: OperationOutput,
) -> Result<ExitCode, Failure> {
    let ids = wait_and_print(supervisor, request, output)?;
    if output == OperationOutput::Nothing {
        return Ok(0);
    }
    let Some(list) = overview_if_running(supervisor)? else {
        // The operation was the end of the last app.
        return Ok(0);
    };
    if output == OperationOutput::Json {
        let done: Vec<_> = list.instances.into_iter().filter(|one| ids.contains(&one.id)).collect();
        return Ok(print_json(&done));
    }
    Ok(print(&shown(&list.instances, stdout_style())))
}

/// Sends the request and prints each step as it arrives. Returns the ids that the operation changed.
pub(super) fn wait_and_print(
    supervisor: &mut Supervisor,
    request: &Request,
    output: OperationOutput,
) -> Result<Vec<u32>, Failure> {
    wait(supervisor, request, |step| {
        if output == OperationOutput::Steps {
            // If the reader has closed the pipe, the operation still continues.
            let _ = writeln!(stdout(), "{}", message(step));
        }
    })
}

/// The list; `None` when the supervisor has ended meanwhile.
pub(super) fn overview_if_running(supervisor: &mut Supervisor) -> Result<Option<Overview>, Failure> {
    if supervisor.ask_if_running(&Request::List)? {
        match supervisor.answer_or_end()? {
            Some(Answer::Overview(mut overview)) => {
                with_users(&mut overview.instances, supervisor);
                return Ok(Some(overview));
            }
            Some(other) => return Err(unexpected(&other)),
            None => {}
        }
    }
    Ok(None)
}

/// Sends the request and waits for the final answer. Returns the ids that the operation changed.
pub(super) fn wait(
    supervisor: &mut Supervisor,
    request: &Request,
    mut step: impl FnMut(&Notice),
) -> Result<Vec<u32>, Failure> {
    supervisor.send(request)?;
    loop {
        match supervisor.answer()? {
            Answer::Step(event) => step(&decoded(&event)?.notice),
            Answer::Done { ids } => return Ok(ids),
            other => return Err(unexpected(&other)),
        }
    }
}
