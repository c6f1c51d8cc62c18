//! `procrun start`: starts what is in the list, or adds an application to it, in a supervisor that is
//! started in the background if there is none.

use std::{collections::BTreeMap, ffi::OsString, io::Write as _, path::Path};

use super::{
    act::wait_and_show,
    background,
    failure::Failure,
    list::overview,
    reach::{Supervisor, places},
};
use crate::{
    config::{EX_USAGE, Invocation, Loaded, Problems, Read, Source},
    control::{
        Action, Request, Taken, client,
        select::{Candidate, Unknown, select},
    },
    spec::{AppSpec, ExitCode},
    supervisor,
};

/// What was typed.
pub(super) struct Wish {
    pub(super) words: Vec<OsString>,
    pub(super) socket: Option<OsString>,
    /// `--force`: also under a name that is taken.
    pub(super) force: bool,
    /// `--update-env`.
    pub(super) update_environment: bool,
    /// As the foreground would run it; its target is the first word.
    pub(super) invocation: Invocation,
}

/// Why nothing was started.
pub(super) enum Refusal {
    /// What is to be run is wrong.
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

pub(super) fn start(wish: Wish) -> Result<ExitCode, Refusal> {
    let places = places(wish.socket.as_deref())?;
    let words: Vec<String> = wish.words.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    let found = client::find(&places).ok();
    let mut unknown = None;
    if let Some(connection) = found {
        let mut supervisor = Supervisor::from(connection);
        let list = overview(&mut supervisor, &Request::List)?;
        let candidates: Vec<Candidate<'_>> = list
            .instances
            .iter()
            .map(|one| Candidate { id: one.id, name: &one.name, namespace: &one.namespace })
            .collect();
        match select(&words, &candidates) {
            Ok(_) => {
                let request = if wish.update_environment {
                    Request::UpdateEnvironment { targets: words, environment: environment() }
                } else {
                    Request::Act { action: Action::Start, targets: words }
                };
                return Ok(wait_and_show(&mut supervisor, &request, false)?);
            }
            Err(error) => unknown = Some(error),
        }
    }
    if words.len() > 1 {
        return Err(several(&words, unknown).into());
    }
    let request = request(wish.invocation, wish.force)?;
    let mut supervisor = background::connect(wish.socket.as_deref())?;
    Ok(wait_and_show(&mut supervisor, &request, false)?)
}

fn several(words: &[String], unknown: Option<Unknown>) -> Failure {
    match unknown {
        Some(_) if words.iter().any(|word| Path::new(word).is_file()) => {
            let message =
                format!("{} are not all in the list, and what is new is added alone", quoted(words));
            Failure::not_done(message).hint(alone(words))
        }
        Some(Unknown { message, hint }) => Failure::not_done(message).hint_if(hint),
        None if Path::new(&words[1]).exists() => {
            let message = format!("`{}` is one word too many: what is new is added alone", words[1]);
            Failure::new(EX_USAGE, message).hint(alone(words))
        }
        None => Failure::new(EX_USAGE, format!("`{}` is one word too many: there is one TARGET", words[1]))
            .hint(format!("arguments for the app stand after `--`: `-- {}`", words[1])),
    }
}

fn alone(words: &[String]) -> String {
    format!("`procrun start {}`, then the next; paths to watch are written `--watch=src`", words[0])
}

fn quoted(words: &[String]) -> String {
    words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}

/// Reads what is to be run, here and now: its errors belong to who has typed it.
fn request(invocation: Invocation, force: bool) -> Result<Request, Problems> {
    let source = Source::new(invocation)?;
    let Loaded { plan, notices, .. } = match source.read()? {
        Read::Loaded(loaded) => loaded,
        Read::NeedsEvaluation(_) => supervisor::evaluate(&source)?,
    };
    let mut stderr = std::io::stderr().lock();
    for notice in notices {
        // There is nobody left to tell if this fails.
        let _ = writeln!(stderr, "notice: {notice}");
    }
    let taken = if source.is_file() {
        Taken::Replace
    } else if force {
        Taken::Rename
    } else {
        Taken::Refuse
    };
    let apps = plan.apps.iter().map(|app| AppSpec::clone(app)).collect();
    Ok(Request::Add { apps, environment: environment(), taken })
}

/// The caller's environment. What is no UTF-8 cannot be sent.
pub(super) fn environment() -> BTreeMap<String, String> {
    let variables = std::env::vars_os();
    variables
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}
