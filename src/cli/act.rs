//! The commands that change something: `stop`, `restart`, `reload`, `delete`, `scale`, `reset` and
//! `signal`. They wait until it is done and say each step.

use std::{
    io::{Write as _, stdout},
    path::Path,
};

use super::{
    commands::Typed,
    failure::Failure,
    list::{look, say_json, shown, unexpected},
    reach::Supervisor,
    say,
    start::environment,
};
use crate::{
    config::EX_USAGE,
    control::{Action, Answer, Request, snapshot::Overview},
    shown::printable,
    spec::{ExitCode, Signal},
};

pub(super) fn stop(typed: &Typed) -> Result<ExitCode, Failure> {
    act(typed, Action::Stop)
}

pub(super) fn restart(typed: &Typed) -> Result<ExitCode, Failure> {
    if typed.has("update-env") {
        let (targets, environment) = (typed.words.clone(), environment());
        return carry_out(typed, &Request::UpdateEnvironment { targets, environment });
    }
    act(typed, Action::Restart)
}

pub(super) fn reload(typed: &Typed) -> Result<ExitCode, Failure> {
    act(typed, Action::Reload)
}

pub(super) fn delete(typed: &Typed) -> Result<ExitCode, Failure> {
    act(typed, Action::Delete)
}

pub(super) fn reset(typed: &Typed) -> Result<ExitCode, Failure> {
    act(typed, Action::Reset)
}

pub(super) fn scale(typed: &Typed) -> Result<ExitCode, Failure> {
    let request = Request::Scale { app: typed.words[0].clone(), count: typed.words[1].clone() };
    carry_out(typed, &request)
}

pub(super) fn signal(typed: &Typed) -> Result<ExitCode, Failure> {
    let (name, targets) = typed.words.split_first().expect("the table asks for two words");
    let Some(signal) = Signal::parse(name) else {
        let hint = "a name (HUP, SIGUSR2) or a number comes before the targets";
        return Err(Failure::new(EX_USAGE, format!("`{name}` is no signal")).hint(hint));
    };
    let action = Action::Signal(signal.number());
    carry_out(typed, &Request::Act { action, targets: targets.to_vec() })
}

fn act(typed: &Typed, action: Action) -> Result<ExitCode, Failure> {
    carry_out(typed, &Request::Act { action, targets: typed.words.clone() })
}

fn carry_out(typed: &Typed, request: &Request) -> Result<ExitCode, Failure> {
    let done = wait_and_show(&mut typed.supervisor()?, request, typed.has("json"));
    done.map_err(|failure| {
        // As PM2 takes it: `reload ecosystem.config.js`.
        let unknown = |word: &&String| failure.is_about(&format!("application or namespace `{word}`"));
        match typed.words.iter().find(|word| unknown(word) && Path::new(word).is_file()) {
            Some(file) => failure.hint(format!(
                "it is a file: `procrun start {file}` takes over what has changed in it,\n\
                 other commands take the names of apps"
            )),
            None => failure,
        }
    })
}

/// Asks, says each step as it comes, and shows the list as it is then.
pub(super) fn wait_and_show(
    supervisor: &mut Supervisor,
    request: &Request,
    is_json: bool,
) -> Result<ExitCode, Failure> {
    let ids = wait(supervisor, request, |step| {
        if !is_json {
            // Whoever closed the pipe has seen enough; it goes on all the same.
            let _ = writeln!(stdout(), "{}", printable(step));
        }
    })?;
    let Some(list) = overview_if_it_lives(supervisor)? else {
        // What was asked for was the end of the last app.
        return Ok(0);
    };
    if is_json {
        let done: Vec<_> = list.instances.into_iter().filter(|one| ids.contains(&one.id)).collect();
        return Ok(say_json(&done));
    }
    Ok(say(&shown(&list.instances, look())))
}

/// The list; `None` when the supervisor has ended meanwhile.
fn overview_if_it_lives(supervisor: &mut Supervisor) -> Result<Option<Overview>, Failure> {
    if supervisor.ask_if_it_lives(&Request::List)? {
        match supervisor.answer_or_end()? {
            Some(Answer::Overview(overview)) => return Ok(Some(overview)),
            Some(other) => return Err(unexpected(&other)),
            None => {}
        }
    }
    Ok(None)
}

/// Asks and waits for the last answer; the ids that it was done to.
pub(super) fn wait(
    supervisor: &mut Supervisor,
    request: &Request,
    mut step: impl FnMut(&str),
) -> Result<Vec<u32>, Failure> {
    supervisor.ask(request)?;
    loop {
        match supervisor.answer()? {
            Answer::Step { text } => step(&text),
            Answer::Done { ids } => return Ok(ids),
            other => return Err(unexpected(&other)),
        }
    }
}
