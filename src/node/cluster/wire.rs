//! Node's IPC messages: bytes → [`Message`], and messages of a primary → bytes.
//!
//! One JSON value a line. Messages with a `cmd` that begins with `NODE_` are Node's own; all others are the
//! application's. Pure: it neither reads nor writes.

use std::{borrow::Cow, fmt, io::Write, net::SocketAddr, sync::Arc};

use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::Value;

use super::{Data, Endpoint, ListenerId, Query, WorkerMessage};
use crate::{logs::frame::Framer, machine::Uncaught};

/// Maximum bytes of a message; a longer one closes the channel.
pub const MAX_MESSAGE: usize = 1024 * 1024;

/// Maximum bytes of a server's `data`; longer data is not passed on. Node's TLS ticket keys have 96 letters.
const MAX_DATA: usize = 16 * 1024;

/// Maximum characters of an address that a worker reports. A path of a unix socket has 108.
const MAX_PLACE: usize = 128;

/// Bun's internal messages begin with this byte, in both directions.
const OF_BUN: u8 = 2;

const ENOTSUP: i32 = 95;

/// One message from a worker.
#[derive(Debug, Clone, PartialEq)]
pub enum Message {
    /// The application's own `process.send`.
    Application {
        /// Whether it is the string `ready`.
        ready: bool,
    },
    /// It has a descriptor with it, which procrun does not use.
    Handle,
    /// The oldest unconfirmed descriptor has arrived.
    HandleAck,
    /// The oldest unconfirmed descriptor was lost.
    HandleNack,
    /// A heartbeat.
    Beat,
    /// The worker could not listen.
    CannotListen {
        /// The address for messages.
        place: String,
        /// A positive errno.
        errno: i32,
        /// The application handles the error of this server.
        is_handled: bool,
    },
    /// The worker listens after it could not.
    Listens,
    /// The worker is about to end by an uncaught error.
    Uncaught(Uncaught),
    /// A message about clustering.
    Cluster(WorkerMessage),
    /// As [`Self::Cluster`], from Bun. It receives no descriptors, and opens most of its sockets by itself.
    OfBun(WorkerMessage),
    /// A message of Node itself that procrun does not need.
    Other,
}

/// Why a channel is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Broken {
    /// A line longer than [`MAX_MESSAGE`].
    TooLong,
    /// A line that is no JSON value, or one of Node's own messages with fields of the wrong type.
    Garbage,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooLong => "a message of more than 1 MiB",
            Self::Garbage => "something that is not a Node message",
        })
    }
}

/// Splits one worker's bytes into messages. Holds memory only while a message is incomplete.
#[derive(Debug)]
pub struct Decoder {
    framer: Framer,
    /// Whether it continues with the next line after one that is no message.
    is_tolerant: bool,
    broken: bool,
}

impl Default for Decoder {
    fn default() -> Self {
        Self { framer: Framer::new(MAX_MESSAGE), is_tolerant: false, broken: false }
    }
}

impl Decoder {
    /// For a program that may not know that it has a channel: lines that are no messages are skipped.
    pub fn tolerant() -> Self {
        Self { is_tolerant: true, ..Self::default() }
    }

    /// Takes the next bytes and passes on every message that they complete, in order. After the first [`Broken`]
    /// it passes on nothing, unless it is tolerant.
    pub fn feed(&mut self, bytes: &[u8], mut emit: impl FnMut(Result<Message, Broken>)) {
        let (broken, is_tolerant) = (&mut self.broken, self.is_tolerant);
        self.framer.feed(bytes, |piece| {
            if *broken {
                return;
            }
            let message = if piece.is_whole() { decode(piece.bytes) } else { Err(Broken::TooLong) };
            *broken = message.is_err() && !is_tolerant;
            emit(message);
        });
    }
}

