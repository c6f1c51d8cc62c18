//! The message and the hint of each event.

use std::{
    borrow::Cow,
    fmt::{self, Display, Formatter},
    time::Duration,
};

use super::{ConfigChange, EventData, EventSubject, Notice, RuntimePart, SignalUse, TaskState};
use crate::{
    machine::{
        ending::{Ending, FollowUp},
        health::{HealthFailure, ProbeKind},
        memory::MemoryAction,
        readiness::{ReadinessFailure, ReadinessSource},
        reason::{ExitReason, ReloadAbortReason},
    },
    spec::{ByteSize, HumanDuration},
};

/// The message of an event, without its hint.
impl Display for Notice {
    #[expect(clippy::too_many_lines, reason = "a table: a row for each event")]
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { subject, data } = self;
        match data {
            EventData::Online { pid } => write!(f, "{subject} is online, pid {pid}"),
            EventData::Launching { pid } => {
                write!(f, "{subject} is launching, pid {pid}, waiting for `ready`")
            }
            EventData::Ready { source, awaited, after } => {
                let source = match (source, awaited) {
                    (ReadinessSource::Listening, _) => "listens",
                    (ReadinessSource::Message, true) => "is ready",
                    (ReadinessSource::Message, false) => "reports that it is ready",
                    (ReadinessSource::Probe, _) => "passed its probe",
                };
                write!(f, "{subject} {source} after {}", HumanDuration(*after))
            }
            EventData::Waiting { dependency, waited: None } => write!(f, "{subject} waits for {dependency}"),
            EventData::Waiting { dependency, waited: Some(waited) } => {
                write!(f, "{subject} still waits for {dependency} after {}", HumanDuration(*waited))
            }
            EventData::Blocked { obstacle } => write!(f, "{subject} is not started: {obstacle}"),
            EventData::Healthy { probe, after } => {
                write!(f, "{subject} is {} after {}", passed(*probe), HumanDuration(*after))
            }
            EventData::ProbeFailed { probe, failures: 0, output, .. } => {
                write!(f, "{subject} is not {} yet: {output}", passed(*probe))
            }
            EventData::ProbeFailed { probe, failures, retries, output } => {
                write!(f, "{subject} is not {} ({failures} of {retries}): {output}", passed(*probe))
            }
            EventData::ReadinessLost { output } => write!(f, "{subject} is not ready: {output}"),
            EventData::Unhealthy { failure } => write!(f, "{subject} {failure}"),
            EventData::WithoutListener { address } => {
                write!(
                    f,
                    "{subject} handles the error and keeps running without {address}: it counts as online"
                )
            }
            EventData::NotReady { failure } => write!(f, "{subject} {failure}"),
            EventData::Draining { stop, timeout } => {
                let timeout = HumanDuration(*timeout);
                write!(f, "{subject}: {stop}, draining its connections for at most {timeout}")
            }
            EventData::Stopping { stop, request } => {
                write!(f, "{subject}: {stop}, sending {request}")
            }
            EventData::Exited { ending, cause, uptime, next, .. } => {
                let end = EndText { ending, uptime: *uptime, cause: cause.as_ref() };
                write!(f, "{subject} {}{end}", ending.prefix())?;
                follow_up(ending, *next, f)
            }
            EventData::Leftovers {} => write!(f, "{subject}: waiting for its remaining processes to exit"),
            EventData::Killing { waited } => {
                write!(
                    f,
                    "{subject} is still running after {}, sending SIGKILL to its process tree",
                    HumanDuration(*waited)
                )
            }
            EventData::Unkillable {} => write!(f, "{subject} is still running after SIGKILL, not waiting for it any longer"),
            EventData::SignalsLost { signals } => {
                let names: Vec<String> = signals.iter().map(ToString::to_string).collect();
                write!(f, "{subject} did not get {}: it could not be started", names.join(" and "))
            }
            EventData::RerunPending {} => {
                write!(f, "{subject} is a running task: after it completes, it runs again with the new configuration")
            }
            EventData::Skipped { state: TaskState::Completed } => {
                write!(f, "{subject} is a completed task: not restarted")
            }
            EventData::Skipped { state: TaskState::Running } => {
                write!(f, "{subject} is a running task: not restarted")
            }
            EventData::EndedContainer { code } => write!(f, "{subject} has exited: stopping all apps, exit code {code}"),
            EventData::ListenFailed { failure } => write!(f, "{subject} {failure}"),
            EventData::PortShared { address, other } => {
                write!(
                    f,
                    "{subject} listens on {address}, as {other} does: connections go to the workers of both"
                )
            }
            EventData::SocketRefused {} => {
                write!(
                    f,
                    "{subject} requests a socket of its cluster, which Bun cannot take: it gets ENOTSUP"
                )
            }
            EventData::ProtocolViolated { violation } => {
                write!(f, "{subject} {violation}; that is ignored, and later cases are not logged")
            }
            EventData::ChannelClosed { reason } => write!(f, "{subject} {reason}: its channel is closed"),
            EventData::ChannelMissing { signal } => {
                write!(f, "{subject} has no channel for the message `shutdown`, sending {signal}")
            }
            EventData::PidFileFailed { path, error } => {
                write!(f, "cannot write the pid file {path} of {subject}: {error}")
            }
            EventData::ReloadStarted { total, rolling } => {
                let order = if *total > 1 { ", one after the other" } else { "" };
                let gap = if *rolling { ", without downtime" } else { "" };
                write!(f, "reloading {subject}: {}{order}{gap}", Processes(*total))
            }
            EventData::ReloadCompleted { total, took } => {
                write!(f, "{subject} is reloaded: {} in {}", Processes(*total), HumanDuration(*took))
            }
            EventData::ReloadAborted { reason, replaced, total, rolling } => {
                write!(f, "the reload of {subject} is aborted: {reason}")?;
                aborted(subject, reason, *replaced, *total, *rolling, f)
            }
            EventData::ReloadQueued { job } => {
                write!(f, "{subject} is being reloaded, {job} follows after that")
            }
            EventData::ReloadUnderWay {} => write!(f, "{subject} is already being reloaded with this change"),
            EventData::SocketOpened { address } => write!(f, "{subject} listens on {address}"),
            EventData::AcceptFailed { error } => {
                write!(f, "cannot accept connections to {subject}: {error}; they wait")
            }
            EventData::ScheduleDue { schedule } => write!(f, "{subject} is due by its schedule ({schedule})"),
            EventData::FilesChanged { path, rolling } => {
                let what = if *rolling { "reloading" } else { "restarting" };
                write!(f, "{subject} changed: {path}, {what}")
            }
            EventData::ChangesThrottled { path, times, wait } => {
                let wait = HumanDuration(*wait);
                write!(
                    f,
                    "{subject} changed: {path}, {times} times in a row right after a start, restarting in {wait}"
                )
            }
            EventData::PathMissing { path, error } => {
                write!(f, "{subject}: cannot watch {path}: {error}; it is watched as soon as it exists")
            }
            EventData::WatchPolling { reason, interval } => {
                write!(f, "{subject}: {reason}; its files are scanned every {}", HumanDuration(*interval))
            }
            EventData::MemoryExceeded { used, limit, action } => {
                let (used, limit) = (ByteSize(*used), ByteSize(*limit));
                write!(f, "{subject} uses {used} of memory, above max_memory_restart ({limit}){action}")
            }
            EventData::OomGuardStop { size, used, limit, times, wait, .. } => {
                let (size, used, limit) = (ByteSize(*size), ByteSize(*used), ByteSize(*limit));
                write!(
                    f,
                    "the container uses {used} of {limit} of memory (oom_guard): restarting {subject}, the largest with \
                     {size}, before the kernel kills a process"
                )?;
                match *wait {
                    Duration::ZERO => {}
                    wait => write!(f, ", after a backoff of {}", HumanDuration(wait))?,
                }
                if *times == 1 { Ok(()) } else { write!(f, " ({times} times in a row)") }
            }
            EventData::MemoryElsewhere { used, limit, instances } => {
                let (used, limit, instances) = (ByteSize(*used), ByteSize(*limit), ByteSize(*instances));
                write!(
                    f,
                    "the container uses {used} of {limit} of memory, but all apps together use {instances}: a restart \
                     would not free enough"
                )
            }
            EventData::CommandReceived { command } => write!(f, "command: {command}"),
            EventData::AppChanged { change: ConfigChange::Added, .. } => write!(f, "{subject}: added"),
            EventData::AppChanged { change: ConfigChange::Removed, .. } => write!(f, "{subject}: removed"),
            EventData::AppChanged { change: ConfigChange::Changed, keys } => {
                write!(f, "{subject}: changed {}", keys.join(", "))
            }
            EventData::AppKept { reason } => write!(f, "app `{subject}` is unchanged: {reason}"),
            EventData::ConfigApplied { changes: 0 } => f.write_str("no app has changed"),
            EventData::ConfigApplied { changes: 1 } => f.write_str("applying the change of 1 app"),
            EventData::ConfigApplied { changes } => {
                write!(f, "applying the changes of {changes} apps")
            }
            EventData::ConfigRejected { problems } => {
                problems.iter().try_for_each(|problem| writeln!(f, "{problem}"))?;
                f.write_str("nothing was changed")
            }
            EventData::ConfigWarning { message } => f.write_str(message),
            EventData::RestartRequired {} => {
                f.write_str("the new format of log lines or address of the HTTP server applies after a restart of procrun")
            }
            EventData::ClockSet { by } => {
                let direction = if *by < 0 { "back" } else { "forward" };
                let by = HumanDuration(Duration::from_millis(by.unsigned_abs()));
                write!(f, "the clock was set {direction} by {by}: schedules follow the new time")
            }
            EventData::ZoneFound { app } => {
                write!(f, "app `{app}`: time zone found, its schedule begins")
            }
            EventData::StartDelayed { delay } => {
                write!(f, "waiting for {} before the first start (start_delay)", HumanDuration(*delay))
            }
            EventData::WebListening { url } => write!(f, "serving probes, metrics and the API at {url}"),
            EventData::Outage { part, error, retry } => {
                write!(f, "cannot {part}: {error}")?;
                retry.map_or(Ok(()), |every| write!(f, "; trying again every {}", HumanDuration(every)))
            }
            EventData::Recovered { part } => write!(f, "can {part} again"),
            EventData::SignalReceived { signal, sender_pid, action } => {
                write!(f, "received {signal}{}", SentBy(*sender_pid))?;
                match action {
                    SignalUse::Stop => f.write_str(", stopping"),
                    SignalUse::StopWithoutTerminal => f.write_str(": the terminal is gone, stopping"),
                    SignalUse::ReadConfig(file) => write!(f, ", reading {file} again"),
                    SignalUse::Ignore => f.write_str(": procrun is stopping, the ecosystem file is not read again"),
                    SignalUse::Forward => f.write_str(", forwarding it"),
                }
            }
            EventData::Closing { delay } => {
                let delay = HumanDuration(*delay);
                write!(f, "all apps report not ready; they keep serving for {delay} and then stop (pre_stop_delay)")
            }
            EventData::ShuttingDown { processes: 1 } => f.write_str("stopping 1 process"),
            EventData::ShuttingDown { processes } => write!(f, "stopping {processes} processes"),
            EventData::KillingAll {} => f.write_str("second stop request, sending SIGKILL to all processes"),
            EventData::Exiting { code } => write!(f, "all apps have exited, procrun exits with code {code}"),
        }
    }
}

