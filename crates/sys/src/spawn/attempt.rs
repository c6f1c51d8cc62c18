//! An attempt to start a process, as all threads see it: its failure, its process id, its cancellation.

use std::sync::{
    OnceLock,
    atomic::{AtomicI32, AtomicU32, AtomicU64, Ordering::SeqCst, fence},
};

use super::super::reap::Pid;

/// The failure of a child before its program, and the cancellation of its start. Parent and child share this memory
/// even where the child has a copy of everything else.
#[derive(Debug)]
#[repr(C)]
pub(super) struct SharedReport {
    /// The number of the last attempt that was cancelled.
    pub(super) cancelled: AtomicU64,
    /// The number of the failed stage plus 1. 0: no failure.
    pub(super) stage: AtomicU32,
    pub(super) errno: AtomicI32,
}

/// An attempt, in the shared page of its thread. The attempts of a thread are numbered.
#[derive(Debug, Clone, Copy)]
pub(super) struct Attempt {
    pub(super) report: &'static SharedReport,
    pub(super) number: u64,
}

impl Attempt {
    pub(super) fn cancel(self) {
        // The late cancellation of an earlier attempt must not hide that of a later one.
        self.report.cancelled.fetch_max(self.number, SeqCst);
    }

    pub(super) fn is_cancelled(self) -> bool {
        self.report.cancelled.load(SeqCst) >= self.number
    }
}

/// The process id of a child, for threads other than the one that creates it. The kernel writes it before the child
/// runs, so the thread that reaps the child finds it here.
#[derive(Debug, Default)]
pub struct ChildId {
    pub(super) pid: AtomicI32,
    /// The attempt, once a thread has begun it.
    pub(super) attempt: OnceLock<Attempt>,
}

impl ChildId {
    /// The start is cancelled without a child.
    const CANCELLED: i32 = -1;

    /// The process id, once there is a child.
    pub fn get(&self) -> Option<Pid> {
        Some(self.pid.load(SeqCst)).filter(|pid| *pid > 0)
    }

    /// Whether this is the process id of the child. Only valid until the child has been reaped.
    pub fn is(&self, pid: Pid) -> bool {
        self.get() == Some(pid)
    }

    /// Cancels the start: the child does not execute its program after this call. Either [`Self::get`] returns the
    /// child after this call, or a child that is being created ends without executing its program.
    pub fn cancel(&self) {
        let _ = self.pid.compare_exchange(0, Self::CANCELLED, SeqCst, SeqCst);
        // Either this thread sees the attempt, or `begin` sees the cancellation.
        fence(SeqCst);
        if let Some(attempt) = self.attempt.get() {
            attempt.cancel();
        }
    }

    /// Whether the start was cancelled without a child.
    pub fn is_cancelled(&self) -> bool {
        self.pid.load(SeqCst) == Self::CANCELLED
    }

    /// Records the attempt of a thread that is about to create the child. False: the start is cancelled.
    pub(super) fn begin(&self, attempt: Attempt) -> bool {
        // Each id is used for one start only.
        let _ = self.attempt.set(attempt);
        fence(SeqCst);
        !self.is_cancelled()
    }
}
