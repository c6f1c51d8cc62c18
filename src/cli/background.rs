//! The background supervisor: its home, and how a command starts it.

use std::{
    ffi::OsString,
    os::unix::{fs::MetadataExt as _, net::UnixStream},
    path::{Path, PathBuf},
};

use nix::unistd::geteuid;

use super::{
    connect::{Supervisor, places},
    failure::{Failure, NOT_DONE},
    invoked_as::InvokedAs,
    output::print,
};
use crate::{
    control::{Request, StartLock, client::Connection},
    sys::detach,
};

/// The home of the background supervisor: `PROCRUN_HOME`, else `~/.procrun`. Under the name of one of PM2's programs
/// `PM2_HOME` has precedence over the default.
pub(super) fn home() -> Result<PathBuf, Failure> {
    let given = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let of_pm2 = given("PM2_HOME").filter(|_| InvokedAs::this().is_pm2());
    let home = given("PROCRUN_HOME")
        .or(of_pm2)
        .or_else(|| given("HOME").map(|home| home.join(".procrun")))
        .map_or_else(without_home, Ok)?;
    std::path::absolute(&home).map_err(|error| Failure::not_done(format!("{}: {error}", home.display())))
}

/// In a directory that everyone can write to, another user may have created the path first.
fn without_home() -> Result<PathBuf, Failure> {
    let home = PathBuf::from(format!("/dev/shm/procrun-{}", geteuid()));
    match home.symlink_metadata() {
        Ok(found) if !found.is_dir() || found.uid() != geteuid().as_raw() => {
            let failure = Failure::not_done(format!("{} is not a directory of this user", home.display()));
            Err(failure.hint("set HOME or PROCRUN_HOME to another directory"))
        }
        Ok(_) | Err(_) => Ok(home),
    }
}

/// The running supervisor, found as every command finds it. If there is none, one is started in the background
/// and reported.
pub(super) fn connect(socket: Option<&std::ffi::OsStr>, is_silent: bool) -> Result<Supervisor, Failure> {
    let places = places(socket)?;
    if let Some(supervisor) = Supervisor::find_at(&places)? {
        return Ok(supervisor);
    }
    let failed = |what: &str, error: &dyn std::fmt::Display| {
        Failure::not_done(format!("cannot start the background supervisor: {what}: {error}"))
    };
    // Two commands at the same time must not start two supervisors.
    let _starting = StartLock::wait(&places).map_err(|error| failed("control socket", &error))?;
    if let Some(supervisor) = Supervisor::find_at(&places)? {
        return Ok(supervisor);
    }
    let program = std::env::current_exe().map_err(|error| failed("own executable", &error))?;
    let mut args: Vec<OsString> = ["supervise", "--detached"].map(OsString::from).into();
    if let Some(socket) = socket {
        args.extend([OsString::from("--socket"), socket.to_owned()]);
    }
    // The process name shows the home of the supervisor.
    let called = std::env::args_os().next().unwrap_or_else(|| program.clone().into());
    let channel = detach::start(&program, &called, &args).map_err(|error| failed("new process", &error))?;
    let mut supervisor =
        Supervisor::from(Connection::new(UnixStream::from(channel), Path::new("its start").to_owned()));
    supervisor.greet().map_err(|failure| failure.with_code(NOT_DONE))?;
    if !is_silent {
        let pid = supervisor.overview(&Request::Ping)?.supervisor.pid;
        let home = home()?;
        print(&format!(
            "started procrun in the background: pid {pid}, home {home}\n\
             log: {home}/procrun.log, logs of apps: {home}/logs\n",
            home = home.display(),
        ));
    }
    Ok(supervisor)
}
