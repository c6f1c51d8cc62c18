//! The message and the hint of each event.

use std::{
    borrow::Cow,
    fmt::{self, Display, Formatter},
    time::Duration,
};

use super::{ConfigChange, EventData, Notice, RuntimePart, SignalUse, TaskState};
use crate::{
    machine::{
        ending::{Ending, FollowUp},
        health::{HealthFailure, ProbeKind},
        memory::MemoryAction,
        readiness::{ReadinessFailure, ReadinessSource},
        reason::{ExitReason, ReloadAbortReason, StopKind},
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
                write!(f, "{subject} {stop} and drains its connections, for at most {timeout}")
            }
            EventData::Stopping { stop: StopKind::Shutdown, request } => {
                write!(f, "{subject}: sending {request}")
            }
            EventData::Stopping { stop, request } => {
                write!(f, "{subject} {stop}, sending {request}")
            }
            EventData::Exited { ending, cause, uptime, next, .. } => {
                let end = EndText { ending, uptime: *uptime, cause: cause.as_ref() };
                write!(f, "{subject} ended: {end}")?;
                follow_up(ending, *next, f)
            }
            EventData::Leftovers {} => write!(f, "{subject}: waiting for the processes that it left behind"),
            EventData::Killing { waited } => {
                write!(f, "{subject} has not ended after {}, killing its whole tree", HumanDuration(*waited))
            }
            EventData::Unkillable {} => write!(f, "not even SIGKILL ended {subject}, giving up on it"),
            EventData::SignalsLost { signals } => {
                let names: Vec<String> = signals.iter().map(ToString::to_string).collect();
                write!(f, "{subject} did not get {}: it could not be started", names.join(" and "))
            }
            EventData::RerunPending {} => {
                write!(f, "{subject} is a task: it finishes, then runs again with the new configuration")
            }
            EventData::Skipped { state: TaskState::Completed } => {
                write!(f, "{subject} is a task that has completed: left alone")
            }
            EventData::Skipped { state: TaskState::Running } => {
                write!(f, "{subject} is a task that runs: left alone")
            }
            EventData::EndedContainer { code } => write!(f, "{subject} ends the container with code {code}"),
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
                let gap = if *rolling { ", without downtime" } else { "" };
                write!(f, "reloading {subject}: {}, one after the other{gap}", Processes(*total))
            }
            EventData::ReloadCompleted { total, took } => {
                let were = if *total == 1 { "was" } else { "were" };
                write!(
                    f,
                    "{subject} is reloaded: {} {were} replaced in {}",
                    Processes(*total),
                    HumanDuration(*took)
                )
            }
            EventData::ReloadAborted { reason, replaced, total, rolling } => {
                write!(f, "the reload of {subject} is aborted: {reason}")?;
                aborted(reason, *replaced, *total, *rolling, f)
            }
            EventData::ReloadQueued { job } => {
                write!(f, "{subject} is being reloaded, {job} comes after that")
            }
            EventData::ReloadUnderWay {} => write!(f, "{subject} is being reloaded to that already"),
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
                write!(f, "{subject} has {used} of memory, its max_memory_restart is {limit}: {action}")
            }
            EventData::OomGuardStop { size, used, limit, times, wait, .. } => {
                let (size, used, limit) = (ByteSize(*size), ByteSize(*used), ByteSize(*limit));
                write!(
                    f,
                    "the container has {used} of its {limit} of memory (oom_guard): {subject}, the largest with {size}, \
                     ends before the kernel kills, and starts again "
                )?;
                match *wait {
                    Duration::ZERO => f.write_str("when it is gone")?,
                    wait => write!(f, "{} after that", HumanDuration(wait))?,
                }
                if *times == 1 { Ok(()) } else { write!(f, " ({times} times in a row by now)") }
            }
            EventData::MemoryElsewhere { used, limit, instances } => {
                let (used, limit, instances) = (ByteSize(*used), ByteSize(*limit), ByteSize(*instances));
                write!(
                    f,
                    "the container has {used} of its {limit} of memory, but all workers together have {instances}: it \
                     would not help to end one"
                )
            }
            EventData::CommandReceived { command } => write!(f, "command: {command}"),
            EventData::AppChanged { change: ConfigChange::Added, .. } => write!(f, "{subject}: added"),
            EventData::AppChanged { change: ConfigChange::Removed, .. } => write!(f, "{subject}: removed"),
            EventData::AppChanged { change: ConfigChange::Changed, keys } => {
                write!(f, "{subject}: changed {}", keys.join(", "))
            }
            EventData::AppKept { reason } => write!(f, "app `{subject}` stays as it is: {reason}"),
            EventData::ConfigApplied { changes: 0 } => f.write_str("no application has changed"),
            EventData::ConfigApplied { changes: 1 } => f.write_str("applying the change of 1 application"),
            EventData::ConfigApplied { changes } => {
                write!(f, "applying the changes of {changes} applications")
            }
            EventData::ConfigRejected { problems } => {
                problems.iter().try_for_each(|problem| writeln!(f, "{problem}"))?;
                f.write_str("nothing was changed")
            }
            EventData::ConfigWarning { message } => f.write_str(message),
            EventData::RestartRequired {} => {
                f.write_str("the new format of log lines or address of the HTTP server applies when procrun is started again")
            }
            EventData::ClockSet { by } => {
                let direction = if *by < 0 { "back" } else { "forward" };
                let by = HumanDuration(Duration::from_millis(by.unsigned_abs()));
                write!(f, "the clock was set {direction} by {by}: schedules follow the new time")
            }
            EventData::ZoneFound { app } => {
                write!(f, "app `{app}`: its time zone is known, its schedule begins")
            }
            EventData::StartDelayed { delay } => {
                write!(f, "waiting for {} before anything starts", HumanDuration(*delay))
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
                    SignalUse::Ignore => f.write_str(": everything is being stopped, nothing is read again"),
                    SignalUse::Forward => f.write_str(", forwarding it"),
                }
            }
            EventData::Closing { delay } => {
                let delay = HumanDuration(*delay);
                write!(f, "nothing is ready any more; everything keeps serving for {delay} and then stops")
            }
            EventData::ShuttingDown { processes: 1 } => f.write_str("stopping 1 process"),
            EventData::ShuttingDown { processes } => write!(f, "stopping {processes} processes"),
            EventData::KillingAll {} => f.write_str("second request to stop, killing everything"),
            EventData::Exiting { code } => write!(f, "all done, ending with code {code}"),
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
            Self::Watching => "watch any files",
            Self::DrainScript => "write the script that drains workers",
            Self::HeartbeatScript => "write the script that sends heartbeats",
            Self::RunCgroups => "create a cgroup for each run",
            Self::TerminationMessage => "write the termination message",
        })
    }
}

