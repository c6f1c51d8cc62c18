//! The process trees of workers: which processes belong to which run.
//!
//! There is one definition of a tree. All code that measures, ends or shows processes uses it: each process that
//! counts for a memory limit also ends with its run, and the other way round.
//!
//! A tree is the main process and all its descendants. When the parent of a process exits, this process (PID 1 or a
//! child subreaper) adopts the orphan. These facts show to which tree an orphan belongs, in this order ([`Witness`]):
//!
//! 1. An earlier scan found it in the tree (process id and start time).
//! 2. It is in the cgroup of the run, where runs have cgroups ([`RunCgroup`](super::run_cgroups::RunCgroup)). The
//!    cgroup of another run overrules the facts below.
//! 3. It has inherited a mark: a resource limit or an environment entry ([`RunMark`]). A mark of another run
//!    overrules the facts below.
//! 4. It is in a session that contains members of the tree. The kernel may reuse the number of a session.
//! 5. Its stdout or stderr is a pipe from which procrun reads the output of the instance.
//!
//! Only descendants of this process can be part of a tree. A process that an operator starts in the container
//! (`docker exec`) never is, whatever its environment contains.

mod index;
mod kill;
mod mark;
mod member;
mod owners;
mod refresh;
mod root;
mod scan;
mod signal;
#[cfg(test)]
mod tests;
mod trees;

pub use self::{
    kill::kill,
    mark::{RunMark, pipe_inode},
    member::{Member, Witness},
    root::Root,
    scan::{Identity, Process, adopted, all, children, command_line, name, stat_of},
    signal::send_signal,
    trees::Trees,
};
