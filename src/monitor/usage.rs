//! The figures that clients get.

use std::time::Duration;

use sysinfo::{MemoryRefreshKind, System};

use crate::sys::cpus;

/// The resources that the tree of one worker uses.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Usage {
    /// Percent of one core since the last sample, or since the start of the worker if that was later or there
    /// was no sample. `None`: the worker has no process.
    pub cpu: Option<f32>,
    /// CPU time of its processes and of those that they have waited for. `None`: the worker has no process.
    pub cpu_time: Option<Duration>,
    /// Resident memory in bytes, the sum over its processes. Shared pages count once per process.
    pub rss: u64,
    /// Memory in bytes where shared pages count once in total (PSS). `None`: not requested, or a process belongs
    /// to another user.
    pub pss: Option<u64>,
    /// Number of processes, including zombies.
    pub processes: u32,
    /// Number of threads of all processes.
    pub threads: u32,
    /// Number of open descriptors of all processes. `None` as for `pss`.
    pub open_files: Option<u64>,
}

/// All figures of one scan.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample<K> {
    /// The use of each requested worker, in the order of the request.
    pub workers: Vec<(K, Usage)>,
    /// The use of procrun itself, without its workers.
    pub own: Usage,
    /// The figures of the machine.
    pub host: HostUsage,
}

/// The resources of the machine and their use. In a container it is the whole machine, not the container's share.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct HostUsage {
    /// Number of CPUs.
    pub cpus: u32,
    /// Load over 1, 5 and 15 minutes.
    pub load: [f64; 3],
    /// Memory in bytes.
    pub memory: u64,
    /// Memory in bytes that is available without swapping.
    pub available: u64,
}

/// Reads the machine's figures.
#[derive(Debug, Default)]
pub(super) struct Host(Option<System>);

impl Host {
    pub(super) fn refresh(&mut self) {
        if self.0.is_none() {
            self.0 = System::new().ok();
        }
        if let Some(system) = &mut self.0 {
            system.refresh_memory_specifics(MemoryRefreshKind::nothing().with_ram());
        }
    }

    pub(super) fn figures(&self) -> HostUsage {
        let load = System::load_average().unwrap_or_default();
        let (memory, available) =
            self.0.as_ref().map_or((0, 0), |system| (system.total_memory(), system.available_memory()));
        HostUsage { cpus: cpus::online(), load: [load.one, load.five, load.fifteen], memory, available }
    }
}
