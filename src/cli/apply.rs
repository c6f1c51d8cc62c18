//! `procrun apply`, and `procrun reload` without a target: an ecosystem file is read again and what has changed
//! is applied; with `--dry-run` it is only shown.

use std::{
    io::{Write as _, stdout},
    path::Path,
};

use serde::Serialize;

use super::{
    anew::{changes, refused},
    commands::ParsedArgs,
    events::{decoded, message},
    failure::Failure,
    file::{Found, identity, invocation, read_with},
    list::{look, say_json, shown, unexpected},
    process_commands::{Telling, overview_if_it_lives},
    say,
};
use crate::{
    config::EX_USAGE,
    control::{Anew, Answer, PlannedChange, Request, Taken},
    shown::printable_lines,
    spec::ExitCode,
};

/// What `--json` prints.
#[derive(Serialize)]
struct Report {
    dry_run: bool,
    changes: Vec<PlannedChange>,
}

/// The request to add applications, or to say what that would do.
fn only_said(request: &mut Request, is_only_said: bool) -> Request {
    if let Request::Add { dry_run, .. } = request {
        *dry_run = is_only_said;
    }
    request.clone()
}

pub(super) fn apply(typed: &ParsedArgs) -> Result<ExitCode, Failure> {
    match changes(typed.flags(), typed.args.clone()) {
        Ok(changes) if changes.patch.is_none() => {}
        Ok(_) => {
            let message = "options that change an app need the name of the app";
            return Err(Failure::new(EX_USAGE, message).hint("`procrun reload NAME OPTIONS`"));
        }
        Err(problems) => return Ok(refused(&problems)),
    }
    let dry_run = typed.has("dry-run");
    let mut supervisor = typed.supervisor()?;
    let file = typed
        .words
        .first()
        .map(|word| identity(&std::path::absolute(word).unwrap_or_else(|_| Path::new(word).to_owned())));
    let mut answer = supervisor.request(&Request::Apply { file, dry_run })?;
    if let Answer::FileEnvironment(environment) = answer {
        let mut invocation = invocation(typed.words[0].clone().into(), typed.flags(), None)?;
        if let Some(environment) = environment {
            read_with(&mut invocation, environment);
        }
        let found = match Found::read(invocation) {
            Ok(found) if found.is_file => found,
            Ok(_) => {
                let message = format!("`{}` is not an ecosystem file", typed.words[0]);
                return Err(
                    Failure::new(EX_USAGE, message).hint("`procrun start` adds a script or a program")
                );
            }
            Err(problems) => return Ok(refused(&problems)),
        };
        let mut request = found.request(Anew::Changed, Taken::Replace, false);
        answer = supervisor.request(&only_said(&mut request, true))?;
        if !dry_run && let Answer::Plan { dry_run: is_all, .. } = &mut answer {
            *is_all = false;
            supervisor.ask(&only_said(&mut request, false))?;
        }
    }
    let telling = Telling::of(typed);
    let tell = |text: &str| {
        if telling == Telling::All {
            // The reader of the pipe has gone; the operation continues.
            let _ = writeln!(stdout(), "{}", printable_lines(text));
        }
    };
    let mut planned = Vec::new();
    loop {
        match answer {
            Answer::Plan { changes, dry_run: is_all } => {
                for change in &changes {
                    tell(&change.describe());
                }
                if changes.is_empty() {
                    tell("no changes");
                }
                planned = changes;
                if is_all {
                    break;
                }
            }
            Answer::Step(event) => tell(&message(&decoded(&event)?.notice)),
            Answer::Done { .. } => break,
            other => return Err(unexpected(&other)),
        }
        answer = supervisor.answer()?;
    }
    match telling {
        Telling::Json => Ok(say_json(&Report { dry_run, changes: planned })),
        Telling::All if !dry_run => match overview_if_it_lives(&mut supervisor)? {
            Some(list) => Ok(say(&shown(&list.instances, look()))),
            None => Ok(0),
        },
        Telling::All | Telling::Nothing => Ok(0),
    }
}
