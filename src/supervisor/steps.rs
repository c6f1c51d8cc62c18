//! What a command is told while it waits: the machine's notices as lines for people.

use std::time::Duration;

use crate::{
    machine::{
        Count, Ending, Manner, Next, Notice, Operation, ProbeKind, Readable, Sign, Size, StopCause, Subject,
    },
    spec::Signal,
};

/// What has happened, in a line; `None` when it is nothing to whoever waits.
pub(super) fn text(notice: &Notice) -> Option<String> {
    Some(match notice {
        Notice::Ended { who, ending, reason, uptime, next } => {
            let up = match ending {
                Ending::SpawnFailed(_) => String::new(),
                Ending::Exited(_) | Ending::Signaled { .. } | Ending::OutOfMemory { .. } => {
                    format!(", up {}", Readable(*uptime))
                }
            };
            let next = match next {
                Next::Restart(wait) if wait.is_zero() => ", restarting now".to_owned(),
                Next::Restart(wait) => format!(", restarting in {}", Readable(*wait)),
                Next::Errored { .. } => ", errored".to_owned(),
                Next::Sweep => ", but some of its processes are left".to_owned(),
                Next::Stay | Next::Final => String::new(),
            };
            let why = reason.as_ref().map_or_else(String::new, |reason| format!(" ({reason})"));
            format!("{who} ended: {ending}{up}{why}{next}")
        }
        Notice::Ready { who, sign, after } => {
            format!("{who} {} after {}", shows(*sign), Readable(*after))
        }
        Notice::WaitsFor { who, what, late } => waits(who, what, *late),
        Notice::Blocked { who, what } => format!("{who} is not started: {what}"),
        Notice::Well { who, kind, after } => {
            let what = match kind {
                ProbeKind::Liveness => "healthy",
                ProbeKind::Readiness => "ready",
            };
            format!("{who} is {what} after {}", Readable(*after))
        }
        Notice::NotReadyNow { who, said } => format!("{who} is not ready: {said}"),
        Notice::Sick { who, sickness } => format!("{who} {sickness}"),
        Notice::Failed { .. } => return None,
        Notice::Started { who } if who.spec.reload.wait_ready => format!("{who} runs, and is to say `ready`"),
        Notice::Started { who } => format!("{who} is online"),
        Notice::NotReady { who, setback } => format!("{who} {setback}"),
        Notice::GoesOn { who, place } => format!("{who} goes on without {place}"),
        Notice::Draining { who, within, .. } => {
            format!("{who} finishes its connections, for at most {}", Readable(*within))
        }
        Notice::Stopping { who, request, cause } => {
            let why = match cause {
                StopCause::Drained => "has no connections left: ",
                StopCause::NotDrained => "has not finished its connections: ",
                StopCause::Shutdown
                | StopCause::Removed
                | StopCause::Changed
                | StopCause::Asked
                | StopCause::Deleted
                | StopCause::ScaledDown
                | StopCause::FilesChanged
                | StopCause::Restarted
                | StopCause::Due
                | StopCause::Memory(_)
                | StopCause::Reloaded
                | StopCause::Sick
                | StopCause::Replaced
                | StopCause::GivenUp => "",
            };
            format!("{who}: {why}sent {request}")
        }
        Notice::Reloading { app, total, rolling } => reloading(app, *total, *rolling),
        Notice::Reloaded { app, total, took } => {
            format!("{app} is reloaded: {total} replaced in {}", Readable(*took))
        }
        Notice::ReloadFailed(failure) => failure.to_string(),
        Notice::Queued { app, what } => format!("{app} is being reloaded, {what} comes after that"),
        Notice::FilesChanged { app, path, .. } => format!("{app} changed: {path}"),
        Notice::ChangesOften { app, path, wait, .. } => {
            format!("{app} changed: {path}, once more; that waits {}", Readable(*wait))
        }
        Notice::TaskChanged { who } => {
            format!("{who} is a task: it finishes, then runs again with the new configuration")
        }
        Notice::SignalsLost { who, signals } => signals_lost(who, signals),
        Notice::UnderWay { app } => format!("{app} is being reloaded to that already"),
        Notice::Leftovers { who } => format!("{who}: waiting for the processes it left behind"),
        Notice::Killing { who, waited } => {
            format!("{} is still there after {}, killing its whole tree", who, Readable(*waited))
        }
        Notice::Unkillable { who } => format!("not even SIGKILL ended {who}"),
        Notice::TooMuch { who, used, limit, .. } => {
            format!("{who} has {} of memory, its limit is {}", Size(*used), Size(*limit))
        }
        Notice::Retiring { who, used, limit, .. } => {
            format!("{who} ends: the container has {} of its {} of memory", Size(*used), Size(*limit))
        }
        Notice::MemoryElsewhere { .. }
        | Notice::Closing { .. }
        | Notice::ShuttingDown { .. }
        | Notice::KillingAll
        | Notice::Escalated { .. }
        | Notice::Due { .. } => {
            return None;
        }
    })
}

/// `app (0) did not get SIGUSR1 and SIGUSR2: it could not be started`.
pub(super) fn signals_lost(who: &Subject, signals: &[Signal]) -> String {
    let names: Vec<String> = signals.iter().map(ToString::to_string).collect();
    format!("{who} did not get {}: it could not be started", names.join(" and "))
}

fn shows(sign: Sign) -> &'static str {
    match sign {
        Sign::Listening => "listens",
        Sign::Message => "is ready",
        Sign::Probe => "passes its check",
    }
}

fn reloading(app: &str, total: u32, rolling: bool) -> String {
    let how = if rolling { "one after the other, without a gap" } else { "one after the other" };
    let processes = if total == 1 { "process" } else { "processes" };
    format!("reloading {app}: {total} {processes}, {how}")
}

fn waits(who: &Subject, what: &str, late: Option<Duration>) -> String {
    match late {
        None => format!("{who} waits for {what}"),
        Some(waited) => format!("{who} still waits for {what} after {}", Readable(waited)),
    }
}

/// What was asked for, for procrun's own log.
pub(super) fn asked(operation: &Operation, words: &[String]) -> String {
    let words = words.join(" ");
    match operation {
        Operation::Start(_) => format!("start {words}"),
        Operation::Stop(_) => format!("stop {words}"),
        Operation::Restart(_) => format!("restart {words}"),
        Operation::Reload(_) => format!("reload {words}"),
        Operation::Delete(_) => format!("delete {words}"),
        Operation::Apply { .. } => "apply the ecosystem file".to_owned(),
        Operation::Reset(_) => format!("reset {words}"),
        Operation::Signal(_, signal) => format!("send {signal} to {words}"),
        Operation::Become { manner: Manner::Changed, .. } => format!("add or change {words}"),
        Operation::Become { manner: Manner::Reload, .. } => format!("change and reload {words}"),
        Operation::Become { manner: Manner::Restart, .. } => format!("change and restart {words}"),
        Operation::Scale { app, count: Count::To(count) } => format!("scale {app} to {count}"),
        Operation::Scale { app, count: Count::By(more) } => format!("scale {app} by {more:+}"),
    }
}
