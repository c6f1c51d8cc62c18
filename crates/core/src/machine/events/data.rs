//! The kinds of events and their data.

use std::{borrow::Cow, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{
    machine::{
        ending::{Ending, FollowUp, StopMethod},
        fault::ListenFailure,
        health::{HealthFailure, ProbeKind},
        memory::MemoryAction,
        readiness::{ReadinessFailure, ReadinessSource},
        reason::{ExitReason, ReloadAbortReason, StopKind},
        serde_form::{millis, optional_millis, signal_name, signal_names},
    },
    spec::{ExitCode, Signal},
};

/// Defines [`EventData`]: each variant with its stable kind.
macro_rules! event_data {
    ($($(#[doc = $doc:literal])+ $kind:literal $name:ident {
        $($(#[$attribute:meta])* $field:ident: $type:ty),* $(,)?
    })*) => {
        /// What has happened, by kind. Programs rely on the kinds and on the names of the fields: both stay.
        #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(tag = "kind", content = "data")]
        #[expect(missing_docs, reason = "docs/reference/events.md describes the fields")]
        pub enum EventData {
            $($(#[doc = $doc])+ #[serde(rename = $kind)] $name { $($(#[$attribute])* $field: $type),* },)*
        }

        impl EventData {
            /// All kinds.
            pub const KINDS: &'static [&'static str] = &[$($kind),*];

            /// The stable name of the kind.
            pub fn kind(&self) -> &'static str {
                match self {
                    $(Self::$name { .. } => $kind,)*
                }
            }
        }
    };
}

event_data! {
    /// The program of an instance is being executed.
    "instance.online" Online { pid: i32 }
    /// The program of an instance is being executed; the instance is online when it sends `ready`.
    "instance.launching" Launching { pid: i32 }
    /// An instance listens, or has sent `ready`, for the first time in this run.
    "instance.ready" Ready {
        source: ReadinessSource,
        /// The instance was launching until then (`wait_ready`).
        awaited: bool,
        #[serde(rename = "after_ms", with = "millis")]
        after: Duration,
    }
    /// An instance waits for its dependencies before it starts.
    "instance.waiting" Waiting {
        /// `db (ready)`.
        dependency: String,
        /// How long it has waited, if that is longer than expected.
        #[serde(rename = "waited_ms", with = "optional_millis", default, skip_serializing_if = "Option::is_none")]
        waited: Option<Duration>,
    }
    /// An instance is not started, because a dependency of it has failed.
    "instance.blocked" Blocked {
        /// `migrate (0) is errored`.
        obstacle: String,
    }
    /// An instance has passed a probe for the first time in this run, or again.
    "instance.healthy" Healthy {
        probe: ProbeKind,
        #[serde(rename = "after_ms", with = "millis")]
        after: Duration,
    }
    /// An instance has failed a probe, and nothing follows yet.
    "instance.probe_failed" ProbeFailed {
        probe: ProbeKind,
        /// Failures in a row; 0 while the probe's `start_period` lasts.
        failures: u32,
        retries: u32,
        output: String,
    }
    /// An instance has failed its readiness probe `retries` times in a row.
    "instance.readiness_lost" ReadinessLost { output: String }
    /// An instance is unhealthy and is restarted.
    "instance.unhealthy" Unhealthy { failure: HealthFailure }
    /// An instance that could not listen handles that error and keeps running: it counts as online.
    "instance.without_listener" WithoutListener {
        /// `port 3000`.
        address: String,
    }
    /// An instance is not ready in time. It keeps running.
    "instance.not_ready" NotReady { failure: ReadinessFailure }
    /// An instance finishes its connections before it is stopped.
    "instance.draining" Draining {
        stop: StopKind,
        #[serde(rename = "timeout_ms", with = "millis")]
        timeout: Duration,
    }
    /// An instance was sent its stop signal or its shutdown message.
    "instance.stopping" Stopping {
        stop: StopKind,
        request: StopMethod,
    }
    /// The main process of an instance has ended, or could not be started.
    "instance.exited" Exited {
        /// The word for why it ended: `exit`, `signal`, `oom`, `memory` and others.
        reason: Cow<'static, str>,
        #[serde(flatten)]
        ending: Ending,
        /// Why procrun has ended it, or what it reported before it ended.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cause: Option<ExitReason>,
        #[serde(rename = "uptime_ms", with = "millis")]
        uptime: Duration,
        #[serde(flatten)]
        next: FollowUp,
    }
    /// Processes of an ended instance are still running and are stopped.
    "instance.leftovers" Leftovers {}
    /// An instance did not end within its `kill_timeout`: its process tree gets SIGKILL.
    "instance.killing" Killing {
        #[serde(rename = "waited_ms", with = "millis")]
        waited: Duration,
    }
    /// Not even SIGKILL ended an instance (a process in uninterruptible sleep).
    "instance.unkillable" Unkillable {}
    /// An instance could not be started, and its process was to get these signals.
    "instance.signals_lost" SignalsLost {
        #[serde(with = "signal_names")]
        signals: Vec<Signal>,
    }
    /// A task was changed while it runs: it is not interrupted, and runs again when it has ended.
    "instance.rerun_pending" RerunPending {}
    /// A command left a task alone, because the task was not named.
    "instance.skipped" Skipped { state: TaskState }
    /// The end of an instance is the end of the container (`on_errored`, `ends_container`).
    "instance.ended_container" EndedContainer { code: ExitCode }
    /// A Node worker could not listen.
    "instance.listen_failed" ListenFailed {
        #[serde(flatten)]
        failure: ListenFailure,
    }
    /// A worker of a cluster listens where workers of another application listen.
    "instance.port_shared" PortShared {
        /// `port 3000`.
        address: String,
        /// The name of the other application.
        other: String,
    }
    /// A worker of a cluster has requested a socket that its program cannot take (Bun).
    "instance.socket_refused" SocketRefused {}
    /// A worker has broken the protocol of its IPC channel. The message is ignored.
    "instance.protocol_error" ProtocolViolated { violation: String }
    /// The IPC channel of a worker was closed, because the worker has broken the protocol or does not read.
    "instance.channel_closed" ChannelClosed { reason: String }
    /// A worker without an IPC channel gets a signal in place of its shutdown message.
    "instance.channel_missing" ChannelMissing {
        #[serde(with = "signal_name")]
        signal: Signal,
    }
    /// The pid file of an instance could not be written.
    "instance.pid_file_failed" PidFileFailed { path: String, error: String }
    /// A reload of an application has begun.
    "reload.started" ReloadStarted {
        total: u32,
        /// Old and new processes serve side by side; else each old one ends before its new one starts.
        rolling: bool,
    }
    /// All processes that a reload was to replace are replaced.
    "reload.completed" ReloadCompleted {
        total: u32,
        #[serde(rename = "took_ms", with = "millis")]
        took: Duration,
    }
    /// A reload has ended before all processes were replaced.
    "reload.aborted" ReloadAborted { reason: ReloadAbortReason, replaced: u32, total: u32, rolling: bool }
    /// A change waits for the end of the reload of its application.
    "reload.queued" ReloadQueued {
        /// `another reload`.
        job: Cow<'static, str>,
    }
    /// The change of the ecosystem file is the one that a running reload applies already.
    "reload.under_way" ReloadUnderWay {}
    /// A socket of `listen` is open.
    "socket.listening" SocketOpened { address: String }
    /// Connections to an application could not be accepted. They wait in the kernel.
    "socket.accept_failed" AcceptFailed { error: String }
    /// The schedule of an application (`cron_restart`) is due.
    "schedule.due" ScheduleDue { schedule: String }
    /// Watched files have changed, and the application restarts or reloads.
    "watch.changed" FilesChanged { path: String, rolling: bool }
    /// Watched files change again and again right after a start: the restart is delayed.
    "watch.throttled" ChangesThrottled {
        path: String,
        /// Changes in a row that came soon after a start.
        times: u32,
        #[serde(rename = "wait_ms", with = "millis")]
        wait: Duration,
    }
    /// A path of `watch` cannot be watched. It is watched as soon as it exists.
    "watch.path_missing" PathMissing { path: String, error: String }
    /// The kernel sends no events for watched files: they are scanned at intervals.
    "watch.polling" WatchPolling {
        reason: String,
        #[serde(rename = "interval_ms", with = "millis")]
        interval: Duration,
    }
    /// An instance uses more memory than its `max_memory_restart`.
    "memory.limit_exceeded" MemoryExceeded {
        #[serde(rename = "used_bytes")]
        used: u64,
        #[serde(rename = "limit_bytes")]
        limit: u64,
        action: MemoryAction,
    }
    /// The memory of the container is short: the largest instance is stopped before the kernel kills one.
    "memory.oom_guard_stop" OomGuardStop {
        /// Memory of the instance.
        #[serde(rename = "size_bytes")]
        size: u64,
        /// Memory of the container.
        #[serde(rename = "used_bytes")]
        used: u64,
        #[serde(rename = "limit_bytes")]
        limit: u64,
        /// Memory of all instances together.
        #[serde(rename = "instances_bytes")]
        instances: u64,
        times: u32,
        #[serde(rename = "wait_ms", with = "millis")]
        wait: Duration,
    }
    /// The memory of the container is short, and the instances do not use it.
    "memory.used_elsewhere" MemoryElsewhere {
        #[serde(rename = "used_bytes")]
        used: u64,
        #[serde(rename = "limit_bytes")]
        limit: u64,
        #[serde(rename = "instances_bytes")]
        instances: u64,
    }
    /// A client has sent a command.
    "command.received" CommandReceived {
        /// `restart api`.
        command: String,
    }
    /// The ecosystem file was read again, and an application in it has changed.
    "config.app_changed" AppChanged {
        change: ConfigChange,
        /// The keys that differ, if it existed before.
        keys: Vec<Cow<'static, str>>,
    }
    /// The ecosystem file was read again, and an application is unchanged: a file system does not answer.
    "config.app_kept" AppKept { reason: String }
    /// The ecosystem file was read again and is applied.
    "config.applied" ConfigApplied {
        /// The number of applications that have changed.
        changes: usize,
    }
    /// The ecosystem file was read again and has errors: nothing was changed.
    "config.rejected" ConfigRejected { problems: Vec<String> }
    /// A key or value of the configuration has no effect, or an unexpected one.
    "config.warning" ConfigWarning { message: String }
    /// The ecosystem file was read again, and the format of log lines or the address of the HTTP server has changed:
    /// that applies after a restart of procrun.
    "config.restart_required" RestartRequired {}
    /// The wall clock was set by more than an hour: schedules follow the new time.
    "schedule.clock_set" ClockSet {
        /// Forward, or backward if it is negative.
        #[serde(rename = "by_ms")]
        by: i64,
    }
    /// The time zone of a schedule could be read at last.
    "schedule.zone_found" ZoneFound { app: String }
    /// Nothing starts before the `start_delay` is over.
    "runtime.start_delayed" StartDelayed {
        #[serde(rename = "delay_ms", with = "millis")]
        delay: Duration,
    }
    /// The HTTP server is open.
    "runtime.web_listening" WebListening { url: String }
    /// A part of procrun has failed. The other parts work.
    "runtime.outage" Outage {
        part: RuntimePart,
        error: String,
        /// The interval of the retries, if the part is tried again.
        #[serde(rename = "retry_ms", with = "optional_millis", default, skip_serializing_if = "Option::is_none")]
        retry: Option<Duration>,
    }
    /// A part of procrun that had failed works again.
    "runtime.recovered" Recovered { part: RuntimePart }
    /// procrun has received a signal.
    "runtime.signal" SignalReceived {
        #[serde(with = "signal_name")]
        signal: Signal,
        /// The process that sent it, as procrun sees it; 0: one outside of the container.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        sender_pid: Option<i32>,
        action: SignalUse,
    }
    /// A shutdown was requested, and everything serves on for `pre_stop_delay`.
    "runtime.closing" Closing {
        #[serde(rename = "delay_ms", with = "millis")]
        delay: Duration,
    }
    /// Everything is being stopped.
    "runtime.stopping" ShuttingDown { processes: usize }
    /// A second shutdown request: everything gets SIGKILL.
    "runtime.killing" KillingAll {}
    /// Everything has ended, and procrun ends.
    "runtime.exiting" Exiting { code: ExitCode }
}

impl EventData {
    /// Whether it is kept and sent to clients that follow events. A failed probe in the start period is not: it comes
    /// twice a second.
    pub fn is_kept(&self) -> bool {
        !matches!(self, Self::ProbeFailed { failures: 0, .. })
    }

    /// Whether a client that waits for an operation gets it as a step. A failed probe is none: it decides nothing yet.
    pub fn is_step(&self) -> bool {
        !matches!(self, Self::ProbeFailed { .. })
    }
}

/// Why a task was left alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TaskState {
    /// The task has completed.
    Completed,
    /// The task runs.
    Running,
}

/// How an application in the ecosystem file has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ConfigChange {
    /// The application is new.
    Added,
    /// The application was removed.
    Removed,
    /// The application's keys have changed.
    Changed,
}

/// A part of procrun that can fail while the others work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RuntimePart {
    /// Signals. Children are still reaped.
    Signals,
    /// The handlers of real-time signals.
    RealTimeSignals,
    /// The IPC channels and held sockets of Node workers.
    IpcChannels,
    /// The `NOTIFY_SOCKET` of workers.
    NotifySockets,
    /// The control socket.
    ControlSocket,
    /// The timer of `cron_restart`.
    Schedules,
    /// The thread that watches files.
    Watching,
    /// The script that drains Node workers.
    DrainScript,
    /// The script that sends heartbeats of Node workers.
    HeartbeatScript,
    /// The cgroups of runs.
    RunCgroups,
    /// The termination message.
    TerminationMessage,
}

/// What procrun does with a signal that it has received.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SignalUse {
    /// procrun stops everything.
    Stop,
    /// The terminal is gone: it stops everything.
    StopWithoutTerminal,
    /// procrun reads this ecosystem file again.
    ReadConfig(String),
    /// Nothing: procrun is shutting down.
    Ignore,
    /// procrun sends the signal to each instance.
    Forward,
}
