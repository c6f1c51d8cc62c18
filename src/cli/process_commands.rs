//! The commands that change something: `stop`, `delete`, `scale`, `reset` and `signal`. They wait until it
//! is done and say each step.

use std::io::{Write as _, stdout};

use super::{
    anew,
    commands::ParsedArgs,
    connect::Supervisor,
    events::{decoded, message},
    failure::Failure,
    list::{look, say_json, shown, unexpected, with_users},
    say,
};
use crate::{
    config::EX_USAGE,
    control::{Action, Answer, Request, snapshot::Overview},
    machine::events::Notice,
    spec::{ExitCode, Signal},
};

/// How much a command prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Telling {
    /// Each step, and the list as it is then.
    All,
    /// Whom it was done to, as JSON.
    Json,
    /// Nothing.
    Nothing,
}

impl Telling {
    /// What these options ask for.
    pub(super) fn of(typed: &ParsedArgs) -> Self {
        if typed.has("json") {
            Self::Json
        } else if typed.has("silent") {
            Self::Nothing
        } else {
            Self::All
        }
    }
}

pub(super) fn stop(typed: &ParsedArgs) -> Result<ExitCode, Failure> {
    act_or_file(typed, Action::Stop)
}

pub(super) fn delete(typed: &ParsedArgs) -> Result<ExitCode, Failure> {
    act_or_file(typed, Action::Delete)
}

pub(super) fn reset(typed: &ParsedArgs) -> Result<ExitCode, Failure> {
    act(typed, Action::Reset)
}

pub(super) fn scale(typed: &ParsedArgs) -> Result<ExitCode, Failure> {
    let request = Request::Scale { app: typed.words[0].clone(), count: typed.words[1].clone() };
    carry_out(typed, &request)
}

pub(super) fn signal(typed: &ParsedArgs) -> Result<ExitCode, Failure> {
    let (name, targets) = typed.words.split_first().expect("the table asks for two words");
    let Some(signal) = Signal::parse(name) else {
        let hint = "write the signal before the targets: a name (HUP, SIGUSR2) or a number";
        return Err(Failure::new(EX_USAGE, format!("unknown signal `{name}`")).hint(hint));
    };
    let action = Action::Signal(signal.number());
    carry_out(typed, &Request::Act { action, targets: targets.to_vec() })
}

fn act(typed: &ParsedArgs, action: Action) -> Result<ExitCode, Failure> {
    carry_out(typed, &Request::Act { action, targets: typed.words.clone() })
}

/// A file selects the apps that it names.
fn act_or_file(typed: &ParsedArgs, action: Action) -> Result<ExitCode, Failure> {
    let targets = match anew::names(typed)? {
        Ok(targets) => targets,
        Err(code) => return Ok(code),
    };
    if targets.is_empty() {
        // The apps of the file are not in the list, which is the wanted state.
        return Ok(0);
    }
    carry_out(typed, &Request::Act { action, targets })
}

fn carry_out(typed: &ParsedArgs, request: &Request) -> Result<ExitCode, Failure> {
    wait_and_show(&mut typed.supervisor()?, request, Telling::of(typed))
}

/// Sends the request, prints each step as it arrives, then prints the list.
pub(super) fn wait_and_show(
    supervisor: &mut Supervisor,
    request: &Request,
    telling: Telling,
) -> Result<ExitCode, Failure> {
    let ids = wait_and_tell(supervisor, request, telling)?;
    if telling == Telling::Nothing {
        return Ok(0);
    }
    let Some(list) = overview_if_it_lives(supervisor)? else {
        // The operation was the end of the last app.
        return Ok(0);
    };
    if telling == Telling::Json {
        let done: Vec<_> = list.instances.into_iter().filter(|one| ids.contains(&one.id)).collect();
        return Ok(say_json(&done));
    }
    Ok(say(&shown(&list.instances, look())))
}

/// Sends the request and prints each step as it arrives. Returns the ids that the operation changed.
pub(super) fn wait_and_tell(
    supervisor: &mut Supervisor,
    request: &Request,
    telling: Telling,
) -> Result<Vec<u32>, Failure> {
    wait(supervisor, request, |step| {
        if telling == Telling::All {
            // If the reader has closed the pipe, the operation still continues.
            let _ = writeln!(stdout(), "{}", message(step));
        }
    })
}

/// The list; `None` when the supervisor has ended meanwhile.
pub(super) fn overview_if_it_lives(supervisor: &mut Supervisor) -> Result<Option<Overview>, Failure> {
    if supervisor.ask_if_it_lives(&Request::List)? {
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
    supervisor.ask(request)?;
    loop {
        match supervisor.answer()? {
            Answer::Step(event) => step(&decoded(&event)?.notice),
            Answer::Done { ids } => return Ok(ids),
            other => return Err(unexpected(&other)),
        }
    }
}