/// Parses one line.
fn decode(line: &[u8]) -> Result<Message, Broken> {
    match line.first() {
        // The one message that every application with `wait_ready` sends.
        _ if line == b"\"ready\"" => Ok(Message::Application { ready: true }),
        Some(&OF_BUN) => Ok(of_bun(&line[1..])),
        _ => {
            let value: Shallow<'_> = serde_json::from_slice(line).map_err(|_| Broken::Garbage)?;
            match value.cmd.as_deref() {
                Some("NODE_CLUSTER") => hail(line).map(Message::Cluster),
                Some("NODE_PROCRUN") => word(line),
                Some("NODE_HANDLE") => Ok(Message::Handle),
                Some("NODE_HANDLE_ACK") => Ok(Message::HandleAck),
                Some("NODE_HANDLE_NACK") => Ok(Message::HandleNack),
                Some(cmd) if cmd.starts_with("NODE_") => Ok(Message::Other),
                Some(_) | None => Ok(Message::Application { ready: false }),
            }
        }
    }
}

/// Bun writes messages about clustering as Node does. Its internal messages are skipped and never close the
/// channel.
fn of_bun(line: &[u8]) -> Message {
    match serde_json::from_slice::<Shallow<'_>>(line) {
        Ok(Shallow { cmd: Some(cmd), .. }) if cmd == "NODE_CLUSTER" => {
            hail(line).map_or(Message::Other, Message::OfBun)
        }
        Ok(_) | Err(_) => Message::Other,
    }
}

/// A JSON value, parsed only as deep as needed.
#[derive(Default)]
struct Shallow<'a> {
    /// The value itself if it is a string.
    text: Option<Cow<'a, str>>,
    /// Its `cmd` if it is an object that has one and that is a string.
    cmd: Option<Cow<'a, str>>,
}

impl<'de> Deserialize<'de> for Shallow<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ShallowVisitor)
    }
}

struct ShallowVisitor;

impl<'de> Visitor<'de> for ShallowVisitor {
    type Value = Shallow<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Shallow<'de>, E> {
        Ok(Shallow { text: Some(Cow::Borrowed(text)), cmd: None })
    }

    fn visit_str<E>(self, text: &str) -> Result<Shallow<'de>, E> {
        Ok(Shallow { text: Some(Cow::Owned(text.to_owned())), cmd: None })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Shallow<'de>, A::Error> {
        let mut cmd = None;
        while let Some(key) = map.next_key::<Shallow<'de>>()? {
            if key.text.as_deref() == Some("cmd") {
                cmd = map.next_value::<Shallow<'de>>()?.text;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(Shallow { text: None, cmd })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Shallow<'de>, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Shallow::default())
    }

    fn visit_bool<E>(self, _: bool) -> Result<Shallow<'de>, E> {
        Ok(Shallow::default())
    }

    fn visit_i64<E>(self, _: i64) -> Result<Shallow<'de>, E> {
        Ok(Shallow::default())
    }

    fn visit_u64<E>(self, _: u64) -> Result<Shallow<'de>, E> {
        Ok(Shallow::default())
    }

    fn visit_f64<E>(self, _: f64) -> Result<Shallow<'de>, E> {
        Ok(Shallow::default())
    }

    fn visit_unit<E>(self) -> Result<Shallow<'de>, E> {
        Ok(Shallow::default())
    }
}

/// A `NODE_CLUSTER` message as Node's `internal/cluster/child.js` writes it. Fields that an application influences
/// (`port`, `backlog`) may have any type.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Raw<'a> {
    #[serde(borrow)]
    act: Option<Cow<'a, str>>,
    seq: Option<u64>,
    ack: Option<u64>,
    accepted: Option<bool>,
    key: Value,
    address: Value,
    port: Value,
    address_type: Value,
    fd: Value,
    flags: Value,
    backlog: Value,
    index: Option<u64>,
    data: Value,
    readable_all: Value,
    writable_all: Value,
    count: Option<u32>,
    errno: Option<i32>,
    handled: Option<bool>,
    origin: Option<Cow<'a, str>>,
}