/// What the part does, after "can" and "cannot".
impl Display for RuntimePart {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Signals => "receive signals",
            Self::RealTimeSignals => "forward real-time signals",
            Self::IpcChannels => "serve the IPC channels of Node workers",
            Self::NotifySockets => "read the notification sockets of workers",
            Self::ControlSocket => "serve the control socket",
            Self::Schedules => "set the timer of `cron_restart`",
            Self::Watching => "watch files",
            Self::DrainScript => "write the script that drains workers",
            Self::HeartbeatScript => "write the script that sends heartbeats",
            Self::RunCgroups => "create a cgroup for each run",
            Self::TerminationMessage => "write the termination message",
        })
    }
}

/// The state after a reload was aborted.
fn aborted(
    subject: &EventSubject,
    reason: &ReloadAbortReason,
    replaced: u32,
    total: u32,
    rolling: bool,
    f: &mut Formatter<'_>,
) -> fmt::Result {
    match reason {
        ReloadAbortReason::Stopped | ReloadAbortReason::Removed | ReloadAbortReason::Shutdown => {
            return Ok(());
        }
        ReloadAbortReason::NotReady { .. } | ReloadAbortReason::MemoryShort => {}
    }
    match (rolling, replaced) {
        (true, 0) => f.write_str("; the old version keeps serving"),
        (false, 0) if total == 1 => write!(f, "; the restart policy of {subject} applies"),
        (false, 0) => {
            write!(f, "; none of the {total} was restarted before it, the others keep running unchanged")
        }
        (true, _) => {
            write!(f, "; {replaced} of {total} run the new version, the others keep serving with the old one")
        }
        (false, _) => {
            write!(f, "; {replaced} of {total} were restarted before it, the others keep running unchanged")
        }
    }
}

