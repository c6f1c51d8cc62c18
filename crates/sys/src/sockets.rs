//! Listening sockets that procrun holds for workers.
//!
//! They are bound like libuv's sockets: with SO_REUSEADDR, never with SO_REUSEPORT, so that a second program on the
//! same port gets an error. All are close-on-exec, and non-blocking until [`make_blocking`].

use std::{
    collections::BTreeMap,
    fs::{self, Permissions},
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6, TcpStream},
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
        unix::fs::{FileTypeExt, MetadataExt, PermissionsExt},
    },
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, Weak},
};

use nix::{
    libc,
    poll::{PollFd, PollFlags, PollTimeout, poll},
};
use socket2::{Domain, SockAddr, Socket, Type};

use super::file_rights::{FileOwner, FileRights};

/// The user id and group id whose rights apply to a file.
pub type Owner = (u32, u32);

/// Opens a listening TCP socket.
///
/// # Errors
///
/// The error of socket(2), bind(2) or listen(2).
pub fn tcp(address: SocketAddr, only_v6: bool, backlog: i32) -> io::Result<OwnedFd> {
    let socket = internet(address, only_v6, Type::STREAM)?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(backlog)?;
    Ok(socket.into())
}

/// Opens a TCP socket that listens on all IPv6 and IPv4 addresses, or on IPv4 alone if the system has no IPv6. Node
/// does the same without an address.
///
/// # Errors
///
/// As [`tcp`].
pub fn tcp_any_address(port: u16, backlog: i32) -> io::Result<OwnedFd> {
    match tcp(SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), port), false, backlog) {
        Err(error) if error.kind() != io::ErrorKind::AddrInUse => {
            tcp(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), port), false, backlog)
        }
        done => done,
    }
}

/// Opens a UDP socket. `reuse` is Node's option `reuseAddr`.
///
/// # Errors
///
/// The error of socket(2) or bind(2).
pub fn udp(address: SocketAddr, only_v6: bool, reuse: bool) -> io::Result<OwnedFd> {
    let socket = internet(address, only_v6, Type::DGRAM)?;
    if reuse {
        socket.set_reuse_address(true)?;
    }
    socket.bind(&address.into())?;
    Ok(socket.into())
}

fn internet(address: SocketAddr, only_v6: bool, kind: Type) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), kind.nonblocking(), None)?;
    if address.is_ipv6() {
        socket.set_only_v6(only_v6)?;
    }
    Ok(socket)
}

/// The socket address of `text` and `port`. An IPv6 address may have a zone (`fe80::1%eth0`).
///
/// # Errors
///
/// `InvalidInput` if the text is not an address, or the zone is not an interface.
pub fn address(text: &str, port: u16) -> io::Result<SocketAddr> {
    let invalid = || io::Error::from_raw_os_error(libc::EINVAL);
    let Some((address, zone)) = text.split_once('%') else {
        return Ok(SocketAddr::new(text.parse::<IpAddr>().map_err(|_| invalid())?, port));
    };
    let address: Ipv6Addr = address.parse().map_err(|_| invalid())?;
    let zone = match zone.parse() {
        Ok(number) => number,
        Err(_) => nix::net::if_::if_nametoindex(zone)?,
    };
    Ok(SocketAddrV6::new(address, port, 0, zone).into())
}

/// The file of a unix socket. Dropping this removes the file, unless it was replaced.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    owner: Option<Owner>,
    /// Device and inode.
    identity: (u64, u64),
}

/// The permissions of a socket's file.
#[derive(Debug, Clone, Copy)]
pub enum FileMode {
    /// Those of the file that it replaces, or those that the umask gives it, with these bits.
    Kept {
        /// The bits that are added.
        more: u32,
    },
    /// These, whatever the umask is.
    Exactly(u32),
}

