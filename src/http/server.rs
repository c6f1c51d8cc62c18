//! Accepts connections and answers requests.
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
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, UnixListener},
    sync::watch,
    time::sleep,
};
use tokio_io_timeout::TimeoutWriter;

use super::places::{Place, Places, WhenFull};

/// Bytes of a request's head.
const MAX_HEAD: usize = 32 * 1024;
/// Header fields of a request.
const MAX_HEADERS: usize = 100;
/// Pause after a failed accept(2), for example when the process has no file descriptor left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The resources that clients may occupy.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Connections at a time.
    pub connections: usize,
    /// What happens to a connection above this number.
    pub when_full: WhenFull,
    /// Time that a connection may be idle between requests, and time for the head of a request.
    pub head_timeout: Duration,
    /// Time for which a client may read nothing of its answer. Without it, a client that does not read would
    /// occupy a connection forever.
    pub write_timeout: Duration,
}

impl Limits {
    /// 30 s for each timeout, with this number of connections.
    pub fn with_connections(connections: usize) -> Self {
        let timeout = Duration::from_secs(30);
        Self { connections, when_full: WhenFull::Wait, head_timeout: timeout, write_timeout: timeout }
    }
}

/// A socket that accepts connections.
#[derive(Debug)]
pub enum Listener {
    /// A TCP socket, without Nagle's algorithm.
    Tcp(TcpListener),
    /// A unix socket.
    Unix(UnixListener),
}

/// Answers requests.
pub trait Handler: Send + Sync + 'static {
    /// The body of an answer.
    type Body: Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + 'static;

    /// Answers one request. An error is an answer, too.
    fn answer(&self, request: Request<Incoming>) -> impl Future<Output = Response<Self::Body>> + Send;
}

/// Ends the service gracefully: no new connection is accepted, idle connections are closed, and requests in
/// progress are answered.
#[derive(Debug)]
pub struct Stop(watch::Sender<bool>);

impl Stop {
    /// Serves until [`Self::stop`].
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

/// Serves these sockets until `stop`. Returns when the last request has been answered.
pub async fn serve<H: Handler>(listeners: Vec<Listener>, handler: H, stop: &Stop, limits: Limits) {
    let handler = Arc::new(handler);
    let places = Places::new(limits.connections, limits.when_full);
    let mut accepting = Vec::new();
    for listener in listeners {
        let (handler, places, stopped) = (handler.clone(), places.clone(), stop.0.subscribe());
        accepting.push(tokio::spawn(accept(listener, handler, places, stopped, limits)));
    }
    for task in accepting {
        let _ = task.await;
    }
    // Each connection holds a place until its end.
    places.all_free().await;
}

async fn accept<H: Handler>(
    listener: Listener,
    handler: Arc<H>,
    places: Places,
    mut stopped: watch::Receiver<bool>,
    limits: Limits,
) {
    loop {
        let next = async {
            let place = places.before_accept().await;
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
            let place = match (place, &connection) {
                (None, Ok(_)) => Some(places.of_accepted().await),
                (place, _) => place,
            };
            (place, connection)
        };
        let (place, connection) = tokio::select! {
            biased;
            _ = stopped.wait_for(|is_stopped| *is_stopped) => return,
            next = next => next,
        };
        match (connection, place) {
            (Ok(Connection::Tcp(socket)), Some(place)) => {
                tokio::spawn(serve_connection(socket, handler.clone(), place, stopped.clone(), limits));
            }
            (Ok(Connection::Unix(socket)), Some(place)) => {
                tokio::spawn(serve_connection(socket, handler.clone(), place, stopped.clone(), limits));
            }
            (Ok(_), None) => {}
            (Err(error), _) if is_of_connection(&error) => {}
            (Err(_), _) => sleep(ACCEPT_PAUSE).await,
        }
    }
}

enum Connection {
    Tcp(tokio::net::TcpStream),
    Unix(tokio::net::UnixStream),
}

/// Whether accept(2) reports an error of the connection, so that the next one can be accepted at once.
fn is_of_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionRefused
    )
}

