//! What the thread of the HTTP server reads itself, so that the supervisor need not: the figures of procrun's own
//! process and of the container, and open files.

use std::{
    fs,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use nix::sys::resource::{UsageWho, getrusage};

use crate::{
    monitor::{Cgroup, CgroupUsage},
    web::clock::now,
};

/// The figures that are read here.
#[derive(Debug, Default)]
pub(in crate::web) struct Own {
    pub(super) cpu: Option<Duration>,
    pub(super) open_files: Option<u64>,
    pub(super) container: CgroupUsage,
    /// Of the main processes, in their order.
    pub(super) files_of_instances: Vec<Option<u64>>,
}

impl Own {
    /// Reads them; `processes` are the main processes of the instances.
    pub(in crate::web) fn read(cgroup: &Mutex<Option<Cgroup>>, processes: &[Option<i32>]) -> Self {
        let cpu = getrusage(UsageWho::RUSAGE_SELF).ok().map(|usage| {
            let milliseconds = |time: nix::sys::time::TimeVal| {
                let seconds = u64::try_from(time.tv_sec()).unwrap_or(0);
                seconds * 1_000_000 + u64::try_from(time.tv_usec()).unwrap_or(0)
            };
            Duration::from_micros(milliseconds(usage.user_time()) + milliseconds(usage.system_time()))
        });
        let mut cgroup = cgroup.lock().unwrap_or_else(PoisonError::into_inner);
        let container = cgroup.get_or_insert_with(Cgroup::find).sample(now().into_std());
        Self {
            cpu,
            open_files: open_files("self"),
            container,
            files_of_instances: processes
                .iter()
                .map(|pid| pid.and_then(|pid| open_files(&pid.to_string())))
                .collect(),
        }
    }
}

/// The number of open descriptors of a process. `None`: it belongs to another user, or the kernel is older than
/// Linux 6.2, where the number takes a system call for each descriptor.
fn open_files(process: &str) -> Option<u64> {
    fs::metadata(format!("/proc/{process}/fd")).ok().map(|found| found.len()).filter(|count| *count > 0)
}
