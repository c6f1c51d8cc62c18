//! Configuration errors, collected so that all of them are reported at once.

use std::fmt;

use super::{suggest::nearest, tree::SourceLocation};
use crate::{shown::printable_lines, spec::ExitCode};

/// `EX_USAGE` of sysexits.h(3head): the command line is wrong.
pub const EX_USAGE: ExitCode = 64;
/// `EX_CONFIG` of sysexits.h(3head): the configuration is wrong.
pub const EX_CONFIG: ExitCode = 78;

/// `EX_IOERR` of sysexits.h(3head): a file cannot be read.
pub const EX_IOERR: ExitCode = 74;

/// The maximum number of reported problems. The others are only counted.
const MAX_SHOWN: usize = 100;

/// An error in the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The place in a file.
    pub place: Option<SourceLocation>,
    /// The error, in lower case without a full stop.
    pub message: String,
    /// The next step.
    pub hint: Option<String>,
}

impl Problem {
    /// A problem without a place.
    pub fn new(message: impl Into<String>) -> Self {
        Self { place: None, message: message.into(), hint: None }
    }

    pub(super) fn at(place: SourceLocation, message: impl Into<String>) -> Self {
        Self { place: Some(place), message: message.into(), hint: None }
    }

    /// A problem whose hint is the second line of `text`.
    pub(super) fn with_lines(place: SourceLocation, text: &str) -> Self {
        let (message, hint) =
            text.split_once("\n  hint: ").map_or((text, None), |(it, hint)| (it, Some(hint)));
        Self { place: Some(place), message: message.to_owned(), hint: hint.map(str::to_owned) }
    }

    /// Adds a hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The problem as a notice.
    pub(super) fn one_line(&self) -> String {
        let place = self.place.as_ref().map_or_else(String::new, |place| format!("{place}: "));
        let hint = self.hint.as_ref().map_or_else(String::new, |hint| format!("; {hint}"));
        format!("{place}{}{hint}", self.message)
    }

    pub(super) fn did_you_mean<'a>(self, word: &str, known: impl IntoIterator<Item = &'a str>) -> Self {
        match nearest(word, known) {
            Some(known) => self.hint(format!("did you mean `{known}`?")),
            None => self,
        }
    }
}

/// All problems, and the exit code for them. Nothing was started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems {
    list: Vec<Problem>,
    unshown: usize,
    code: ExitCode,
}

impl Problems {
    pub(super) fn none(code: ExitCode) -> Self {
        Self { list: Vec::new(), unshown: 0, code }
    }

    /// A single problem.
    pub fn one(code: ExitCode, problem: Problem) -> Self {
        Self { list: vec![problem], unshown: 0, code }
    }

    pub(super) fn push(&mut self, problem: Problem) {
        if self.list.len() < MAX_SHOWN {
            self.list.push(problem);
        } else {
            self.unshown += 1;
        }
    }

    /// Adds the problems of another file.
    pub(super) fn append(&mut self, others: Self) {
        self.unshown += others.unshown;
        for problem in others.list {
            self.push(problem);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    pub(super) fn is_full(&self) -> bool {
        self.list.len() >= MAX_SHOWN
    }

    pub(super) fn skip_one(&mut self) {
        self.unshown += 1;
    }

    /// Sorts the problems by their places.
    pub(super) fn sorted(mut self) -> Self {
        self.list.sort_by(|a, b| a.place.cmp(&b.place));
        self
    }

    /// 78 for a configuration, 64 for flags, 127 for a missing program, 126 for one that cannot be executed.
    pub fn exit_code(&self) -> ExitCode {
        self.code
    }

    /// The problems, at most 100.
    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.list.iter()
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = &self.place {
            write!(f, "{place}: ")?;
        }
        f.write_str(&printable_lines(&self.message))?;
        match &self.hint {
            Some(hint) => write!(f, "\n  hint: {}", printable_lines(hint)),
            None => Ok(()),
        }
    }
}

/// All problems, one or two lines each. The last line has their number.
impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for problem in &self.list {
            writeln!(f, "error: {problem}")?;
        }
        if self.unshown > 0 {
            writeln!(f, "… and {} more", self.unshown)?;
        }
        match self.list.len() + self.unshown {
            1 => f.write_str("1 error, nothing was started"),
            count => write!(f, "{count} errors, nothing was started"),
        }
    }
}

impl std::error::Error for Problems {}
