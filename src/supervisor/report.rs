//! What procrun says of its own doing: one place, one vocabulary.
//!
//! The message is for people and whole by itself; the fields (`app`, `id`, `reason`) are for
//! programs.

use std::time::Duration;

use tracing::{debug, error, info, warn};

use super::steps;
use crate::{
    machine::{
        self, Answer, EndRequest, Ending, Event, Machine, Next, Notice, ProbeKind, Readable, Reason, Run,
        Setback, Sickness, Sign, Size, StopCause, Subject, Uncaught, Why, Word,
    },
    node::News,
    spec::{AppSpec, Signal},
    watch,
};

/// Says a notice in procrun's own log.
pub(super) fn say(notice: &Notice) {
    match notice {
        Notice::Ended { who, ending, reason, uptime, next } => {
            ended(who, ending, reason.as_ref(), Readable(*uptime), *next);
        }
        Notice::Well { .. } | Notice::Failed { .. } | Notice::NotReadyNow { .. } | Notice::Sick { .. } => {
            health(notice);
        }
        Notice::Stopping { who, request, cause } => stopping(who, *request, *cause),
        Notice::Draining { who, within, cause } => {
            let (who, app, id, within) = (who, &*who.spec.name, who.pm_id, Readable(*within));
            let why = match cause {
                StopCause::Replaced => "is replaced",
                StopCause::GivenUp => "is given up",
                StopCause::Removed
                | StopCause::Shutdown
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
                | StopCause::Drained
                | StopCause::NotDrained => "is no longer wanted",
            };
            info!(app, id, "{who} {why} and finishes its connections, for at most {within}");
        }
        // Said with its pid where it was started.
        Notice::Started { .. } => {}
        Notice::NotReady { who, setback } => not_ready(who, setback),
        Notice::GoesOn { who, place } => goes_on(who, place),
        Notice::WaitsFor { who, what, late } => waits(who, what, *late),
        Notice::Blocked { who, what } => blocked(who, what),
        Notice::Reloading { app, total, rolling: true } => {
            info!(
                app,
                "reloading {app}: {} replaced while the old one serves",
                processes(*total, "is", "are")
            );
        }
        Notice::Reloading { app, total, rolling: false } => {
            let processes = processes(*total, "is", "are");
            info!(
                app,
                "reloading {app}: {processes} restarted one after the other: nothing holds its sockets meanwhile"
            );
        }
        Notice::Reloaded { app, total, took } => {
            let (processes, took) = (processes(*total, "was", "were"), Readable(*took));
            info!(app, "{app} is reloaded: {processes} replaced in {took}");
        }
        Notice::ReloadFailed(failure) => {
            let app = &*failure.app;
            match &failure.why {
                Why::Setback(_, setback) => error!(app, "{failure}\n  hint: {}", what_to_do(setback)),
                Why::MemoryShort | Why::Asked | Why::Removed | Why::Shutdown => warn!(app, "{failure}"),
            }
        }
        Notice::Queued { app, what } => info!(app, "{app} is being reloaded, {what} comes after that"),
        Notice::FilesChanged { app, path, rolling } => files_changed(app, path, *rolling),
        Notice::ChangesOften { app, path, times, wait } => {
            changes_often(app, path, *times, Readable(*wait));
        }
        Notice::TaskChanged { who } => task_changed(who),
        Notice::SignalsLost { who, signals } => signals_lost(who, signals),
        Notice::UnderWay { app } => info!(app, "{app} is being reloaded to that already"),
        Notice::Ready { who, sign, after } => ready(who, *sign, Readable(*after)),
        Notice::Leftovers { who } => {
            let (who, app, id) = (who, &*who.spec.name, who.pm_id);
            info!(app, id, "waiting for the processes that {who} left behind");
        }
        Notice::Killing { who, waited } => killing(who, Readable(*waited)),
        Notice::Unkillable { who } => {
            let (who, app, id) = (who, &*who.spec.name, who.pm_id);
            error!(app, id, "not even SIGKILL ended {who}, giving up on it");
        }
        Notice::Due { app } => due(app),
        Notice::Closing { delay } => closing(Readable(*delay)),
        Notice::TooMuch { who, used, limit, answer } => too_much(who, *used, *limit, *answer),
        Notice::Retiring { who, size, used, limit, workers, times, wait } => {
            retiring(who, *size, [*used, *limit, *workers], *times, *wait);
        }
        Notice::MemoryElsewhere { used, limit, workers } => memory_elsewhere(*used, *limit, *workers),
        Notice::ShuttingDown { alive: 1 } => info!("stopping 1 process"),
        Notice::ShuttingDown { alive } => info!("stopping {alive} processes"),
        Notice::KillingAll => warn!("asked to stop again, killing everything"),
        Notice::Escalated { who, code } => {
            let (who, app, id) = (who, &*who.spec.name, who.pm_id);
            match code {
                0 => info!(app, id, "{who} ends the container with code 0"),
                code => error!(app, id, "{who} ends the container with code {code}"),
            }
        }
    }
}

