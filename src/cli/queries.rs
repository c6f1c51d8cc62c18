//! The commands that ask for one thing: `ping`, `pid`, `id`, `env`, `healthcheck`; and `kill`.

use std::fmt::Write as _;

use super::{
    commands::ParsedArgs,
    failure::{Failure, NOT_DONE},
    file::say_notices,
    invoked_as::InvokedAs,
    list::{details, overview, say_json, unexpected},
    say,
};
use crate::{
    control::{
        Answer, Request,
        snapshot::{Detail, Status, masked},
    },
    shown::printable,
    spec::ExitCode,
};

pub(super) fn ping(typed: &ParsedArgs) -> Result<ExitCode, Failure> {
    let mut supervisor = typed.supervisor()?;
    let about = overview(&mut supervisor, &Request::Ping)?.supervisor;
    if typed.has("json") {
        return Ok(say_json(&about));
    }
    for what in &about.failing {
        say_notices(&[format!("the supervisor is impaired: {}", printable(what))]);
    }
    let processes = if about.instances == 1 { "process" } else { "processes" };
    Ok(say(&format!(
        "pong: procrun {}, pid {}, {} {processes}, {}\n",
        about.version,
        about.pid,
        about.instances,
        supervisor.connection().path().display()
    )))
}

pub(super) fn pid(typed: &ParsedArgs) -> Result<ExitCode, Failure> {
    let details = details(&mut typed.supervisor()?, typed.words.clone())?;
    let pids: Vec<i32> = details.iter().filter_map(|detail| detail.brief.pid).collect();
    if typed.has("json") {
        return Ok(say_json(&pids));
    }
    let mut text = String::new();
    for pid in &pids {
        writeln!(text, "{pid}").expect("a String takes everything");
    }
    say(&text);
    // A script must not continue without the process id of an app that does not run.
    Ok(if pids.is_empty() && !typed.words.is_empty() { NOT_DONE } else { 0 })
}

pub(super) fn id(typed: &ParsedArgs) -> Result<ExitCode, Failure> {
    let details = details(&mut typed.supervisor()?, typed.words.clone())?;
    let ids: Vec<String> = details.iter().map(|detail| detail.brief.id.to_string()).collect();
    Ok(say(&format!("[ {} ]\n", ids.join(", "))))
}

pub(super) fn env(typed: &ParsedArgs) -> Result<ExitCode, Failure> {
    let target = typed.words[0].clone();
    let variables = match typed.supervisor()?.request(&Request::Environment { target })? {
        Answer::Environment(variables) => variables,
        other => return Err(unexpected(&other)),
    };
    let reveal = typed.has("reveal");
    let shown = variables.into_iter().map(|(name, value)| {
        let value = if reveal { value } else { masked(&name, &value) };
        (name, value)
    });
    if typed.has("json") {
        let object: serde_json::Map<_, _> = shown.map(|(name, value)| (name, value.into())).collect();
        return Ok(say_json(&object));
    }
    let mut text = String::new();
    for (name, value) in shown {
        writeln!(text, "{}={}", printable(&name), printable(&value)).expect("a String takes everything");
    }
    Ok(say(&text))
}

pub(super) fn healthcheck(typed: &ParsedArgs) -> Result<ExitCode, Failure> {
    // Docker knows 0 and 1 only.
    let unhealthy = |failure: Failure| failure.with_code(NOT_DONE);
    let mut supervisor = typed.supervisor().map_err(unhealthy)?;
    let about = overview(&mut supervisor, &Request::Ping).map_err(unhealthy)?.supervisor;
    if about.stopping {
        return Err(Failure::not_done("procrun is stopping: no app is ready"));
    }
    if !about.failing.is_empty() {
        let failing: Vec<_> = about.failing.iter().map(|what| printable(what)).collect();
        return Err(Failure::not_done(format!("the supervisor is impaired: {}", failing.join(", "))));
    }
    let details = details(&mut supervisor, typed.words.clone()).map_err(unhealthy)?;
    let all_must_run = !typed.words.is_empty();
    let ill: Vec<String> = details
        .iter()
        .filter(|detail| !is_well(detail, all_must_run))
        .map(|detail| {
            let brief = &detail.brief;
            let is_running = brief.flaw().is_some() || brief.status == Status::Launching;
            let complaint = detail.complaint.as_ref().filter(|_| is_running);
            let complaint = complaint.map_or_else(String::new, |it| format!(": {}", printable(it)));
            format!("{} ({}) is {}{complaint}", brief.name, brief.id, brief.state())
        })
        .collect();
    let online = details.iter().filter(|detail| detail.brief.status == Status::Online).count();
    if !ill.is_empty() {
        return Err(Failure::not_done(ill.join(", ")));
    }
    // A completed task is healthy when the command names it.
    if online == 0 && !all_must_run {
        return Err(Failure::not_done("no process is online"));
    }
    Ok(say(&format!("healthy: {online} online\n")))
}

fn is_well(detail: &Detail, must_run: bool) -> bool {
    match detail.brief.status {
        Status::Online => detail.brief.flaw().is_none(),
        // It has done its work, or was stopped by hand.
        Status::Stopped => detail.completed == Some(true) || !must_run && !detail.failed,
        Status::Waiting | Status::Launching | Status::Stopping | Status::WaitingRestart | Status::Errored => {
            false
        }
    }
}

pub(super) fn kill(typed: &ParsedArgs) -> Result<ExitCode, Failure> {
    let mut supervisor = match typed.running_supervisor()? {
        Some(supervisor) => supervisor,
        // PM2 starts its daemon to end it.
        None if InvokedAs::this() == InvokedAs::Pm2 => return Ok(say("no supervisor is running\n")),
        None => typed.supervisor()?,
    };
    supervisor.ask(&Request::Kill)?;
    while supervisor.answer_or_end()?.is_some() {}
    Ok(say("the supervisor has exited\n"))
}