impl Display for MemoryAction {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Replace => f.write_str(": replacing it without downtime"),
            Self::Restart => f.write_str(": restarting it"),
            Self::Postpone { times, wait } => {
                let wait = HumanDuration(*wait);
                write!(
                    f,
                    ", {times} times in a row: restart delayed by {wait} (backoff), earlier if memory grows"
                )
            }
            Self::RestartLater { times, wait } => {
                let wait = HumanDuration(*wait);
                write!(
                    f,
                    ", {times} times in a row and still growing: restarting it after a backoff of {wait}"
                )
            }
        }
    }
}

fn passed(probe: ProbeKind) -> &'static str {
    match probe {
        ProbeKind::Liveness => "healthy",
        ProbeKind::Readiness => "ready",
    }
}

/// How a run ended: `code 1, up 1.2 s (memory limit: ...)`.
#[derive(Debug, Clone, Copy)]
pub struct EndText<'a> {
    /// How it ended.
    pub ending: &'a Ending,
    /// How long it was up.
    pub uptime: Duration,
    /// Why it ended, if more is known than `ending`.
    pub cause: Option<&'a ExitReason>,
}

impl Display for EndText<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { ending, uptime, cause } = self;
        write!(f, "{ending}")?;
        match ending {
            Ending::SpawnFailed(_) => {}
            Ending::Exited(_) | Ending::Signaled { .. } | Ending::OutOfMemory { .. } => {
                write!(f, ", up {}", HumanDuration(*uptime))?;
            }
        }
        cause.map_or(Ok(()), |cause| write!(f, " ({cause})"))
    }
}