/// Opens a unix socket that listens on `path`, with the rights of `owner` (`None`: procrun's own).
///
/// A socket file without a listener is replaced. The file has its permissions before clients can connect.
///
/// # Errors
///
/// `AddrInUse` if the socket has a listener or the file is not a socket; otherwise the error of bind(2) or listen(2).
pub fn unix(
    path: &Path,
    file_mode: FileMode,
    backlog: i32,
    owner: Option<Owner>,
) -> io::Result<(OwnedFd, SocketFile)> {
    let lock = path_lock(path);
    let _lock = lock.lock().unwrap_or_else(PoisonError::into_inner);
    let _acting = act_as(owner);
    let address = SockAddr::unix(path)?;
    let new = || Socket::new(Domain::UNIX, Type::STREAM.nonblocking(), None);
    let socket = new()?;
    let mut kept = None;
    if let Err(error) = socket.bind(&address) {
        if error.kind() != io::ErrorKind::AddrInUse {
            return Err(error);
        }
        let found = fs::symlink_metadata(path)?;
        let stale = found.file_type().is_socket()
            && new()?.connect(&address).is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused);
        if !stale {
            return Err(error);
        }
        fs::remove_file(path)?;
        socket.bind(&address)?;
        kept = Some(found.mode());
    }
    let made = fs::symlink_metadata(path)?;
    let mode = 0o777
        & match file_mode {
            FileMode::Kept { more } => kept.unwrap_or(made.mode()) | more,
            FileMode::Exactly(mode) => mode,
        };
    if mode != made.mode() & 0o777 {
        fs::set_permissions(path, Permissions::from_mode(mode))?;
    }
    socket.listen(backlog)?;
    let file = SocketFile { path: path.to_owned(), owner, identity: (made.dev(), made.ino()) };
    Ok((socket.into(), file))
}

/// Opens a unix socket that listens on a name in Linux's abstract namespace, which has no file (unix(7)).
///
/// # Errors
///
/// The error of socket(2), bind(2) or listen(2).
pub fn abstract_unix(name: &str, backlog: i32) -> io::Result<OwnedFd> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM.nonblocking(), None)?;
    socket.bind(&SockAddr::unix(format!("\0{name}"))?)?;
    socket.listen(backlog)?;
    Ok(socket.into())
}

