//! Accepts connections and has each request answered.
//!
//! Every resource that a client can hold has a limit: the number of connections, the size of a request's head
//! and the time it may take, and the time for which a client may read nothing of its answer.

use std::{convert::Infallible, io, pin::pin, sync::Arc, time::Duration};

use hyper::{
    Request, Response,
    body::{Body, Bytes, Incoming},
    server::conn::http1,
    service::service_fn,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, UnixListener},
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    time::sleep,
};

use super::{stream::Stream, timer::Timer};

/// How much a request's head may hold, in bytes.
const MAX_HEAD: usize = 32 * 1024;
/// How many header fields it may have.
const MAX_HEADERS: usize = 100;
/// How long a connection may wait for its next request, and how long a request's head may take.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a client may take nothing of its answer.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// How long nothing is accepted when the process has no descriptor left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Where connections come from.
#[derive(Debug)]
pub enum Listener {
    /// TCP.
    Tcp(TcpListener),
    /// A unix socket.
    Unix(UnixListener),
}

/// What answers requests.
pub trait Handler: Send + Sync + 'static {
    /// The body of an answer.
    type Body: Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + 'static;

    /// The answer to a request.
    fn answer(&self, request: Request<Incoming>) -> impl Future<Output = Response<Self::Body>> + Send;
}

/// What ends the service: nothing is accepted any more, idle connections are closed, and a request that is
/// under way is answered.
#[derive(Debug)]
pub struct Stop(watch::Sender<bool>);

impl Stop {
    /// A service that goes on until this is called.
    pub fn new() -> Self {
        Self(watch::Sender::new(false))
    }

    /// Ends the service.
    pub fn stop(&self) {
        self.0.send_replace(true);
    }
}

impl Default for Stop {
    fn default() -> Self {
        Self::new()
    }
}

/// Serves these sockets until `stop`, with at most so many connections at a time; the others wait in the
/// kernel's backlog. Returns when the last request has been answered.
pub async fn serve<H: Handler>(listeners: Vec<Listener>, handler: H, stop: &Stop, max_connections: usize) {
    let handler = Arc::new(handler);
    let places = Arc::new(Semaphore::new(max_connections));
    let mut accepting = Vec::new();
    for listener in listeners {
        let (handler, places, stopped) = (handler.clone(), places.clone(), stop.0.subscribe());
        accepting.push(tokio::spawn(accept(listener, handler, places, stopped)));
    }
    for task in accepting {
        let _ = task.await;
    }
    // Each connection has a place for as long as it lives.
    let all = u32::try_from(max_connections).unwrap_or(u32::MAX);
    let _ = places.acquire_many(all).await;
}

async fn accept<H: Handler>(
    listener: Listener,
    handler: Arc<H>,
    places: Arc<Semaphore>,
    mut stopped: watch::Receiver<bool>,
) {
    loop {
        let next = async {
            let place = places.clone().acquire_owned().await.expect("it is never closed");
            let connection = match &listener {
                Listener::Tcp(listener) => listener.accept().await.map(|(socket, _)| {
                    // An answer's last part must not wait for the client's acknowledgement.
                    let _ = socket.set_nodelay(true);
                    Connection::Tcp(socket)
                }),
                Listener::Unix(listener) => {
                    listener.accept().await.map(|(socket, _)| Connection::Unix(socket))
                }
            };
            (place, connection)
        };
        let (place, connection) = tokio::select! {
            biased;
            _ = stopped.wait_for(|is_stopped| *is_stopped) => return,
            next = next => next,
        };
        match connection {
            Ok(Connection::Tcp(socket)) => {
                tokio::spawn(converse(socket, handler.clone(), place, stopped.clone()));
            }
            Ok(Connection::Unix(socket)) => {
                tokio::spawn(converse(socket, handler.clone(), place, stopped.clone()));
            }
            Err(error) if is_of_connection(&error) => {}
            Err(_) => sleep(ACCEPT_PAUSE).await,
        }
    }
}

enum Connection {
    Tcp(tokio::net::TcpStream),
    Unix(tokio::net::UnixStream),
}

/// Whether the connection is to blame and not the process.
fn is_of_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionRefused
    )
}

/// One connection until its end.
async fn converse<H: Handler>(
    socket: impl AsyncRead + AsyncWrite + Unpin,
    handler: Arc<H>,
    _place: OwnedSemaphorePermit,
    mut stopped: watch::Receiver<bool>,
) {
    let service = service_fn(|request| {
        let handler = handler.clone();
        async move { Ok::<_, Infallible>(handler.answer(request).await) }
    });
    let connection = http1::Builder::new()
        .timer(Timer)
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(MAX_HEAD)
        .max_headers(MAX_HEADERS)
        .serve_connection(Stream::with_write_limit(socket, WRITE_TIMEOUT), service);
    let mut connection = pin!(connection);
    tokio::select! {
        biased;
        // A client that breaks off is nothing to speak of.
        _ = connection.as_mut() => return,
        _ = stopped.wait_for(|is_stopped| *is_stopped) => {}
    }
    connection.as_mut().graceful_shutdown();
    let _ = connection.await;
}
