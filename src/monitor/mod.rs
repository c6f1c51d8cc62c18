//! What workers, procrun, the container and the machine use: CPU, memory, processes.
//!
//! | file | what it is for |
//! |---|---|
//! | `sampler` | one look through `/proc` for all consumers |
//! | `stat`, `owners`, `ticks` | pure: what a process says, whose it is, what it used since the last look |
//! | `usage` | the figures, and those of the machine |
//! | `trees` | the memory of some trees alone, for who looks all the time |
//! | `room` | what the container has left of its memory |
//! | `cgroup` | the figures and limits of the container, v1 and v2 |
//!
//! Measures only when it is asked, and decides nothing. Nothing is held while nobody asks.

#![expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "figures for people: a percentage needs no 24 bits"
)]

mod cgroup;
mod owners;
mod room;
mod sampler;
mod stat;
mod ticks;
mod trees;
mod usage;

pub use self::{
    cgroup::{Cgroup, CgroupUsage},
    room::{Charge, Room, machine_memory},
    sampler::Sampler,
    trees::Trees,
    usage::{HostUsage, Sample, Usage},
};
