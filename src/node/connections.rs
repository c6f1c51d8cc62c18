//! The descriptors of connections on their way to a worker. The primary decides which worker gets them.

use std::{os::fd::OwnedFd, sync::Arc};

use super::cluster::ConnectionId;

/// Accepted connections that no worker has accepted yet, by number.
#[derive(Debug, Default)]
pub(super) struct Connections {
    held: Vec<Option<Arc<OwnedFd>>>,
    free: Vec<u32>,
}

impl Connections {
    pub(super) fn hold(&mut self, socket: OwnedFd) -> ConnectionId {
        let id = self.free.pop().unwrap_or_else(|| {
            self.held.push(None);
            u32::try_from(self.held.len() - 1).expect("there are fewer descriptors than that")
        });
        self.held[id as usize] = Some(Arc::new(socket));
        ConnectionId(id)
    }

    pub(super) fn get(&self, id: ConnectionId) -> Option<&Arc<OwnedFd>> {
        self.held.get(id.0 as usize)?.as_ref()
    }

    pub(super) fn release(&mut self, id: ConnectionId) {
        if self.held.get_mut(id.0 as usize).and_then(Option::take).is_some() {
            self.free.push(id.0);
        }
    }
}
