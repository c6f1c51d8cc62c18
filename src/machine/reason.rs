//! Why a run ended: procrun's own reason, if it had one, else how the process went.

use std::fmt;

use super::{Ending, Excess, Sickness};

/// Why procrun has ended a run, if that is more than that somebody asked for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// It had too much memory.
    Memory(Excess),
    /// It was not well.
    Sick(Sickness),
}

impl Reason {
    fn word(&self) -> &'static str {
        match self {
            Self::Memory(_) => "memory",
            Self::Sick(sickness) => sickness.reason(),
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory(excess) => excess.fmt(f),
            Self::Sick(sickness) => write!(f, "it {sickness}"),
        }
    }
}

/// The word for why a run ended, the same in logs, commands and metrics.
pub fn reason(ending: &Ending, reason: Option<&Reason>) -> &'static str {
    match (ending, reason) {
        // Whatever procrun was about to do, the kernel was faster.
        (Ending::OutOfMemory { .. }, _) | (_, None) => ending.reason(),
        (_, Some(reason)) => reason.word(),
    }
}
