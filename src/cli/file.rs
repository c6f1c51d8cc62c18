//! An ecosystem file, a script or a program that a command is about: read here and now, so that its errors
//! belong to who has typed it.

use std::{collections::BTreeMap, ffi::OsString, io::Write as _, path::Path};

use super::{
    background::{self, standing},
    failure::Failure,
    list::overview,
    reach::{Supervisor, places},
};
use crate::{
    config::{Flags, Invocation, Loaded, Problems, Read, Source},
    control::{Anew, Request, Taken, client, snapshot::Brief},
    spec::{AppSpec, order::Outside},
    supervisor,
};

/// What PM2 takes when nothing is named, and its kin.
const DEFAULTS: [&str; 9] = [
    "ecosystem.toml",
    "ecosystem.config.js",
    "ecosystem.config.cjs",
    "ecosystem.config.mjs",
    "ecosystem.config.ts",
    "ecosystem.json",
    "ecosystem.yaml",
    "ecosystem.yml",
    "pm2.json",
];

/// The ecosystem file that is meant when none is named, if there is one here.
pub(super) fn default() -> Option<OsString> {
    DEFAULTS.iter().find(|name| Path::new(name).is_file()).map(OsString::from)
}

/// Whether this word means an ecosystem file: there is one, and no application is called so.
pub(super) fn is_meant(word: &str, list: &[Brief]) -> bool {
    looks_like_one(word) && list.iter().all(|one| one.name != word)
}

/// Whether this word could mean an ecosystem file.
pub(super) fn looks_like_one(word: &str) -> bool {
    Source::is_named_as_file(word.as_ref()) && Path::new(word).is_file()
}

/// What was read.
pub(super) struct Found {
    pub(super) apps: Vec<AppSpec>,
    /// What they wait for where that is in the list.
    outside: Vec<Outside>,
    /// It is an ecosystem file.
    pub(super) is_file: bool,
}

impl Found {
    /// Reads it and says what is worth saying.
    pub(super) fn read(invocation: Invocation) -> Result<Self, Problems> {
        let (found, notices) = Self::load(invocation)?;
        say_notices(&notices);
        Ok(found)
    }

    /// Reads it to know its names: how they would run is nothing to speak of.
    pub(super) fn read_names(invocation: Invocation) -> Result<Vec<String>, Problems> {
        let (found, _) = Self::load(invocation)?;
        Ok(found.apps.into_iter().map(|app| app.name).collect())
    }

    fn load(invocation: Invocation) -> Result<(Self, Vec<String>), Problems> {
        let source = Source::new(invocation)?;
        let Loaded { plan, notices, outside, .. } = match source.read()? {
            Read::Loaded(loaded) => loaded,
            Read::NeedsEvaluation(_) => supervisor::evaluate(&source)?,
        };
        let apps = plan.apps.iter().map(|app| AppSpec::clone(app)).collect();
        Ok((Self { apps, outside, is_file: source.is_file() }, notices))
    }

    /// The wish to have it in the list; a file's applications replace those of the same name.
    pub(super) fn request(self, anew: Anew, otherwise: Taken) -> Request {
        let taken = if self.is_file { Taken::Replace } else { otherwise };
        let Self { apps, outside, .. } = self;
        let (resting, empty) = (Vec::new(), Vec::new());
        Request::Add { apps, environment: environment(), taken, anew, resting, empty, outside }
    }

    /// The supervisor that has one of its applications, else the one that new ones belong to.
    pub(super) fn supervisor(&self, socket: Option<&std::ffi::OsStr>) -> Result<Supervisor, Failure> {
        let places = places(socket)?;
        if standing(&places).is_none()
            && let Ok(connection) = client::find(&places)
        {
            let mut supervisor = Supervisor::from(connection);
            let list = overview(&mut supervisor, &Request::List)?.instances;
            if list.iter().any(|one| self.apps.iter().any(|app| app.name == one.name)) {
                return Ok(supervisor);
            }
        }
        background::connect(socket)
    }
}

/// What reading a target as if it stood alone needs.
pub(super) fn invocation(
    target: OsString,
    flags: Flags,
    args: Option<Vec<OsString>>,
) -> Result<Invocation, Failure> {
    let cwd = std::env::current_dir()
        .map_err(|error| Failure::not_done(format!("the working directory cannot be found: {error}")))?;
    Ok(Invocation {
        target,
        flags,
        args,
        environment: std::env::vars_os().collect(),
        cwd,
        command_line: std::env::args_os().collect(),
    })
}

pub(super) fn say_notices(notices: &[String]) {
    let mut stderr = std::io::stderr().lock();
    for notice in notices {
        // There is nobody left to tell if this fails.
        let _ = writeln!(stderr, "notice: {notice}");
    }
}

/// The caller's environment. What is no UTF-8 cannot be sent.
pub(super) fn environment() -> BTreeMap<String, String> {
    let variables = std::env::vars_os();
    variables
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}