fn follow_up(ending: &Ending, next: FollowUp, f: &mut Formatter<'_>) -> fmt::Result {
    match next {
        FollowUp::Restart(Duration::ZERO) => f.write_str(", restarting now"),
        FollowUp::Restart(wait) => write!(f, ", restarting in {}", HumanDuration(wait)),
        FollowUp::Stopped => Ok(()),
        FollowUp::Final if ending.code() == 0 => f.write_str(", completed"),
        FollowUp::Final => f.write_str(", not restarting it"),
        FollowUp::Errored { unstable_runs: 1 } => f.write_str(", errored"),
        FollowUp::Errored { unstable_runs } => write!(f, ", errored: {unstable_runs} unstable runs in a row"),
        FollowUp::Leftovers => f.write_str(", but some of its processes are still running"),
    }
}

/// `1 process`, `2 processes`.
struct Processes(u32);

impl Display for Processes {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.0 == 1 { f.write_str("1 process") } else { write!(f, "{} processes", self.0) }
    }
}

/// The process that sent a signal, after the signal; empty if it was the kernel.
#[derive(Debug, Clone, Copy)]
pub struct SentBy(pub Option<i32>);

impl Display for SentBy {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.0 {
            None => Ok(()),
            Some(0) => f.write_str(" from outside of the container"),
            Some(pid) => write!(f, " from process {pid}"),
        }
    }
}