fn hail(line: &[u8]) -> Result<WorkerMessage, Broken> {
    let raw: Raw<'_> = serde_json::from_slice(line).map_err(|_| Broken::Garbage)?;
    if let Some(ack) = raw.ack {
        return Ok(WorkerMessage::Ack { seq: ack, accepted: raw.accepted == Some(true) });
    }
    let seq = || raw.seq.ok_or(Broken::Garbage);
    Ok(match raw.act.as_deref() {
        Some("online") => WorkerMessage::Online,
        Some("queryServer") => WorkerMessage::Query(Query {
            seq: seq()?,
            endpoint: endpoint(&raw),
            descriptor: descriptor(&raw),
            index: raw.index.unwrap_or(0),
            data: data(&raw.data),
        }),
        Some("listening") => WorkerMessage::Listening { address: address(&raw) },
        Some("close") => WorkerMessage::Close { listener: key(&raw) },
        Some("exitedAfterDisconnect") => WorkerMessage::Leaving { seq: seq()? },
        Some(_) | None => WorkerMessage::Unknown,
    })
}

/// Parses a message of procrun's own scripts in a worker.
fn word(line: &[u8]) -> Result<Message, Broken> {
    let raw: Raw<'_> = serde_json::from_slice(line).map_err(|_| Broken::Garbage)?;
    Ok(match raw.act.as_deref() {
        Some("beat") => Message::Beat,
        Some("cannot-listen") => {
            let place: String = address(&raw).chars().filter(|it| !it.is_control()).take(MAX_PLACE).collect();
            let errno = raw.errno.unwrap_or_default().saturating_abs();
            Message::CannotListen { place, errno, is_handled: raw.handled == Some(true) }
        }
        Some("listens") => Message::Listens,
        Some("uncaught") => Message::Uncaught(match raw.origin.as_deref() {
            Some("unhandledRejection") => Uncaught::Rejection,
            Some(_) | None => Uncaught::Exception,
        }),
        Some("drains") => Message::Cluster(WorkerMessage::Drains),
        Some("drained") => Message::Cluster(WorkerMessage::Drained),
        Some("accepts") => Message::Cluster(WorkerMessage::Accepts),
        Some("accepted") => {
            let listener = key(&raw).ok_or(Broken::Garbage)?;
            Message::Cluster(WorkerMessage::Accepted { listener, count: raw.count.unwrap_or(0) })
        }
        Some("declined") => {
            Message::Cluster(WorkerMessage::Declines { listener: key(&raw).ok_or(Broken::Garbage)? })
        }
        Some(_) | None => Message::Cluster(WorkerMessage::Unknown),
    })
}

fn key(raw: &Raw<'_>) -> Option<ListenerId> {
    raw.key.as_u64().and_then(|key| u32::try_from(key).ok()).map(ListenerId)
}

/// `None`: this primary does not support it.
fn endpoint(raw: &Raw<'_>) -> Option<Endpoint> {
    let address = raw.address.as_str().filter(|address| !address.is_empty());
    let flags = raw.flags.as_i64().unwrap_or(0);
    let backlog = raw.backlog.as_i64().and_then(|backlog| i32::try_from(backlog).ok()).filter(|it| *it > 0);
    // Node's default.
    let backlog = backlog.unwrap_or(511);
    let only_v6 = flags & 1 != 0;
    if raw.fd.as_u64().is_some() {
        return None;
    }
    let port = || raw.port.as_u64().unwrap_or(0).try_into().ok();
    let datagram = |v6| {
        Some(Endpoint::Udp {
            address: address.unwrap_or(if v6 { "::" } else { "0.0.0.0" }).to_owned(),
            port: port()?,
            only_v6,
            reuse: flags & 4 != 0,
        })
    };
    match raw.address_type.as_str() {
        Some("udp4") => return datagram(false),
        Some("udp6") => return datagram(true),
        Some(_) => return None,
        None => {}
    }
    if raw.port.as_i64().is_some_and(|port| port < 0) {
        return Some(Endpoint::Unix {
            path: address?.to_owned(),
            readable: raw.readable_all == Value::Bool(true),
            writable: raw.writable_all == Value::Bool(true),
            backlog,
        });
    }
    Some(Endpoint::Tcp { address: address.map(str::to_owned), port: port()?, only_v6, backlog })
}

/// Datagram sockets have an address type even without an address.
fn descriptor(raw: &Raw<'_>) -> Option<usize> {
    raw.fd.as_u64().filter(|_| raw.address_type.is_null()).and_then(|fd| fd.try_into().ok())
}

fn data(data: &Value) -> Option<Data> {
    let text = (!data.is_null()).then(|| data.to_string())?;
    (text.len() <= MAX_DATA).then(|| text.into())
}

