//! The control socket: what a command asks the supervisor, and how the two find each other.
//!
//! | file | what it is for |
//! |---|---|
//! | `message` | what is said: versions, requests, answers, and how long a line may be |
//! | `place` | where sockets are looked for |
//! | `hold` | takes a place: directory, lock, socket file |
//! | `server` | the supervisor's side: never waits for a client |
//! | `client` | the command's side: blocking, without a runtime |
//! | `select`, `pattern` | what a name, an id, a namespace, a pattern or `all` stands for |
//! | `snapshot`, `trees` | what is shown of an instance and of its process tree, and PM2's shape of it |
//!
//! Decides nothing about applications and touches no process: the supervisor answers.

pub mod client;
mod hold;
pub mod message;
mod pattern;
pub mod place;
mod plan;
pub mod select;
mod server;
pub mod snapshot;
pub mod trees;

pub use hold::{Held, Refusal, Starting, own_directory};
pub use message::{Action, Anew, Answer, Edge, Hello, LogLine, PROTOCOL, Request, SavedApp, Taken};
pub use pattern::is_pattern;
pub use place::{Name, Places};
pub use plan::{KeyChange, PlannedAction, PlannedChange};
pub use server::{ClientId, Server};
