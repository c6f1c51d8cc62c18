//! Why a process did not start, and at which step.

use std::{fmt, io};

use super::super::limits::Part;

/// The step at which a start failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// No new process.
    Fork,
    /// Standard streams or session.
    Streams,
    /// What it may use, and its priority.
    Limits(Part),
    /// Supplementary groups, group or user.
    Credentials,
    /// Working directory.
    Chdir,
    /// The program itself.
    Exec,
}

impl Stage {
    /// The parts of [`Stage::Limits`] have their numbers from here on.
    pub(super) const LIMITS: u8 = 64;

    /// As it stands in the note.
    pub(super) fn number(self) -> u8 {
        match self {
            Self::Fork => 0,
            Self::Streams => 1,
            Self::Credentials => 2,
            Self::Chdir => 3,
            Self::Exec => 4,
            Self::Limits(part) => Self::LIMITS + part.number(),
        }
    }

    pub(super) fn from_number(number: u8) -> Self {
        match number {
            0 => Self::Fork,
            1 => Self::Streams,
            2 => Self::Credentials,
            3 => Self::Chdir,
            4..Self::LIMITS => Self::Exec,
            Self::LIMITS.. => Self::Limits(Part::from_number(number - Self::LIMITS)),
        }
    }
}

/// Why a process did not start.
#[derive(Debug)]
pub struct Error {
    /// Where it failed.
    pub stage: Stage,
    /// The kernel's reason.
    pub source: io::Error,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.stage {
            Stage::Fork => "cannot create a process",
            Stage::Streams => "cannot set up its standard streams",
            Stage::Limits(_) => "cannot set its limits",
            Stage::Credentials => "cannot switch to its user and groups",
            Stage::Chdir => "cannot enter its working directory",
            Stage::Exec => "cannot execute",
        };
        write!(f, "{what}: {}", self.source)
    }
}

impl std::error::Error for Error {}
