//! Opens the socket of the HTTP server.

use std::{
    fs, io, net,
    os::{
        fd::OwnedFd,
        unix::{self, fs::FileTypeExt as _},
    },
    path::Path,
};

use crate::{
    http::server::Listener,
    spec::WebAddress,
    sys::sockets::{self, FileMode, SocketFile},
};

/// Connections that the kernel keeps until they are accepted.
const BACKLOG: i32 = 1024;
/// The permissions of a unix socket: the user and the group of procrun. A client of it may control everything.
const MODE: FileMode = FileMode::Exactly(0o660);

/// An open socket.
#[derive(Debug)]
pub(super) struct Socket {
    descriptor: OwnedFd,
    is_unix: bool,
}

/// What the supervisor gets when a socket is open.
#[derive(Debug)]
pub struct Opened {
    /// The address for clients.
    pub url: String,
    /// The file of a unix socket. The thread of the server does not return, so the supervisor removes it.
    pub file: Option<SocketFile>,
}

impl Socket {
    pub(super) fn open(address: &WebAddress) -> io::Result<(Self, Opened)> {
        match address {
            WebAddress::Tcp(address) => {
                let descriptor = sockets::tcp(*address, false, BACKLOG)?;
                let listener = net::TcpListener::from(descriptor);
                let url = format!("http://{}/", listener.local_addr()?);
                Ok((Self { descriptor: listener.into(), is_unix: false }, Opened { url, file: None }))
            }
            WebAddress::Unix(path) => {
                let (descriptor, file) =
                    sockets::unix(path, MODE, BACKLOG, None).map_err(|error| taken_by_file(error, path))?;
                let opened = Opened { url: address.to_string(), file: Some(file) };
                Ok((Self { descriptor, is_unix: true }, opened))
            }
        }
    }

    /// A listener on the runtime of the calling task.
    pub(super) fn listener(&self) -> io::Result<Listener> {
        let descriptor = self.descriptor.try_clone()?;
        if self.is_unix {
            let listener = unix::net::UnixListener::from(descriptor);
            tokio::net::UnixListener::from_std(listener).map(Listener::Unix)
        } else {
            tokio::net::TcpListener::from_std(net::TcpListener::from(descriptor)).map(Listener::Tcp)
        }
    }
}

/// The kernel calls an address in use, too, if a file that is not a socket has its path.
fn taken_by_file(error: io::Error, path: &Path) -> io::Error {
    let is_other_file = || fs::symlink_metadata(path).is_ok_and(|found| !found.file_type().is_socket());
    if error.kind() == io::ErrorKind::AddrInUse && is_other_file() {
        return io::Error::new(io::ErrorKind::AlreadyExists, "a file that is not a socket has this path");
    }
    error
}
