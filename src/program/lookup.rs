//! The look-up of one application: its settings, and its script as a file.

use std::{
    ffi::{OsStr, OsString},
    io,
    path::{Path, PathBuf},
};

use super::{
    failure::{Failure, NOT_EXECUTABLE, NOT_FOUND, directory_without_program, not_executable_error},
    package::main_of,
};
use crate::{
    spec::{Exec, ExecMode},
    sys::program::{self, Found},
};

/// The variables of the application that influence which program is executed.
#[derive(Debug, Clone, Default)]
pub struct LookupContext {
    pub(super) path: Option<OsString>,
    pub(super) node_options: Option<OsString>,
    node_path: Option<OsString>,
}

impl LookupContext {
    /// Takes these variables from an environment.
    pub fn new(variable: impl Fn(&str) -> Option<OsString>) -> Self {
        Self {
            path: variable("PATH"),
            node_options: variable("NODE_OPTIONS"),
            node_path: variable("NODE_PATH"),
        }
    }
}

/// The file that `script` names.
pub(super) enum Script {
    File(PathBuf),
    /// A directory, whose main file runs.
    Directory(PathBuf),
}

pub(super) struct Lookup<'a> {
    pub(super) exec: &'a Exec,
    pub(super) mode: ExecMode,
    pub(super) context: &'a LookupContext,
}

impl Lookup<'_> {
    /// The script as an absolute path: a file or a directory as seen from the working directory, or a
    /// command in `PATH`.
    pub(super) fn script(&self) -> Result<Script, Failure> {
        let Exec { script, cwd, .. } = self.exec;
        let file = cwd.join(script);
        let is_name = !script.contains('/');
        match file.metadata() {
            // `test` with a directory of that name beside it can still mean the program.
            Ok(meta) if meta.is_dir() && is_name => match self.in_path(script) {
                Ok(program) => Ok(Script::File(program)),
                Err(failure) if failure.is_shortage => Err(failure),
                Err(_) => Ok(Script::Directory(file)),
            },
            Ok(meta) if meta.is_dir() => Ok(Script::Directory(file)),
            Ok(meta) if meta.is_file() => Ok(Script::File(file)),
            Ok(_) => Err(Failure::new(NOT_EXECUTABLE, format!("{} is not a regular file", file.display()))),
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Failure::of_file(&file, &error)),
            Err(_) if is_name => self.in_path(script).map(Script::File),
            Err(_) => Err(Failure::new(NOT_FOUND, format!("{} does not exist", file.display()))),
        }
    }

    pub(super) fn in_path(&self, script: &str) -> Result<PathBuf, Failure> {
        let cwd = &self.exec.cwd;
        match program::find(OsStr::new(script), cwd, self.context.path.as_deref()) {
            Found::Executable(found) => Ok(found),
            Found::NotExecutable(found) => Err(not_executable_error(&found)),
            Found::Missing => {
                let message =
                    format!("`{script}`: no such file in {}, and no such program in PATH", cwd.display());
                Err(Failure::new(NOT_FOUND, message))
            }
            Found::Unknown(file, errno) => Err(Failure::unknown(&file, errno)),
        }
    }

    pub(super) fn find(&self, name: &OsStr) -> Found {
        program::find(name, &self.exec.cwd, self.context.path.as_deref())
    }

    /// The variable with these directories before its own.
    pub(super) fn node_path(&self, first: String) -> (OsString, OsString) {
        let mut path = OsString::from(first);
        if let Some(more) = self.context.node_path.as_ref().filter(|more| !more.is_empty()) {
            path.push(":");
            path.push(more);
        }
        ("NODE_PATH".into(), path)
    }

    pub(super) fn args(&self) -> impl Iterator<Item = OsString> {
        self.exec.args.iter().map(OsString::from)
    }
}

/// The file that Node runs for a directory.
pub(super) fn main_file(directory: &Path) -> Result<PathBuf, Failure> {
    let main = main_of(directory).map_err(|error| Failure::of_file(directory, &error))?;
    main.ok_or_else(|| directory_without_program(directory))
}
