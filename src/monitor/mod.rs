//! What workers, procrun, the container and the machine use: CPU, memory, processes.
//!
//! | file | what it is for |
//! |---|---|
//! | `sampler` | one look through `/proc` for all consumers |
//! | `stat`, `owners`, `ticks` | pure: what a process says, whose it is, what it used since the last look |
//! | `usage` | the figures, and those of the machine |
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
mod sampler;
mod stat;
mod ticks;
mod usage;

pub use self::{
    cgroup::{Cgroup, CgroupUsage},
    sampler::Sampler,
    usage::{HostUsage, Sample, Usage},
};
