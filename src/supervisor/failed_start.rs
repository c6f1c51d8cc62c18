//! Why a start failed, as the machine has to know it.

use std::io;

use crate::{
    machine::{FailureKind, SpawnFailure},
    spec::ExitCode,
    sys::shortage::is_shortage,
};

/// A shell's code for a command that cannot be executed.
const NOT_EXECUTABLE: ExitCode = 126;

/// What an error means for the next try: a shortage of the system, or `otherwise`.
pub(super) fn kind_of(error: &io::Error, otherwise: FailureKind) -> FailureKind {
    if is_shortage(error) { FailureKind::Shortage } else { otherwise }
}

/// The kernel has refused something that a run needs beside its program. `what` completes "cannot …".
pub(super) fn refused(what: &str, error: &io::Error) -> SpawnFailure {
    SpawnFailure {
        code: NOT_EXECUTABLE,
        message: format!("cannot {what}: {error}"),
        kind: kind_of(error, FailureKind::Transient),
    }
}
