//! The ecosystem file, script or program of a command. The client reads it, so its errors appear where the
//! command was typed.

use std::{collections::BTreeMap, ffi::OsString, path::Path};

use super::{
    connect::{Supervisor, unexpected},
    failure::Failure,
    output::print_notices,
};
use crate::{
    config::{Flags, Invocation, Loaded, Problems, Read, STDIN, Source},
    control::{AddRequest, Answer, NameConflict, Request, RestartScope, sendable_environment},
    spec::{AppSpec, order::CrossFileDependency},
    supervisor,
    sys::directory,
};

/// The default files of PM2, and the same names in other formats.
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

/// The default ecosystem file of the current directory, if there is one.
pub(super) fn default() -> Option<OsString> {
    DEFAULTS.iter().find(|name| Path::new(name).is_file()).map(OsString::from)
}

/// Whether this word names an ecosystem file, if no application has that name.
pub(super) fn is_ecosystem_file(word: &str) -> bool {
    word == STDIN || Source::is_named_as_file(word.as_ref()) && Path::new(word).is_file()
}

/// An ecosystem file, script or program that was read.
pub(super) struct Found {
    pub(super) apps: Vec<AppSpec>,
    /// Their dependencies on apps that the file does not have.
    outside: Vec<CrossFileDependency>,
    /// The ecosystem file, absolute and without links; `None` for a script.
    file: Option<String>,
    /// The environment with which it was read, and which its applications inherit.
    environment: BTreeMap<OsString, OsString>,
    /// Whether it is an ecosystem file, also from stdin.
    pub(super) is_file: bool,
}

impl Found {
    /// Reads the file and prints its notices.
    pub(super) fn read(invocation: Invocation) -> Result<Self, Problems> {
        let (found, notices) = Self::load(invocation)?;
        print_notices(&notices);
        Ok(found)
    }

    /// Reads it only for the names of its apps, without its notices.
    pub(super) fn read_names(invocation: Invocation) -> Result<Vec<String>, Problems> {
        let (found, _) = Self::load(invocation)?;
        Ok(found.apps.into_iter().map(|app| app.name).collect())
    }

    fn load(invocation: Invocation) -> Result<(Self, Vec<String>), Problems> {
        let source = Source::new(invocation)?;
        Self::load_source(&source, source.is_document())
    }

    fn load_source(source: &Source, is_file: bool) -> Result<(Self, Vec<String>), Problems> {
        let Loaded { plan, notices, outside, .. } = match source.read()? {
            Read::Loaded(loaded) => loaded.answered()?,
            Read::NeedsEvaluation(_) => supervisor::evaluate(source)?,
        };
        let apps = plan.apps.iter().map(|app| AppSpec::clone(app)).collect();
        let file = source.file().map(identity);
        let environment = source.environment().clone();
        Ok((Self { apps, outside, file, environment, is_file }, notices))
    }

    /// The same of an existing source; with `is_file` its applications replace those of the same name.
    pub(super) fn of(source: &Source, is_file: bool) -> Result<Self, Problems> {
        let (found, notices) = Self::load_source(source, is_file)?;
        print_notices(&notices);
        Ok(found)
    }

    /// The request to add the apps. Those of a file replace apps of the same name.
    pub(super) fn request(
        self,
        scope: RestartScope,
        name_conflict: NameConflict,
        update_environment: bool,
    ) -> AddRequest {
        let Self { apps, outside, file, environment, is_file } = self;
        AddRequest {
            apps,
            environment: sendable_environment(environment),
            update_environment,
            file,
            name_conflict: if is_file { NameConflict::Replace } else { name_conflict },
            scope,
            outside,
            ..AddRequest::default()
        }
    }
}

/// An ecosystem file that the supervisor knows is read with the same environment as before: the environment of a
/// command alone changes no application.
pub(super) fn read_as_before(
    invocation: &mut Invocation,
    supervisor: &mut Supervisor,
) -> Result<(), Failure> {
    if !Source::is_named_as_file(&invocation.target) {
        return Ok(());
    }
    let file = identity(&invocation.cwd.join(&invocation.target));
    match supervisor.request(&Request::FileEnvironment { file })? {
        Answer::FileEnvironment(Some(environment)) => {
            read_with(invocation, environment);
            Ok(())
        }
        Answer::FileEnvironment(None) => Ok(()),
        other => Err(unexpected(&other)),
    }
}

/// The invocation with this environment.
pub(super) fn read_with(invocation: &mut Invocation, environment: BTreeMap<String, String>) {
    let owned = |(name, value): (String, String)| (name.into(), value.into());
    invocation.environment = environment.into_iter().map(owned).collect();
}

/// One path for a file, independent of links.
pub(super) fn identity(file: &Path) -> String {
    let real = file.canonicalize();
    real.as_deref().unwrap_or(file).to_string_lossy().into_owned()
}

/// An invocation with this target alone.
pub(super) fn invocation(
    target: OsString,
    flags: Flags,
    args: Option<Vec<OsString>>,
) -> Result<Invocation, Failure> {
    let cwd = directory::working()
        .map_err(|error| Failure::not_done(format!("cannot find the working directory: {error}")))?;
    Ok(Invocation {
        target,
        flags,
        args,
        environment: std::env::vars_os().collect(),
        cwd,
        command_line: std::env::args_os().collect(),
    })
}

/// The caller's environment.
pub(super) fn environment() -> BTreeMap<String, String> {
    sendable_environment(std::env::vars_os())
}
