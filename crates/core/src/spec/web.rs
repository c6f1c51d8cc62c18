//! The address of the HTTP server.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
};

/// Where the HTTP server listens (`web`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WebAddress {
    /// A TCP socket.
    Tcp(SocketAddr),
    /// A unix socket, by its absolute path.
    Unix(PathBuf),
}

impl WebAddress {
    /// The port without another one: PM2's.
    pub const PORT: u16 = 9615;

    /// This port on the loopback interface.
    pub const fn on_loopback(port: u16) -> Self {
        Self::Tcp(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port))
    }
}

impl fmt::Display for WebAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}
