//! The HTTP server of this supervisor: its start, and why it cannot start.

use std::{ffi::OsStr, io};

use tokio::sync::oneshot;

use super::{
    clients::Clients,
    early_output::print_early,
    early_stop::{stopped_early, unless_stopped},
    role::Role,
    set_up::SET_UP_FAILED,
    termination::not_started,
};
use crate::{
    config::{Source, WEB_TOKEN},
    machine::events::{EventData, Notice},
    spec::{ExitCode, Plan, WebAddress},
    sys::signals::Signals,
    web::{self, Links},
};

/// A server that is being started.
pub(super) struct Starting {
    address: WebAddress,
    /// An error: it cannot start.
    started: Result<(Links, oneshot::Receiver<io::Result<String>>), String>,
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
    starting: Option<Starting>,
    role: &Role,
    plan: &Plan,
    signals: &mut Signals,
    clients: &mut Clients<'_>,
) -> io::Result<Result<Option<Notice>, ExitCode>> {
    let Some(Starting { address, started }) = starting else { return Ok(Ok(None)) };
    let why = match started {
        Ok((links, url)) => match unless_stopped(signals, url).await {
            Ok(url) => match url? {
                Ok(Ok(url)) => {
                    clients.serve_web(links);
                    return Ok(Ok(Some(Notice::of_runtime(EventData::WebListening { url }))));
                }
                Ok(Err(error)) => reason(&error, &address),
                Err(_) => "its thread has panicked".to_owned(),
            },
            Err(signal) => return Ok(Err(stopped_early(signal))),
        },
        Err(why) => why,
    };
    let error = format!("error: the HTTP server cannot listen on {address}: {why}\nnothing was started");
    print_early(&error);
    if role.background.is_none() {
        not_started(&plan.runtime.termination_log, &error);
    }
    Ok(Err(SET_UP_FAILED))
}

fn reason(error: &io::Error, address: &WebAddress) -> String {
    let hint = match (error.kind(), address) {
        (io::ErrorKind::AddrInUse, _) => {
            "\n  hint: another program listens there; choose another address with `web`"
        }
        (io::ErrorKind::PermissionDenied, WebAddress::Tcp(_)) => {
            "\n  hint: a port below 1024 needs root or CAP_NET_BIND_SERVICE"
        }
        (io::ErrorKind::AddrNotAvailable, _) => "\n  hint: no interface of this machine has that address",
        _ => "",
    };
    format!("{error}{hint}")
}
