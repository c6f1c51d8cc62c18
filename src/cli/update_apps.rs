//! Changes of listed apps and of the apps of ecosystem files, for several commands.

use std::{ffi::OsString, io::Write as _};

use super::{
    background,
    connect::Supervisor,
    failure::Failure,
    operations::{OperationOutput, carry_out, wait_and_print, wait_and_show},
    output::print_notices,
    parsed_args::ParsedArgs,
    source_file::{self, Found, environment, read_as_before},
};
use crate::{
    config::{Changes, Flags, Problems},
    control::{Action, NameConflict, Request, RestartScope, targets::ProcessList},
    spec::ExitCode,
    sys::directory,
};

/// The notice for PM2's `--attach`.
pub(super) const ATTACH: &str = "`--attach` has no effect: `procrun logs` follows the output";

/// Carries out `restart` or `reload`: of listed apps, and of the apps of ecosystem files.
pub(super) fn update(args: &ParsedArgs, scope: RestartScope) -> Result<ExitCode, Failure> {
    if args.has("attach") {
        print_notices(&[ATTACH.to_owned()]);
    }
    let (files, targets) = split(args)?;
    // All files are read before the first change.
    let mut found = Vec::new();
    let mut running_supervisor = if files.is_empty() { None } else { running(args)? };
    let update_environment = args.has("update-env");
    for file in files {
        let mut invocation = source_file::invocation(file.into(), args.flags(), args.args.clone())?;
        if let Some(supervisor) = &mut running_supervisor
            && !update_environment
        {
            read_as_before(&mut invocation, supervisor)?;
        }
        match Found::read(invocation) {
            Ok(file) => found.push(file),
            Err(problems) => return Ok(refused(&problems)),
        }
    }
    let request = if targets.is_empty() {
        None
    } else {
        match change_request(args, targets, scope) {
            Ok(request) => Some(request),
            Err(problems) => return Ok(refused(&problems)),
        }
    };
    let output = OperationOutput::of(args);
    let Some(last) = found.pop() else {
        let request = request.expect("the parser requires a word");
        return wait_and_show(&mut args.supervisor()?, &request, output);
    };
    if let Some(request) = request {
        wait_and_print(&mut args.supervisor()?, &request, output)?;
    }
    let mut supervisor = background::connect(args.socket.as_deref(), output != OperationOutput::Steps)?;
    for found in found {
        let request = Request::Add(Box::new(found.request(scope, NameConflict::Replace, update_environment)));
        wait_and_print(&mut supervisor, &request, output)?;
    }
    wait_and_show(
        &mut supervisor,
        &Request::Add(Box::new(last.request(scope, NameConflict::Replace, update_environment))),
        output,
    )
}

/// The selected supervisor, if one runs: a file may be the reason to start one.
fn running(args: &ParsedArgs) -> Result<Option<Supervisor>, Failure> {
    match args.supervisor() {
        Ok(supervisor) => Ok(Some(supervisor)),
        Err(failure) if failure.is_absence() => Ok(None),
        Err(failure) => Err(failure),
    }
}

/// The words that mean ecosystem files, and the others.
fn split(args: &ParsedArgs) -> Result<(Vec<String>, Vec<String>), Failure> {
    let words = args.words.clone();
    if !words.iter().any(|word| source_file::is_ecosystem_file(word)) {
        return Ok((Vec::new(), words));
    }
    let list = match running(args)? {
        Some(mut supervisor) => supervisor.overview(&Request::List)?.instances,
        None => Vec::new(),
    };
    let list = ProcessList::from(&*list);
    Ok(words.into_iter().partition(|word| source_file::is_ecosystem_file(word) && !list.has_app(word)))
}

fn change_request(args: &ParsedArgs, targets: Vec<String>, scope: RestartScope) -> Result<Request, Problems> {
    let changes = changes(args.flags(), args.args.clone())?;
    Ok(request(targets, changes, args.has("update-env"), scope))
}

/// What the options of a command change in listed apps.
pub(super) fn changes(flags: Flags, args: Option<Vec<OsString>>) -> Result<Changes, Problems> {
    // Paths in options are relative to the working directory.
    let cwd = directory::working().unwrap_or_else(|_| "/".into());
    let changes = flags.changes(args, std::env::vars_os().collect(), &cwd)?;
    print_notices(&changes.notices);
    Ok(changes)
}

/// The request to start, restart or reload, changed or not.
pub(super) fn request(
    targets: Vec<String>,
    changes: Changes,
    with_environment: bool,
    scope: RestartScope,
) -> Request {
    let environment = with_environment.then(environment);
    if environment.is_none() && changes.patch.is_none() {
        let action = match scope {
            RestartScope::Changed => Action::Start,
            RestartScope::Reload => Action::Reload,
            RestartScope::Restart => Action::Restart,
        };
        return Request::Act { action, targets };
    }
    Request::Change { targets, scope, environment, patch: changes.patch }
}

/// Prints configuration errors; returns their exit code.
pub(super) fn refused(problems: &Problems) -> ExitCode {
    // `Problems` as a whole ends with the line that nothing was started.
    for problem in problems.iter() {
        let _ = writeln!(std::io::stderr(), "error: {problem}");
    }
    problems.exit_code()
}

/// The names of the apps of the files among the arguments, and the other arguments, for commands that stop
/// apps. Names that are not in the list are reported and skipped.
fn names(args: &ParsedArgs) -> Result<Result<Vec<String>, ExitCode>, Failure> {
    let (files, mut targets) = split(args)?;
    if files.is_empty() {
        return Ok(Ok(targets));
    }
    let mut supervisor = args.supervisor()?;
    let list = supervisor.overview(&Request::List)?.instances;
    let process_list = ProcessList::from(&*list);
    for file in files {
        let mut invocation = source_file::invocation(file.clone().into(), args.flags(), None)?;
        read_as_before(&mut invocation, &mut supervisor)?;
        let names = match Found::read_names(invocation) {
            Ok(names) => names,
            Err(problems) => return Ok(Err(refused(&problems))),
        };
        for name in names {
            if process_list.has_app(&name) {
                targets.push(name);
            } else {
                print_notices(&[format!("`{name}` of {file} is not in the list")]);
            }
        }
    }
    Ok(Ok(targets))
}

/// Carries out an action on the targets and on the apps of the files among the arguments.
pub(super) fn act_on_targets_or_files(args: &ParsedArgs, action: Action) -> Result<ExitCode, Failure> {
    let targets = match names(args)? {
        Ok(targets) => targets,
        Err(code) => return Ok(code),
    };
    if targets.is_empty() {
        // The apps of the file are not in the list, which is the wanted state.
        return Ok(0);
    }
    carry_out(args, &Request::Act { action, targets })
}
