//! The built-in file server, a worker process: the same binary under the name
//! [`WORKER`](crate::spec::serve::WORKER).
//!
//! | file | contents |
//! |---|---|
//! | `site` | a request → an answer: access, single-page mode, headers |
//! | `files` | opens the files of one directory and nothing outside it |
//! | `listing` | the list of a directory's files as a page |
//! | `auth` | basic authentication |
//! | `output` | lines on stdout and stderr |
//!
//! A client can neither write nor read anything outside the directory. The server runs in a process of its own,
//! so nothing that a client does reaches the supervisor.

mod auth;
mod files;
mod listing;
mod output;
mod site;

use std::{
    io,
    net::{TcpListener, ToSocketAddrs as _},
    os::fd::{AsFd as _, OwnedFd},
    os::unix::net::UnixListener,
    path::{Path, PathBuf},
};

use nix::sys::socket::{AddressFamily, SockaddrLike as _, SockaddrStorage, getsockname};

use self::{
    output::{log, log_error},
    site::Site,
};
use crate::{
    http::server::{self, Limits, Listener, Stop},
    spec::{ExitCode, Signal, serve::ServeSettings},
    sys::{
        activation, process,
        signals::{self, Signals},
        sockets,
    },
};

/// The exit code for a failure that may be temporary.
const FAILED: ExitCode = 1;
/// The exit code for invalid settings.
const EX_CONFIG: ExitCode = 78;
/// Maximum number of connections; others wait in the kernel's backlog.
const MAX_CONNECTIONS: u64 = 1_000;
/// Descriptors that are not for connections; each connection has one for itself and one for a file.
const RESERVED_DESCRIPTORS: u64 = 32;
/// Maximum number of threads that read files.
const MAX_READERS: usize = 16;

/// Serves until SIGTERM or SIGINT. `args` are those of the script.
pub fn run(args: &[String]) -> ExitCode {
    // Before any other file is opened.
    let inherited = activation::take_sockets();
    let variable = |name: &str| std::env::var(name).ok();
    let settings = match ServeSettings::read(variable, args) {
        Ok(settings) => settings,
        Err(why) => return fail(EX_CONFIG, &why),
    };
    match serve(settings, inherited) {
        Ok(()) => 0,
        Err(why) => fail(FAILED, &why),
    }
}

fn fail(code: ExitCode, why: &str) -> ExitCode {
    log_error(&format!("error: {why}"));
    code
}

fn serve(settings: ServeSettings, inherited: Vec<OwnedFd>) -> Result<(), String> {
    let directory = directory(&settings.directory)?;
    let installed = signals::install().map_err(|error| format!("no signal handlers: {error}"))?;
    let descriptors = process::raise_open_files().hard();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(MAX_READERS)
        .build()
        .map_err(|error| format!("no event loop: {error}"))?;
    let result = runtime.block_on(async {
        let listeners = listeners(&settings, inherited)?;
        let mut signals = Signals::new(installed).map_err(|error| format!("no signals: {error}"))?;
        if settings.wants_monitor {
            log("PM2_SERVE_MONITOR has no effect: PM2's monitoring service is not used here");
        }
        let stop = Stop::new();
        let connections = (descriptors.saturating_sub(RESERVED_DESCRIPTORS) / 2).clamp(1, MAX_CONNECTIONS);
        let connections = usize::try_from(connections).expect("at most 1000");
        let limits = Limits::with_connections(connections);
        let mut serving =
            std::pin::pin!(server::serve(listeners, Site::new(directory, settings), &stop, limits));
        let mut received = Vec::new();
        loop {
            tokio::select! {
                () = serving.as_mut() => return Ok(()),
                result = signals.wait(&mut received) => result.map_err(|error| format!("no signals: {error}"))?,
            }
            let is_stop = |signal: Signal| matches!(signal, Signal::TERM | Signal::INT | Signal::QUIT);
            if received.drain(..).filter_map(|it| Signal::from_number(it.number)).any(is_stop) {
                stop.stop();
            }
        }
    });
    // A file system that does not answer must not delay the exit.
    runtime.shutdown_background();
    result
}

/// The absolute path with its links: the log shows it, and a link that changes later is followed then.
fn directory(given: &str) -> Result<PathBuf, String> {
    let path = std::path::absolute(given).map_err(|error| format!("{given}: {error}"))?;
    match path.metadata() {
        Ok(found) if found.is_dir() => Ok(path),
        Ok(_) => Err(format!("{} is not a directory", path.display())),
        Err(error) => Err(format!("the directory {} cannot be served: {error}", path.display())),
    }
}

fn listeners(settings: &ServeSettings, inherited: Vec<OwnedFd>) -> Result<Vec<Listener>, String> {
    let listeners: Vec<Listener> = if inherited.is_empty() {
        vec![open(settings)?]
    } else {
        inherited.into_iter().map(adopt).collect::<Result<_, _>>()?
    };
    for listener in &listeners {
        match listener {
            Listener::Tcp(socket) => match socket.local_addr() {
                Ok(address) => log(&format!("serving {} on http://{address}/", shown(&settings.directory))),
                Err(error) => return Err(format!("no address: {error}")),
            },
            Listener::Unix(_) => log(&format!("serving {} on a unix socket", shown(&settings.directory))),
        }
    }
    Ok(listeners)
}

fn shown(directory: &str) -> String {
    std::path::absolute(Path::new(directory))
        .map_or_else(|_| directory.to_owned(), |it| it.display().to_string())
}

/// A listener on a socket that the supervisor has opened.
fn adopt(socket: OwnedFd) -> Result<Listener, String> {
    let failed = |error: io::Error| format!("cannot use the inherited socket: {error}");
    sockets::make_non_blocking(&socket).map_err(failed)?;
    let family = getsockname::<SockaddrStorage>(std::os::fd::AsRawFd::as_raw_fd(&socket.as_fd()))
        .map_err(|error| failed(error.into()))?
        .family();
    if family == Some(AddressFamily::Unix) {
        tokio::net::UnixListener::from_std(UnixListener::from(socket)).map(Listener::Unix).map_err(failed)
    } else {
        tokio::net::TcpListener::from_std(TcpListener::from(socket)).map(Listener::Tcp).map_err(failed)
    }
}

/// Opens a socket by the settings.
fn open(settings: &ServeSettings) -> Result<Listener, String> {
    let (host, port) = (settings.host.as_str(), settings.port);
    let failed = |error: io::Error| {
        let hint = match error.kind() {
            io::ErrorKind::AddrInUse => "\n  hint: another program listens on that port",
            io::ErrorKind::PermissionDenied => {
                "\n  hint: a port below 1024 needs root or CAP_NET_BIND_SERVICE"
            }
            io::ErrorKind::AddrNotAvailable => "\n  hint: no interface of this machine has that address",
            _ => "",
        };
        format!("cannot listen on {host}:{port}: {error}{hint}")
    };
    let address = match settings.address() {
        Some(address) => address,
        None => (host, port)
            .to_socket_addrs()
            .and_then(|mut found| found.next().ok_or_else(|| io::ErrorKind::NotFound.into()))
            .map_err(failed)?,
    };
    let socket = sockets::tcp(address, true, sockets::MAX_BACKLOG).map_err(failed)?;
    adopt(socket)
}
