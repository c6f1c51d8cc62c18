//! The HTTP server with the real binary: probes, metrics, the API, access, and hostile clients.

mod access;
mod api;
mod hostile;
mod metrics;
mod probes;

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader, Read, Write},
    net::TcpStream,
};

use serde_json::Value;

use crate::support::{Bed, DEADLINE, Procrun};

const TOKEN: &str = "0123456789abcdef";

/// What the server has answered.
#[derive(Debug)]
struct Answer {
    status: u16,
    headers: BTreeMap<String, String>,
    body: String,
}

impl Answer {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    #[track_caller]
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The body of this status.
    #[track_caller]
    fn expect(self, status: u16) -> String {
        assert_eq!(self.status, status, "{self:?}");
        self.body
    }
}

/// A procrun with its server on a free port of the loopback interface.
struct Web {
    run: Procrun,
    port: u16,
}

impl Web {
    #[track_caller]
    fn start(bed: &Bed) -> Self {
        Self::with(bed, &[])
    }

    #[track_caller]
    fn with(bed: &Bed, environment: &[(&str, &str)]) -> Self {
        let mut launch = bed.isolated(&["ecosystem.toml", "--web=0"]);
        for (name, value) in environment {
            launch = launch.env(name, value);
        }
        Self::of(launch.start())
    }

    #[track_caller]
    fn of(run: Procrun) -> Self {
        let line = run.wait_for_err("serving probes, metrics and the API at http://");
        let port = line.trim_end_matches('/').rsplit(':').next().and_then(|port| port.parse().ok());
        Self { run, port: port.unwrap_or_else(|| panic!("no port: {line}")) }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).expect("it listens");
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream
    }

    /// Sends a request on a connection of its own. A header is `name: value`.
    #[track_caller]
    fn request(&self, line: &str, headers: &[&str], body: &str) -> Answer {
        let mut stream = self.connect();
        send(&mut stream, line, headers, body);
        receive(&mut stream)
    }

    #[track_caller]
    fn get(&self, path: &str) -> Answer {
        self.request(&format!("GET {path}"), &[], "")
    }

    #[track_caller]
    fn status(&self, path: &str) -> u16 {
        self.get(path).status
    }

    /// Sends a change with the token.
    #[track_caller]
    fn post(&self, path: &str, body: &str) -> Answer {
        let bearer = format!("Authorization: Bearer {TOKEN}");
        self.request(&format!("POST {path}"), &[&bearer, "Content-Type: application/json"], body)
    }

    /// Follows a stream.
    #[track_caller]
    fn follow(&self, path: &str, headers: &[&str]) -> Stream {
        let mut stream = self.connect();
        send(&mut stream, &format!("GET {path}"), headers, "");
        let mut lines = BufReader::new(stream);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert!(lines.read_line(&mut head).expect("an answer") > 0, "{head}");
        }
        assert!(head.starts_with("HTTP/1.1 200 ") && head.contains("text/event-stream"), "{head}");
        Stream { lines }
    }
}

/// Messages of a stream, in chunks.
struct Stream {
    lines: BufReader<TcpStream>,
}

/// One message.
#[derive(Debug, Default, PartialEq)]
struct Message {
    id: Option<u64>,
    kind: String,
    data: Value,
}

impl Stream {
    /// The next message.
    #[track_caller]
    fn next(&mut self) -> Message {
        let mut message = Message::default();
        loop {
            let mut line = String::new();
            assert!(self.lines.read_line(&mut line).expect("a message") > 0, "the stream has ended");
            let line = line.trim_end();
            if let Some(id) = line.strip_prefix("id: ") {
                message.id = id.parse().ok();
            } else if let Some(kind) = line.strip_prefix("event: ") {
                kind.clone_into(&mut message.kind);
            } else if let Some(data) = line.strip_prefix("data: ") {
                message.data = serde_json::from_str(data).unwrap_or_else(|error| panic!("{error}: {data}"));
            } else if line.is_empty() && message.data != Value::Null {
                return message;
            }
        }
    }

    /// Skips messages until one for which `is_wanted`.
    #[track_caller]
    fn wait(&mut self, is_wanted: impl Fn(&Message) -> bool) -> Message {
        loop {
            let message = self.next();
            if is_wanted(&message) {
                return message;
            }
        }
    }
}

fn send(stream: &mut impl Write, line: &str, headers: &[&str], body: &str) {
    let has_host = headers.iter().any(|header| header.starts_with("Host:"));
    let host = if has_host { "" } else { "Host: 127.0.0.1\r\n" };
    let mut text = format!("{line} HTTP/1.1\r\n{host}Connection: close\r\n");
    for header in headers {
        text.push_str(header);
        text.push_str("\r\n");
    }
    if !body.is_empty() {
        text.extend(["Content-Length: ", &body.len().to_string(), "\r\n"]);
    }
    text.push_str("\r\n");
    text.push_str(body);
    stream.write_all(text.as_bytes()).expect("it reads");
}

#[track_caller]
fn receive(stream: &mut impl Read) -> Answer {
    let mut text = Vec::new();
    stream.read_to_end(&mut text).expect("an answer");
    let text = String::from_utf8_lossy(&text).into_owned();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {text:?}"));
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|code| code.parse().ok());
    let headers = lines.filter_map(|line| line.split_once(": "));
    Answer {
        status: status.unwrap_or_else(|| panic!("no status: {text:?}")),
        headers: headers.map(|(name, value)| (name.to_lowercase(), value.to_owned())).collect(),
        body: body.to_owned(),
    }
}

/// An app that runs until it gets SIGTERM, as a table of an ecosystem file.
fn sleeper(name: &str, keys: &str) -> String {
    format!("[[apps]]\nname = \"{name}\"\nscript = \"exec sleep 1000\"\n{keys}\n")
}
