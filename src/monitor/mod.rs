//! What workers, procrun, the container and the machine use: CPU, memory, processes.
//!
//! | file | what it is for |
//! |---|---|
//! | `sampler` | one look through `/proc` for all consumers |
//! | `ticks` | pure: the CPU time of a tree since the last look |
//! | `usage` | the figures, and those of the machine |
//! | `memory` | the memory of some trees alone, for a supervisor that looks all the time |
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
mod memory;
mod room;
mod sampler;
mod ticks;
mod usage;

pub use self::{
    cgroup::{Cgroup, CgroupUsage},
    memory::TreeMemory,
    room::{Charge, Room, machine_memory},
    sampler::Sampler,
    usage::{HostUsage, Sample, Usage},
};