fn task_changed(who: &Subject) {
    let (app, id) = (&*who.spec.name, who.pm_id);
    info!(app, id, "{who} has changed: it is a task and runs to its end, then once more");
}

fn signals_lost(who: &Subject, signals: &[Signal]) {
    let (app, id) = (&*who.spec.name, who.pm_id);
    warn!(app, id, "{}", steps::signals_lost(who, signals));
}

/// Says what has become of a check.
fn health(notice: &Notice) {
    let Some(who) = notice.instance() else { return };
    let (app, id) = (&*who.spec.name, who.pm_id);
    match notice {
        Notice::Well { kind, after, .. } => {
            let (what, after) = (well(*kind), Readable(*after));
            info!(app, id, "{who} is {what} after {after}");
        }
        Notice::Failed { kind, failures: 0, said, .. } => {
            debug!(app, id, "{who} is not {} yet: {said}", well(*kind));
        }
        Notice::Failed { kind, failures, retries, said, .. } => {
            debug!(app, id, failures, "{who} is not {} ({failures} of {retries}): {said}", well(*kind));
        }
        Notice::NotReadyNow { said, .. } => warn!(app, id, "{who} is not ready: {said}"),
        Notice::Sick { sickness: sickness @ Sickness::NeverSpoke(_), .. } => warn!(
            app,
            id,
            reason = sickness.reason(),
            "{who} {sickness}\n  hint: what is not started as `node` itself has to send WATCHDOG=1 to NOTIFY_SOCKET, or unset `heartbeat`"
        ),
        Notice::Sick { sickness, .. } => warn!(app, id, reason = sickness.reason(), "{who} {sickness}"),
        // Only these four come here.
        _ => {}
    }
}

fn not_ready(who: &Subject, setback: &Setback) {
    let (app, id) = (&*who.spec.name, who.pm_id);
    warn!(app, id, "{who} {setback}");
}

fn goes_on(who: &Subject, place: &str) {
    let (app, id) = (&*who.spec.name, who.pm_id);
    warn!(app, id, "{who} handles the error and goes on without {place}: it counts as online");
}

fn ready(who: &Subject, sign: Sign, after: Readable) {
    let (app, id) = (&*who.spec.name, who.pm_id);
    match sign {
        Sign::Listening => debug!(app, id, "{who} listens after {after}"),
        Sign::Message if who.spec.reload.wait_ready => info!(app, id, "{who} is ready after {after}"),
        Sign::Message => debug!(app, id, "{who} says that it is ready after {after}"),
        // Said as what was asked.
        Sign::Probe => {}
    }
}

fn well(kind: ProbeKind) -> &'static str {
    match kind {
        ProbeKind::Liveness => "healthy",
        ProbeKind::Readiness => "ready",
    }
}

/// Says what the watcher has to say, and what it means to the machine.
pub(super) fn watched(news: watch::News) -> Option<Event> {
    match news {
        watch::News::Changed { app, path } => Some(Event::FilesChanged { app, path }),
        watch::News::Watching { app, what, took } => {
            let took = Readable(took);
            debug!(app, "{app}: watching {what}, found in {took}");
            None
        }
        watch::News::Missing { app, path, why } => {
            warn!(app, "{app}: cannot watch {path}: {why}; it is watched as soon as it is there");
            None
        }
        watch::News::Looking { app, why, interval } => {
            let interval = Readable(interval);
            warn!(app, "{app}: {why}; its files are looked at every {interval} instead");
            None
        }
    }
}

