//! The HTTP server of this supervisor: its start, and why it cannot start.

use std::{ffi::OsStr, io};

use tokio::{sync::oneshot, time::Instant};

use super::{
    clients::Clients,
    early_output::print_early,
    early_stop::{stopped_early, unless_stopped},
    helper_threads::HelperThreads,
    job_queues::Purpose,
    role::Role,
    set_up::SET_UP_FAILED,
    termination::not_started,
};
use crate::{
    config::{Source, WEB_TOKEN},
    machine::events::{EventData, Notice},
    spec::{ExitCode, Plan, WebAddress},
    sys::signals::Signals,
    web::{self, Links, Opened},
};

/// A server that is being started.
pub(super) struct Starting {
    address: WebAddress,
    /// An error: it cannot start.
    started: Result<(Links, oneshot::Receiver<io::Result<Opened>>), String>,
}

/// Starts the server if the plan has one. It opens its socket meanwhile.
pub(super) fn start(plan: &Plan, source: &Source) -> Option<Starting> {
    let address = WebAddress::clone(plan.runtime.web.as_ref()?);
    let token = source.environment().get(OsStr::new(WEB_TOKEN)).map(|value| web::token(value));
    let started =
        token.unwrap_or(Ok(None)).map_err(|why| format!("`{WEB_TOKEN}` {why}\n  hint: openssl rand -hex 32"));
    let started = started
        .and_then(|token| web::start(address.clone(), token).map_err(|error| format!("no thread: {error}")));
    Some(Starting { address, started })
}

/// Waits until its socket is open, and reports that. An error: procrun ends with this code.
pub(super) async fn opened(
    starting: &mut Option<Starting>,
    role: &Role,
    plan: &Plan,
    signals: &mut Signals,
    clients: &mut Clients<'_>,
) -> io::Result<Result<Option<Notice>, ExitCode>> {
    let result = match starting {
        None => return Ok(Ok(None)),
        Some(Starting { started: Ok((_, opened)), .. }) => match unless_stopped(signals, opened).await {
            Ok(result) => Some(result?),
            Err(signal) => return Ok(Err(stopped_early(signal))),
        },
        Some(Starting { started: Err(_), .. }) => None,
    };
    let Some(Starting { address, started }) = starting.take() else { return Ok(Ok(None)) };
    let why = match (started, result) {
        (Ok((links, _)), Some(Ok(Ok(Opened { url, file })))) => {
            clients.serve_web(links, file);
            return Ok(Ok(Some(Notice::of_runtime(EventData::WebListening { url }))));
        }
        (Ok(_), Some(Ok(Err(error)))) => reason(&error, &address),
        (Ok(_), Some(Err(_)) | None) => "its thread has panicked".to_owned(),
        (Err(why), _) => why,
    };
    let error = format!("error: the HTTP server cannot listen on {address}: {why}\nnothing was started");
    print_early(&error);
    if role.background.is_none() {
        not_started(&plan.runtime.termination_log, &error);
    }
    Ok(Err(SET_UP_FAILED))
}

/// Waits until the socket of a server that is not needed is open, and has its file removed.
pub(super) async fn abandon(starting: Option<Starting>, helpers: &HelperThreads, until: Instant) {
    let Some(Starting { started: Ok((_, mut opened)), .. }) = starting else { return };
    if let Some(Ok(Opened { file: Some(file), .. })) = helpers.receive(&mut opened, until).await {
        let _ = helpers.request_for(Purpose::File, move || drop(file));
    }
}

fn reason(error: &io::Error, address: &WebAddress) -> String {
    let hint = match (error.kind(), address) {
        (io::ErrorKind::AddrInUse, _) => {
            "\n  hint: another program listens there; choose another address with `web`"
        }
        (io::ErrorKind::PermissionDenied, WebAddress::Tcp(_)) => {
            "\n  hint: a port below 1024 needs root or CAP_NET_BIND_SERVICE"
        }
        (io::ErrorKind::PermissionDenied, WebAddress::Unix(_)) => {
            "\n  hint: procrun's user must be able to create a file in that directory"
        }
        (io::ErrorKind::AlreadyExists, _) => "\n  hint: remove the file, or choose another path with `web`",
        (io::ErrorKind::NotFound, _) => "\n  hint: create the directory of the socket",
        (io::ErrorKind::AddrNotAvailable, _) => "\n  hint: no interface of this machine has that address",
        _ => "",
    };
    format!("{error}{hint}")
}
