//! Opens the socket of the HTTP server.

use std::{
    fs::{self, Permissions},
    io, net,
    os::{
        fd::OwnedFd,
        unix::{self, fs::PermissionsExt as _},
    },
};

use crate::{
    http::server::Listener,
    spec::WebAddress,
    sys::sockets::{self, SocketFile},
};

/// Connections that the kernel keeps until they are accepted.
const BACKLOG: i32 = 1024;
/// The permissions of a unix socket: the user and the group of procrun.
const MODE: u32 = 0o660;

/// An open socket. A unix socket's file is removed with it.
#[derive(Debug)]
pub(super) struct Socket {
    descriptor: OwnedFd,
    file: Option<SocketFile>,
    url: String,
}

impl Socket {
    pub(super) fn open(address: &WebAddress) -> io::Result<Self> {
        match address {
            WebAddress::Tcp(address) => {
                let descriptor = sockets::tcp(*address, false, BACKLOG)?;
                let listener = net::TcpListener::from(descriptor);
                let url = format!("http://{}/", listener.local_addr()?);
                Ok(Self { descriptor: listener.into(), file: None, url })
            }
            WebAddress::Unix(path) => {
                let (descriptor, file) = sockets::unix(path, 0, BACKLOG, None)?;
                // A client of it may control everything, whatever the umask is.
                fs::set_permissions(path, Permissions::from_mode(MODE))?;
                Ok(Self { descriptor, file: Some(file), url: address.to_string() })
            }
        }
    }

    pub(super) fn url(&self) -> String {
        self.url.clone()
    }

    /// A listener on the runtime of the calling task.
    pub(super) fn listener(&self) -> io::Result<Listener> {
        let descriptor = self.descriptor.try_clone()?;
        if self.file.is_some() {
            let listener = unix::net::UnixListener::from(descriptor);
            tokio::net::UnixListener::from_std(listener).map(Listener::Unix)
        } else {
            tokio::net::TcpListener::from_std(net::TcpListener::from(descriptor)).map(Listener::Tcp)
        }
    }
}
