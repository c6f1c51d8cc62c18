//! `procrun healthcheck`: whether apps are healthy, for Docker's HEALTHCHECK.

use crate::{
    cli::{
        command::{Command, Group, OPTIONAL_TARGETS, Run},
        failure::{Failure, NOT_DONE},
        output::print,
        parsed_args::ParsedArgs,
    },
    control::{
        Request,
        snapshot::{InstanceDetails, Status},
    },
    shown::printable,
    spec::ExitCode,
};

pub(super) static HEALTHCHECK: Command = Command {
    words: &["healthcheck"],
    group: Group::Inspect,
    arguments: OPTIONAL_TARGETS,
    summary: "Exit with 0 if all processes are healthy",
    description: "Exit with 0 if the processes are healthy and with 1 if not, for Docker's\n\
                  HEALTHCHECK. A process is healthy if it is online, its health and readiness\n\
                  probes pass, and it is not waiting for a restart. Without a target, processes\n\
                  that have completed or were stopped by hand are ignored.",
    exit_codes: &[(NOT_DONE, "a process is not healthy, or no supervisor answers")],
    examples: &[("procrun healthcheck api", "check the app api alone")],
    run: Run::Function(healthcheck),
    ..Command::DEFAULT
};

fn healthcheck(args: &ParsedArgs) -> Result<ExitCode, Failure> {
    // Docker knows 0 and 1 only.
    let unhealthy = |failure: Failure| failure.with_code(NOT_DONE);
    let mut supervisor = args.supervisor().map_err(unhealthy)?;
    let of_supervisor = supervisor.overview(&Request::Ping).map_err(unhealthy)?.supervisor;
    if of_supervisor.stopping {
        return Err(Failure::not_done("procrun is stopping: no app is ready"));
    }
    if !of_supervisor.failing.is_empty() {
        let failing: Vec<_> = of_supervisor.failing.iter().map(|part| printable(part)).collect();
        return Err(Failure::not_done(format!("the supervisor is degraded: {}", failing.join(", "))));
    }
    let details = supervisor.details(args.words.clone()).map_err(unhealthy)?;
    let all_must_run = !args.words.is_empty();
    let unhealthy_processes: Vec<String> = details
        .iter()
        .filter(|detail| !is_healthy(detail, all_must_run))
        .map(|detail| {
            let brief = &detail.brief;
            let is_running = brief.flaw().is_some() || brief.status == Status::Launching;
            let problem = brief.problem.as_ref().filter(|_| is_running);
            let problem = problem.map_or_else(String::new, |text| format!(": {}", printable(text)));
            format!("{} ({}) is {}{problem}", brief.name, brief.id, brief.state())
        })
        .collect();
    let online = details.iter().filter(|detail| detail.brief.status == Status::Online).count();
    if !unhealthy_processes.is_empty() {
        return Err(Failure::not_done(unhealthy_processes.join(", ")));
    }
    // A completed task is healthy when the command names it.
    if online == 0 && !all_must_run {
        return Err(Failure::not_done("no process is online"));
    }
    Ok(print(&format!("healthy: {online} online\n")))
}

fn is_healthy(detail: &InstanceDetails, must_run: bool) -> bool {
    match detail.brief.status {
        Status::Online => detail.brief.flaw().is_none(),
        // It has completed its task, or was stopped by hand.
        Status::Stopped => detail.completed == Some(true) || !must_run && !detail.failed,
        Status::WaitingForDependencies
        | Status::Launching
        | Status::Stopping
        | Status::BackingOff
        | Status::Errored => false,
    }
}
