//! `procrun supervise`: the background supervisor, without apps.

use std::{cell::RefCell, path::PathBuf};

use crate::{
    cli::{
        background::home,
        command::{Command, Group, Run},
        connect::places,
        failure::Failure,
        invoked_as::InvokedAs,
        output::print_notices,
        parsed_args::ParsedArgs,
    },
    config::Source,
    control::Name,
    spec::ExitCode,
    supervisor::{self, Background, Role, ServiceManager},
    sys::{detach, directory},
};

pub(super) static SUPERVISE: Command = Command {
    words: &["supervise"],
    group: Group::Supervisor,
    summary: "Run the background supervisor in the foreground",
    description: "Run the background supervisor in the foreground, for a service manager. The\n\
                  supervisor starts without apps; commands add them. It sends READY=1 to\n\
                  NOTIFY_SOCKET when it accepts commands (systemd's Type=notify).",
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
            service_manager: RefCell::new(if detached { None } else { service_manager() }),
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

/// The service manager that waits for the supervisor, by `NOTIFY_SOCKET`.
fn service_manager() -> Option<ServiceManager> {
    let address = std::env::var_os("NOTIFY_SOCKET").filter(|address| !address.is_empty())?;
    match ServiceManager::connect(&address) {
        Ok(service_manager) => Some(service_manager),
        Err(error) => {
            let address = address.to_string_lossy();
            print_notices(&[format!("cannot reach the service manager at NOTIFY_SOCKET={address}: {error}")]);
            None
        }
    }
}
