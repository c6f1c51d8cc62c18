//! `procrun start`: starts apps of the list, or adds apps to it, in a supervisor that is started in the
//! background if none runs. `target_line` parses its arguments.

use std::{ffi::OsString, path::Path};

use crate::{
    cli::{
        background,
        command::{AppOptions, Argument, Command, Group, Occurs, OptionSpec, Run, TargetVerb, UPDATE_ENV},
        connect::{Supervisor, places},
        failure::{Failure, NOT_DONE},
        operations::{OperationOutput, wait_and_print, wait_and_show},
        output::print_notices,
        source_file::{Found, read_as_before},
        update_apps::{self, changes},
    },
    config::{EX_USAGE, Invocation, Problems},
    control::{
        NameConflict, Request, RequestError, RestartScope, is_pattern,
        snapshot::{InstanceSummary, Status},
        targets::ProcessList,
    },
    spec::{AppSpec, ExitCode},
};

pub(super) static START: Command = Command {
    words: &["start"],
    group: Group::Control,
    arguments: &[Argument::new("TARGET", Occurs::AnyNumber)],
    options: &[OptionSpec::switch("force", "Add the app under another name").short('f'), UPDATE_ENV],
    app_options: AppOptions::All,
    summary: "Start stopped apps, or add new ones",
    description: "Start apps. A TARGET that is in the list (a name, an id, a namespace or `all`)\n\
                  starts if it has no process. Any other TARGET is an ecosystem file, a script or\n\
                  a program, and is added to the running procrun. If none runs, one starts in the\n\
                  background. Without a TARGET, use the ecosystem file of the current directory.\n\
                  As PID 1, or under the name pm2-runtime, this is `procrun run`.\n\
                  \n\
                  An app whose name is in use is an error without --force. The apps of a file\n\
                  replace apps with the same name if they have changed. With options, such as\n\
                  --update-env, an app in the list is changed and restarted.",
    exit_codes: &[(NOT_DONE, "a process could not be started, or the name is in use")],
    examples: &[
        ("procrun start app.js --name api -i 2", "add an app in the background"),
        ("procrun start ecosystem.toml --only api", "one app of a file"),
        ("procrun start api", "start the stopped app api"),
    ],
    run: Run::Target(TargetVerb::Start),
};

/// The arguments of `start`.
pub(in crate::cli) struct StartRequest {
    pub(in crate::cli) words: Vec<OsString>,
    pub(in crate::cli) socket: Option<OsString>,
    /// `--force`: the name may be in use.
    pub(in crate::cli) force: bool,
    /// `--update-env`.
    pub(in crate::cli) update_environment: bool,
    /// `--silent`: prints nothing.
    pub(in crate::cli) is_silent: bool,
    /// As the foreground would run it; its target is the first word.
    pub(in crate::cli) invocation: Invocation,
}

/// Why nothing was started.
pub(in crate::cli) enum StartError {
    /// The configuration has errors.
    Problems(Problems),
    /// Everything else.
    Failure(Failure),
}

