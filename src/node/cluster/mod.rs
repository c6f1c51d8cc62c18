//! The cluster primary: Node's protocol between the process that holds the listening sockets and the workers that
//! serve on them. Pure.
//!
//! [`Primary::step`] takes one [`PrimaryEvent`] and returns [`PrimaryEffect`]s. It has no socket, no descriptor and no
//! process: sockets and connections are numbers here, which `node` maps to descriptors. One primary serves all
//! applications: as under one Node primary, two that listen on the same port share it.
//!
//! Node's own primary has one message more, `disconnect`. It is never sent: a worker that receives it calls
//! `close` on its servers, which cuts the connections that wait for their next request, even when that is on its
//! way. A worker is drained by procrun's own script instead (`node/drain.cjs`), and a worker without this script
//! gets its signal, which an application expects.

mod effect;
mod endpoint;
mod event;
mod message;
mod primary;
mod rate;
pub mod wire;

#[cfg(test)]
mod tests;

pub use self::{
    effect::{PrimaryEffect, ProtocolViolation},
    endpoint::Endpoint,
    event::{PrimaryEvent, Version},
    message::{Answer, ConnectionId, Data, Handle, ListenerId, Outcome, Query, WorkerMessage},
    primary::{Primary, Reach},
};
