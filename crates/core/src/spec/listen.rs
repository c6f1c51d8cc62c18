//! The sockets that procrun opens for an application before its first worker (`listen`).
//!
//! Addresses and names only; `sys` opens the sockets.

use std::{fmt, net::SocketAddr, path::PathBuf};

use serde::{Deserialize, Serialize};

/// A held socket, which procrun opens and passes to each worker of an application.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listen {
    /// The socket's name in `LISTEN_FDNAMES`: 1 to 255 printable ASCII characters, no colon (sd_listen_fds(3)). Several
    /// may have the same name.
    pub name: String,
    /// The socket's address.
    pub address: ListenAddress,
}

/// The address of a held socket.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ListenAddress {
    /// `tcp://0.0.0.0:8080`; port 0 is any free port. An IPv6 address accepts no IPv4 connections.
    Tcp(SocketAddr),
    /// `tcp://*:8080`: every address, IPv6 and IPv4.
    TcpAnywhere(u16),
    /// `udp://0.0.0.0:53`; port 0 is any free port.
    Udp(SocketAddr),
    /// `unix:///run/app.sock`: absolute, at most 107 bytes.
    Unix(PathBuf),
}

impl ListenAddress {
    /// Whether its port is any free one: two sockets may have the same such address.
    pub fn is_any_port(&self) -> bool {
        match self {
            Self::Tcp(address) | Self::Udp(address) => address.port() == 0,
            Self::TcpAnywhere(port) => *port == 0,
            Self::Unix(_) => false,
        }
    }

    /// Whether it accepts connections; other sockets receive datagrams.
    pub fn is_stream(&self) -> bool {
        match self {
            Self::Tcp(_) | Self::TcpAnywhere(_) | Self::Unix(_) => true,
            Self::Udp(_) => false,
        }
    }
}

/// As in an ecosystem file.
impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "tcp://{address}"),
            Self::TcpAnywhere(port) => write!(f, "tcp://*:{port}"),
            Self::Udp(address) => write!(f, "udp://{address}"),
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
        }
    }
}
