//! The lines of the file server on stdout and stderr. A line is lost if its stream is closed.

use std::io::{self, Write as _};

/// Writes a line to stdout.
pub(super) fn log(line: &str) {
    let _ = writeln!(io::stdout(), "{line}");
}

/// Writes a line about a failure to stderr.
pub(super) fn log_error(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}
