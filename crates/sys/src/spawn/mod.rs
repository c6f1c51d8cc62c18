//! Starting a process.
//!
//! A child that stays procrun's user shares procrun's memory until it executes its program: it runs on a
//! small stack of its own (`CLONE_VM`, clone(2)), as posix_spawn(3) does it. No page table is copied. In
//! exchange it may do nothing but make system calls: no allocation, no lock, and none of glibc's wrappers
//! that would talk to the parent's other threads.
//!
//! A child that becomes another user gets a copy of the memory instead. Sharing would make procrun itself
//! undumpable with the change of user, which closes `/proc/1/fd` to root.
//!
//! Either way the calling thread waits in the kernel (`CLONE_VFORK`) until the child has executed its
//! program or ended, and the child leaves a note of what failed in a page that both share. A process of the
//! application's user, or one of procrun's own user, can stop the child for ever (SIGSTOP), and so can a
//! file system that does not answer. So only threads that may wait for ever call [`spawn`], and
//! [`ChildId`] tells all others which process to kill: SIGKILL also ends a stopped process.
//!
//! A start can be given up while its child is being made and has no process id yet. The child reads that in the
//! shared page and ends instead of executing its program. So no thread kills a child by a number that another
//! process may have by then: the supervisor, which reaps the children, kills those whose number it knows.

mod attempt;
mod child;
mod descriptors;
mod error;
mod launch;
mod parent;
#[cfg(test)]
mod tests;

pub(super) use self::parent::threads;
pub use self::{
    attempt::ChildId,
    child::prepare,
    error::{Error, Stage},
    launch::{Cgroup, HANDED, Launch, channel_number, dev_null, forwarded_channel_number},
    parent::{close, spawn},
};