/// For messages: `port 3000`, `127.0.0.1:3000`, a path.
fn address(raw: &Raw<'_>) -> String {
    let port = raw.port.as_i64().unwrap_or(-1);
    match raw.address.as_str() {
        Some(path) if port < 0 => super::path_for_people(path),
        Some(address) if address.contains(':') => format!("[{address}]:{port}"),
        Some(address) => format!("{address}:{port}"),
        None => format!("port {port}"),
    }
}

/// An answer to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The request's own number.
    pub seq: u64,
    /// The result of a query; `None` for other requests.
    pub to_query: Option<Outcome>,
}

/// The result of a query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The socket that was found or created.
    pub listener: ListenerId,
    /// The reason of a failure, as a positive errno.
    pub errno: Option<i32>,
    /// The data of the server that requested the socket first.
    pub data: Option<Data>,
    /// The kind of descriptor that goes with the answer; `None`: connections will be handed over.
    pub handle: Option<Handle>,
    /// The address of the socket.
    pub bound_to: Option<SocketAddr>,
}

/// A kind of descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Handle {
    /// A TCP or unix socket.
    Stream,
    /// A UDP socket.
    Datagram,
}

/// Node's acknowledgement of a descriptor.
pub const HANDLE_ACK: &[u8] = b"{\"cmd\":\"NODE_HANDLE_ACK\"}\n";

/// Requests procrun's own script in a worker to finish its connections. Node's prefix for such messages (`NODE_`)
/// hides it from the application.
pub const DRAIN: &[u8] = b"{\"cmd\":\"NODE_PROCRUN\",\"act\":\"drain\"}\n";

/// PM2's message that requests a worker to exit.
pub const SHUTDOWN: &[u8] = b"\"shutdown\"\n";

impl Answer {
    /// Answers a request for a socket that is not supported: the application gets an error, and without an answer
    /// it would wait forever.
    pub fn not_supported(seq: u64) -> Self {
        let errno = Some(ENOTSUP);
        let listener = ListenerId(0);
        Self { seq, to_query: Some(Outcome { listener, errno, data: None, handle: None, bound_to: None }) }
    }

