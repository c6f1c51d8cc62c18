//! `procrun list`, `jlist` and `prettylist`.

use std::{
    fmt::Write as _,
    io::{IsTerminal, stdout},
    os::fd::AsFd,
};

use serde_json::Value;

use super::{
    commands::ParsedArgs,
    connect::Supervisor,
    failure::Failure,
    file::say_notices,
    inspect::inspect,
    mini_list, node_version, say,
    sort::sort,
    table::{Align, Cell, Column, Look, table},
};
use crate::{
    control::{
        Answer, Request,
        snapshot::{Brief, Detail, Overview, Status, jlist as pm2},
    },
    shown::printable,
    spec::{ByteSize, ExitCode, HumanDuration},
    sys::terminal,
};

/// Other columns leave before a name is cut to less.
const NAME: usize = 16;

/// In PM2's order.
const COLUMNS: [Column; 14] = [
    Column { heading: "id", align: Align::Right, leaves: 0, least: 0, wanted: 0 },
    Column { heading: "name", align: Align::Left, leaves: 0, least: 4, wanted: NAME },
    Column { heading: "namespace", align: Align::Left, leaves: 4, least: 0, wanted: 0 },
    Column { heading: "version", align: Align::Left, leaves: 3, least: 0, wanted: 0 },
    Column { heading: "mode", align: Align::Left, leaves: 5, least: 0, wanted: 0 },
    Column { heading: "pid", align: Align::Right, leaves: 8, least: 0, wanted: 0 },
    Column { heading: "uptime", align: Align::Right, leaves: 9, least: 0, wanted: 0 },
    Column { heading: "↺", align: Align::Right, leaves: 10, least: 0, wanted: 0 },
    Column { heading: "status", align: Align::Left, leaves: 0, least: 7, wanted: 15 },
    Column { heading: "cpu", align: Align::Right, leaves: 7, least: 0, wanted: 0 },
    Column { heading: "memory", align: Align::Right, leaves: 11, least: 0, wanted: 0 },
    Column { heading: "user", align: Align::Left, leaves: 1, least: 0, wanted: 0 },
    Column { heading: "watching", align: Align::Left, leaves: 2, least: 0, wanted: 0 },
    Column { heading: "last end", align: Align::Left, leaves: 6, least: 0, wanted: 0 },
];

pub(super) fn list(typed: &ParsedArgs) -> Result<ExitCode, Failure> {
    let Some(mut supervisor) = typed.running_supervisor()? else {
        return Ok(list_of_none(typed));
    };
    let mut overview = overview(&mut supervisor, &Request::List)?;
    with_users(&mut overview.instances, &supervisor);
    if let Some(by) = typed.value("sort") {
        sort(&mut overview.instances, by)?;
    }
    if typed.has("json") {
        return Ok(say_json(&overview));
    }
    if typed.has("mini-list") {
        return Ok(say(&mini_list::shown(&overview.instances)));
    }
    let mut text = shown(&overview.instances, look());
    for of in &overview.instances {
        if let Some(problem) = &of.problem {
            writeln!(text, "{} ({}): {}", of.name, of.id, printable(problem))
                .expect("a String takes everything");
        }
    }
    if overview.supervisor.stopping {
        text.push_str("procrun is stopping: no app is ready\n");
    }
    Ok(say(&text))
}

/// Names the user of each process. Only the client looks up the name of the supervisor's user.
pub(super) fn with_users(instances: &mut [Brief], supervisor: &Supervisor) {
    let user = supervisor.user();
    for instance in instances {
        instance.user = instance.user.take().or_else(|| user.clone());
    }
}

/// `list` without a supervisor: an empty list, which is not an error. PM2 starts its daemon in this case.
fn list_of_none(typed: &ParsedArgs) -> ExitCode {
    if typed.has("json") {
        return say_json(&serde_json::json!({ "supervisor": null, "instances": [] }));
    }
    say_notices(&["no supervisor is running; `procrun start` starts one in the background".to_owned()]);
    say(&if typed.has("mini-list") { mini_list::shown(&[]) } else { shown(&[], look()) })
}

