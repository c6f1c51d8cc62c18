//! `procrun supervise`: the background supervisor, without apps.

use std::{cell::RefCell, path::PathBuf};

use crate::{
    cli::{
        background::home,
        command::{Command, Group, Run},
        connect::places,
        failure::Failure,
        invoked_as::InvokedAs,
        parsed_args::ParsedArgs,
    },
    config::Source,
    control::Name,
    spec::ExitCode,
    supervisor::{self, Background, Role},
    sys::{detach, directory},
};

pub(super) static SUPERVISE: Command = Command {
    words: &["supervise"],
    group: Group::Supervisor,
    summary: "Run the background supervisor in the foreground",
    description: "Run the background supervisor in the foreground, for a service manager. The\n\
                  supervisor starts without apps; commands add them.",
    run: Run::Function(supervise),
    ..Command::DEFAULT
};

fn supervise(args: &ParsedArgs) -> Result<ExitCode, Failure> {
    let detached = args.has("detached");
    // Before anything else is opened.
    let first_client = if detached { detach::channel() } else { None };
    let home = home()?;
    let role = Role {
        places: places(args.socket.as_deref())?,
        name: Name::Default,
        background: Some(Background {
            pid_file: home.join(if InvokedAs::this().is_pm2() { "pm2.pid" } else { "procrun.pid" }),
            home,
            first_client: RefCell::new(first_client),
            detached,
        }),
    };
    let cwd = directory::working().unwrap_or_else(|_| PathBuf::from("/"));
    if detached {
        // So that no mounted file system is in use.
        let _ = std::env::set_current_dir("/");
    }
    let source = Source::nothing(std::env::vars_os().collect(), cwd);
    Ok(supervisor::run(&source, &role))
}