/// Says what a Node worker has said, and what it means to the machine.
pub(super) fn hear(machine: &Machine, news: News) -> Option<Event> {
    let run = match &news {
        News::Ready(run, sign) => return Some(Event::Ready(*run, *sign)),
        News::Drained(run) => return Some(Event::Drained(*run)),
        News::ListensAfterAll(run) => return Some(Event::Spoke(*run, Word::Listens)),
        News::Uncaught(run, uncaught) => return Some(Event::Spoke(*run, Word::Uncaught(*uncaught))),
        News::CannotDrain(why) => {
            warn!(
                "there is no place for the script that drains workers: {why}; \
                 they are asked to end without\n  hint: mount a tmpfs on /dev/shm, or set drain = \"off\""
            );
            return None;
        }
        News::Beats(run) => return Some(Event::Spoke(*run, Word::Alive)),
        News::CannotBeat(why) => {
            warn!(
                "there is no place for the script that tells whether a worker's loop turns: {why}; \
                 without it `heartbeat` hears nothing\n  hint: mount a tmpfs on /dev/shm"
            );
            return None;
        }
        News::CannotAccept(app, error) => {
            error!(app, "cannot accept connections to {app}: {error}; they wait");
            return None;
        }
        // Carried out, not reported.
        News::Opens(_) => return None,
        News::Listens(run, _)
        | News::CannotListen { run, .. }
        | News::SharesSocket(run, ..)
        | News::Accepts(run, _)
        | News::Messages(run, _)
        | News::Misbehaves(run, _)
        | News::NoSocketForBun(run)
        | News::CutOff(run, _) => run,
    };
    let view = machine.instance(run.instance)?;
    let who = view.subject();
    let (who, app, id) = (&who, &*who.spec.name, who.pm_id);
    match news {
        News::Listens(_, address) => debug!(app, id, "{who} listens on {address}"),
        News::CannotListen { run, failure, is_handled } => {
            warn!(app, id, "{who} {failure}");
            return Some(Event::Spoke(run, Word::CannotListen { failure, is_handled }));
        }
        News::SharesSocket(_, place, other) => warn!(
            app,
            id,
            "{who} listens on {place}, as {other} does: connections go to the workers of both\n  \
             hint: give one of them another port if that is not what you want"
        ),
        News::Accepts(_, true) => debug!(app, id, "connections arrive fast: {who} accepts them itself"),
        News::Accepts(_, false) => debug!(app, id, "{who} gets its connections from procrun again"),
        News::Messages(_, count) => debug!(app, id, count, "{who} has sent a message"),
        News::Misbehaves(_, what) => warn!(app, id, "{who} {what}; that is ignored and not said again"),
        News::NoSocketForBun(_) => warn!(
            app,
            id,
            "{who} asks its cluster for a socket, which Bun cannot take: it gets ENOTSUP \
             (`reusePort: true` lets each instance open its own)"
        ),
        News::CutOff(_, why) => error!(app, id, "{who} {why}: its channel is closed"),
        News::Ready(..)
        | News::Drained(_)
        | News::ListensAfterAll(_)
        | News::Uncaught(..)
        | News::Beats(_)
        | News::CannotDrain(_)
        | News::CannotBeat(_)
        | News::CannotAccept(..)
        | News::Opens(_) => {}
    }
    None
}

fn what_to_do(setback: &Setback) -> &'static str {
    match setback {
        Setback::Ended { ending: Ending::SpawnFailed(_), .. } => "mend that and reload again",
        Setback::Ended { .. } => "its own lines before this say why; mend it and reload again",
        Setback::Silent { sign: Sign::Listening, .. } => {
            "let it listen as the old version does, or give it more time with listen_timeout; then reload again"
        }
        Setback::Silent { sign: Sign::Message, .. } => {
            "let it call process.send('ready') or send READY=1 to NOTIFY_SOCKET, or give it more time with listen_timeout; then reload again"
        }
        Setback::Order => "look at what it waits for (`procrun describe`), then reload again",
        Setback::Unwell { .. } | Setback::Silent { sign: Sign::Probe, .. } => {
            "mend what its check asks for, or give it more time with listen_timeout; then reload again"
        }
        Setback::Sick(_) => "its own lines before this may say why; mend it and reload again",
        Setback::NoRoom => "look at what the old process waits for (its state in /proc), then reload again",
    }
}

