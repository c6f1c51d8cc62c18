//! The validated, immutable specification of the applications.
//!
//! A [`Plan`] is all that the runtime needs to know. It holds no open file, no resolved path and no clock; it
//! never changes after `config` has built it. A file that is read again is a new plan, and [`diff`] computes
//! the difference.

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
mod reload;
mod restart;
mod schedule;
pub mod serve;
mod stop;
mod units;
pub mod validate;
mod watch;

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
pub use program::{PACKAGE_RUNNER_PROGRAMS, PACKAGE_RUNNERS, ProgramKind};
pub use reload::ReloadPolicy;
pub use restart::{Backoff, OnErrored, RestartPolicy};
pub use schedule::{Fields, MonthDays, Pattern, Schedule};
pub use stop::{StopPolicy, StopSignalScope};
pub use units::{ByteSize, HumanDuration};
pub use watch::{Polling, WatchSpec};

/// Everything one procrun runs: the applications, and procrun's own settings.
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
    /// Wait this time before the first start (`--delay`).
    pub start_delay: Duration,
    /// End when every application has ended (PM2: the absence of `--no-auto-exit`).
    pub auto_exit: bool,
    /// How long a stop of everything may take until the last SIGKILL (`shutdown_timeout`, and what
    /// `PROCRUN_GRACE_SECONDS` leaves). `None`: the larger of 8 s and the longest `kill_timeout`.
    pub shutdown_timeout: Option<Duration>,
    /// How long everything goes on serving, no longer ready, before it is stopped (`pre_stop_delay`); at
    /// most half of the whole time.
    pub pre_stop_delay: Duration,
    /// When a worker is ended so that the kernel ends none.
    pub oom_guard: OomGuard,
    /// Whether each run gets a cgroup of its own.
    pub cgroup: RunCgroup,
    /// How lines look on stdout and stderr.
    pub log: RuntimeLog,
    /// Where it is written why procrun has ended.
    pub termination_log: TerminationLog,
}

/// Where it is written why procrun has ended (`termination_log`).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum TerminationLog {
    /// Where Kubernetes wants it, if that file is there.
    #[default]
    IfThere,
    /// To this file.
    File(PathBuf),
    /// Nowhere.
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
        }
    }
}
