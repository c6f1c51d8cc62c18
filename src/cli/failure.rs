//! Why a command has failed, and how the failure is printed.

use std::{
    io::{IsTerminal as _, Write as _, stderr},
    os::fd::AsFd as _,
};

use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::wrap::folded;
use crate::{control::RequestError, shown::printable_lines, spec::ExitCode, sys::terminal};

/// The request was not carried out.
pub(super) const NOT_DONE: ExitCode = 1;
/// `EX_UNAVAILABLE` of sysexits(3): no supervisor is running.
pub(super) const NO_SUPERVISOR: ExitCode = 69;

/// The failure of a command, with its exit code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) code: ExitCode,
    message: String,
    hint: Option<String>,
}

impl Failure {
    pub(super) fn new(code: ExitCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), hint: None }
    }

    /// The request was not carried out.
    pub(super) fn not_done(message: impl Into<String>) -> Self {
        Self::new(NOT_DONE, message)
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    pub(super) fn hint_if(mut self, hint: Option<String>) -> Self {
        self.hint = hint.or(self.hint);
        self
    }

    pub(super) fn with_code(mut self, code: ExitCode) -> Self {
        self.code = code;
        self
    }

    /// Whether the failure is that no supervisor runs.
    pub(super) fn is_absence(&self) -> bool {
        self.code == NO_SUPERVISOR
    }

    /// Prints it on stderr.
    pub(super) fn print(&self) {
        let err = stderr();
        let columns = Some(&err).filter(|err| err.is_terminal()).and_then(|err| terminal::size(err.as_fd()));
        let text = self.text(columns.map(|(columns, _)| columns.into()));
        // There is no other place to report a failed write to stderr.
        let _ = err.lock().write_all(text.as_bytes());
    }

    fn text(&self, columns: Option<usize>) -> String {
        let part = |begin: &str, text: &str| {
            let indent = format!("\n{:1$}", "", begin.len());
            let text = printable_lines(text);
            let lines: Vec<String> =
                text.split('\n').map(|line| folded(line, columns, begin.len())).collect();
            // Lists in a message have their own indentation.
            format!("{begin}{}\n", lines.join(if begin == HINT { &indent } else { "\n" }))
        };
        let hint = self.hint.as_ref().map(|hint| part(HINT, hint));
        part("error: ", &self.message) + hint.as_deref().unwrap_or_default()
    }
}

impl From<RequestError> for Failure {
    fn from(RequestError { message, hint }: RequestError) -> Self {
        Self::not_done(message).hint_if(hint)
    }
}

const HINT: &str = "  hint: ";

/// The message of an error of the argument parser, without its usage text, and with the quotes of all messages.
pub(super) fn usage_message(error: &clap::Error) -> String {
    let context = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.as_str()),
        _ => None,
    };
    match (error.kind(), context(ContextKind::InvalidArg), context(ContextKind::InvalidValue)) {
        (ErrorKind::UnknownArgument, Some(option), _) => return format!("unknown option `{option}`"),
        (ErrorKind::InvalidValue, Some(option), Some("")) => return format!("`{option}` needs a value"),
        _ => {}
    }
    let text = error.to_string();
    let line = text.lines().next().unwrap_or_default();
    line.strip_prefix("error: ").unwrap_or(line).replace('\'', "`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_fits_the_terminal_and_is_indented_like_the_first() {
        let failure =
            Failure::not_done("there is no application or namespace `evi`\u{202e}\n  one place\n  another")
                .hint("there is `api`, `notification-worker`\nand this");
        assert_eq!(
            failure.text(Some(40)),
            "error: there is no application or\n       namespace `evi`\\u{202e}\n  one place\n  another\n  \
             hint: there is `api`,\n        `notification-worker`\n        and this\n"
        );
        assert!(failure.text(None).contains("namespace `evi`\\u{202e}\n  one place\n"));
    }
}