/// The state after a reload was aborted.
fn aborted(
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
        (false, 0) if total == 1 => f.write_str("; its restart policy applies, as after any other exit"),
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
            Self::Replace => f.write_str("replacing it while it serves"),
            Self::Restart => f.write_str("restarting it"),
            Self::Postpone { times, wait } => {
                let wait = HumanDuration(*wait);
                write!(
                    f,
                    "{times} times in a row in a short time: it keeps serving for {wait} unless it grows much"
                )
            }
            Self::RestartLater { times, wait } => {
                let wait = HumanDuration(*wait);
                write!(
                    f,
                    "{times} times in a row in a short time, and it grows: stopping it, it starts again {wait} after its end"
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

/// How a run ended: `exit 1, up 1.2 s (memory: ...)`.
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
        FollowUp::Final if ending.code() == 0 => f.write_str(", done"),
        FollowUp::Final => f.write_str(", not restarting it"),
        FollowUp::Errored { unstable_runs } => {
            let starts = if unstable_runs == 1 { "start" } else { "starts in a row" };
            write!(f, ", errored: {unstable_runs} unstable {starts}")
        }
        FollowUp::Leftovers => f.write_str(", but some of its processes still run"),
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
            EventData::Exited { cause, next, .. } => {
                return exit_hint(cause.as_ref(), *next).map(Cow::Borrowed);
            }
            EventData::ReloadAborted { reason: ReloadAbortReason::NotReady { failure, .. }, .. } => {
                reload_hint(failure)
            }
            EventData::Blocked { .. } => "it starts as soon as that is fixed",
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
                "commands cannot reach this procrun; select another place with --socket FILE or PROCRUN_HOME"
            }
            EventData::Outage { part: RuntimePart::RunCgroups, .. } => {
                "with `cgroup = \"auto\"` runs get a cgroup only where that is possible"
            }
            EventData::Unhealthy { failure: HealthFailure::NoHeartbeat(_) } => {
                "what is not started as `node` itself has to send WATCHDOG=1 to NOTIFY_SOCKET, or unset `heartbeat`"
            }
            EventData::ChangesThrottled { .. } => {
                "if the app writes that file itself, name it in `ignore_watch`"
            }
            EventData::MemoryExceeded {
                action: MemoryAction::Postpone { .. } | MemoryAction::RestartLater { .. },
                ..
            } => "it leaks fast, or needs a higher limit",
            EventData::OomGuardStop { used, instances, .. } if *instances < used / 2 => {
                return Some(Cow::Owned(format!(
                    "all workers together have only {}: check what else is in the container (what `exec` has \
                     started in it, files in /dev/shm and in a tmpfs)",
                    ByteSize(*instances)
                )));
            }
            EventData::OomGuardStop { .. } => "set max_memory_restart for what leaks, or give it more memory",
            EventData::MemoryElsewhere { .. } => "files in /dev/shm and in a tmpfs are memory, too",
            _ => return None,
        };
        Some(Cow::Borrowed(hint))
    }
}

