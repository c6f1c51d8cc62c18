//! `procrun restart` and `procrun reload`: of what is in the list, and of ecosystem files; with the options
//! that change an application on the way.

use std::io::Write as _;

use super::{
    ATTACH, apply, background,
    commands::ParsedArgs,
    connect::Supervisor,
    failure::Failure,
    file::{self, Found, environment, read_as_before, say_notices},
    list::overview,
    process_commands::{Telling, wait_and_show, wait_and_tell},
};
use crate::{
    config::{Changes, EX_USAGE, Problems},
    control::{Action, Anew, Request, Taken},
    spec::ExitCode,
    sys::directory,
};

pub(super) fn restart(typed: &ParsedArgs) -> Result<ExitCode, Failure> {
    anew(typed, Anew::Restart)
}

pub(super) fn reload(typed: &ParsedArgs) -> Result<ExitCode, Failure> {
    if typed.words.is_empty() {
        return apply::apply(typed);
    }
    if typed.has("dry-run") {
        let failure = Failure::new(EX_USAGE, "`--dry-run` needs an ecosystem file, not a target");
        return Err(failure.hint("`procrun apply [FILE] --dry-run` shows what a changed file would change"));
    }
    anew(typed, Anew::Reload)
}

fn anew(typed: &ParsedArgs, anew: Anew) -> Result<ExitCode, Failure> {
    if typed.has("attach") {
        say_notices(&[ATTACH.to_owned()]);
    }
    let (files, targets) = split(typed)?;
    // All of it is read before anything is done.
    let mut found = Vec::new();
    let mut there = if files.is_empty() { None } else { running(typed)? };
    let update_environment = typed.has("update-env");
    for file in files {
        let mut invocation = file::invocation(file.into(), typed.flags(), typed.args.clone())?;
        if let Some(supervisor) = &mut there
            && !update_environment
        {
            read_as_before(&mut invocation, supervisor)?;
        }
        match Found::read(invocation) {
            Ok(file) => found.push(file),
            Err(problems) => return Ok(refused(&problems)),
        }
    }
    let wish = if targets.is_empty() {
        None
    } else {
        match wish(typed, targets, anew) {
            Ok(request) => Some(request),
            Err(problems) => return Ok(refused(&problems)),
        }
    };
    let telling = Telling::of(typed);
    let Some(last) = found.pop() else {
        let request = wish.expect("the table asks for a word");
        return wait_and_show(&mut typed.supervisor()?, &request, telling);
    };
    if let Some(request) = wish {
        wait_and_tell(&mut typed.supervisor()?, &request, telling)?;
    }
    let mut supervisor = background::connect(typed.socket.as_deref(), telling != Telling::All)?;
    for found in found {
        let request = found.request(anew, Taken::Replace, update_environment);
        wait_and_tell(&mut supervisor, &request, telling)?;
    }
    wait_and_show(&mut supervisor, &last.request(anew, Taken::Replace, update_environment), telling)
}

/// The selected supervisor, if one runs: a file may be the reason to start one.
fn running(typed: &ParsedArgs) -> Result<Option<Supervisor>, Failure> {
    match typed.supervisor() {
        Ok(supervisor) => Ok(Some(supervisor)),
        Err(failure) if failure.is_absence() => Ok(None),
        Err(failure) => Err(failure),
    }
}

/// The words that mean ecosystem files, and the others.
pub(super) fn split(typed: &ParsedArgs) -> Result<(Vec<String>, Vec<String>), Failure> {
    let words = typed.words.clone();
    if !words.iter().any(|word| file::looks_like_one(word)) {
        return Ok((Vec::new(), words));
    }
    let list = match running(typed)? {
        Some(mut supervisor) => overview(&mut supervisor, &Request::List)?.instances,
        None => Vec::new(),
    };
    Ok(words.into_iter().partition(|word| file::is_meant(word, &list)))
}

fn wish(typed: &ParsedArgs, targets: Vec<String>, anew: Anew) -> Result<Request, Problems> {
    let changes = changes(typed.flags(), typed.args.clone())?;
    Ok(request(targets, changes, typed.has("update-env"), anew))
}

/// What the options of a command change in what is in the list.
pub(super) fn changes(
    flags: crate::config::Flags,
    args: Option<Vec<std::ffi::OsString>>,
) -> Result<Changes, Problems> {
    // A path in an option needs to be seen from somewhere.
    let cwd = directory::working().unwrap_or_else(|_| "/".into());
    let changes = flags.changes(args, std::env::vars_os().collect(), &cwd)?;
    say_notices(&changes.notices);
    Ok(changes)
}

/// The request to start, restart or reload, changed or not.
pub(super) fn request(targets: Vec<String>, changes: Changes, with_environment: bool, anew: Anew) -> Request {
    let environment = with_environment.then(environment);
    if environment.is_none() && changes.patch.is_none() {
        let action = match anew {
            Anew::Changed => Action::Start,
            Anew::Reload => Action::Reload,
            Anew::Restart => Action::Restart,
        };
        return Request::Act { action, targets };
    }
    Request::Change { targets, anew, environment, patch: changes.patch }
}

pub(super) fn refused(problems: &Problems) -> ExitCode {
    // Not all of `Problems`: it ends with the news that nothing was started.
    for problem in problems.iter() {
        let _ = writeln!(std::io::stderr(), "error: {problem}");
    }
    problems.exit_code()
}

/// The names of the apps of the files among the arguments, and the other arguments, for commands that stop
/// apps. Names that are not in the list are reported and skipped.
pub(super) fn names(typed: &ParsedArgs) -> Result<Result<Vec<String>, ExitCode>, Failure> {
    let (files, mut targets) = split(typed)?;
    if files.is_empty() {
        return Ok(Ok(targets));
    }
    let mut supervisor = typed.supervisor()?;
    let list = overview(&mut supervisor, &Request::List)?.instances;
    for file in files {
        let mut invocation = file::invocation(file.clone().into(), typed.flags(), None)?;
        read_as_before(&mut invocation, &mut supervisor)?;
        let names = match Found::read_names(invocation) {
            Ok(names) => names,
            Err(problems) => return Ok(Err(refused(&problems))),
        };
        for name in names {
            if list.iter().any(|one| one.name == name) {
                targets.push(name);
            } else {
                say_notices(&[format!("`{name}` of {file} is not in the list")]);
            }
        }
    }
    Ok(Ok(targets))
}
