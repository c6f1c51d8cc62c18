//! Why no program can be executed.

use std::{
    fmt, io,
    path::{Path, PathBuf},
};

use nix::errno::Errno;

use crate::{
    spec::ExitCode,
    sys::{
        program::{self, Found},
        shortage::is_file_shortage,
    },
};

/// A shell's exit code for a missing command.
pub(super) const NOT_FOUND: ExitCode = 127;
/// A shell's exit code for a command that cannot be executed.
pub(super) const NOT_EXECUTABLE: ExitCode = 126;

/// Why no program can be executed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The exit code that a shell would have.
    pub code: ExitCode,
    /// What failed, where, why and the next step, for messages.
    pub message: String,
    /// The reason if the program could run, but not as a worker of a cluster.
    pub no_cluster: Option<String>,
    /// Whether the failure may be over at the next look-up: a lack of descriptors, or a failing file system.
    pub is_shortage: bool,
}

impl Failure {
    pub(super) fn new(code: ExitCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), no_cluster: None, is_shortage: false }
    }

    /// An error of reading this file.
    pub(super) fn of_file(file: &Path, error: &io::Error) -> Self {
        let message = format!("cannot read {}: {error}", file.display());
        Self { is_shortage: is_file_shortage(error), ..Self::new(NOT_EXECUTABLE, message) }
    }

    pub(super) fn unknown(file: &Path, errno: Errno) -> Self {
        Self::of_file(file, &errno.into())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// The script itself, if it can be executed.
pub(super) fn executable(script: PathBuf) -> Result<PathBuf, Failure> {
    match program::at(script) {
        Found::Executable(script) => Ok(script),
        Found::NotExecutable(script) => Err(not_executable_error(&script)),
        Found::Missing => Err(Failure::new(NOT_FOUND, "it has just been removed")),
        Found::Unknown(script, errno) => Err(Failure::unknown(&script, errno)),
    }
}

pub(super) fn not_executable_error(path: &Path) -> Failure {
    let message = format!("{} is not executable\n  hint: chmod +x it, or set `interpreter`", path.display());
    Failure::new(NOT_EXECUTABLE, message)
}

pub(super) fn directory_without_program(path: &Path) -> Failure {
    let message = format!(
        "{} is a directory without a program: no `main` in a package.json and no index.js\n  hint: set \
         `script` to the file that is to run",
        path.display()
    );
    Failure::new(NOT_EXECUTABLE, message)
}

pub(super) fn no_cluster(why: String) -> Failure {
    Failure {
        code: NOT_EXECUTABLE,
        message: format!(
            "it cannot be a worker of a cluster: {why}\n  hint: set `exec_mode` to \"fork\", or `script` to a \
             file for Node"
        ),
        no_cluster: Some(why),
        is_shortage: false,
    }
}
