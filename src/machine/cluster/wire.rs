//! Node's IPC messages: bytes → [`Message`], and what a primary says → bytes.
//!
//! One JSON value a line. What begins with `NODE_` in `cmd` is Node's own; everything else is the
//! application's. Never reads, never writes.

use std::{borrow::Cow, fmt, io::Write, net::SocketAddr, sync::Arc};

use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::Value;

use super::{Data, Endpoint, Hail, ListenerId, Query};
use crate::machine::frame::Framer;

/// A longer message ends the conversation.
pub const MAX_MESSAGE: usize = 1024 * 1024;

/// Longer `data` of a server is not passed on. Node's TLS ticket keys have 96 letters.
const MAX_DATA: usize = 16 * 1024;

/// Bun's internal messages begin with this byte; they are another language.
const OF_BUN: u8 = 2;

/// One message from a worker.
#[derive(Debug, Clone, PartialEq)]
pub enum Message {
    /// The application's own `process.send`.
    Application {
        /// It is the string `ready`.
        ready: bool,
    },
    /// It has a descriptor with it, which procrun has no use for.
    Handle,
    /// The descriptor of the oldest message that has one and is not answered yet has arrived.
    HandleAck,
    /// It has got lost.
    HandleNack,
    /// About clustering.
    Cluster(Hail),
    /// Node's own, and of no interest here.
    Other,
}

/// Why there is no talking to a worker any more.
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
            Self::Garbage => "something that is no message of Node's",
        })
    }
}

/// Cuts one worker's bytes into messages. Holds memory only while a message is incomplete.
#[derive(Debug)]
pub struct Decoder {
    framer: Framer,
    broken: bool,
}

impl Default for Decoder {
    fn default() -> Self {
        Self { framer: Framer::new(MAX_MESSAGE), broken: false }
    }
}

impl Decoder {
    /// Takes the next bytes and hands out every message that they complete, in order. After the
    /// first [`Broken`] nothing more comes out.
    pub fn feed(&mut self, bytes: &[u8], mut emit: impl FnMut(Result<Message, Broken>)) {
        let broken = &mut self.broken;
        self.framer.feed(bytes, |piece| {
            if *broken {
                return;
            }
            let message = if piece.first && piece.last { decode(piece.bytes) } else { Err(Broken::TooLong) };
            *broken = message.is_err();
            emit(message);
        });
    }
}

/// Reads one line.
fn decode(line: &[u8]) -> Result<Message, Broken> {
    match line.first() {
        // The one message that every application with `wait_ready` sends.
        _ if line == b"\"ready\"" => Ok(Message::Application { ready: true }),
        Some(&OF_BUN) => Ok(Message::Other),
        _ => {
            let value: Shallow<'_> = serde_json::from_slice(line).map_err(|_| Broken::Garbage)?;
            match value.cmd.as_deref() {
                Some("NODE_CLUSTER") => hail(line).map(Message::Cluster),
                Some("NODE_HANDLE") => Ok(Message::Handle),
                Some("NODE_HANDLE_ACK") => Ok(Message::HandleAck),
                Some("NODE_HANDLE_NACK") => Ok(Message::HandleNack),
                Some(cmd) if cmd.starts_with("NODE_") => Ok(Message::Other),
                Some(_) | None => Ok(Message::Application { ready: false }),
            }
        }
    }
}

/// A JSON value, looked at no deeper than this needs.
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

/// A `NODE_CLUSTER` message as Node's `internal/cluster/child.js` writes it. What an application
/// may have had a hand in (`port`, `backlog`) is taken as it comes.
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
}

fn hail(line: &[u8]) -> Result<Hail, Broken> {
    let raw: Raw<'_> = serde_json::from_slice(line).map_err(|_| Broken::Garbage)?;
    if let Some(ack) = raw.ack {
        return Ok(Hail::Ack { seq: ack, accepted: raw.accepted == Some(true) });
    }
    let seq = || raw.seq.ok_or(Broken::Garbage);
    Ok(match raw.act.as_deref() {
        Some("online") => Hail::Online,
        Some("queryServer") => Hail::Query(Query {
            seq: seq()?,
            endpoint: endpoint(&raw),
            index: raw.index.unwrap_or(0),
            data: data(&raw.data),
        }),
        Some("listening") => Hail::Listening { address: address(&raw) },
        Some("close") => {
            Hail::Close { listener: raw.key.as_u64().and_then(|key| u32::try_from(key).ok()).map(ListenerId) }
        }
        Some("exitedAfterDisconnect") => Hail::Leaving { seq: seq()? },
        Some(_) | None => Hail::Unknown,
    })
}

/// `None`: something that this primary cannot listen on.
fn endpoint(raw: &Raw<'_>) -> Option<Endpoint> {
    let address = raw.address.as_str().filter(|address| !address.is_empty());
    let flags = raw.flags.as_i64().unwrap_or(0);
    let backlog = raw.backlog.as_i64().and_then(|backlog| i32::try_from(backlog).ok()).filter(|it| *it > 0);
    // What Node takes when it is told nothing.
    let backlog = backlog.unwrap_or(511);
    let only_v6 = flags & 1 != 0;
    if raw.fd.as_i64().is_some_and(|fd| fd >= 0) {
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

fn data(data: &Value) -> Option<Data> {
    let text = (!data.is_null()).then(|| data.to_string())?;
    (text.len() <= MAX_DATA).then(|| text.into())
}

/// For people: `port 3000`, `127.0.0.1:3000`, a path.
fn address(raw: &Raw<'_>) -> String {
    let port = raw.port.as_i64().unwrap_or(-1);
    match raw.address.as_str() {
        Some(address) if port < 0 => address.to_owned(),
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
    /// What became of a query; `None` answers everything else.
    pub to_query: Option<Outcome>,
}

/// What became of a query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The socket that was found or made.
    pub listener: ListenerId,
    /// Why there is none, as a positive errno.
    pub errno: Option<i32>,
    /// What the server that asked first said of itself.
    pub data: Option<Data>,
    /// Which kind of descriptor goes with the answer; `None`: connections will be handed over.
    pub handle: Option<Handle>,
    /// What the socket is bound to.
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

/// PM2's message that asks a worker to end.
pub const SHUTDOWN: &[u8] = b"\"shutdown\"\n";

impl Answer {
    /// Appends it as a line.
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
