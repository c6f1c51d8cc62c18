//! Messages on stderr before there is a log, or without one.

use std::{
    fmt::Display,
    io::{self, Write},
};

use crate::shown::printable_lines;

/// Prints a message to stderr. If stderr is closed, the message is lost.
pub(super) fn print_early(message: impl Display) {
    // It may contain the name of a file, or output of a program.
    let _ = writeln!(io::stderr(), "{}", printable_lines(&message.to_string()));
}