/// The next step after an exit, by its reason.
fn exit_hint(reason: Option<&ExitReason>, next: FollowUp) -> Option<&'static str> {
    match (reason?, next) {
        (ExitReason::UnhandledRejection, _) => Some(
            "handle the rejection; with node_args = \"--unhandled-rejections=warn\" Node only prints it and continues, \
             as under PM2",
        ),
        (ExitReason::CannotListen(failure), FollowUp::Errored { .. } | FollowUp::Final)
            if failure.is_in_use =>
        {
            Some(
                "another process listens there; several processes of one app share a port with \
             exec_mode = \"cluster\", or each needs its own port",
            )
        }
        (
            ExitReason::CannotListen(_)
            | ExitReason::UncaughtException
            | ExitReason::Memory(_)
            | ExitReason::Unhealthy(_)
            | ExitReason::Command(_)
            | ExitReason::FilesChanged(_)
            | ExitReason::Schedule
            | ExitReason::Configuration
            | ExitReason::ReloadAborted,
            _,
        ) => None,
    }
}

fn reload_hint(failure: &ReadinessFailure) -> &'static str {
    match failure {
        ReadinessFailure::Ended { ending: Ending::SpawnFailed(_), .. } => "fix that and reload again",
        ReadinessFailure::Ended { .. } => "its own log lines before this show why; fix it and reload again",
        ReadinessFailure::TimedOut { source: ReadinessSource::Listening, .. } => {
            "let it listen as the old version does, or give it more time with listen_timeout; then reload again"
        }
        ReadinessFailure::TimedOut { source: ReadinessSource::Message, .. } => {
            "let it call process.send('ready') or send READY=1 to NOTIFY_SOCKET, or give it more time with \
             listen_timeout; then reload again"
        }
        ReadinessFailure::WaitsForDependencies => {
            "check what it waits for (`procrun describe`), then reload again"
        }
        ReadinessFailure::ProbeFailed { .. }
        | ReadinessFailure::TimedOut { source: ReadinessSource::Probe, .. } => {
            "fix what its probe requests, or give it more time with listen_timeout; then reload again"
        }
        ReadinessFailure::Unhealthy(_) => {
            "its own log lines before this may show why; fix it and reload again"
        }
        ReadinessFailure::PredecessorAlive => {
            "check what the old process waits for (its state in /proc), then reload again"
        }
    }
}
