//! The addresses on which servers of workers listen.

/// The address on which a server wants to listen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    /// A TCP port.
    Tcp {
        /// A numeric address; `None` means all addresses.
        address: Option<String>,
        /// The port; 0 means any free one.
        port: u16,
        /// IPv6 only.
        only_v6: bool,
        /// Maximum number of connections that wait to be accepted, at least 1.
        backlog: i32,
    },
    /// A UDP port.
    Udp {
        /// A numeric address.
        address: String,
        /// The port; 0 means any free one.
        port: u16,
        /// IPv6 only.
        only_v6: bool,
        /// The application's `reuseAddr`.
        reuse: bool,
    },
    /// A unix socket.
    Unix {
        /// The path of its file.
        path: String,
        /// `readableAll`.
        readable: bool,
        /// `writableAll`.
        writable: bool,
        /// Maximum number of connections that wait to be accepted, at least 1.
        backlog: i32,
    },
    /// A socket of `listen`, which every worker of the application got at its start. The workers accept from it
    /// themselves, whatever their balance is.
    Held {
        /// The address as it is written in the configuration.
        address: String,
    },
}

impl Endpoint {
    /// Whether two servers with the same `index` share one socket. As in Node, their options do not matter: the
    /// first request decides.
    pub(super) fn is_same_address(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Tcp { address, port, .. }, Self::Tcp { address: others, port: other, .. }) => {
                (address, port) == (others, other)
            }
            (Self::Udp { address, port, .. }, Self::Udp { address: others, port: other, .. }) => {
                (address, port) == (others, other)
            }
            (Self::Unix { path, .. }, Self::Unix { path: other, .. }) => path == other,
            (Self::Held { address }, Self::Held { address: other }) => address == other,
            (Self::Tcp { .. } | Self::Udp { .. } | Self::Unix { .. } | Self::Held { .. }, _) => false,
        }
    }

    /// Whether servers of two applications with this address share one socket.
    pub(super) fn is_shared_between_apps(&self) -> bool {
        match self {
            Self::Tcp { port, .. } | Self::Udp { port, .. } => *port != 0,
            Self::Unix { .. } => true,
            Self::Held { .. } => false,
        }
    }

    /// The address for messages.
    pub fn describe(&self) -> String {
        match self {
            Self::Tcp { address: None, port, .. } => format!("port {port}"),
            Self::Tcp { address: Some(address), port, .. } if address.contains(':') => {
                format!("[{address}]:{port}")
            }
            Self::Tcp { address: Some(address), port, .. } => format!("{address}:{port}"),
            Self::Udp { address, port, .. } => format!("UDP {address}:{port}"),
            Self::Unix { path, .. } => display_path(path),
            Self::Held { address } => address.clone(),
        }
    }

    /// Whether both may need the same port or file.
    pub(super) fn conflicts_with(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Tcp { port, .. }, Self::Tcp { port: other, .. })
            | (Self::Udp { port, .. }, Self::Udp { port: other, .. }) => port == other,
            (Self::Unix { path, .. }, Self::Unix { path: other, .. }) => path == other,
            // A held socket is open already.
            (Self::Tcp { .. } | Self::Udp { .. } | Self::Unix { .. } | Self::Held { .. }, _) => false,
        }
    }
}

/// The path of a unix socket for messages; an abstract one, which contains a NUL, as in unix(7).
pub(super) fn display_path(path: &str) -> String {
    path.split_once('\0').map_or_else(|| path.to_owned(), |(_, name)| format!("@{name}"))
}
