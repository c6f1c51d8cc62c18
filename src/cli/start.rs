//! `procrun start`: starts what is in the list, or adds an application to it, in a supervisor that is
//! started in the background if there is none.

use std::{ffi::OsString, path::Path};

use super::{
    anew::{self, changes},
    background,
    connect::{Supervisor, places},
    failure::Failure,
    file::{Found, read_as_before, say_notices},
    list::{details, overview},
    process_commands::{Telling, wait_and_show, wait_and_tell},
};
use crate::{
    config::{EX_USAGE, Invocation, Problems},
    control::{
        Anew, Request, Taken, is_pattern,
        snapshot::{Brief, Status},
        targets::{Candidate, Unknown, select},
    },
    spec::{AppSpec, ExitCode},
};

/// What was typed.
pub(super) struct StartRequest {
    pub(super) words: Vec<OsString>,
    pub(super) socket: Option<OsString>,
    /// `--force`: also under a name that is taken.
    pub(super) force: bool,
    /// `--update-env`.
    pub(super) update_environment: bool,
    /// `--silent`: prints nothing.
    pub(super) is_silent: bool,
    /// As the foreground would run it; its target is the first word.
    pub(super) invocation: Invocation,
}

/// Why nothing was started.
pub(super) enum Refusal {
    /// The configuration has errors.
    Problems(Problems),
    /// Everything else.
    Failure(Failure),
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

impl From<Problems> for Refusal {
    fn from(problems: Problems) -> Self {
        Self::Problems(problems)
    }
}

pub(super) fn start(wish: &StartRequest) -> Result<ExitCode, Refusal> {
    let places = places(wish.socket.as_deref())?;
    let words: Vec<String> = wish.words.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    let Invocation { flags, args, .. } = &wish.invocation;
    let telling = if wish.is_silent { Telling::Nothing } else { Telling::All };
    let mut there = Supervisor::find_at(&places)?;
    let list = match &mut there {
        Some(supervisor) => overview(supervisor, &Request::List)?.instances,
        None => Vec::new(),
    };
    // A path starts that script, even if an app of another name runs it.
    let candidates: Vec<Candidate<'_>> = list
        .iter()
        .map(|one| Candidate { id: one.id, name: &one.name, namespace: &one.namespace, exec: None })
        .collect();
    let (mut targets, mut new, mut unknown) = (Vec::new(), Vec::new(), None);
    for word in &words {
        match select(&[word], &candidates) {
            Ok(_) => targets.push(word.clone()),
            // `/srv/app/` is a directory if there is one.
            Err(Unknown { message, hint }) if is_pattern(word) && !Path::new(word).exists() => {
                return Err(Failure::not_done(message).hint_if(hint).into());
            }
            Err(error) => {
                if let Some(supervisor) = &mut there
                    && !wish.force
                    && let Some(script) = script_of_app(word, &wish.invocation.cwd, supervisor)
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
        && let Some(strange) = new.iter().find(|word| !Path::new(word).is_file())
    {
        return Err(one_too_many(strange, &words, unknown).into());
    }
    if !new.is_empty() {
        let idle = flags.of_runtime().map(|flag| {
            format!("`{flag}` has no effect: it applies to a procrun that runs in the foreground")
        });
        say_notices(&idle.collect::<Vec<_>>());
    }
    // All of it is read before anything is done.
    let mut wishes = Vec::new();
    for word in new {
        let mut invocation = wish.invocation.clone();
        invocation.target = word.into();
        if let Some(supervisor) = &mut there
            && !wish.update_environment
        {
            read_as_before(&mut invocation, supervisor)?;
        }
        let found = Found::read(invocation)?;
        let again = match &mut there {
            Some(supervisor) if !found.is_file => is_ended_script(supervisor, &list, &found.apps)?,
            Some(_) | None => false,
        };
        let taken = if again {
            Taken::Replace
        } else if wish.force {
            Taken::Rename
        } else {
            Taken::Refuse
        };
        wishes.push(found.request(Anew::Changed, taken, wish.update_environment));
    }
    let of_there = if targets.is_empty() {
        None
    } else {
        let changes = changes(flags.clone(), args.clone())?;
        let is_more = wish.update_environment || changes.patch.is_some();
        // As in PM2: with something new it starts again, also if it runs.
        let anew = if is_more { Anew::Restart } else { Anew::Changed };
        Some(anew::request(targets, changes, wish.update_environment, anew))
    };
    let Some(last) = wishes.pop() else {
        let (Some(request), Some(mut supervisor)) = (of_there, there) else {
            unreachable!("a word is in the list of a supervisor, or is new")
        };
        return Ok(wait_and_show(&mut supervisor, &request, telling)?);
    };
    if let (Some(request), Some(supervisor)) = (of_there, &mut there) {
        wait_and_tell(supervisor, &request, telling)?;
    }
    let mut supervisor = background::connect(wish.socket.as_deref(), wish.is_silent)?;
    for request in wishes {
        wait_and_tell(&mut supervisor, &request, telling)?;
    }
    Ok(wait_and_show(&mut supervisor, &last, telling)?)
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
    let found = details(supervisor, vec![script.clone()]).is_ok_and(|details| !details.is_empty());
    found.then_some(script)
}

/// Whether the script is already in the list, by its name and as the same file, and none of its processes runs.
/// Then the command starts that app.
fn is_ended_script(of: &mut Supervisor, list: &[Brief], apps: &[AppSpec]) -> Result<bool, Failure> {
    let [app] = apps else { return Ok(false) };
    let mut same = list.iter().filter(|one| one.name == app.name).peekable();
    let has_ended = |one: &Brief| matches!(one.status, Status::Stopped | Status::Errored);
    if same.peek().is_none() || !same.all(has_ended) {
        return Ok(false);
    }
    let script = app.exec.cwd.join(&app.exec.script);
    let details = details(of, vec![app.name.clone()])?;
    Ok(details.iter().all(|detail| Path::new(&detail.exec_path) == script))
}

fn one_too_many(strange: &str, words: &[String], unknown: Option<Unknown>) -> Failure {
    let is_first = words.first().is_some_and(|first| first == strange);
    match unknown {
        Some(Unknown { message, hint }) if is_first || !Path::new(&words[0]).exists() => {
            Failure::not_done(message).hint_if(hint)
        }
        Some(_) | None => {
            let message = format!("`{strange}` is neither a file nor in the list");
            Failure::new(EX_USAGE, message).hint(format!(
                "write arguments for the app after `--`: `-- {strange}`;\nstart a program with a \
                 command of its own, write paths to watch as `--watch=src`"
            ))
        }
    }
}