impl Notice {
    /// The next step for the user, if there is one.
    pub fn hint(&self) -> Option<Cow<'static, str>> {
        let hint = match &self.data {
            EventData::Exited { ending, cause, next, .. } => {
                return exit_hint(self.app_name(), ending, cause.as_ref(), *next);
            }
            EventData::ReloadAborted { reason: ReloadAbortReason::NotReady { failure, .. }, .. } => {
                return Some(reload_hint(self.app_name(), failure));
            }
            EventData::Blocked { .. } => "fix the dependency; the app then starts",
            EventData::PortShared { .. } => "give one of them another port, unless this is intended",
            EventData::SocketRefused {} => {
                "set `reusePort: true`, so that each instance opens its own socket"
            }
            EventData::Outage { part: RuntimePart::DrainScript, .. } => {
                "workers get their stop signal without draining; mount a tmpfs on /dev/shm, or set drain = \"off\""
            }
            EventData::Outage { part: RuntimePart::HeartbeatScript, .. } => {
                "`heartbeat` gets nothing from Node workers; mount a tmpfs on /dev/shm"
            }
            EventData::Outage { part: RuntimePart::ControlSocket, retry: None, .. } => {
                "commands cannot reach this procrun; choose another path with --socket FILE or PROCRUN_HOME"
            }
            EventData::Outage { part: RuntimePart::RunCgroups, .. } => {
                "with `cgroup = \"auto\"` runs get a cgroup only if the system permits it"
            }
            EventData::Unhealthy { failure: HealthFailure::NoHeartbeat(_) } => {
                "a worker that is not started as `node` must send WATCHDOG=1 to NOTIFY_SOCKET; otherwise unset `heartbeat`"
            }
            EventData::ChangesThrottled { .. } => {
                "if the app writes this file itself, add it to `ignore_watch`"
            }
            EventData::MemoryExceeded {
                action: MemoryAction::Postpone { .. } | MemoryAction::RestartLater { .. },
                ..
            } => {
                let app = self.app_name();
                return Some(Cow::Owned(format!(
                    "look for a memory leak in {app}, or raise its max_memory_restart"
                )));
            }
            EventData::OomGuardStop { used, instances, .. } if *instances < used / 2 => {
                return Some(Cow::Owned(format!(
                    "all apps together use only {}: check the rest of the container (processes that `docker exec` has \
                     started, files in /dev/shm and in a tmpfs)",
                    ByteSize(*instances)
                )));
            }
            EventData::OomGuardStop { .. } => {
                "set max_memory_restart for the app that leaks, or raise the memory limit of the container"
            }
            EventData::MemoryElsewhere { .. } => {
                "check the rest of the container: processes that `docker exec` has started, and files in /dev/shm \
                 and in a tmpfs, which are memory too"
            }
            _ => return None,
        };
        Some(Cow::Borrowed(hint))
    }

    /// The name of the app, for commands in hints.
    fn app_name(&self) -> &str {
        self.subject.app.as_deref().unwrap_or("all")
    }
}

/// The next step after an exit, by its reason.
fn exit_hint(
    app: &str,
    ending: &Ending,
    reason: Option<&ExitReason>,
    next: FollowUp,
) -> Option<Cow<'static, str>> {
    match (reason, next) {
        (Some(ExitReason::UnhandledRejection), _) => Some(Cow::Borrowed(
            "handle the rejection; with node_args = \"--unhandled-rejections=warn\" Node only prints it and continues, \
             as under PM2",
        )),
        (Some(ExitReason::CannotListen(failure)), FollowUp::Errored { .. } | FollowUp::Final)
            if failure.is_in_use =>
        {
            Some(Cow::Borrowed(
                "another process listens there (`ss -ltnp` shows it); several processes of one app need \
                 exec_mode = \"cluster\" or a port each",
            ))
        }
        (_, FollowUp::Errored { .. }) => Some(Cow::Owned(match ending {
            Ending::SpawnFailed(_) => format!("after the fix, `procrun restart {app}` starts it again"),
            Ending::Exited(_) | Ending::Signaled { .. } | Ending::OutOfMemory { .. } => format!(
                "`procrun logs {app} --err` shows its output; after the fix, `procrun restart {app}` starts it again"
            ),
        })),
        (_, FollowUp::Restart(_) | FollowUp::Stopped | FollowUp::Final | FollowUp::Leftovers) => None,
    }
}

fn reload_hint(app: &str, failure: &ReadinessFailure) -> Cow<'static, str> {
    Cow::Borrowed(match failure {
        ReadinessFailure::Ended { ending: Ending::SpawnFailed(_), .. } => "fix that and reload again",
        ReadinessFailure::Ended { .. } | ReadinessFailure::Unhealthy(_) => {
            return Cow::Owned(format!("`procrun logs {app}` shows why; fix the app and reload again"));
        }
        ReadinessFailure::TimedOut { source: ReadinessSource::Listening, .. } => {
            "the app must listen as its old version does; raise listen_timeout if it needs more time, then reload again"
        }
        ReadinessFailure::TimedOut { source: ReadinessSource::Message, .. } => {
            "the app must call process.send('ready') or send READY=1 to NOTIFY_SOCKET; raise listen_timeout if it \
             needs more time, then reload again"
        }
        ReadinessFailure::WaitsForDependencies => {
            "check its dependencies with `procrun describe`, then reload again"
        }
        ReadinessFailure::ProbeFailed { .. }
        | ReadinessFailure::TimedOut { source: ReadinessSource::Probe, .. } => {
            "make its probe pass, or raise listen_timeout, then reload again"
        }
        ReadinessFailure::PredecessorAlive => {
            "check the state of the old process (/proc/PID/status), then reload again"
        }
    })
}
