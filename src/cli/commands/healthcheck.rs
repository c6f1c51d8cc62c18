//! `procrun healthcheck`: whether apps are ready, for Docker's HEALTHCHECK.

use crate::{
    cli::{
        command::{Command, Group, OPTIONAL_TARGETS, Run},
        failure::{Failure, NOT_DONE},
        output::print,
        parsed_args::ParsedArgs,
    },
    machine::AppReport,
    shown::printable,
    spec::ExitCode,
};

pub(super) static HEALTHCHECK: Command = Command {
    words: &["healthcheck"],
    group: Group::Inspect,
    arguments: OPTIONAL_TARGETS,
    summary: "Exit with 0 if all apps are ready",
    description: "Exit with 0 if all apps are ready and with 1 if not, for Docker's\n\
                  HEALTHCHECK. An app is ready if all of its processes are, or as many as its\n\
                  `ready_when` requires. A process is ready if it is online, its health and\n\
                  readiness probes pass, and it is not waiting for a restart. Without a target,\n\
                  processes that have completed or were stopped by hand are ignored.",
    exit_codes: &[(NOT_DONE, "an app is not ready, or no supervisor answers")],
    examples: &[("procrun healthcheck api", "check the app api alone")],
    run: Run::Function(healthcheck),
    ..Command::DEFAULT
};

fn healthcheck(args: &ParsedArgs) -> Result<ExitCode, Failure> {
    // Docker knows 0 and 1 only.
    let unhealthy = |failure: Failure| failure.with_code(NOT_DONE);
    let mut supervisor = args.supervisor().map_err(unhealthy)?;
    let report = supervisor.status(args.words.clone()).map_err(unhealthy)?;
    if report.is_ready() {
        return Ok(print(&format!("healthy: {} online\n", report.online)));
    }
    // That no process is online says less than the processes do.
    let failing: Vec<String> = report.ready.iter().filter(|app| !app.passes).map(problems).collect();
    let is_of_supervisor = report.is_stopping || !report.failing.is_empty();
    let why = match report.obstacle().filter(|_| is_of_supervisor || failing.is_empty()) {
        Some(obstacle) => printable(&obstacle).into_owned(),
        None => failing.join(", "),
    };
    Err(Failure::not_done(why))
}

/// The instances of an app that are not ready.
fn problems(app: &AppReport) -> String {
    let described = app.problems.iter().map(|problem| {
        let complaint = problem.complaint.as_ref();
        let complaint = complaint.map_or_else(String::new, |it| format!(": {}", printable(it)));
        format!("{}{complaint}", problem.state)
    });
    let described: Vec<String> = described.collect();
    if app.ready > 0 && app.required < app.instances {
        format!("{} needs {} ready and has {}: {}", app.app, app.required, app.ready, described.join(", "))
    } else {
        described.join(", ")
    }
}
