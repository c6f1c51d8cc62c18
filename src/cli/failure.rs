//! Why a command has not done what it was asked, and how that is said.

use std::io::Write as _;

use crate::spec::ExitCode;

/// Something was not done.
pub(super) const NOT_DONE: ExitCode = 1;
/// `EX_UNAVAILABLE` of sysexits(3): there is no supervisor to ask.
pub(super) const NO_SUPERVISOR: ExitCode = 69;

/// What has gone wrong, with the exit code it calls for.
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

    /// Something that the supervisor did not do.
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

    /// Whether what has gone wrong names this.
    pub(super) fn is_about(&self, what: &str) -> bool {
        self.message.contains(what)
    }

    /// Whether it is that there is no supervisor to ask.
    pub(super) fn is_absence(&self) -> bool {
        self.code == NO_SUPERVISOR
    }

    /// Says it on stderr.
    pub(super) fn say(&self) {
        let mut text = format!("error: {}\n", self.message);
        if let Some(hint) = &self.hint {
            text.push_str("  hint: ");
            text.push_str(&hint.replace('\n', "\n        "));
            text.push('\n');
        }
        // There is nobody left to tell if this fails.
        let _ = std::io::stderr().lock().write_all(text.as_bytes());
    }
}
