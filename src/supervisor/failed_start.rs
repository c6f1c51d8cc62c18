//! Errors of starts, with what the machine needs to decide about the next attempt.

use std::{io, path::Path};

use super::start_progress::Step;
use crate::{
    config::{EX_CONFIG, UnreadableEnvFile},
    machine::{FailureKind, SpawnFailure},
    program,
    spec::ExitCode,
    sys::{
        limits::{Limits, Refusal},
        shortage::is_file_shortage,
        spawn::{self, Stage},
    },
};

/// A shell's code for a command that is not there.
const NOT_FOUND: ExitCode = 127;
/// A shell's code for a command that cannot be executed.
const NOT_EXECUTABLE: ExitCode = 126;

/// The kind of an error: a shortage of the system, or `otherwise`.
pub(super) fn kind_of(error: &io::Error, otherwise: FailureKind) -> FailureKind {
    if is_file_shortage(error) { FailureKind::Shortage } else { otherwise }
}

/// The kernel has refused a resource of a run. `what` completes "cannot …".
pub(super) fn refused(what: &str, error: &io::Error) -> SpawnFailure {
    SpawnFailure {
        code: NOT_EXECUTABLE,
        message: format!("cannot {what}: {error}"),
        kind: kind_of(error, FailureKind::Transient),
    }
}

fn permanent(code: ExitCode, message: String) -> SpawnFailure {
    SpawnFailure { code, message, kind: FailureKind::Permanent }
}

/// The program was not found.
pub(super) fn not_found(failure: program::Failure) -> SpawnFailure {
    let kind = if failure.is_shortage { FailureKind::Shortage } else { FailureKind::Permanent };
    SpawnFailure { code: failure.code, message: failure.message, kind }
}

/// A file of variables cannot be read.
pub(super) fn no_variables(unreadable: UnreadableEnvFile) -> SpawnFailure {
    let kind = if unreadable.is_shortage { FailureKind::Shortage } else { FailureKind::Permanent };
    SpawnFailure { code: EX_CONFIG, message: unreadable.message, kind }
}

/// The configuration cannot work here.
pub(super) fn wrong(message: String) -> SpawnFailure {
    permanent(EX_CONFIG, message)
}

/// A limit that procrun may not set here.
pub(super) fn not_allowed(refusal: &Refusal) -> SpawnFailure {
    permanent(NOT_EXECUTABLE, refusal.to_string())
}

/// The start was cancelled before its program was executed.
pub(super) fn cancelled() -> SpawnFailure {
    refused("execute its program", &io::Error::other("it was stopped before"))
}

/// A step of a start has timed out. `what` names the start.
pub(super) fn hangs(what: &str, step: Step) -> SpawnFailure {
    let (does, hint) = match step {
        Step::Execution => (
            "the new process has not executed it in time",
            "it was stopped by another process (SIGSTOP), or a file system does not answer",
        ),
        Step::Accounts
        | Step::EnvFile
        | Step::WorkingDirectory
        | Step::Program
        | Step::Package
        | Step::Sockets
        | Step::Scripts => (step.shown(), "the file system does not respond; check its network mount"),
    };
    SpawnFailure {
        code: NOT_EXECUTABLE,
        message: format!("{what}: {does}\n  hint: {hint}"),
        // Not an error of the application.
        kind: FailureKind::Shortage,
    }
}

/// The error of the kernel when it executes `program` with these limits.
pub(super) fn spawn_failure(program: &Path, limits: &Limits, error: &spawn::Error) -> SpawnFailure {
    if let Stage::Limits(part) = error.stage {
        return not_allowed(&limits.refusal(part, &error.source));
    }
    let kind = error.source.kind();
    let code = if kind == io::ErrorKind::NotFound { NOT_FOUND } else { NOT_EXECUTABLE };
    // A file that is open for writing will be closed; a file of the wrong kind does not change.
    let otherwise = if error.stage == Stage::Fork || kind == io::ErrorKind::ExecutableFileBusy {
        FailureKind::Transient
    } else {
        FailureKind::Permanent
    };
    let mut kind_of_failure = kind_of(&error.source, otherwise);
    let mut message = format!("{}: {error}", program.display());
    // The kernel reports too many processes of a user only at this late moment (execve(2)).
    if error.stage == Stage::Exec && kind == io::ErrorKind::WouldBlock {
        message.push_str("\n  hint: its user has more processes than the limit `nproc` allows");
        if limits.sets("nproc") {
            // Not the system's limit, but the application's own.
            kind_of_failure = FailureKind::Transient;
        }
    }
    SpawnFailure { code, message, kind: kind_of_failure }
}

#[cfg(test)]
mod tests {
    use nix::libc;

    use super::*;

    #[test]
    fn a_file_system_that_fails_and_a_lack_of_descriptors_are_no_error_of_the_app() {
        let kind = |errno| kind_of(&io::Error::from_raw_os_error(errno), FailureKind::Permanent);
        for errno in [libc::EIO, libc::EMFILE, libc::ENFILE, libc::ENOTCONN, libc::ECONNABORTED, libc::ESTALE]
        {
            assert_eq!(kind(errno), FailureKind::Shortage, "{errno}");
        }
        for errno in [libc::ENOENT, libc::EACCES, libc::ENOEXEC] {
            assert_eq!(kind(errno), FailureKind::Permanent, "{errno}");
        }
        let unreadable = |is_shortage| UnreadableEnvFile { message: "it".to_owned(), is_shortage };
        assert_eq!(no_variables(unreadable(true)).kind, FailureKind::Shortage);
        assert_eq!(no_variables(unreadable(false)).kind, FailureKind::Permanent);
    }
}
