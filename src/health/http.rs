//! One HTTP request and its answer, on a connection of its own.
//!
//! The status decides. A part of the body is read only if it may contain the reason of a failure.

use std::{future::poll_fn, pin::Pin, time::Duration};

use hyper::{
    Request, Response, StatusCode,
    body::{Body, Incoming},
    client::conn::http1,
    header,
};
use hyper_util::rt::TokioIo;
use tokio::{
    net::TcpStream,
    time::{Instant, timeout},
};

use super::{
    connection::{ProbeTransport, connection},
    text::clean,
    time_limit::in_time,
};

/// The maximum size of an answer in memory, headers and body together.
const BUFFER: usize = 8 * 1024;
/// The maximum number of bytes of a body that are used.
const MAX_HEAD_BYTES: usize = 1024;
/// Maximum time for a body with the reason of a failure.
const BODY_TIMEOUT: Duration = Duration::from_millis(100);

const AGENT: &str = concat!("procrun/", env!("CARGO_PKG_VERSION"));

/// Sends the request; 200 to 399 is a success, as in Kubernetes.
pub(super) async fn get(
    transport: ProbeTransport,
    host: &str,
    path: &str,
    until: Instant,
    limit: Duration,
) -> Result<(), String> {
    let what = format!("GET http://{host}{path}");
    let failed = |why: String| format!("{what}: {why}");
    let request = Request::get(path)
        .header(header::HOST, host)
        .header(header::USER_AGENT, AGENT)
        .header(header::ACCEPT, "*/*")
        .header(header::CONNECTION, "close")
        // No body.
        .body(String::new())
        .map_err(|error| failed(error.to_string()))?;
    let stream = in_time(until, limit, "no connection", connection(transport)).await.map_err(failed)?;
    in_time(until, limit, "no answer", exchange(TokioIo::new(stream), request)).await.map_err(failed)
}

async fn exchange(stream: TokioIo<TcpStream>, request: Request<String>) -> Result<(), String> {
    let (mut sender, connection) = http1::Builder::new()
        .max_buf_size(BUFFER)
        .handshake(stream)
        .await
        .map_err(|error| error.to_string())?;
    let answer = async {
        let response = sender.send_request(request).await.map_err(|error| with_source(&error))?;
        let status = response.status();
        if status.is_success() || status.is_redirection() {
            return Ok(());
        }
        Err(match first_line(response).await {
            first_line if first_line.is_empty() => describe(status),
            first_line => format!("{}: {first_line}", describe(status)),
        })
    };
    tokio::pin!(answer, connection);
    let mut open = true;
    loop {
        tokio::select! {
            // A received answer counts, whatever happens to the connection.
            biased;
            result = &mut answer => return result,
            _ = &mut connection, if open => open = false,
        }
    }
}

fn describe(status: StatusCode) -> String {
    match status.canonical_reason() {
        Some(reason) => format!("answered {} {reason}", status.as_u16()),
        None => format!("answered {}", status.as_u16()),
    }
}

/// The error with its source.
fn with_source(error: &hyper::Error) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

/// The first line of a body, if it arrives in time.
async fn first_line(response: Response<Incoming>) -> String {
    let mut body = response.into_body();
    let mut bytes = Vec::new();
    let read = async {
        while bytes.len() < MAX_HEAD_BYTES {
            let frame = poll_fn(|context| Pin::new(&mut body).poll_frame(context));
            let Some(Ok(frame)) = frame.await else { break };
            if let Ok(data) = frame.into_data() {
                bytes.extend_from_slice(&data[..data.len().min(MAX_HEAD_BYTES - bytes.len())]);
            }
        }
    };
    // The received part is enough.
    let _ = timeout(BODY_TIMEOUT, read).await;
    let line = bytes.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).find(|line| !line.is_empty());
    line.map_or_else(String::new, clean)
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read as _, Write as _},
        net::TcpListener,
        thread,
    };

    use super::*;

    /// The result of an answer, and the request.
    fn probe(answer: &'static [u8], hold: bool) -> (Result<(), String>, String) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                stream.read_exact(&mut byte).unwrap();
                request.push(byte[0]);
            }
            let _ = stream.write_all(answer);
            if hold {
                // Until the client has closed the connection.
                let _ = stream.read(&mut [0]);
            }
            String::from_utf8(request).unwrap()
        });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let limit = Duration::from_millis(if answer.is_empty() { 300 } else { 20_000 });
        let result = runtime.block_on(async {
            let until = Instant::now() + limit;
            get(ProbeTransport::Addresses(vec![address]), "app:1", "/healthz?deep=1", until, limit).await
        });
        (result, server.join().unwrap())
    }

    fn why(answer: &'static [u8], hold: bool) -> String {
        probe(answer, hold).0.unwrap_err()
    }

    #[test]
    fn the_status_decides() {
        for good in [
            &b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe"[..],
            b"HTTP/1.1 204 No Content\r\n\r\n",
            b"HTTP/1.1 302 Found\r\nLocation: /x\r\n\r\n",
            b"HTTP/1.0 200 OK\r\n\r\nold",
        ] {
            assert_eq!(probe(good, true).0, Ok(()), "{}", good.escape_ascii());
        }
        let what = "GET http://app:1/healthz?deep=1: ";
        assert_eq!(
            why(
                b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 18\r\n\r\n\n db\x1b[m is down\nx",
                false
            ),
            format!("{what}answered 503 Service Unavailable: db is down")
        );
        assert_eq!(why(b"HTTP/1.1 404 Nope\r\n\r\n", false), format!("{what}answered 404 Not Found"));
        assert_eq!(why(b"", true), format!("{what}no answer within 300 ms"));
        assert!(why(b"SSH-2.0-OpenSSH\r\n", false).starts_with(what));
        assert!(why(b"\x00\x01", false).starts_with(what));
    }

    #[test]
    fn the_request_is_plain_and_its_connection_ends() {
        let (_, request) = probe(b"HTTP/1.1 200 OK\r\n\r\n", false);
        assert!(request.starts_with("GET /healthz?deep=1 HTTP/1.1\r\n"), "{request}");
        let request = request.to_lowercase();
        for header in ["host: app:1\r\n", "connection: close\r\n", "user-agent: procrun/"] {
            assert!(request.contains(header), "{request}");
        }
        assert!(!request.contains("content-length"), "{request}");
    }

    #[test]
    fn an_endless_response_is_read_up_to_a_limit() {
        // Endless headers, and a body that arrives slowly.
        let with_tail = |head: &str| head.to_owned() + &"x".repeat(100_000);
        let endless: &'static str = with_tail("HTTP/1.1 200 OK\r\nX: ").leak();
        assert!(probe(endless.as_bytes(), false).0.is_err());
        let body: &'static str = with_tail("HTTP/1.1 500 No\r\n\r\n").leak();
        let why = why(body.as_bytes(), true);
        assert!(why.len() < 400, "{why}");
    }
}
