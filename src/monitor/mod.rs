//! CPU, memory and processes of workers, procrun, the container and the machine.
//!
//! | file | contents |
//! |---|---|
//! | `sampler` | one scan of `/proc` for all clients |
//! | `ticks` | pure: the CPU time of a tree since the last sample |
//! | `usage` | the figures, and those of the machine |
//! | `memory` | the memory of some trees, for a supervisor that samples all the time |
//! | `container_memory` | the memory that the container has left |
//! | `cgroup` | the figures and limits of the container, v1 and v2 |
//!
//! It measures only on request and makes no decision. Without a request nothing stays open.

#![expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "percentages need no more than 24 bits"
)]

mod cgroup;
mod container_memory;
mod memory;
mod sampler;
mod ticks;
mod usage;

pub use self::{
    cgroup::{Cgroup, CgroupUsage},
    container_memory::{Charge, ContainerMemory, machine_memory},
    memory::TreeMemory,
    sampler::Sampler,
    usage::{HostUsage, Sample, Usage},
};
