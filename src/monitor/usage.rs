//! The figures, as views get them.

use sysinfo::{MemoryRefreshKind, System};

use crate::sys::cpus;

/// What the tree of one worker uses.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Usage {
    /// Percent of one core since the last sample, or since the start of the worker if that was later or there
    /// was no sample. `None`: the worker has no process.
    pub cpu: Option<f32>,
    /// Resident memory in bytes, the sum over its processes. What they share counts in each.
    pub rss: u64,
    /// The same in bytes, where what is shared counts in parts. `None`: not asked for, or a process is
    /// another user's.
    pub pss: Option<u64>,
    /// Processes, those that have ended and were not waited for included.
    pub processes: u32,
    /// Threads of all of them.
    pub threads: u32,
    /// Open descriptors of all of them. `None` as for `pss`.
    pub open_files: Option<u64>,
}

/// All figures of one look.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample<K> {
    /// The use of each requested worker, in the order of the request.
    pub workers: Vec<(K, Usage)>,
    /// Of procrun itself, without its workers.
    pub own: Usage,
    /// Of the machine.
    pub host: HostUsage,
}

/// What the machine has, and what of it is used. In a container it is the whole machine, not the
/// container's share.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct HostUsage {
    /// CPUs of the machine.
    pub cpus: u32,
    /// Load over 1, 5 and 15 minutes.
    pub load: [f64; 3],
    /// Bytes of memory.
    pub memory: u64,
    /// Bytes of it that could be had without swapping.
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
        HostUsage {
            cpus: cpus::of_the_machine(),
            load: [load.one, load.five, load.fifteen],
            memory,
            available,
        }
    }
}
