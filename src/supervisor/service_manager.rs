//! The service manager that has started `procrun supervise`: it waits until commands are accepted (sd_notify(3)).

use std::{
    ffi::OsStr,
    io,
    os::{
        linux::net::SocketAddrExt as _,
        unix::{
            ffi::OsStrExt as _,
            net::{SocketAddr, UnixDatagram},
        },
    },
    path::Path,
};

/// A connection to the socket of `NOTIFY_SOCKET`.
#[derive(Debug)]
pub struct ServiceManager(UnixDatagram);

impl ServiceManager {
    /// Connects to a path, or to `@` and the name of an abstract socket. The path is looked up here, so that the
    /// supervisor's thread need not do it.
    ///
    /// # Errors
    /// No service manager receives messages there.
    pub fn connect(address: &OsStr) -> io::Result<Self> {
        let socket = UnixDatagram::unbound()?;
        match address.as_bytes().strip_prefix(b"@") {
            Some(name) => socket.connect_addr(&SocketAddr::from_abstract_name(name)?)?,
            None => socket.connect(Path::new(address))?,
        }
        socket.set_nonblocking(true)?;
        Ok(Self(socket))
    }

    /// Reports that the supervisor accepts commands, and closes the connection.
    pub(super) fn report_ready(self) -> io::Result<()> {
        self.0.send(b"READY=1").map(drop)
    }
}
