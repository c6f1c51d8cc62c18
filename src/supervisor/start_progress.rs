//! The progress of a start: its helper thread writes it, the supervisor reads it.

use std::{
    path::{Path, PathBuf},
    sync::{
        OnceLock,
        atomic::{AtomicU8, Ordering::SeqCst},
    },
};

use tokio::time::Instant;

use super::clock;
use crate::sys::spawn::ChildId;

/// A part of a start that may meet a file system that does not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Step {
    Accounts,
    EnvFile,
    WorkingDirectory,
    Program,
    Package,
    Sockets,
    Scripts,
    Execution,
}

impl Step {
    const ALL: [Self; 8] = [
        Self::Accounts,
        Self::EnvFile,
        Self::WorkingDirectory,
        Self::Program,
        Self::Package,
        Self::Sockets,
        Self::Scripts,
        Self::Execution,
    ];

    /// The inverse of `as u8`.
    pub(super) fn from_number(number: u8) -> Self {
        Self::ALL[usize::from(number).min(Self::ALL.len() - 1)]
    }

    /// The error for a step that does not end.
    pub(super) fn shown(self) -> &'static str {
        match self {
            Self::Accounts => "reading /etc/passwd and /etc/group timed out",
            Self::EnvFile => "reading its `env_file` timed out",
            Self::WorkingDirectory => "opening its cwd timed out",
            Self::Program => "looking up its script and the programs of PATH timed out",
            Self::Package => "reading the package.json of its script timed out",
            Self::Sockets => "opening its `listen` sockets timed out",
            Self::Scripts => "writing procrun's scripts for Node timed out",
            Self::Execution => "the new process has not executed its program in time",
        }
    }
}

/// The progress of a start, which its helper thread and the supervisor share.
#[derive(Debug, Default)]
pub(super) struct StartProgress {
    state: AtomicU8,
    step: AtomicU8,
    pub(super) begun: OnceLock<Instant>,
    /// When the execution of its program began, and the program.
    pub(super) executes: OnceLock<(Instant, PathBuf)>,
    pub(super) child: ChildId,
}

impl StartProgress {
    const WAITS: u8 = 0;
    const BEGUN: u8 = 1;
    const CANCELLED: u8 = 2;

    /// The thread begins with it; false if it has been cancelled.
    pub(super) fn begin(&self) -> bool {
        let _ = self.begun.set(clock::now());
        self.state.compare_exchange(Self::WAITS, Self::BEGUN, SeqCst, SeqCst).is_ok()
    }

    /// Whether it has been cancelled before a thread began with it.
    pub(super) fn cancel(&self) -> bool {
        self.state.compare_exchange(Self::WAITS, Self::CANCELLED, SeqCst, SeqCst).is_ok()
    }

    pub(super) fn is_cancelled(&self) -> bool {
        self.state.load(SeqCst) == Self::CANCELLED
    }

    pub(super) fn has_begun(&self) -> bool {
        self.state.load(SeqCst) == Self::BEGUN
    }

    /// The thread begins with this step.
    pub(super) fn enter(&self, step: Step) {
        self.step.store(step as u8, SeqCst);
    }

    pub(super) fn step(&self) -> Step {
        Step::from_number(self.step.load(SeqCst))
    }

    /// The process of the start is about to be made and to execute this program.
    pub(super) fn executes(&self, program: &Path) {
        let _ = self.executes.set((clock::now(), program.to_owned()));
    }

    /// When its thread began with the current step.
    pub(super) fn since(&self) -> Option<Instant> {
        let executes = self.executes.get().map(|(at, _)| *at);
        executes.or_else(|| self.begun.get().copied().filter(|_| self.has_begun()))
    }
}
