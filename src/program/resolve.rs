//! The answers for other modules: what runs an application, of which kind it is, and whether its directory can be used.

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
};

use super::{
    candidates::Candidates,
    command::Command,
    failure::{Failure, NOT_EXECUTABLE, NOT_FOUND, no_cluster, not_executable_error},
    identity,
    lookup::{Lookup, LookupContext},
};
use crate::{
    spec::{Exec, ExecMode, Interpreter, ProgramKind},
    sys::{
        program::{self, Found},
        shortage::is_file_shortage,
    },
};

/// The program to execute for a process of this mode.
///
/// # Errors
/// A file is missing, cannot be executed, or cannot be a worker of a cluster.
pub fn resolve(exec: &Exec, mode: ExecMode, context: &LookupContext) -> Result<Command, Failure> {
    check_cwd(&exec.cwd)?;
    let lookup = Lookup { exec, mode, context };
    let command = match (&exec.interpreter, mode) {
        (Interpreter::Program(interpreter), _) => lookup.by_interpreter(interpreter)?,
        (Interpreter::None, ExecMode::Fork) => lookup.by_kernel_rules()?,
        (Interpreter::BuiltIn, _) => lookup.built_in(),
        // PM2 runs every worker of a cluster with Node, whatever the configured interpreter is.
        (Interpreter::None, ExecMode::Cluster) | (Interpreter::Auto, _) => lookup.by_kind()?,
    };
    if mode == ExecMode::Cluster && !command.kind.can_cluster() {
        return Err(no_cluster(command.reason));
    }
    Ok(command)
}

/// The kind of an application by the names in its configuration alone, for a file that does not exist yet.
pub fn kind_by_name(exec: &Exec) -> Option<ProgramKind> {
    match &exec.interpreter {
        Interpreter::Program(program) => identity::by_name(Path::new(program)),
        Interpreter::None | Interpreter::BuiltIn => None,
        Interpreter::Auto => {
            let script = Path::new(&exec.script);
            let by_extension = Candidates::by_extension(script).map(|candidates| candidates.kind());
            by_extension.or_else(|| identity::by_name(script))
        }
    }
}

/// Whether PM2 makes a cluster of several instances by default: a script that Node runs without another program
/// between.
pub fn clusters_by_default(exec: &Exec, context: &LookupContext) -> bool {
    let is_plain = match &exec.interpreter {
        Interpreter::Auto => true,
        Interpreter::None | Interpreter::BuiltIn => false,
        Interpreter::Program(interpreter) => interpreter_kind(interpreter, exec, context).is_some(),
    };
    let kind = match resolve(exec, ExecMode::Fork, context) {
        Ok(command) => Some(command.kind),
        Err(_) => kind_by_name(exec),
    };
    is_plain && kind.is_some_and(ProgramKind::can_cluster)
}

/// The kind of an interpreter, unless it is itself a script.
fn interpreter_kind(name: &str, exec: &Exec, context: &LookupContext) -> Option<ProgramKind> {
    match program::find(OsStr::new(name), &exec.cwd, context.path.as_deref()) {
        Found::Executable(found) | Found::NotExecutable(found) => {
            identity::by_name(Path::new(name)).or_else(|| identity::by_names(&found))
        }
        Found::Missing | Found::Unknown(..) => identity::by_name(Path::new(name)),
    }
}

/// A program by its name in `path`, or by its path relative to `cwd`.
///
/// # Errors
/// If it does not exist or cannot be executed.
pub fn command(name: &str, cwd: &Path, path: Option<&OsStr>) -> Result<PathBuf, Failure> {
    match program::find(OsStr::new(name), cwd, path) {
        Found::Executable(found) => Ok(found),
        Found::NotExecutable(found) => Err(not_executable_error(&found)),
        Found::Missing => Err(Failure::new(NOT_FOUND, format!("`{name}` does not exist"))),
        Found::Unknown(file, errno) => Err(Failure::unknown(&file, errno)),
    }
}

/// Checks that a process can work in this directory.
///
/// # Errors
/// The directory does not exist, is not a directory, or cannot be read.
pub fn check_cwd(cwd: &Path) -> Result<(), Failure> {
    let unusable = |why: String| Failure::new(NOT_EXECUTABLE, format!("its cwd {} {why}", cwd.display()));
    match cwd.metadata() {
        Ok(meta) if meta.is_dir() => Ok(()),
        Ok(_) => Err(unusable("is not a directory".to_owned())),
        Err(error) => {
            let failure = Failure {
                is_shortage: is_file_shortage(&error),
                ..unusable(format!("cannot be used: {error}"))
            };
            Err(failure)
        }
    }
}