/// Serves one connection until its end.
async fn serve_connection<H: Handler>(
    socket: impl AsyncRead + AsyncWrite + Unpin,
    handler: Arc<H>,
    place: Place,
    mut stopped: watch::Receiver<bool>,
    limits: Limits,
) {
    let service = service_fn(|mut request: Request<Incoming>| {
        let handler = handler.clone();
        place.begin(request.extensions_mut());
        async move { Ok::<_, Infallible>(handler.answer(request).await) }
    });
    let mut socket = TimeoutWriter::new(socket);
    socket.set_timeout(Some(limits.write_timeout));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head_timeout)
        .max_buf_size(MAX_HEAD)
        .max_headers(MAX_HEADERS)
        .serve_connection(TokioIo::new(Box::pin(socket)), service);
    let mut connection = pin!(connection);
    tokio::select! {
        biased;
        // Clients may disconnect at any time: not an error.
        _ = connection.as_mut() => return,
        () = place.must_close() => return,
        _ = stopped.wait_for(|is_stopped| *is_stopped) => {}
    }
    connection.as_mut().graceful_shutdown();
    let _ = connection.await;
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read as _, Write as _},
        net::{SocketAddr, TcpStream},
        thread,
    };

    use http_body_util::Full;

    use super::*;

    /// More than the kernel buffers for a client that does not read.
    const LARGE: usize = 64 * 1024 * 1024;
    /// A deadline that only a hanging test reaches.
    const DEADLINE: Duration = Duration::from_secs(60);

    /// Answers each request with a large body.
    struct Large;

    impl Handler for Large {
        type Body = Full<Bytes>;

        async fn answer(&self, _: Request<Incoming>) -> Response<Full<Bytes>> {
            Response::new(Bytes::from(vec![b'x'; LARGE]).into())
        }
    }

    /// Runs clients against a server with one place for connections and short timeouts.
    fn with_server(clients: impl FnOnce(SocketAddr) + Send + 'static) {
        with_full_server(WhenFull::Wait, clients);
    }

    fn with_full_server(when_full: WhenFull, clients: impl FnOnce(SocketAddr) + Send + 'static) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let timeout = Duration::from_millis(300);
            let limits = Limits { connections: 1, when_full, head_timeout: timeout, write_timeout: timeout };
            let stop = Stop::new();
            let (done, ended) = tokio::sync::oneshot::channel();
            let thread = thread::spawn(move || {
                clients(address);
                let _ = done.send(());
            });
            let listeners = vec![Listener::Tcp(listener)];
            let serving = serve(listeners, Large, &stop, limits);
            tokio::join!(serving, async {
                let _ = ended.await;
                stop.stop();
            });
            thread.join().unwrap();
        });
    }

    fn connect(address: SocketAddr) -> TcpStream {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream
    }

    /// A whole request that is answered to its end.
    fn is_served(address: SocketAddr) {
        let mut stream = connect(address);
        stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        assert!(answer.len() > LARGE);
    }

    #[test]
    fn a_client_that_sends_its_request_byte_by_byte_is_disconnected() {
        with_server(|address| {
            let mut slow = connect(address);
            slow.write_all(b"GET / HTTP/1.1\r\nX-Slow: ").unwrap();
            let mut writer = slow.try_clone().unwrap();
            let trickle = thread::spawn(move || {
                // Until the server has closed the connection.
                let _ = writer.set_write_timeout(Some(DEADLINE));
                let pause = std::sync::mpsc::channel::<()>().1;
                while writer.write_all(b"x").is_ok() {
                    let _ = pause.recv_timeout(Duration::from_millis(20));
                }
            });
            // It waits for the one place.
            is_served(address);
            let mut rest = Vec::new();
            let _ = slow.read_to_end(&mut rest);
            assert!(!rest.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&rest));
            trickle.join().unwrap();
        });
    }

    #[test]
    fn a_client_that_sends_nothing_is_disconnected() {
        with_server(|address| {
            let mut silent = connect(address);
            is_served(address);
            assert_eq!(silent.read(&mut [0]).unwrap(), 0, "it is closed");
        });
    }

    #[test]
    fn an_idle_connection_makes_room_for_a_new_one() {
        with_full_server(WhenFull::CloseIdle, |address| {
            let mut idle = connect(address);
            idle.write_all(b"GET / HTTP/1.1\r\n").unwrap();
            // Long before the idle connection would have timed out.
            is_served(address);
            let mut rest = Vec::new();
            let _ = idle.read_to_end(&mut rest);
            assert!(rest.is_empty(), "{}", String::from_utf8_lossy(&rest));
        });
    }

    #[test]
    fn a_client_that_does_not_read_its_response_is_disconnected() {
        with_server(|address| {
            let mut stalled = connect(address);
            stalled.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
            // Its answer has begun.
            stalled.read_exact(&mut [0; 16]).unwrap();
            is_served(address);
        });
    }
}
