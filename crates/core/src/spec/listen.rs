//! The sockets that procrun opens for an application before its first worker (`listen`).
//!
//! It has the addresses, and the variables of the worker. It opens nothing.

use std::{fmt, net::SocketAddr, path::PathBuf};

use serde::{Deserialize, Serialize};

/// One socket that is handed to every worker of an application.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listen {
    /// Its name in `LISTEN_FDNAMES`: 1 to 255 printable ASCII characters, no colon (sd_listen_fds(3)). Several
    /// may have the same name.
    pub name: String,
    /// Where it listens.
    pub address: ListenAddress,
}

/// Where a held socket listens.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ListenAddress {
    /// `tcp://0.0.0.0:8080`; port 0 is any free one. An IPv6 address takes no IPv4.
    Tcp(SocketAddr),
    /// `tcp://*:8080`: every address, IPv6 and IPv4.
    TcpAnywhere(u16),
    /// `udp://0.0.0.0:53`; port 0 is any free one.
    Udp(SocketAddr),
    /// `unix:///run/app.sock`: absolute, at most 107 bytes.
    Unix(PathBuf),
}

impl ListenAddress {
    /// Whether it means any port: two of these are two sockets.
    pub fn is_any_port(&self) -> bool {
        match self {
            Self::Tcp(address) | Self::Udp(address) => address.port() == 0,
            Self::TcpAnywhere(port) => *port == 0,
            Self::Unix(_) => false,
        }
    }

    /// Whether connections are accepted on it; the others get datagrams.
    pub fn is_stream(&self) -> bool {
        match self {
            Self::Tcp(_) | Self::TcpAnywhere(_) | Self::Unix(_) => true,
            Self::Udp(_) => false,
        }
    }
}

/// As it is written.
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
