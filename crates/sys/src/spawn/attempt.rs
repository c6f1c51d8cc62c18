//! One attempt to start a process, as all threads see it: its report, its process id, its cancellation.

use std::sync::{
    OnceLock,
    atomic::{AtomicI32, AtomicU32, AtomicU64, Ordering::SeqCst, fence},
};

use super::super::reap::Pid;

/// What failed before the child executed its program, and whether it is still to execute it. It lies in memory
/// that parent and child share also where the child has a copy of everything else.
#[derive(Debug)]
#[repr(C)]
pub(super) struct Note {
    /// The last start that was given up, by its number.
    pub(super) given_up: AtomicU64,
    /// The number of the stage and 1; 0: nothing has failed.
    pub(super) stage: AtomicU32,
    pub(super) errno: AtomicI32,
}

/// One start, in the page of the thread that makes it. The starts of a thread are numbered.
#[derive(Debug, Clone, Copy)]
pub(super) struct Attempt {
    pub(super) note: &'static Note,
    pub(super) number: u64,
}

impl Attempt {
    pub(super) fn give_up(self) {
        // A start that was given up late must not hide a later one.
        self.note.given_up.fetch_max(self.number, SeqCst);
    }

    pub(super) fn is_given_up(self) -> bool {
        self.note.given_up.load(SeqCst) >= self.number
    }
}

/// The process id of a child, for other threads than the one that makes it. The kernel writes it before the
/// child runs, so the thread that reaps the child finds it here.
#[derive(Debug, Default)]
pub struct ChildId {
    pub(super) pid: AtomicI32,
    /// Its start, as soon as a thread has begun to make it.
    pub(super) attempt: OnceLock<Attempt>,
}

impl ChildId {
    /// There will be no child.
    const NEVER: i32 = -1;

    /// The process id, once there is a child.
    pub fn get(&self) -> Option<Pid> {
        Some(self.pid.load(SeqCst)).filter(|pid| *pid > 0)
    }

    /// Whether it is this child's, which is the case until the child has been reaped.
    pub fn is(&self, pid: Pid) -> bool {
        self.get() == Some(pid)
    }

    /// Gives the start up: no child executes its program from now on. Either [`Self::get`] names the child after
    /// this call, or a child that is being made at the moment ends by itself.
    pub fn prevent(&self) {
        let _ = self.pid.compare_exchange(0, Self::NEVER, SeqCst, SeqCst);
        // Either the attempt is seen here, or this is seen by `begin`.
        fence(SeqCst);
        if let Some(attempt) = self.attempt.get() {
            attempt.give_up();
        }
    }

    /// Whether there is no child and none comes.
    pub fn is_prevented(&self) -> bool {
        self.pid.load(SeqCst) == Self::NEVER
    }

    /// A thread is about to make the child; false if the start has been given up.
    pub(super) fn begin(&self, attempt: Attempt) -> bool {
        // Each id is used for one start.
        let _ = self.attempt.set(attempt);
        fence(SeqCst);
        !self.is_prevented()
    }
}
