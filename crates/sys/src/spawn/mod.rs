//! Starts a process.
//!
//! A child that keeps procrun's user shares procrun's memory until it executes its program: it runs on its own small
//! stack (`CLONE_VM`, clone(2)), like posix_spawn(3). No page table is copied. In return it may only make system
//! calls: no allocation, no lock, and none of the wrappers of glibc that signal the parent's other threads.
//!
//! A child that becomes another user gets a copy of the memory instead. With shared memory the change of user would
//! make procrun itself undumpable, which closes `/proc/1/fd` to root (proc(5)).
//!
//! In both cases the calling thread waits in the kernel (`CLONE_VFORK`) until the child has executed its program or
//! ended. The child stores a failure in a page that both share. A process of the application's user, or of procrun's
//! own user, can stop the child forever (SIGSTOP), and so can a file system that does not respond. So only threads
//! that may block forever call [`spawn`]. [`ChildId`] tells the other threads which process to kill: SIGKILL also
//! ends a stopped process.
//!
//! A start can be cancelled while its child is being created and has no process id yet. The child checks that in the
//! shared page, and ends instead of executing its program. So no thread kills a child by a number that the kernel may
//! have reused: the supervisor, which reaps the children, kills those whose number it knows.

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
