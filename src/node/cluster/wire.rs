//! Node's IPC messages: bytes → [`Message`], and messages of a primary → bytes.
//!
//! One JSON value a line. Messages with a `cmd` that begins with `NODE_` are Node's own; all others are the
//! application's. Pure: it neither reads nor writes.

#[cfg(test)]
mod tests;

use std::{borrow::Cow, fmt, io::Write, sync::Arc};

use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::Value;

use super::{
    super::sample::NodeSample,
    endpoint::{Endpoint, display_path},
    message::{Answer, Data, Handle, ListenerId, Outcome, Query, WorkerMessage},
};
use crate::{logs::frame::Framer, machine::Uncaught};

/// Maximum bytes of a message; a longer one closes the channel.
pub const MAX_MESSAGE: usize = 1024 * 1024;

/// Maximum bytes of a server's `data`; longer data is not passed on. Node's TLS ticket keys have 96 letters.
const MAX_DATA: usize = 16 * 1024;

/// Maximum characters of an address that a worker reports. A path of a unix socket has 108.
const MAX_ADDRESS: usize = 128;

/// Bun's internal messages begin with this byte, in both directions.
const BUN_PREFIX: u8 = 2;

/// One message from a worker.
#[derive(Debug, Clone, PartialEq)]
pub enum Message {
    /// The application's own `process.send`.
    Application {
        /// Whether it is the string `ready`.
        ready: bool,
    },
    /// The message has a descriptor with it, which procrun does not use.
    Handle,
    /// The oldest unconfirmed descriptor has arrived.
    HandleAck,
    /// The oldest unconfirmed descriptor was lost.
    HandleNack,
    /// A heartbeat.
    Heartbeat,
    /// What the worker has measured of itself.
    Sample(Box<NodeSample>),
    /// The worker could not listen.
    CannotListen {
        /// The address for messages.
        address: String,
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
    Bun(WorkerMessage),
    /// A message of Node itself that procrun does not need.
    Other,
}

/// Why a channel is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Broken {
    /// A line longer than [`MAX_MESSAGE`].
    TooLong,
    /// A line that is not a JSON value, or one of Node's own messages with fields of the wrong type.
    Malformed,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooLong => "a message of more than 1 MiB",
            Self::Malformed => "a line that is not a Node message",
        })
    }
}

/// Splits one worker's bytes into messages. Holds memory only while a message is incomplete.
#[derive(Debug)]
pub struct Decoder {
    framer: Framer,
    /// Whether it continues with the next line after a line that is not a message.
    is_tolerant: bool,
    broken: bool,
}

impl Default for Decoder {
    fn default() -> Self {
        Self { framer: Framer::new(MAX_MESSAGE), is_tolerant: false, broken: false }
    }
}

impl Decoder {
    /// For a program that may not know that it has a channel: lines that are not messages are skipped.
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
        Some(&BUN_PREFIX) => Ok(parse_bun_message(&line[1..])),
        _ => {
            let value: Shallow<'_> = serde_json::from_slice(line).map_err(|_| Broken::Malformed)?;
            match value.cmd.as_deref() {
                Some("NODE_CLUSTER") => parse_cluster_message(line).map(Message::Cluster),
                Some("NODE_PROCRUN") => parse_script_message(line),
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
fn parse_bun_message(line: &[u8]) -> Message {
    match serde_json::from_slice::<Shallow<'_>>(line) {
        Ok(Shallow { cmd: Some(cmd), .. }) if cmd == "NODE_CLUSTER" => {
            parse_cluster_message(line).map_or(Message::Other, Message::Bun)
        }
        Ok(_) | Err(_) => Message::Other,
    }
}

/// A JSON value, parsed only as deep as needed.
#[derive(Default)]
struct Shallow<'a> {
    /// The value itself if it is a string.
    string: Option<Cow<'a, str>>,
    /// The message's `cmd` if it is an object that has one and that is a string.
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
        Ok(Shallow { string: Some(Cow::Borrowed(text)), cmd: None })
    }

    fn visit_str<E>(self, text: &str) -> Result<Shallow<'de>, E> {
        Ok(Shallow { string: Some(Cow::Owned(text.to_owned())), cmd: None })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Shallow<'de>, A::Error> {
        let mut cmd = None;
        while let Some(key) = map.next_key::<Shallow<'de>>()? {
            if key.string.as_deref() == Some("cmd") {
                cmd = map.next_value::<Shallow<'de>>()?.string;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(Shallow { string: None, cmd })
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

fn parse_cluster_message(line: &[u8]) -> Result<WorkerMessage, Broken> {
    let raw: Raw<'_> = serde_json::from_slice(line).map_err(|_| Broken::Malformed)?;
    if let Some(ack) = raw.ack {
        return Ok(WorkerMessage::Ack { seq: ack, accepted: raw.accepted == Some(true) });
    }
    let seq = || raw.seq.ok_or(Broken::Malformed);
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
fn parse_script_message(line: &[u8]) -> Result<Message, Broken> {
    let raw: Raw<'_> = serde_json::from_slice(line).map_err(|_| Broken::Malformed)?;
    Ok(match raw.act.as_deref() {
        Some("beat") => Message::Heartbeat,
        // One that is not valid is no answer.
        Some("sample") => NodeSample::parse(line).map_or(Message::Other, Message::Sample),
        Some("cannot-listen") => {
            let address: String =
                address(&raw).chars().filter(|it| !it.is_control()).take(MAX_ADDRESS).collect();
            let errno = raw.errno.unwrap_or_default().saturating_abs();
            Message::CannotListen { address, errno, is_handled: raw.handled == Some(true) }
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
            let listener = key(&raw).ok_or(Broken::Malformed)?;
            Message::Cluster(WorkerMessage::Accepted { listener, count: raw.count.unwrap_or(0) })
        }
        Some("declined") => {
            Message::Cluster(WorkerMessage::Declines { listener: key(&raw).ok_or(Broken::Malformed)? })
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
        Some(path) if port < 0 => display_path(path),
        Some(address) if address.contains(':') => format!("[{address}]:{port}"),
        Some(address) => format!("{address}:{port}"),
        None => format!("port {port}"),
    }
}

/// Node's acknowledgement of a descriptor.
pub const HANDLE_ACK: &[u8] = b"{\"cmd\":\"NODE_HANDLE_ACK\"}\n";

/// Requests procrun's own script in a worker to finish its connections. Node's prefix for such messages (`NODE_`)
/// hides it from the application.
pub const DRAIN: &[u8] = b"{\"cmd\":\"NODE_PROCRUN\",\"act\":\"drain\"}\n";

/// Requests procrun's own script in a worker to count HTTP requests and garbage collections.
pub const MEASURE: &[u8] = b"{\"cmd\":\"NODE_PROCRUN\",\"act\":\"measure\"}\n";

/// Requests a sample from procrun's own script in a worker.
pub const SAMPLE: &[u8] = b"{\"cmd\":\"NODE_PROCRUN\",\"act\":\"sample\"}\n";

/// PM2's message that requests a worker to exit.
pub const SHUTDOWN: &[u8] = b"\"shutdown\"\n";

impl Answer {
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
    into.push(BUN_PREFIX);
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
    into.write_fmt(what).expect("writing to a Vec cannot fail");
}
