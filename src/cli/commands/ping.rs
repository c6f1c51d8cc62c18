//! `procrun ping`: whether a supervisor is running, which one and where.

use crate::{
    cli::{
        command::{Command, Group, JSON, Run},
        failure::Failure,
        output::{say, say_json, say_notices},
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
    let about = supervisor.overview(&Request::Ping)?.supervisor;
    if args.has("json") {
        return Ok(say_json(&about));
    }
    for what in &about.failing {
        say_notices(&[format!("the supervisor is degraded: {}", printable(what))]);
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
