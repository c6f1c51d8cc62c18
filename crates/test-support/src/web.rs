//! HTTP clients of the servers that run under procrun, and the ports of these servers. A server prints
//! `listening on <port> as <pid>`.

use std::{
    collections::HashSet,
    io::{self, BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    path::PathBuf,
    sync::atomic::{AtomicU32, Ordering},
};

use super::{DEADLINE, Procrun, repository};

/// The number that follows `text` in a line.
#[track_caller]
pub fn number_after(line: &str, text: &str) -> i32 {
    let rest = &line[line.find(text).expect("it has the text") + text.len()..];
    let digits: String = rest.trim_start().chars().take_while(char::is_ascii_digit).collect();
    digits.parse().unwrap_or_else(|_| panic!("no number after {text:?} in {line:?}"))
}

/// The port on which this number of workers listens.
#[track_caller]
pub fn port_of(procrun: &Procrun, workers: usize) -> u16 {
    let lines = procrun.wait_for_lines("listening on", workers);
    let ports: HashSet<i32> = lines.iter().map(|line| number_after(line, "listening on")).collect();
    assert_eq!(ports.len(), 1, "{lines:?}");
    ports.into_iter().next().and_then(|port| u16::try_from(port).ok()).expect("a port")
}

/// Returns a port that is free together with the next one. Both are below the ephemeral range, and no other test of
/// this program uses them.
pub fn free_port() -> u16 {
    const FIRST: u16 = 10_000;
    const PAIRS: u32 = 10_000;
    static TAKEN: AtomicU32 = AtomicU32::new(0);
    // A test program that runs beside this one begins elsewhere.
    let offset = std::process::id() * 97;
    loop {
        let pair = (TAKEN.fetch_add(1, Ordering::Relaxed) + offset) % PAIRS;
        let port = FIRST + 2 * u16::try_from(pair).expect("below the number of pairs");
        if [port, port + 1].iter().all(|port| TcpListener::bind(("0.0.0.0", *port)).is_ok()) {
            return port;
        }
    }
}

/// Requests a path on a connection of its own, and fails if the answer stops for [`DEADLINE`]. Returns the body.
pub fn get(port: u16, path: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(DEADLINE))?;
    fetch(&mut stream, path)
}

/// Requests a path on a connection that ends with the answer.
pub fn fetch(stream: &mut (impl Read + Write), path: &str) -> io::Result<String> {
    write!(stream, "GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    match answer.split_once("\r\n\r\n") {
        Some((_, body)) => Ok(body.to_owned()),
        None => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

/// A connection that stays open.
pub struct Client {
    pub stream: BufReader<TcpStream>,
}

/// An answer of a server.
pub struct Answer {
    pub body: String,
    /// The server closes the connection after it.
    pub is_last: bool,
}

impl Client {
    pub fn connect(port: u16) -> io::Result<Self> {
        Self::of(TcpStream::connect(("127.0.0.1", port))?)
    }

    /// A client of a connection that exists.
    pub fn of(stream: TcpStream) -> io::Result<Self> {
        stream.set_read_timeout(Some(DEADLINE))?;
        Ok(Self { stream: BufReader::new(stream) })
    }

    /// The local port of the connection.
    pub fn port(&self) -> io::Result<u16> {
        Ok(self.stream.get_ref().local_addr()?.port())
    }

    /// Sends a request with these header lines, each of which ends in `\r\n`.
    pub fn send(&mut self, path: &str, headers: &str) -> io::Result<()> {
        let request = format!("GET {path} HTTP/1.1\r\nHost: test\r\n{headers}\r\n");
        self.write(request.as_bytes())
    }

    /// Sends these bytes.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.get_mut().write_all(bytes)
    }

    /// Reads an answer with a `Content-Length`.
    pub fn receive(&mut self) -> io::Result<Answer> {
        let (mut length, mut is_last) = (0, false);
        let mut line = String::new();
        loop {
            line.clear();
            if self.stream.read_line(&mut line)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let line = line.trim_end().to_ascii_lowercase();
            if let Some(value) = line.strip_prefix("content-length: ") {
                length = value.parse().expect("a length");
            }
            is_last |= line == "connection: close";
            if line.is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body)?;
        Ok(Answer { body: String::from_utf8_lossy(&body).into_owned(), is_last })
    }

    pub fn request(&mut self, path: &str) -> io::Result<Answer> {
        self.send(path, "")?;
        self.receive()
    }

    /// Waits until the server closes the connection; false if it sends something.
    pub fn ends(&mut self) -> bool {
        matches!(self.stream.read(&mut [0; 1]), Ok(0))
    }
}

/// A fixture of `tests/apps`.
#[track_caller]
pub fn fixture(name: &str) -> String {
    let path = repository().join("tests/apps").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A file that `tests/setup.sh test` has put under `target/`.
#[track_caller]
pub fn prepared_file(what: &str) -> PathBuf {
    let path = repository().join("target").join(what);
    assert!(path.exists(), "there is no {}; tests/setup.sh test fetches it", path.display());
    path
}
