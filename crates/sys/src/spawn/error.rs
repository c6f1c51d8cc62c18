//! The error of a start: the stage that failed, and the reason.

use std::{fmt, io};

use super::super::limits::Part;

/// The stage at which a start failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Creating the process.
    Fork,
    /// Standard streams, other descriptors or session.
    Streams,
    /// Limits and priority.
    Limits(Part),
    /// Supplementary groups, group or user.
    Credentials,
    /// Working directory.
    Chdir,
    /// execve(2) of the program.
    Exec,
}

impl Stage {
    /// The numbers from here on are those of [`Stage::Limits`], by part.
    pub(super) const LIMITS: u8 = 64;

    /// The number in the memory that parent and child share.
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
    /// The stage that failed.
    pub stage: Stage,
    /// The error of the system call.
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