pub(super) fn jlist(typed: &ParsedArgs) -> Result<ExitCode, Failure> {
    Ok(say(&format!("{}\n", all_as_pm2(typed)?)))
}

pub(super) fn prettylist(typed: &ParsedArgs) -> Result<ExitCode, Failure> {
    Ok(say(&format!("{}\n", inspect(&all_as_pm2(typed)?))))
}

/// Everything about all instances in PM2's shape; nothing when no supervisor runs, because a program that
/// reads the answer expects a list.
fn all_as_pm2(typed: &ParsedArgs) -> Result<Value, Failure> {
    Ok(match typed.running_supervisor()? {
        Some(mut supervisor) => {
            let details = details(&mut supervisor, Vec::new())?;
            pm2(&details, node_version::of, supervisor.user().as_deref())
        }
        None => pm2(&[], node_version::of, None),
    })
}

/// Prints something as one indented JSON document.
pub(super) fn say_json(what: &impl serde::Serialize) -> ExitCode {
    let text = serde_json::to_string_pretty(what).expect("answers are made of text, numbers and lists");
    say(&format!("{text}\n"))
}

/// Requests the supervisor's data and its instances.
pub(super) fn overview(of: &mut Supervisor, request: &Request) -> Result<Overview, Failure> {
    match of.request(request)? {
        Answer::Overview(overview) => Ok(overview),
        other => Err(unexpected(&other)),
    }
}

/// Requests all details of some instances.
pub(super) fn details(of: &mut Supervisor, targets: Vec<String>) -> Result<Vec<Detail>, Failure> {
    match of.request(&Request::Describe { targets })? {
        Answer::Details(details) => Ok(details),
        other => Err(unexpected(&other)),
    }
}

/// The same version of the protocol has no such answer.
pub(super) fn unexpected(answer: &Answer) -> Failure {
    Failure::not_done(format!("unexpected answer of the supervisor: {answer:?}"))
}

/// What the output can show.
pub(super) fn look() -> Look {
    let out = stdout();
    if !out.is_terminal() {
        return Look { width: None, colours: false };
    }
    let wants_none = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let is_dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    let width = terminal::size(out.as_fd()).map(|(columns, _)| usize::from(columns));
    Look { width, colours: !wants_none && !is_dumb }
}

/// The table of `list`.
pub(super) fn shown(instances: &[Brief], look: Look) -> String {
    let rows: Vec<Vec<Cell>> = instances.iter().map(row).collect();
    table(&COLUMNS, &rows, look)
}

fn row(of: &Brief) -> Vec<Cell> {
    let or_dash = |text: Option<String>| Cell::new(text.unwrap_or_else(|| "-".to_owned()));
    vec![
        Cell::coloured(of.id.to_string(), "1"),
        Cell::new(&of.name),
        Cell::new(&of.namespace),
        or_dash(of.version.clone()),
        Cell::new(&of.mode),
        or_dash(of.pid.map(|pid| pid.to_string())),
        or_dash(of.uptime.map(uptime)),
        Cell::new(of.restarts.to_string()),
        Cell::coloured(of.state(), colour(of)),
        or_dash(of.cpu.map(|cpu| format!("{cpu:.1}%"))),
        or_dash(of.memory.map(size)),
        or_dash(of.user.clone()),
        Cell::new(if of.watching { "enabled" } else { "disabled" }),
        or_dash(of.last_end.clone()),
    ]
}

pub(super) fn colour(of: &Brief) -> &'static str {
    match of.status {
        Status::Online if of.flaw().is_some() => "33",
        Status::Online => "32",
        Status::Waiting | Status::Launching | Status::Stopping | Status::WaitingRestart => "33",
        Status::Stopped | Status::Errored => "31",
    }
}

/// A time as PM2 shows it.
pub(super) fn uptime(millis: u64) -> String {
    HumanDuration::from_millis(millis).pm2()
}

/// Bytes as PM2 shows them.
pub(super) fn size(bytes: u64) -> String {
    ByteSize(bytes).pm2()
}