impl From<Failure> for StartError {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

impl From<Problems> for StartError {
    fn from(problems: Problems) -> Self {
        Self::Problems(problems)
    }
}

pub(in crate::cli) fn start(start: &StartRequest) -> Result<ExitCode, StartError> {
    let places = places(start.socket.as_deref())?;
    let words: Vec<String> = start.words.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    let Invocation { flags, args, .. } = &start.invocation;
    let output = if start.is_silent { OperationOutput::Nothing } else { OperationOutput::Steps };
    let mut there = Supervisor::find_at(&places)?;
    let list = match &mut there {
        Some(supervisor) => supervisor.overview(&Request::List)?.instances,
        None => Vec::new(),
    };
    // A path starts that script, even if an app of another name runs it.
    let process_list = ProcessList::from(&*list);
    let (mut targets, mut new, mut unknown) = (Vec::new(), Vec::new(), None);
    for word in &words {
        match process_list.select(&[word]) {
            Ok(_) => targets.push(word.clone()),
            // `/srv/app/` is a directory if there is one.
            Err(error) if is_pattern(word) && !Path::new(word).exists() => {
                return Err(Failure::from(error).into());
            }
            Err(error) => {
                if let Some(supervisor) = &mut there
                    && !start.force
                    && let Some(script) = script_of_app(word, &start.invocation.cwd, supervisor)
                {
                    targets.push(script);
                    continue;
                }
                new.push(word.clone());
                unknown = unknown.or(there.is_some().then_some(error));
            }
        }
    }
    if words.len() > 1
        && let Some(unknown_word) = new.iter().find(|word| !Path::new(word).is_file())
    {
        return Err(unknown_target(unknown_word, &words, unknown).into());
    }
    if !new.is_empty() {
        let notices = flags.of_runtime().map(|flag| {
            format!("`{flag}` has no effect: it applies to a procrun that runs in the foreground")
        });
        print_notices(&notices.collect::<Vec<_>>());
    }
    // All files are read before the first change.
    let mut requests = Vec::new();
    for word in new {
        let mut invocation = start.invocation.clone();
        invocation.target = word.into();
        if let Some(supervisor) = &mut there
            && !start.update_environment
        {
            read_as_before(&mut invocation, supervisor)?;
        }
        let found = Found::read(invocation)?;
        let again = match &mut there {
            Some(supervisor) if !found.is_file => is_ended_script(supervisor, &list, &found.apps)?,
            Some(_) | None => false,
        };
        let name_conflict = if again {
            NameConflict::Replace
        } else if start.force {
            NameConflict::Rename
        } else {
            NameConflict::Refuse
        };
        requests.push(Request::Add(Box::new(found.request(
            RestartScope::Changed,
            name_conflict,
            start.update_environment,
        ))));
    }
    let of_there = if targets.is_empty() {
        None
    } else {
        let changes = changes(flags.clone(), args.clone())?;
        let is_more = start.update_environment || changes.patch.is_some();
        // As in PM2: with changed settings it restarts if it runs.
        let scope = if is_more { RestartScope::Restart } else { RestartScope::Changed };
        Some(update_apps::request(targets, changes, start.update_environment, scope))
    };
    let Some(last) = requests.pop() else {
        let (Some(request), Some(mut supervisor)) = (of_there, there) else {
            unreachable!("a word is in the list of a supervisor, or is new")
        };
        return Ok(wait_and_show(&mut supervisor, &request, output)?);
    };
    if let (Some(request), Some(supervisor)) = (of_there, &mut there) {
        wait_and_print(supervisor, &request, output)?;
    }
    let mut supervisor = background::connect(start.socket.as_deref(), start.is_silent)?;
    for request in requests {
        wait_and_print(&mut supervisor, &request, output)?;
    }
    Ok(wait_and_show(&mut supervisor, &last, output)?)
}

/// The absolute path of the file that a bare word names, if an app in the list runs it. As in PM2, `start worker`
/// then means that app, and `start ./worker` adds another one.
fn script_of_app(word: &str, cwd: &Path, supervisor: &mut Supervisor) -> Option<String> {
    let is_bare = !word.contains('/') && Path::new(word).extension().is_none();
    let path = cwd.join(word);
    if !is_bare || !path.is_file() {
        return None;
    }
    let script = path.to_str()?.to_owned();
    // An error means that no app runs it.
    let found = supervisor.details(vec![script.clone()]).is_ok_and(|details| !details.is_empty());
    found.then_some(script)
}

/// Whether the script is already in the list, by its name and as the same file, and none of its processes runs.
/// Then the command starts that app.
fn is_ended_script(of: &mut Supervisor, list: &[InstanceSummary], apps: &[AppSpec]) -> Result<bool, Failure> {
    let [app] = apps else { return Ok(false) };
    let mut same = list.iter().filter(|one| one.name == app.name).peekable();
    let has_ended = |one: &InstanceSummary| matches!(one.status, Status::Stopped | Status::Errored);
    if same.peek().is_none() || !same.all(has_ended) {
        return Ok(false);
    }
    let script = app.exec.cwd.join(&app.exec.script);
    let details = of.details(vec![app.name.clone()])?;
    Ok(details.iter().all(|detail| Path::new(&detail.exec_path) == script))
}

fn unknown_target(word: &str, words: &[String], unknown: Option<RequestError>) -> Failure {
    let is_first = words.first().is_some_and(|first| first == word);
    match unknown {
        Some(error) if is_first || !Path::new(&words[0]).exists() => error.into(),
        Some(_) | None => {
            let message = format!("`{word}`: no such file, and no such app in the list");
            Failure::new(EX_USAGE, message).hint(format!(
                "write arguments for the app after `--`: `-- {word}`;\nstart one program \
                 per command; write paths to watch as `--watch=src`"
            ))
        }
    }
}
