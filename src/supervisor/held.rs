//! The sockets of each application's `listen`: opened before its first worker, handed to every one
//! of them, closed when none is left and none will come.
//!
//! A set of sockets belongs to a name and a `listen`, not to a process: a crash, a restart and a
//! change of anything else leave it alone. While an application changes its `listen`, both sets are
//! there. An address that is held already, by whomever, is never opened a second time but shared.
//! Nothing is accepted here.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    rc::Rc,
};

use tracing::{debug, info};

use super::{failed_start::kind_of, launch};
use crate::{
    machine::{FailureKind, SpawnFailure},
    node::Lent,
    spec::{AppSpec, Listen, ListenAddress},
    sys::sockets::{self, Owner, SocketFile},
};

/// All sockets that procrun holds for `listen`.
#[derive(Debug, Default)]
pub(super) struct Held(Vec<Set>);

/// What an application gets, in the order of its descriptors.
#[derive(Debug)]
struct Set {
    app: String,
    listen: Vec<Listen>,
    sockets: Vec<Rc<Socket>>,
    announced: bool,
}

/// An open socket.
#[derive(Debug)]
pub(super) struct Socket {
    address: ListenAddress,
    descriptor: Rc<OwnedFd>,
    /// Removes the file of a unix socket when the last set that holds it goes.
    _file: Option<SocketFile>,
}

impl Socket {
    fn open(address: &ListenAddress, owner: Option<Owner>) -> io::Result<Self> {
        let backlog = sockets::LONGEST_BACKLOG;
        let (descriptor, file) = match address {
            ListenAddress::Tcp(address) => (sockets::tcp(*address, true, backlog)?, None),
            ListenAddress::TcpAnywhere(port) => (sockets::tcp_anywhere(*port, backlog)?, None),
            ListenAddress::Udp(address) => (sockets::udp(*address, true, false)?, None),
            ListenAddress::Unix(path) => {
                let (socket, file) = sockets::unix(path, 0, backlog, owner)?;
                (socket, Some(file))
            }
        };
        // As systemd passes them. A program that needs non-blocking sockets sets that itself, as gunicorn,
        // asyncio, Go and libuv do at once; a plain accept() in a loop would get nothing but EAGAIN. The mode
        // belongs to the socket and not to a descriptor, so it is never set again: that would make another
        // instance's event loop wait.
        sockets::make_blocking(&descriptor)?;
        Ok(Self { address: address.clone(), descriptor: Rc::new(descriptor), _file: file })
    }

    /// Where, with the port that the kernel has chosen.
    fn shown(&self) -> String {
        match (&self.address, sockets::local_address(&self.descriptor)) {
            (ListenAddress::Tcp(_), Some(bound)) => ListenAddress::Tcp(bound).to_string(),
            (ListenAddress::TcpAnywhere(_), Some(bound)) => {
                ListenAddress::TcpAnywhere(bound.port()).to_string()
            }
            (ListenAddress::Udp(_), Some(bound)) => ListenAddress::Udp(bound).to_string(),
            (address, _) => address.to_string(),
        }
    }
}

impl Held {
    /// Opens what this application is to get, unless it is held. Either all of it is there
    /// afterwards, or nothing has changed.
    ///
    /// # Errors
    /// The first address that cannot be had, and why.
    pub(super) fn open(&mut self, spec: &AppSpec) -> Result<(), SpawnFailure> {
        if spec.listen.is_empty() || self.set(spec).is_some() {
            return Ok(());
        }
        let credentials = launch::credentials(spec)?;
        let owner = credentials.map(|credentials| (credentials.uid, credentials.gid));
        let mut opened = Vec::with_capacity(spec.listen.len());
        for Listen { address, .. } in &spec.listen {
            opened.push(match self.find(&spec.name, address) {
                Some(socket) => socket,
                None => Rc::new(Socket::open(address, owner).map_err(|error| failure(address, &error))?),
            });
        }
        let (app, listen) = (spec.name.clone(), spec.listen.clone());
        self.0.push(Set { app, listen, sockets: opened, announced: false });
        Ok(())
    }

    /// Reports what has been opened since the last time: the first sockets are opened before there is a log.
    pub(super) fn announce(&mut self) {
        for set in self.0.iter_mut().filter(|set| !set.announced) {
            set.announced = true;
            for socket in &set.sockets {
                info!(app = set.app, "{} listens on {}", set.app, socket.shown());
            }
        }
    }

    /// A socket that is open there already. Any free port is one's own.
    fn find(&self, app: &str, address: &ListenAddress) -> Option<Rc<Socket>> {
        let sets = self.0.iter().filter(|set| set.app == app || !address.is_any_port());
        sets.flat_map(|set| &set.sockets).find(|socket| socket.address == *address).cloned()
    }

    fn set(&self, spec: &AppSpec) -> Option<&Set> {
        self.0.iter().find(|set| set.app == spec.name && set.listen == spec.listen)
    }

    /// The sockets of an application, in the order of their descriptors.
    pub(super) fn of(&self, spec: &AppSpec) -> &[Rc<Socket>] {
        self.set(spec).map_or(&[], |set| set.sockets.as_slice())
    }

    /// The same for a worker of a cluster, which may request them by number.
    pub(super) fn lent_to(&self, spec: &AppSpec) -> Vec<Lent> {
        let lent = |socket: &Rc<Socket>| (socket.address.clone(), socket.descriptor.clone());
        self.of(spec).iter().map(lent).collect()
    }

    /// Closes what no application of this name and with this `listen` has a use for.
    pub(super) fn keep_only(&mut self, is_used: impl Fn(&str, &[Listen]) -> bool) {
        self.0.retain(|set| {
            let stays = is_used(&set.app, &set.listen);
            if !stays {
                debug!(app = set.app, "closing the sockets that were held for {}", set.app);
            }
            stays
        });
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

fn failure(address: &ListenAddress, error: &io::Error) -> SpawnFailure {
    let hint = match error.kind() {
        io::ErrorKind::AddrInUse => match address {
            ListenAddress::Unix(_) => "\n  hint: another program listens there, or the file is no socket",
            _ => {
                "\n  hint: another program listens there, or procrun itself for another address of that port"
            }
        },
        io::ErrorKind::NotFound => "\n  hint: its directory is not there, and procrun makes none",
        io::ErrorKind::AddrNotAvailable => "\n  hint: no interface of this machine has that address",
        io::ErrorKind::PermissionDenied => match address {
            ListenAddress::Unix(_) => "\n  hint: the app's user may not write to that directory",
            _ => "\n  hint: ports below 1024 need root or CAP_NET_BIND_SERVICE; choose another",
        },
        _ => "",
    };
    SpawnFailure {
        code: 126,
        message: format!("cannot listen on {address}: {error}{hint}"),
        kind: kind_of(error, FailureKind::Transient),
    }
}
