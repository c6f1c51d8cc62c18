//! Node's IPC channel, the cluster protocol, and the listening sockets of clusters.
//!
//! [`Hub`] carries bytes between workers and the protocol in [`cluster`], opens the sockets that
//! the protocol requests, and accepts and hands over connections. It never decides which worker listens where or
//! gets the next connection, and it never blocks.
//!
//! A worker may be broken or hostile. Its cost is bounded: one read of [`READ_BYTES`] bytes per loop iteration, [`MAX_OUTGOING_BYTES`]
//! bytes that it has not read, no read at all while there are any, and the bounds of the protocol. Beyond them
//! its channel is shut down, which ends a Node worker.

mod channel;
pub mod cluster;
mod connections;
mod hub;
mod listener;
mod preload;
mod sample;
mod versions;

pub use self::{
    channel::{MAX_OUTGOING_BYTES, READ_BYTES},
    hub::{Hub, HubEvent, Route},
    listener::{HeldSocket, Listener, Opening},
    preload::{Script, Scripts},
    sample::{Delay, EventLoop, HTTP_BOUNDS, HttpRequests, NodeSample},
};
