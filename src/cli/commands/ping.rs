//! `procrun ping`: whether a supervisor is running, which one and where.

use crate::{
    cli::{
        command::{Command, Group, JSON, Run},
        failure::Failure,
        output::{print, print_json, print_notices},
        parsed_args::ParsedArgs,
    },
    control::Request,
    shown::printable,
    spec::ExitCode,
};

pub(super) static PING: Command = Command {
    words: &["ping"],
    group: Group::Supervisor,
    options: &[JSON],
    summary: "Check that the supervisor is running",
    description: "Check that the supervisor is running and answers. Print its version, process id,\n\
                  number of processes and socket.",
    run: Run::Function(ping),
    ..Command::DEFAULT
};

fn ping(args: &ParsedArgs) -> Result<ExitCode, Failure> {
    let mut supervisor = args.supervisor()?;
    let summary = supervisor.overview(&Request::Ping)?.supervisor;
    if args.has("json") {
        return Ok(print_json(&summary));
    }
    for part in &summary.failing {
        print_notices(&[format!("the supervisor is degraded: {}", printable(part))]);
    }
    let processes = if summary.instances == 1 { "process" } else { "processes" };
    Ok(print(&format!(
        "pong: procrun {}, pid {}, {} {processes}, {}\n",
        summary.version,
        summary.pid,
        summary.instances,
        supervisor.connection().path().display()
    )))
}