    /// Appends the answer as a line.
    pub fn encode(&self, into: &mut Vec<u8>) {
        let handle = self.to_query.as_ref().and_then(|outcome| outcome.handle);
        put(into, format_args!("{}", opening(handle)));
        put(into, format_args!(r#"{{"cmd":"NODE_CLUSTER","ack":{}"#, self.seq));
        if let Some(Outcome { listener, errno, data, handle: _, bound_to }) = &self.to_query {
            let data = data.as_ref().map_or("null", Arc::as_ref);
            let errno = -errno.unwrap_or(0);
            put(into, format_args!(r#","errno":{errno},"key":{},"data":{data}"#, listener.0));
            if let Some(address) = bound_to {
                let (ip, port) = (address.ip(), address.port());
                let family = if address.is_ipv6() { "IPv6" } else { "IPv4" };
                put(
                    into,
                    format_args!(r#","sockname":{{"address":"{ip}","family":"{family}","port":{port}}}"#),
                );
            }
        }
        put(into, format_args!("}}{}", closing(handle)));
    }
}

/// Appends the answer to a request of Bun.
pub fn encode_for_bun(answer: &Answer, into: &mut Vec<u8>) {
    into.push(OF_BUN);
    answer.encode(into);
}

/// Appends the message that hands over a connection.
pub fn encode_connection(listener: ListenerId, seq: u64, into: &mut Vec<u8>) {
    put(
        into,
        format_args!(
            "{}{{\"cmd\":\"NODE_CLUSTER\",\"act\":\"newconn\",\"key\":{},\"seq\":{seq}}}{}",
            opening(Some(Handle::Stream)),
            listener.0,
            closing(Some(Handle::Stream)),
        ),
    );
}

/// Appends the message that hands over a listening socket, to accept from: `handed` is the number of connections
/// that the worker was handed lately.
pub fn encode_accept(listener: ListenerId, backlog: i32, handed: u32, into: &mut Vec<u8>) {
    put(
        into,
        format_args!(
            "{}{{\"cmd\":\"NODE_PROCRUN\",\"act\":\"accept\",\"key\":{},\"backlog\":{backlog},\"handed\":{handed}}}{}",
            opening(Some(Handle::Stream)),
            listener.0,
            closing(Some(Handle::Stream)),
        ),
    );
}

/// Appends the message that ends the effect of [`encode_accept`].
pub fn encode_stop_accepting(listener: ListenerId, into: &mut Vec<u8>) {
    put(into, format_args!("{{\"cmd\":\"NODE_PROCRUN\",\"act\":\"stop\",\"key\":{}}}\n", listener.0));
}

fn opening(handle: Option<Handle>) -> &'static str {
    match handle {
        None => "",
        Some(Handle::Stream) => r#"{"cmd":"NODE_HANDLE","type":"net.Native","msg":"#,
        Some(Handle::Datagram) => r#"{"cmd":"NODE_HANDLE","type":"dgram.Native","msg":"#,
    }
}

fn closing(handle: Option<Handle>) -> &'static str {
    if handle.is_some() { "}\n" } else { "\n" }
}

fn put(into: &mut Vec<u8>, what: fmt::Arguments<'_>) {
    into.write_fmt(what).expect("a Vec takes everything");
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn all(bytes: &[u8], cuts: &[usize]) -> Vec<Result<Message, Broken>> {
        let mut decoder = Decoder::default();
        let mut messages = Vec::new();
        let mut from = 0;
        for to in cuts.iter().copied().chain([bytes.len()]) {
            decoder.feed(&bytes[from..to], |message| messages.push(message));
            from = to;
        }
        messages
    }

    fn one(line: &str) -> Result<Message, Broken> {
        all(format!("{line}\n").as_bytes(), &[]).pop().expect("one message")
    }

    fn query(line: &str) -> Query {
        match one(line) {
            Ok(Message::Cluster(WorkerMessage::Query(query))) => query,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn messages_of_node_20_are_parsed() {
        let tcp = query(
            r#"{"cmd":"NODE_CLUSTER","act":"queryServer","index":0,"data":null,"address":null,"port":3000,"addressType":4,"seq":1}"#,
        );
        let endpoint = Endpoint::Tcp { address: None, port: 3000, only_v6: false, backlog: 511 };
        assert_eq!(tcp, Query { seq: 1, endpoint: Some(endpoint), descriptor: None, index: 0, data: None });

        let tls = query(
            r#"{"cmd":"NODE_CLUSTER","act":"queryServer","index":1,"data":{"ticketKeys":"00ff"},"address":"::1","port":443,"addressType":6,"flags":1,"backlog":5,"seq":9}"#,
        );
        assert_eq!(tls.data.as_deref(), Some(r#"{"ticketKeys":"00ff"}"#));
        let address = Some("::1".to_owned());
        assert_eq!(tls.endpoint, Some(Endpoint::Tcp { address, port: 443, only_v6: true, backlog: 5 }));

        let unix = query(
            r#"{"cmd":"NODE_CLUSTER","act":"queryServer","index":0,"data":null,"address":"/run/a.sock","port":-1,"addressType":-1,"readableAll":true,"seq":2}"#,
        );
        let path = "/run/a.sock".to_owned();
        let endpoint = Endpoint::Unix { path, readable: true, writable: false, backlog: 511 };
        assert_eq!(unix.endpoint, Some(endpoint));

        let udp = query(
            r#"{"cmd":"NODE_CLUSTER","act":"queryServer","index":0,"data":null,"address":"0.0.0.0","addressType":"udp4","fd":-1,"flags":4,"seq":3}"#,
        );
        let address = "0.0.0.0".to_owned();
        assert_eq!(udp.endpoint, Some(Endpoint::Udp { address, port: 0, only_v6: false, reuse: true }));

        let inherited = query(
            r#"{"cmd":"NODE_CLUSTER","act":"queryServer","index":0,"data":null,"address":null,"port":null,"addressType":null,"fd":3,"seq":4}"#,
        );
        assert_eq!((inherited.endpoint, inherited.descriptor), (None, Some(3)), "a descriptor of whom?");

        for (line, hail) in [
            (r#"{"cmd":"NODE_CLUSTER","act":"online","seq":0}"#, WorkerMessage::Online),
            (
                r#"{"cmd":"NODE_CLUSTER","act":"close","key":3,"seq":4}"#,
                WorkerMessage::Close { listener: Some(ListenerId(3)) },
            ),
            (
                r#"{"cmd":"NODE_CLUSTER","ack":17,"accepted":false,"seq":4}"#,
                WorkerMessage::Ack { seq: 17, accepted: false },
            ),
            (
                r#"{"cmd":"NODE_CLUSTER","act":"exitedAfterDisconnect","seq":4}"#,
                WorkerMessage::Leaving { seq: 4 },
            ),
            (
                r#"{"cmd":"NODE_CLUSTER","act":"listening","address":"127.0.0.1","port":80,"addressType":4,"seq":4}"#,
                WorkerMessage::Listening { address: "127.0.0.1:80".to_owned() },
            ),
            (r#"{"cmd":"NODE_CLUSTER","act":"fly","seq":4}"#, WorkerMessage::Unknown),
            (r#"{"cmd":"NODE_PROCRUN","act":"drains"}"#, WorkerMessage::Drains),
            (r#"{"cmd":"NODE_PROCRUN","act":"drained"}"#, WorkerMessage::Drained),
            (r#"{"cmd":"NODE_PROCRUN","act":"online"}"#, WorkerMessage::Unknown),
            (r#"{"cmd":"NODE_PROCRUN"}"#, WorkerMessage::Unknown),
        ] {
            assert_eq!(one(line), Ok(Message::Cluster(hail)), "{line}");
        }
    }

    #[test]
    fn other_messages_belong_to_the_application() {
        assert_eq!(one("\"ready\""), Ok(Message::Application { ready: true }));
        for line in [
            "\"online\"",
            "5",
            "-0.5e300",
            "true",
            "null",
            "[{\"cmd\":\"NODE_CLUSTER\"}]",
            r#"{"cmd":5,"act":"close"}"#,
            r#"{"cmd":{"cmd":"NODE_CLUSTER"}}"#,
            r#"{"cmd":"mine","seq":"x"}"#,
            r#"{"type":"process:msg","data":{}}"#,
            "\"\\u0072eady!\"",
        ] {
            assert_eq!(one(line), Ok(Message::Application { ready: false }), "{line}");
        }
        assert_eq!(one(r#"{"cmd":"NODE_HANDLE_ACK"}"#), Ok(Message::HandleAck));
        assert_eq!(one(r#"{"cmd":"NODE_\u0048ANDLE_NACK"}"#), Ok(Message::HandleNack));
        assert_eq!(one(r#"{"cmd":"NODE_HANDLE","type":"net.Socket","msg":1}"#), Ok(Message::Handle));
        assert_eq!(one(r#"{"cmd":"NODE_SOCKET_GET_COUNT"}"#), Ok(Message::Other));
    }

    #[test]
    fn reports_of_failures_are_parsed() {
        for (line, message) in [
            (
                r#"{"cmd":"NODE_PROCRUN","act":"cannot-listen","port":3000,"errno":-98}"#,
                Message::CannotListen { place: "port 3000".to_owned(), errno: 98, is_handled: false },
            ),
            (
                r#"{"cmd":"NODE_PROCRUN","act":"cannot-listen","port":9100,"errno":-98,"handled":true}"#,
                Message::CannotListen { place: "port 9100".to_owned(), errno: 98, is_handled: true },
            ),
            (
                r#"{"cmd":"NODE_PROCRUN","act":"cannot-listen","address":"/run/\u001b[1ma.sock","port":-1,"errno":-13}"#,
                Message::CannotListen { place: "/run/[1ma.sock".to_owned(), errno: 13, is_handled: false },
            ),
            (r#"{"cmd":"NODE_PROCRUN","act":"listens"}"#, Message::Listens),
            (
                r#"{"cmd":"NODE_PROCRUN","act":"uncaught","origin":"unhandledRejection"}"#,
                Message::Uncaught(Uncaught::Rejection),
            ),
            (
                r#"{"cmd":"NODE_PROCRUN","act":"uncaught","origin":"uncaughtException"}"#,
                Message::Uncaught(Uncaught::Exception),
            ),
        ] {
            assert_eq!(one(line), Ok(message), "{line}");
        }
        let long =
            format!(r#"{{"cmd":"NODE_PROCRUN","act":"cannot-listen","address":"{}"}}"#, "x".repeat(9999));
        let Ok(Message::CannotListen { place, errno: 0, .. }) = one(&long) else {
            panic!("{:?}", one(&long))
        };
        assert_eq!(place.len(), MAX_PLACE);
    }

    #[test]
    fn messages_of_bun_1_4_are_parsed_and_unknown_ones_are_skipped() {
        for (line, hail) in [
            (r#"{"cmd":"NODE_CLUSTER","act":"online","seq":0}"#, WorkerMessage::Online),
            (
                r#"{"cmd":"NODE_CLUSTER","act":"listening","port":4100,"data":null,"address":null,"addressType":4}"#,
                WorkerMessage::Listening { address: "port 4100".to_owned() },
            ),
            (
                r#"{"cmd":"NODE_CLUSTER","act":"exitedAfterDisconnect","seq":3}"#,
                WorkerMessage::Leaving { seq: 3 },
            ),
            (r#"{"cmd":"NODE_CLUSTER"}"#, WorkerMessage::Unknown),
        ] {
            assert_eq!(one(&format!("\u{2}{line}")), Ok(Message::OfBun(hail)), "{line}");
        }
        let query = r#"{"cmd":"NODE_CLUSTER","act":"queryServer","index":0,"data":null,"address":null,"port":4102,"addressType":4,"flags":0,"seq":1}"#;
        let asks = one(&format!("\u{2}{query}"));
        assert!(
            matches!(&asks, Ok(Message::OfBun(WorkerMessage::Query(query))) if query.seq == 1),
            "{asks:?}"
        );
        for line in
            ["", "{", "5", "GET /", r#"{"cmd":"NODE_CLUSTER","seq":-1}"#, r#"{"cmd":"NODE_HANDLE"}"#, "\u{2}"]
        {
            assert_eq!(one(&format!("\u{2}{line}")), Ok(Message::Other), "{line}");
        }

        let mut answer = Vec::new();
        encode_for_bun(&Answer::not_supported(1), &mut answer);
        assert_eq!(answer[0], OF_BUN);
        let answer: Value = serde_json::from_slice(&answer[1..]).expect("JSON");
        assert_eq!((&answer["ack"], &answer["errno"]), (&json!(1), &json!(-95)));
    }

    #[test]
    fn a_line_that_is_no_message_closes_the_channel() {
        for line in [
            "",
            "GET / HTTP/1.1",
            "{",
            "{\"cmd\":",
            "\u{0}",
            r#"{"cmd":"NODE_CLUSTER","act":"queryServer"}"#,
            r#"{"cmd":"NODE_CLUSTER","act":7,"seq":1}"#,
            r#"{"cmd":"NODE_CLUSTER","ack":-1}"#,
            r#"{"cmd":"NODE_PROCRUN","act":["drained"]}"#,
        ] {
            let said = all(format!("\"before\"\n{line}\n\"after\"\n").as_bytes(), &[]);
            let before = Ok(Message::Application { ready: false });
            assert_eq!(said, [before, Err(Broken::Garbage)], "{line}");
        }
        let deep = "[".repeat(100_000);
        assert_eq!(one(&deep), Err(Broken::Garbage));
        assert_eq!(one(&"x".repeat(MAX_MESSAGE + 1)), Err(Broken::TooLong));
        let long = format!("\"{}\"", "x".repeat(MAX_MESSAGE - 2));
        assert_eq!(one(&long), Ok(Message::Application { ready: false }), "exactly the limit");
    }

    #[test]
    fn long_data_is_not_kept() {
        let with = |length| {
            let line =
                json!({"cmd": "NODE_CLUSTER", "act": "queryServer", "seq": 1, "data": "x".repeat(length)});
            query(&line.to_string()).data
        };
        assert!(with(MAX_DATA - 2).is_some());
        assert!(with(MAX_DATA - 1).is_none());
    }

    fn said(encode: impl FnOnce(&mut Vec<u8>)) -> Value {
        let mut bytes = Vec::new();
        encode(&mut bytes);
        assert_eq!(bytes.iter().position(|byte| *byte == b'\n'), Some(bytes.len() - 1), "one line");
        serde_json::from_slice(&bytes).expect("JSON")
    }

    #[test]
    fn a_primary_speaks_as_nodes_own_does() {
        let connection = said(|into| encode_connection(ListenerId(3), 17, into));
        let newconn = json!({"cmd": "NODE_CLUSTER", "act": "newconn", "key": 3, "seq": 17});
        assert_eq!(connection, json!({"cmd": "NODE_HANDLE", "type": "net.Native", "msg": newconn}));

        let answer = Answer { seq: 5, to_query: None };
        assert_eq!(said(|into| answer.encode(into)), json!({"cmd": "NODE_CLUSTER", "ack": 5}));

        let outcome = Outcome {
            listener: ListenerId(2),
            errno: None,
            data: Some("{\"ticketKeys\":\"00\"}".into()),
            handle: None,
            bound_to: Some("[::]:3000".parse().unwrap()),
        };
        let turn = Answer { seq: 5, to_query: Some(outcome.clone()) };
        assert_eq!(
            said(|into| turn.encode(into)),
            json!({
                "cmd": "NODE_CLUSTER", "ack": 5, "errno": 0, "key": 2, "data": {"ticketKeys": "00"},
                "sockname": {"address": "::", "family": "IPv6", "port": 3000}
            })
        );

        let shared =
            Outcome { handle: Some(Handle::Datagram), data: None, bound_to: None, ..outcome.clone() };
        let inner = json!({"cmd": "NODE_CLUSTER", "ack": 5, "errno": 0, "key": 2, "data": null});
        assert_eq!(
            said(|into| Answer { seq: 5, to_query: Some(shared) }.encode(into)),
            json!({"cmd": "NODE_HANDLE", "type": "dgram.Native", "msg": inner})
        );

        let drain = json!({"cmd": "NODE_PROCRUN", "act": "drain"});
        assert_eq!(said(|into| into.extend_from_slice(DRAIN)), drain);

        let failed = Outcome { errno: Some(98), data: None, bound_to: None, ..outcome };
        let failed = said(|into| Answer { seq: 5, to_query: Some(failed) }.encode(into));
        assert_eq!(failed["errno"], -98);
    }

    fn line() -> impl Strategy<Value = String> {
        prop_oneof![
            Just("\"ready\"".to_owned()),
            Just(r#"{"cmd":"NODE_HANDLE_ACK"}"#.to_owned()),
            Just(r#"{"cmd":"NODE_PROCRUN","act":"drained"}"#.to_owned()),
            (any::<u64>(), any::<bool>())
                .prop_map(|(ack, ok)| json!({"cmd": "NODE_CLUSTER", "ack": ack, "accepted": ok}).to_string()),
            "[a-zé€😀\\\\\"{}:,0-9\u{2}]{0,20}",
            "\\PC{0,30}".prop_map(|text| json!(text).to_string()),
        ]
    }

    proptest! {
        #[test]
        fn messages_do_not_depend_on_the_chunks(
            lines in prop::collection::vec(line(), 0..8),
            mut cuts in prop::collection::vec(0usize..300, 0..20),
        ) {
            let bytes: Vec<u8> = lines.iter().flat_map(|line| format!("{line}\n").into_bytes()).collect();
            cuts.retain(|cut| *cut <= bytes.len());
            cuts.sort_unstable();
            prop_assert_eq!(all(&bytes, &cuts), all(&bytes, &[]));
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let said = all(&bytes, &[]);
            prop_assert!(said.iter().rev().skip(1).all(Result::is_ok), "nothing comes after the end");
        }

        #[test]
        fn messages_of_an_application_are_never_parsed_as_nodes_own(text in "\\PC{0,40}", number: f64) {
            for value in [json!(text), json!(number), json!({"cmd": number}), json!([text]), json!({"act": text})] {
                let said = one(&value.to_string());
                let application = matches!(said, Ok(Message::Application { .. }));
                prop_assert!(application, "{value}: {said:?}");
            }
        }
    }
}