/// Several threads open unix sockets and remove their files. Only one of them may work on a path.
fn path_lock(path: &Path) -> Arc<Mutex<()>> {
    static ALL: Mutex<BTreeMap<PathBuf, Weak<Mutex<()>>>> = Mutex::new(BTreeMap::new());
    let mut all = ALL.lock().unwrap_or_else(PoisonError::into_inner);
    all.retain(|_, lock| lock.strong_count() > 0);
    let known = all.get(path).and_then(Weak::upgrade);
    known.unwrap_or_else(|| {
        let new = Arc::default();
        all.insert(path.to_owned(), Arc::downgrade(&new));
        new
    })
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let lock = path_lock(&self.path);
        let _lock = lock.lock().unwrap_or_else(PoisonError::into_inner);
        let _acting = act_as(self.owner);
        if fs::symlink_metadata(&self.path).is_ok_and(|found| (found.dev(), found.ino()) == self.identity) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// procrun must not do more to a path of a worker than the worker could.
fn act_as(owner: Option<Owner>) -> Option<FileRights> {
    owner.map(|(uid, gid)| FileRights::act_as(&FileOwner { uid, gid, groups: vec![gid] }))
}

/// Accepts one connection, and returns it with the address of its client if that is an internet address. The
/// connection is non-blocking, as libuv expects.
///
/// # Errors
///
/// `WouldBlock` if no connection is pending; otherwise the error of accept4(2).
pub fn accept(listener: BorrowedFd<'_>) -> io::Result<(OwnedFd, Option<IpAddr>)> {
    // SAFETY: the kernel writes an address and its length, or nothing when it fails.
    let (connection, client) = unsafe {
        SockAddr::try_init(|address, length| {
            let flags = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
            let fd = libc::accept4(listener.as_raw_fd(), address.cast(), length, flags);
            // SAFETY: the kernel has just created this descriptor; it has no other owner.
            if fd < 0 { Err(io::Error::last_os_error()) } else { Ok(OwnedFd::from_raw_fd(fd)) }
        })
    }?;
    Ok((connection, client.as_socket().map(|client| client.ip())))
}

/// The time limit for a connection to itself in milliseconds. It takes some microseconds.
const LOOPBACK_TIMEOUT: u16 = 200;

/// Creates a TCP connection of this process to itself. Returns the client's and the server's end, both non-blocking.
///
/// # Errors
///
/// The error of bind(2), connect(2) or accept(2); `TimedOut`.
pub fn loopback_pair() -> io::Result<(TcpStream, OwnedFd)> {
    let listener = tcp((Ipv4Addr::LOCALHOST, 0).into(), false, 8)?;
    let at = local_address(&listener).ok_or(io::ErrorKind::AddrNotAvailable)?;
    let client = Socket::new(Domain::IPV4, Type::STREAM.nonblocking(), None)?;
    match client.connect(&at.into()) {
        Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let own = client.local_addr()?.as_socket();
    let deadline = || PollTimeout::from(LOOPBACK_TIMEOUT);
    // Another process may connect first.
    while poll(&mut [PollFd::new(listener.as_fd(), PollFlags::POLLIN)], deadline())? > 0 {
        let (server, _) = accept(listener.as_fd())?;
        let peer = socket2::SockRef::from(&server.as_fd()).peer_addr()?.as_socket();
        if peer == own {
            return Ok((client.into(), server));
        }
    }
    Err(io::ErrorKind::TimedOut.into())
}

/// The largest backlog. The kernel reduces it to `net.core.somaxconn`.
pub const MAX_BACKLOG: i32 = i32::MAX;

/// Makes calls on this socket blocking, for the process that inherits it.
///
/// # Errors
///
/// The error of fcntl(2).
pub fn make_blocking(socket: &OwnedFd) -> io::Result<()> {
    socket2::SockRef::from(&socket.as_fd()).set_nonblocking(false)
}

/// Makes calls on this socket non-blocking, for all processes that share it.
///
/// # Errors
///
/// The error of fcntl(2).
pub fn make_non_blocking(socket: &OwnedFd) -> io::Result<()> {
    socket2::SockRef::from(&socket.as_fd()).set_nonblocking(true)
}

/// The address to which a socket is bound. `None`: it is not an internet address.
pub fn local_address(socket: &OwnedFd) -> Option<SocketAddr> {
    socket2::SockRef::from(&socket.as_fd()).local_addr().ok()?.as_socket()
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        io::{ErrorKind, Read as _, Write as _},
        net::TcpStream,
        os::{
            fd::AsFd,
            unix::{
                fs::PermissionsExt,
                net::{UnixListener, UnixStream},
            },
        },
    };

    use super::{FileMode, accept, address, local_address, loopback_pair, tcp, tcp_any_address, udp, unix};

    #[test]
    fn a_port_has_one_listener() {
        let anywhere = tcp_any_address(0, 16).unwrap();
        let port = local_address(&anywhere).unwrap().port();
        assert_eq!(tcp_any_address(port, 16).unwrap_err().kind(), ErrorKind::AddrInUse);
        let v4 = address("0.0.0.0", port).unwrap();
        assert_eq!(tcp(v4, false, 16).unwrap_err().kind(), ErrorKind::AddrInUse, "dual stack");

        assert_eq!(accept(anywhere.as_fd()).unwrap_err().kind(), ErrorKind::WouldBlock);
        let _client = TcpStream::connect(("127.0.0.1", port)).unwrap();
        accept(anywhere.as_fd()).unwrap();
    }

    #[test]
    fn a_connection_to_itself_is_open_at_both_ends() {
        let (mut client, server) = loopback_pair().unwrap();
        client.write_all(b"ping").unwrap();
        let mut server = TcpStream::from(server);
        server.set_nonblocking(false).unwrap();
        let mut got = [0; 4];
        server.read_exact(&mut got).unwrap();
        assert_eq!(&got, b"ping");
        assert_eq!(server.peer_addr().unwrap(), client.local_addr().unwrap());
    }

    #[test]
    fn only_v6_leaves_the_port_of_v4_alone() {
        let v6 = tcp(address("::", 0).unwrap(), true, 16).unwrap();
        let port = local_address(&v6).unwrap().port();
        tcp(address("0.0.0.0", port).unwrap(), false, 16).unwrap();
    }

    #[test]
    fn a_datagram_port_has_one_socket() {
        let first = udp(address("127.0.0.1", 0).unwrap(), false, false).unwrap();
        let taken = local_address(&first).unwrap();
        assert_eq!(udp(taken, false, false).unwrap_err().kind(), ErrorKind::AddrInUse);
    }

    #[test]
    fn addresses_are_numbers_with_or_without_a_zone() {
        assert_eq!(address("127.0.0.1", 80).unwrap().to_string(), "127.0.0.1:80");
        assert_eq!(address("fe80::1%2", 80).unwrap().to_string(), "[fe80::1%2]:80");
        assert_eq!(address("::1%lo", 80).unwrap().to_string(), "[::1%1]:80");
        for wrong in ["localhost", "", "1.2.3", "::1%nowhere-at-all", "1.2.3.4%lo"] {
            assert!(address(wrong, 80).is_err(), "{wrong}");
        }
    }

    const KEPT: FileMode = FileMode::Kept { more: 0 };

    #[test]
    fn a_stale_socket_file_is_replaced_and_its_mode_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("app.sock");
        drop(UnixListener::bind(&path).unwrap());
        fs::set_permissions(&path, fs::Permissions::from_mode(0o766)).unwrap();
        let (socket, file) = unix(&path, KEPT, 16, None).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o766);
        UnixStream::connect(&path).unwrap();

        assert_eq!(unix(&path, KEPT, 16, None).unwrap_err().kind(), ErrorKind::AddrInUse, "in use");
        assert!(path.exists());
        drop((socket, file));
        assert!(!path.exists(), "the file goes with the socket");
    }

    #[test]
    fn exact_permissions_replace_those_of_a_stale_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("app.sock");
        for mode in [0o666, 0o600] {
            drop(UnixListener::bind(&path).unwrap());
            fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
            let _held = unix(&path, FileMode::Exactly(mode), 16, None).unwrap();
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, mode);
        }
    }

    #[test]
    fn a_file_that_is_not_a_socket_or_was_replaced_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("app.sock");
        fs::write(&path, "mine").unwrap();
        assert_eq!(unix(&path, KEPT, 16, None).unwrap_err().kind(), ErrorKind::AddrInUse);
        assert_eq!(fs::read_to_string(&path).unwrap(), "mine");

        fs::remove_file(&path).unwrap();
        let held = unix(&path, FileMode::Kept { more: 0o022 }, 16, None).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o022, 0o022);
        fs::remove_file(&path).unwrap();
        fs::write(&path, "another's").unwrap();
        drop(held);
        assert!(path.exists());
    }

    #[test]
    fn a_path_is_touched_with_the_workers_rights_only() {
        if !nix::unistd::geteuid().is_root() {
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let path = dir.path().join("app.sock");
        let refused = unix(&path, KEPT, 16, Some((65534, 65534))).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::PermissionDenied);
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777)).unwrap();
        let _held = unix(&path, KEPT, 16, Some((65534, 65534))).unwrap();
        let made = std::os::unix::fs::MetadataExt::uid(&fs::metadata(&path).unwrap());
        assert_eq!(made, 65534);
        assert!(fs::write("/proc/self/oom_score_adj", "0").is_ok(), "root's own rights are back");
    }
}