/// `1 process is`, `2 processes are`.
fn processes(count: u32, is: &str, are: &str) -> String {
    if count == 1 { format!("1 process {is}") } else { format!("{count} processes {are}") }
}

fn files_changed(app: &str, path: &str, rolling: bool) {
    let what = if rolling { "reloading" } else { "restarting" };
    info!(app, reason = "watch", "{app} changed: {path}, {what}");
}

fn changes_often(app: &str, path: &str, times: u32, wait: Readable) {
    warn!(
        app,
        reason = "watch",
        "{app} changed: {path}, {times} times in a row right after a start, restarting in {wait}; if it writes that file itself, name it in `ignore_watch`"
    );
}

fn killing(who: &Subject, waited: Readable) {
    let (app, id) = (&*who.spec.name, who.pm_id);
    warn!(app, id, "{who} is still there after {waited}, killing its whole tree");
}

fn due(app: &AppSpec) {
    let pattern = app.schedule.as_ref().map_or_else(String::new, |it| format!(" ({})", it.pattern.as_str()));
    let app = &*app.name;
    info!(app, reason = "cron", "it is time for {app}{pattern}");
}

fn waits(who: &Subject, what: &str, late: Option<Duration>) {
    let (app, id) = (&*who.spec.name, who.pm_id);
    match late {
        None => info!(app, id, "{who} waits for {what}"),
        Some(waited) => warn!(app, id, "{who} still waits for {what} after {}", Readable(waited)),
    }
}

fn blocked(who: &Subject, what: &str) {
    let (app, id) = (&*who.spec.name, who.pm_id);
    error!(
        app,
        id,
        reason = "dependency",
        "{who} is not started: {what}\n  hint: it starts as soon as that is fixed"
    );
}

fn closing(delay: Readable) {
    info!("nothing is ready any more; everything serves on for {delay} and is then stopped");
}

fn too_much(who: &Subject, used: u64, limit: u64, answer: Answer) {
    const HINT: &str = "\n  hint: it leaks fast, or needs a higher limit";
    let what = match answer {
        Answer::Replace => "replacing it while it serves".to_owned(),
        Answer::Restart => "restarting it".to_owned(),
        Answer::LeaveAlone { times, wait } => {
            let wait = Readable(wait);
            format!("{times} times in a row so soon, it serves on for {wait} unless it grows much{HINT}")
        }
        Answer::RestartLater { times, wait } => {
            let wait = Readable(wait);
            format!(
                "{times} times in a row so soon, and it grows: ending it, it starts again {wait} after that{HINT}"
            )
        }
    };
    let (app, id, used, limit) = (&*who.spec.name, who.pm_id, Size(used), Size(limit));
    warn!(
        app,
        id,
        reason = "memory",
        "{who} has {used} of memory, its max_memory_restart is {limit}: {what}"
    );
}

fn retiring(who: &Subject, size: u64, [used, limit, workers]: [u64; 3], times: u32, wait: Duration) {
    let hint = if workers < used / 2 {
        format!(
            "all workers together have only {}: look at what else is in the container (what `exec` has started in it, \
             files in /dev/shm and in a tmpfs)",
            Size(workers)
        )
    } else {
        "set max_memory_restart for who leaks, or give it more memory".to_owned()
    };
    let (app, id, size, used, limit) = (&*who.spec.name, who.pm_id, Size(size), Size(used), Size(limit));
    let wait =
        if wait.is_zero() { "when it is gone".to_owned() } else { format!("{} after that", Readable(wait)) };
    let times = if times == 1 { String::new() } else { format!(" ({times} times in a row by now)") };
    warn!(
        app,
        id,
        reason = "memory",
        "the container has {used} of its {limit} of memory (oom_guard): {who}, the largest with {size}, ends before the \
         kernel kills, and starts again {wait}{times}\n  hint: {hint}"
    );
}

fn memory_elsewhere(used: u64, limit: u64, workers: u64) {
    let (used, limit, workers) = (Size(used), Size(limit), Size(workers));
    error!(
        reason = "memory",
        "the container has {used} of its {limit} of memory, but all workers together have {workers}: it would not help to \
         end one\n  hint: files in /dev/shm and in a tmpfs are memory, too"
    );
}

