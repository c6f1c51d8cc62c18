//! How commands print.

use std::{
    io::{IsTerminal as _, Write as _, stderr, stdout},
    os::fd::AsFd as _,
};

use super::table::OutputStyle;
use crate::{shown::printable_lines, spec::ExitCode, sys::terminal};

/// Prints a text. If the reader has closed the pipe, the error is ignored.
pub(super) fn print(text: &str) -> ExitCode {
    let _ = stdout().lock().write_all(text.as_bytes());
    0
}

/// Prints a value as one indented JSON document.
pub(super) fn print_json(value: &impl serde::Serialize) -> ExitCode {
    let text = serde_json::to_string_pretty(value).expect("answers are made of strings, numbers and lists");
    print(&format!("{text}\n"))
}

/// Prints notices to stderr, a line each.
pub(super) fn print_notices(notices: &[String]) {
    let mut stderr = stderr().lock();
    for notice in notices {
        // There is no other place to report a failed write to stderr.
        let _ = writeln!(stderr, "notice: {}", printable_lines(notice));
    }
}

/// The style that stdout supports.
pub(super) fn stdout_style() -> OutputStyle {
    let out = stdout();
    if !out.is_terminal() {
        return OutputStyle { width: None, colours: false };
    }
    let wants_none = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let is_dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    let width = terminal::size(out.as_fd()).map(|(columns, _)| usize::from(columns));
    OutputStyle { width, colours: !wants_none && !is_dumb }
}
