//! The control socket: the protocol between commands and the supervisor, and how they find each other.
//!
//! | file | contents |
//! |---|---|
//! | `framing` | versions, one line a message, the maximum length of a line |
//! | `message` | requests and answers |
//! | `metrics` | the figures from which the HTTP server makes metrics |
//! | `log_line` | a log line, and the encoding of several |
//! | `event` | an event, encoded once |
//! | `socket_paths` | the paths of sockets |
//! | `socket_file` | takes a path: directory, lock, socket file |
//! | `server` | the supervisor's side: never waits for a client |
//! | `client` | the client's side: blocking, without a runtime |
//! | `targets`, `pattern` | the instances of a name, an id, a namespace, a pattern or `all` |
//! | `plan` | the effect of a change, for `--dry-run` |
//! | `snapshot`, `trees` | the data of an instance and of its process tree |
//! | `instance_json` | an instance as JSON, also in PM2's format |
//!
//! It makes no decision about applications and touches no process: the supervisor answers the requests.

pub mod client;
mod event;
pub mod framing;
mod instance_json;
mod log_line;
pub mod message;
pub mod metrics;
mod pattern;
mod plan;
mod pm2_metrics;
mod server;
pub mod snapshot;
mod socket_file;
pub mod socket_paths;
pub mod targets;
pub mod trees;

pub use crate::machine::{Action, Count, RestartScope};
pub use event::EncodedEvent;
pub use framing::{Hello, PROTOCOL};
pub use instance_json::jlist;
pub use log_line::{Edge, LogLine};
pub use message::{AddRequest, Answer, NameConflict, Request, RequestError, SavedApp, sendable_environment};
pub use pattern::is_pattern;
pub use plan::{KeyChange, PlannedAction, PlannedChange};
pub use pm2_metrics::Pm2Metric;
pub use server::{ClientId, Server};
pub use socket_file::{SocketError, SocketFile, StartLock, own_directory};
pub use socket_paths::{Name, SocketPaths};
