//! The HTTP server of the supervisor: probes, metrics, the API and the dashboard.
//!
//! | file | contents |
//! |---|---|
//! | `listener` | opens the socket |
//! | `site` | a request → an answer |
//! | `route` | the path and method → what is requested |
//! | `access` | which client may do what |
//! | `accept`, `query` | what a client prefers, and its parameters |
//! | `metrics` | `/metrics` |
//! | `probes` | `/livez`, `/readyz`, `/startupz` |
//! | `queries` | questions to the supervisor, shared and paced |
//! | `link` | connections to the supervisor: the control protocol over a socket pair |
//! | `apps`, `events`, `logs`, `commands` | the API |
//! | `history` | CPU and memory of the last hour |
//! | `event_json` | an event with its message |
//! | `severity` | the level of a log line |
//! | `dashboard` | the page for browsers |
//! | `openapi` | the description of the API |
//! | `pm2` | PM2's page |
//! | `answer`, `body`, `problem`, `sse` | what is sent |
//! | `clock` | the time |
//!
//! It runs on a thread of its own and decides nothing about applications. It is a client of the supervisor like any
//! other: its requests wait in the same queue as those of the control socket, and the supervisor never waits for it.

mod accept;
mod access;
mod answer;
mod apps;
mod body;
mod clock;
mod commands;
mod dashboard;
mod event_json;
mod events;
mod history;
mod link;
mod listener;
mod logs;
mod metrics;
mod openapi;
mod pm2;
mod probes;
mod problem;
mod queries;
mod query;
mod route;
mod severity;
mod site;
mod sse;

use std::{io, time::Duration};

use tokio::sync::oneshot;

use self::{access::Access, link::Connector, listener::Socket, site::Site};
pub use self::{access::token, link::Links, listener::Opened};
use crate::{
    http::{
        WhenFull,
        server::{self, Limits, Stop},
    },
    spec::WebAddress,
    sys::threads,
};

/// The limits of the server.
const LIMITS: Limits = Limits {
    connections: 512,
    when_full: WhenFull::CloseIdle,
    head_timeout: Duration::from_secs(10),
    write_timeout: Duration::from_secs(30),
};

/// Starts the server on a thread of its own. The first result is the end of the supervisor, the second one
/// arrives once the socket is open.
///
/// # Errors
/// There is no thread for it.
pub fn start(
    address: WebAddress,
    token: Option<String>,
) -> io::Result<(Links, oneshot::Receiver<io::Result<Opened>>)> {
    let (connector, links) = link::connector();
    let (sender, opened) = oneshot::channel();
    let mut sender = Some(sender);
    let access = Access::new(&address, token);
    let mut socket = None;
    let body = move || {
        // After a panic the socket is still open.
        if socket.is_none() {
            let result = Socket::open(&address).map(|(open, opened)| {
                socket = Some(open);
                opened
            });
            if let Some(sender) = sender.take() {
                // If nothing waits for it, the file goes again.
                let _ = sender.send(result);
            }
        }
        if let Some(socket) = &socket {
            run(socket, access.clone(), connector.clone());
        }
    };
    // The supervisor does not continue without a socket.
    threads::spawn("web", None, || true, body)?;
    Ok((links, opened))
}

/// Serves until the process ends.
fn run(socket: &Socket, access: Access, connector: Connector) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("the kernel gives descriptors");
    runtime.block_on(async {
        let listener = socket.listener().expect("the kernel gives descriptors");
        server::serve(vec![listener], Site::new(access, connector), &Stop::new(), LIMITS).await;
    });
}
