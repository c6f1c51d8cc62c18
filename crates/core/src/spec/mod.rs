//! The validated, immutable specification of the applications.
//!
//! A [`Plan`] has all settings. It contains no open file, no resolved path and no clock, and it never changes after
//! `config` has built it. A file that is read again becomes a new plan, and [`diff`] computes the difference.

mod app;
mod cgroup;
pub mod dependencies;
pub mod diff;
mod exit;
mod health;
mod limits;
mod listen;
mod logs;
mod memory;
pub mod order;
pub mod placeholder;
mod program;
mod quorum;
mod reload;
mod restart;
mod schedule;
pub mod serve;
mod stop;
mod units;
pub mod validate;
mod watch;
mod web;

use std::{path::PathBuf, sync::Arc, time::Duration};

pub use app::{
    AppSpec, Balance, EnvSpec, Exec, ExecMode, Identity, InheritEnv, Instances, Interpreter, PrincipalRef,
    Stdin, UnreadFile,
};
pub use cgroup::RunCgroup;
pub use diff::AppChange;
pub use exit::{ExitCode, Signal};
pub use health::{HealthSpec, Probe, ProbeAddress, ProbeTarget};
pub use limits::{Allowance, Limits, Resource, Unit};
pub use listen::{Listen, ListenAddress};
pub use logs::{LogFiles, LogHistory, LogSpec, LogStyle, NO_FILE, RuntimeLog, Verbosity};
pub use memory::{MemoryLimit, OomGuard, Share};
pub use order::{Condition, Dependency, Order};
pub use program::{PACKAGE_RUNNERS, ProgramKind, WAITING_RUNNERS, package_runner_programs};
pub use quorum::{NotAQuorum, Quorum};
pub use reload::ReloadPolicy;
pub use restart::{Backoff, OnErrored, RestartPolicy};
pub use schedule::{Fields, MonthDays, Pattern, Schedule};
pub use stop::{StopPolicy, StopSignalScope};
pub use units::{ByteSize, HumanDuration};
pub use watch::{Polling, WatchSpec};
pub use web::WebAddress;

/// The applications of one procrun, and its own settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The applications in the order of the file; names are unique.
    pub apps: Vec<Arc<AppSpec>>,
    /// procrun's own settings, which stand beside `apps` at the root of the file.
    pub runtime: Runtime,
}

/// procrun's own settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Runtime {
    /// The delay before the first start (`start_delay`).
    pub start_delay: Duration,
    /// Whether procrun exits when every application has exited for good (`auto_exit`).
    pub auto_exit: bool,
    /// The shutdown budget, up to the last SIGKILL (`shutdown_timeout`, limited by `PROCRUN_GRACE_SECONDS`).
    /// `None`: the larger of 8 s and the longest `kill_timeout`.
    pub shutdown_timeout: Option<Duration>,
    /// The time before a shutdown in which everything keeps serving but is not ready (`pre_stop_delay`); at most
    /// half of the shutdown budget.
    pub pre_stop_delay: Duration,
    /// When a worker restarts before the kernel kills a process (`oom_guard`).
    pub oom_guard: OomGuard,
    /// Whether each run gets a cgroup of its own (`cgroup`).
    pub cgroup: RunCgroup,
    /// The format of lines on stdout and stderr.
    pub log: RuntimeLog,
    /// The file of the termination message.
    pub termination_log: TerminationLog,
    /// Where the HTTP server listens; `None`: there is none.
    pub web: Option<Box<WebAddress>>,
}

/// The file of the termination message (`termination_log`).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum TerminationLog {
    /// `/dev/termination-log`, if it exists.
    #[default]
    IfThere,
    /// This file.
    File(PathBuf),
    /// No file.
    Off,
}

impl Default for Runtime {
    fn default() -> Self {
        Self {
            start_delay: Duration::ZERO,
            auto_exit: true,
            shutdown_timeout: None,
            pre_stop_delay: Duration::ZERO,
            oom_guard: OomGuard::default(),
            cgroup: RunCgroup::default(),
            log: RuntimeLog::default(),
            termination_log: TerminationLog::default(),
            web: None,
        }
    }
}
