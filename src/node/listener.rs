//! A listening socket that procrun holds for the workers of clusters.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    os::fd::{AsFd, OwnedFd},
    path::Path,
    sync::Arc,
};

use nix::libc;

use super::cluster::{Endpoint, ListenerId};
use crate::{
    spec::ListenAddress,
    sys::sockets::{self, FileMode, Owner, SocketFile},
};

/// A socket of the application's `listen`, which its workers get at their start.
pub type HeldSocket = (ListenAddress, Arc<OwnedFd>);

/// A socket that a worker has requested.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opening {
    pub(super) listener: ListenerId,
    pub(super) endpoint: Endpoint,
    /// The cluster of the worker.
    pub(super) app: Option<u32>,
    /// The user of the worker, if it is not procrun's own.
    pub(super) owner: Option<Owner>,
}

impl Opening {
    /// Whether the socket has a file, so that opening it may block.
    pub(super) fn has_file(&self) -> bool {
        // Node makes every path absolute, also `\0name`, which is not one.
        matches!(&self.endpoint, Endpoint::Unix { path, .. } if !path.contains('\0'))
    }

    /// The cluster of the worker, for messages.
    pub fn app(&self) -> String {
        self.app.map_or_else(String::new, |app| format!("cluster {app}"))
    }

    /// Opens the socket. It accesses files, so it may block forever.
    ///
    /// # Errors
    /// The error of socket(2), bind(2), listen(2), or of the file.
    pub fn open(&self) -> io::Result<Listener> {
        self.open_with(&[])
    }

    /// As [`Self::open`] for a worker that got `held_sockets` at its start.
    pub(super) fn open_with(&self, held_sockets: &[HeldSocket]) -> io::Result<Listener> {
        Listener::open(&self.endpoint, self.app, self.owner, held_sockets)
    }
}

/// An open listening socket.
#[derive(Debug)]
pub struct Listener {
    socket: Arc<OwnedFd>,
    bound_to: Option<SocketAddr>,
    /// The application that requested it first.
    pub(super) app: Option<u32>,
    /// Whether the last connection could not be accepted.
    failing: bool,
    /// The file of a unix socket.
    file: Option<SocketFile>,
}

impl Listener {
    /// Opens a socket as a worker of `app` has requested it. `owner` is the user of the worker, if it is not procrun's
    /// own; `held_sockets` are the sockets that it got at its start.
    fn open(
        endpoint: &Endpoint,
        app: Option<u32>,
        owner: Option<Owner>,
        held_sockets: &[HeldSocket],
    ) -> io::Result<Self> {
        let (socket, file) = match endpoint {
            Endpoint::Tcp { address: None, port, only_v6: _, backlog } => {
                (sockets::tcp_any_address(*port, *backlog)?, None)
            }
            Endpoint::Tcp { address: Some(address), port, only_v6, backlog } => {
                (sockets::tcp(sockets::address(address, *port)?, *only_v6, *backlog)?, None)
            }
            Endpoint::Udp { address, port, only_v6, reuse } => {
                (sockets::udp(sockets::address(address, *port)?, *only_v6, *reuse)?, None)
            }
            Endpoint::Unix { path, readable, writable, backlog } => {
                // As libuv's uv_pipe_chmod.
                let mode = if *readable { 0o444 } else { 0 } | if *writable { 0o222 } else { 0 };
                if let Some((_, name)) = path.split_once('\0') {
                    let socket = sockets::abstract_unix(name, *backlog)?;
                    return Ok(Self {
                        socket: Arc::new(socket),
                        bound_to: None,
                        app,
                        failing: false,
                        file: None,
                    });
                }
                let path = Path::new(path);
                if !path.is_absolute() {
                    return Err(io::Error::from_raw_os_error(libc::EINVAL));
                }
                let (socket, file) = sockets::unix(path, FileMode::Kept { more: mode }, *backlog, owner)?;
                (socket, Some(file))
            }
            Endpoint::Held { address } => {
                let held = held_sockets.iter().find(|(listen, _)| listen.to_string() == *address);
                let (_, socket) = held.ok_or_else(|| io::Error::from_raw_os_error(libc::EINVAL))?;
                // Node changes only what it opened itself: a worker that finds no connection any more (Node 18
                // always tries once more) would block in accept for the next one.
                sockets::make_non_blocking(socket)?;
                let bound_to = sockets::local_address(socket);
                return Ok(Self { socket: socket.clone(), bound_to, app, failing: false, file: None });
            }
        };
        let bound_to = sockets::local_address(&socket);
        Ok(Self { socket: Arc::new(socket), bound_to, app, failing: false, file })
    }

    /// Closes the socket. The caller removes the file, which may block.
    pub(super) fn into_file(self) -> Option<SocketFile> {
        self.file
    }

    pub(super) fn bound_to(&self) -> Option<SocketAddr> {
        self.bound_to
    }

    pub(super) fn socket(&self) -> &Arc<OwnedFd> {
        &self.socket
    }

    /// Accepts the next connection that is still open, and returns its address.
    pub(super) fn accept(&mut self) -> io::Result<(OwnedFd, Option<IpAddr>)> {
        loop {
            match sockets::accept(self.socket.as_fd()) {
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::ConnectionAborted | io::ErrorKind::Interrupted
                    ) => {}
                result => {
                    self.failing &= result.is_err();
                    return result;
                }
            }
        }
    }

    /// Records that accepting has failed. True if it had not failed before.
    pub(super) fn set_failing(&mut self) -> bool {
        !std::mem::replace(&mut self.failing, true)
    }
}
