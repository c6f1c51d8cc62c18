//! `procrun resurrect`: starts the apps of the saved list.

use crate::{
    cli::{
        background::{connect, home},
        command::{Command, Group, Run},
        event_text::message,
        failure::Failure,
        operations::wait,
        output::{print, stdout_style},
        parsed_args::ParsedArgs,
        process_table::shown,
        saved_list::{FILE, read_or_backup},
    },
    config::EX_CONFIG,
    control::{Action, AddRequest, Request, SavedApp, own_directory, targets::ProcessList},
    spec::{
        ExitCode,
        validate::{validate, validate_environment},
    },
};

pub(super) static RESURRECT: Command = Command {
    words: &["resurrect"],
    group: Group::Supervisor,
    summary: "Start the apps of the saved list",
    description: "Add the saved apps that are not in the list. If no supervisor runs, start one in\n\
                  the background. Apps that were stopped are added as stopped. Apps that cannot\n\
                  be started are reported and skipped.",
    exit_codes: &[(EX_CONFIG, "the saved list, or an app of it, cannot be used")],
    run: Run::Function(resurrect),
    ..Command::DEFAULT
};

fn resurrect(args: &ParsedArgs) -> Result<ExitCode, Failure> {
    let home = home()?;
    if home.exists() {
        own_directory(&home).map_err(|error| {
            let hint = "set PROCRUN_HOME to a directory of this user; nothing was started";
            Failure::new(EX_CONFIG, format!("{}: {error}", home.display())).hint(hint)
        })?;
    }
    let apps = read_or_backup(&home)?;
    if apps.is_empty() {
        return Err(Failure::not_done(format!("{} has no apps", home.join(FILE).display())));
    }
    let mut supervisor = connect(args.socket.as_deref(), args.has("silent"))?;
    let list = supervisor.overview(&Request::List)?.instances;
    let listed = ProcessList::from(&*list);
    let is_missing = |saved: &SavedApp| !listed.has_app(&saved.app.name);
    let mut failed = None;
    let mut missing = Vec::new();
    for saved in apps.into_iter().filter(is_missing) {
        let checked = validate(&saved.app).map_err(|violation| violation.to_string());
        let in_environment = |why: String| format!("app `{}`: {why}", saved.app.name);
        match checked.and_then(|()| validate_environment(&saved.environment).map_err(in_environment)) {
            Ok(()) => missing.push(saved),
            Err(message) => {
                Failure::new(EX_CONFIG, format!("{}: {message}", home.join(FILE).display())).print();
                failed = Some(EX_CONFIG);
            }
        }
    }
    // Those that ran although they do not start by themselves.
    let ran = |saved: &&SavedApp| !saved.app.autostart && !saved.stopped && !saved.scaled_to_zero;
    let targets: Vec<String> = missing.iter().filter(ran).map(|saved| saved.app.name.clone()).collect();
    let start = (!targets.is_empty()).then_some(Request::Act { action: Action::Start, targets });
    let add = requests(missing.into_iter()).into_iter().map(|request| Request::Add(Box::new(request)));
    for request in add.chain(start) {
        // An app that cannot be started does not prevent the others.
        if let Err(failure) = wait(&mut supervisor, &request, |step| {
            print(&format!("{}\n", message(step)));
        }) {
            failure.print();
            failed = Some(failure.code);
        }
    }
    let list = supervisor.overview(&Request::List)?;
    print(&shown(&list.instances, stdout_style()));
    Ok(failed.unwrap_or(0))
}

/// The apps in the order of their dependencies, otherwise in the saved order.
fn in_order(mut apps: Vec<SavedApp>) -> Vec<SavedApp> {
    let mut ordered = Vec::with_capacity(apps.len());
    while !apps.is_empty() {
        let is_there = |name: &str| apps.iter().any(|left| left.app.name == name);
        let is_next = |saved: &SavedApp| saved.app.order.depends_on.iter().all(|other| !is_there(&other.app));
        // In a dependency cycle no app is the next one; the supervisor reports the cycle.
        let at = apps.iter().position(is_next).unwrap_or(0);
        ordered.push(apps.remove(at));
    }
    ordered
}

/// One request for consecutive apps with the same environment.
fn requests(apps: impl Iterator<Item = SavedApp>) -> Vec<AddRequest> {
    let mut requests: Vec<AddRequest> = Vec::new();
    for SavedApp { app, environment, stopped, scaled_to_zero } in in_order(apps.collect()) {
        if requests.last().is_none_or(|last| last.environment != environment) {
            requests.push(AddRequest { environment, ..AddRequest::default() });
        }
        let request = requests.last_mut().expect("one was pushed");
        request.stopped.extend(stopped.then(|| app.name.clone()));
        request.scaled_to_zero.extend(scaled_to_zero.then(|| app.name.clone()));
        request.apps.push(app);
    }
    requests
}
