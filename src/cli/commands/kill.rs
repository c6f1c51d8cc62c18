//! `procrun kill`: stops all processes and the supervisor.

use crate::{
    cli::{
        command::{Command, Group, Run},
        failure::Failure,
        invoked_as::InvokedAs,
        output::print,
        parsed_args::ParsedArgs,
    },
    control::Request,
    spec::ExitCode,
};

pub(super) static KILL: Command = Command {
    words: &["kill"],
    group: Group::Supervisor,
    summary: "Stop all processes and the supervisor",
    description: "Stop all processes and the supervisor, and wait until it has exited.",
    run: Run::Function(kill),
    ..Command::DEFAULT
};

fn kill(args: &ParsedArgs) -> Result<ExitCode, Failure> {
    let mut supervisor = match args.running_supervisor()? {
        Some(supervisor) => supervisor,
        // PM2 starts its daemon and then stops it.
        None if InvokedAs::this() == InvokedAs::Pm2 => return Ok(print("no supervisor is running\n")),
        None => args.supervisor()?,
    };
    supervisor.send(&Request::Kill)?;
    while supervisor.answer_or_end()?.is_some() {}
    Ok(print("the supervisor has exited\n"))
}