fn stopping(who: &Subject, request: EndRequest, cause: StopCause) {
    let (app, id) = (&*who.spec.name, who.pm_id);
    match cause {
        StopCause::Shutdown => debug!(app, id, "{who}: sending {request}"),
        StopCause::Removed | StopCause::ScaledDown | StopCause::Deleted => {
            info!(app, id, "{who} is no longer wanted, sending {request}");
        }
        StopCause::Due => {
            info!(app, id, reason = "cron", "{who} is restarted by its schedule, sending {request}");
        }
        // Said with its figures before.
        StopCause::Memory(_) => debug!(app, id, "{who} has too much memory, sending {request}"),
        StopCause::Changed => info!(app, id, "{who} has changed, sending {request}"),
        StopCause::Asked => info!(app, id, "{who} is asked to stop, sending {request}"),
        StopCause::Restarted | StopCause::Reloaded | StopCause::FilesChanged => {
            info!(app, id, "{who} is restarted, sending {request}");
        }
        StopCause::Sick => info!(app, id, "{who} is unhealthy, sending {request}"),
        StopCause::Replaced => info!(app, id, "{who} is replaced, sending {request}"),
        StopCause::GivenUp => info!(app, id, "{who} is given up, sending {request}"),
        StopCause::Drained => debug!(app, id, "{who} has no connections left, sending {request}"),
        StopCause::NotDrained => {
            info!(app, id, "{who} has not finished its connections, sending {request}");
        }
    }
}

/// Says that a run cannot get the message that asks it to end.
pub(super) fn no_message(machine: &Machine, run: Run, signal: Signal) {
    let Some(view) = machine.instance(run.instance) else { return };
    let (who, app, id) = (view.subject(), &*view.spec.name, view.pm_id);
    info!(app, id, "{who} has no channel for the message `shutdown`, sending {signal}");
}

fn ended(who: &Subject, ending: &Ending, why: Option<&Reason>, uptime: Readable, next: Next) {
    let (who, app, id) = (who, &*who.spec.name, who.pm_id);
    let (reason, code) = (machine::reason(ending, why), ending.code());
    let hint = end_hint(why, next);
    let why = why.map_or_else(String::new, |why| format!(" ({why})"));
    let what = match ending {
        Ending::SpawnFailed(_) => format!("{who} ended: {ending}"),
        Ending::Exited(_) | Ending::Signaled { .. } | Ending::OutOfMemory { .. } => {
            format!("{who} ended: {ending}, up {uptime}{why}")
        }
    };
    match next {
        Next::Restart(Duration::ZERO) => info!(app, id, reason, code, "{what}, restarting now{hint}"),
        Next::Restart(wait) => info!(app, id, reason, code, "{what}, restarting in {}{hint}", Readable(wait)),
        Next::Stay => info!(app, id, reason, code, "{what}"),
        Next::Final if code == 0 => info!(app, id, reason, code, "{what}, done"),
        Next::Final => warn!(app, id, reason, code, "{what}, not restarting it{hint}"),
        Next::Errored { unstable } => {
            let starts = if unstable == 1 { "start" } else { "starts in a row" };
            error!(app, id, reason, code, "{what}, errored: {unstable} unstable {starts}{hint}");
        }
        Next::Sweep => info!(app, id, reason, code, "{what}, but some of its processes are left"),
    }
}

/// What to do about an end, where its reason tells.
fn end_hint(why: Option<&Reason>, next: Next) -> &'static str {
    match (why, next) {
        (Some(Reason::Uncaught(Uncaught::Rejection)), _) => {
            "\n  hint: handle the rejection; with node_args = \"--unhandled-rejections=warn\" Node only prints it and \
             goes on, as under PM2"
        }
        (Some(Reason::CannotListen(failure)), Next::Errored { .. } | Next::Final) if failure.is_in_use => {
            "\n  hint: another process listens there; several processes of one app share a port with \
             exec_mode = \"cluster\", or each needs its own port"
        }
        (
            Some(
                Reason::CannotListen(_)
                | Reason::Uncaught(Uncaught::Exception)
                | Reason::Memory(_)
                | Reason::Sick(_)
                | Reason::Command(_)
                | Reason::FilesChanged(_)
                | Reason::Schedule
                | Reason::Configuration
                | Reason::ReloadAborted,
            )
            | None,
            _,
        ) => "",
    }
}
