//! Configuration errors, collected so that all are reported at once.
//!
//! The parsers and the decoder find the errors.

use std::fmt;

use super::{suggest::nearest, tree::SourceLocation};
use crate::{shown::printable_lines, spec::ExitCode};

/// `EX_USAGE` of sysexits(3): the command line is wrong.
pub const EX_USAGE: ExitCode = 64;
/// `EX_CONFIG` of sysexits(3): the configuration is wrong.
pub const EX_CONFIG: ExitCode = 78;

/// `EX_IOERR` of sysexits(3): a file cannot be read.
pub const EX_IOERR: ExitCode = 74;

/// More than this many are only counted: a hostile file has a million.
const SHOWN: usize = 100;

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where, if it is in a file.
    pub place: Option<SourceLocation>,
    /// What, as a lower-case fragment.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Problem {
    /// A problem that is in no file.
    pub fn new(message: impl Into<String>) -> Self {
        Self { place: None, message: message.into(), hint: None }
    }

    pub(super) fn at(place: SourceLocation, message: impl Into<String>) -> Self {
        Self { place: Some(place), message: message.into(), hint: None }
    }

    /// A problem whose message ends with its advice in a line of its own.
    pub(super) fn with_lines(place: SourceLocation, text: &str) -> Self {
        let (message, hint) =
            text.split_once("\n  hint: ").map_or((text, None), |(it, hint)| (it, Some(hint)));
        Self { place: Some(place), message: message.to_owned(), hint: hint.map(str::to_owned) }
    }

    /// The same with advice.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// As a notice shows it.
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

/// Everything that is wrong, and the exit code it calls for. Nothing was started.
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

    /// One problem.
    pub fn one(code: ExitCode, problem: Problem) -> Self {
        Self { list: vec![problem], unshown: 0, code }
    }

    pub(super) fn push(&mut self, problem: Problem) {
        if self.list.len() < SHOWN {
            self.list.push(problem);
        } else {
            self.unshown += 1;
        }
    }

    /// Takes in those of another file.
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
        self.list.len() >= SHOWN
    }

    pub(super) fn skip_one(&mut self) {
        self.unshown += 1;
    }

    /// In the order of the file.
    pub(super) fn sorted(mut self) -> Self {
        self.list.sort_by(|a, b| a.place.cmp(&b.place));
        self
    }

    /// 78 for a configuration, 64 for flags, 127 or 126 for a program that is missing or cannot
    /// be executed.
    pub fn exit_code(&self) -> ExitCode {
        self.code
    }

    /// Each of them (at most 100).
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

/// All of them, one or two lines each, and their number in the last line.
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
