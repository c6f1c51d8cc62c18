//! A listening socket that procrun holds for the workers of clusters.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    os::fd::{AsFd, OwnedFd},
    path::Path,
    rc::Rc,
};

use nix::libc;

use crate::{
    machine::cluster::Endpoint,
    spec::ListenAddress,
    sys::sockets::{self, Owner, SocketFile},
};

/// A socket of the application's `listen`, which its workers have been handed at their start.
pub type Lent = (ListenAddress, Rc<OwnedFd>);

#[derive(Debug)]
pub(super) struct Listener {
    socket: Rc<OwnedFd>,
    bound_to: Option<SocketAddr>,
    /// The application that asked for it first.
    pub(super) app: Option<u32>,
    /// The last connection could not be accepted.
    failing: bool,
    /// Removes the file of a unix socket when the listener goes.
    _file: Option<SocketFile>,
}

impl Listener {
    /// Opens a socket as a worker of `app` asked for it. `owner` is whom the worker runs as, if not as
    /// procrun does; `lent` is what it was handed.
    pub(super) fn open(
        endpoint: &Endpoint,
        app: Option<u32>,
        owner: Option<Owner>,
        lent: &[Lent],
    ) -> io::Result<Self> {
        let (socket, file) = match endpoint {
            Endpoint::Tcp { address: None, port, only_v6: _, backlog } => {
                (sockets::tcp_anywhere(*port, *backlog)?, None)
            }
            Endpoint::Tcp { address: Some(address), port, only_v6, backlog } => {
                (sockets::tcp(sockets::address(address, *port)?, *only_v6, *backlog)?, None)
            }
            Endpoint::Udp { address, port, only_v6, reuse } => {
                (sockets::udp(sockets::address(address, *port)?, *only_v6, *reuse)?, None)
            }
            Endpoint::Unix { path, readable, writable, backlog } => {
                // libuv's uv_pipe_chmod.
                let mode = if *readable { 0o444 } else { 0 } | if *writable { 0o222 } else { 0 };
                // Node makes every path absolute, also `\0name`, which is not one.
                if let Some((_, name)) = path.split_once('\0') {
                    let socket = sockets::abstract_unix(name, *backlog)?;
                    return Ok(Self {
                        socket: Rc::new(socket),
                        bound_to: None,
                        app,
                        failing: false,
                        _file: None,
                    });
                }
                let path = Path::new(path);
                if !path.is_absolute() {
                    return Err(io::Error::from_raw_os_error(libc::EINVAL));
                }
                let (socket, file) = sockets::unix(path, mode, *backlog, owner)?;
                (socket, Some(file))
            }
            Endpoint::Held { address } => {
                let held = lent.iter().find(|(lent, _)| lent.to_string() == *address);
                let (_, socket) = held.ok_or_else(|| io::Error::from_raw_os_error(libc::EINVAL))?;
                // Node changes only what it was started with: a worker that finds no connection any
                // more (Node 18 always looks once more) would wait in accept for the next one.
                sockets::make_non_blocking(socket)?;
                let bound_to = sockets::local_address(socket);
                return Ok(Self { socket: socket.clone(), bound_to, app, failing: false, _file: None });
            }
        };
        let bound_to = sockets::local_address(&socket);
        Ok(Self { socket: Rc::new(socket), bound_to, app, failing: false, _file: file })
    }

    pub(super) fn bound_to(&self) -> Option<SocketAddr> {
        self.bound_to
    }

    pub(super) fn socket(&self) -> &Rc<OwnedFd> {
        &self.socket
    }

    /// Takes the next connection that is still there, and says from which address it comes.
    pub(super) fn accept(&mut self) -> io::Result<(OwnedFd, Option<IpAddr>)> {
        loop {
            match sockets::accept(self.socket.as_fd()) {
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::ConnectionAborted | io::ErrorKind::Interrupted
                    ) => {}
                done => {
                    self.failing &= done.is_err();
                    return done;
                }
            }
        }
    }

    /// Accepting has failed. True: it had not failed before.
    pub(super) fn fails_now(&mut self) -> bool {
        !std::mem::replace(&mut self.failing, true)
    }
}
