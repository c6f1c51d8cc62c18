//! The sockets of each application's `listen`: opened before its first worker, handed to every one
//! of them, closed when none is left and none will come.
//!
//! A set of sockets belongs to a name and a `listen`, not to a process: a crash, a restart and a
//! change of anything else leave it alone. While an application changes its `listen`, both sets are
//! there. An address that another application holds already is never opened a second time but shared.
//! Nothing is accepted here.
//!
//! A unix socket has a file, whose file system may not answer. So helper threads open all sockets
//! ([`OpenSockets::open`]) and remove the files; the supervisor keeps what was opened ([`ListenSockets::keep`]).

use std::{
    collections::BTreeMap,
    io,
    mem::ManuallyDrop,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use tracing::debug;

use super::{
    failed_start::kind_of,
    helper_threads::HelperThreads,
    job_queues::{Job, Purpose},
};
use crate::{
    machine::{
        FailureKind, SpawnFailure,
        events::{EventData, Notice},
    },
    node::HeldSocket,
    spec::{AppSpec, Listen, ListenAddress},
    sys::sockets::{self, FileMode, Owner, SocketFile},
};

/// All sockets that procrun holds for `listen`.
#[derive(Debug, Default)]
pub(super) struct ListenSockets {
    sets: Vec<Set>,
    open: OpenSockets,
}

/// The sockets of an application, in the order of its descriptors.
#[derive(Debug)]
struct Set {
    app: String,
    listen: Vec<Listen>,
    sockets: Vec<Arc<Socket>>,
    announced: bool,
}

/// The sockets that are open, for the helper threads that open more.
#[derive(Debug, Clone, Default)]
pub(super) struct OpenSockets(Arc<Mutex<BTreeMap<Key, Slot>>>);

/// An address; for any free port also the application, which has a port of its own.
type Key = (ListenAddress, Option<String>);

/// The socket of an address, if it is open. The lock is held while it is opened.
type Slot = Arc<Mutex<Weak<Socket>>>;

/// An open socket.
#[derive(Debug)]
pub(super) struct Socket {
    address: ListenAddress,
    descriptor: Arc<OwnedFd>,
    /// The file of a unix socket, removed when the last set that holds it goes.
    file: Option<SocketFile>,
    /// Keeps the address known as long as the socket is open.
    _slot: Slot,
    helpers: HelperThreads,
    /// The application that it was opened for.
    app: Arc<str>,
}

impl OpenSockets {
    /// Opens the sockets of this application that are not open. Touches files, so it may never end.
    ///
    /// # Errors
    /// The first address that cannot be had, and why.
    pub(super) fn open(
        &self,
        spec: &AppSpec,
        owner: Option<Owner>,
        helpers: &HelperThreads,
    ) -> Result<Vec<Arc<Socket>>, SpawnFailure> {
        let addresses = spec.listen.iter().map(|listen| &listen.address);
        let open = |address: &ListenAddress| {
            let slot = self.slot(&spec.name, address);
            let mut found = lock(&slot);
            if let Some(socket) = found.upgrade() {
                return Ok(socket);
            }
            let socket = Socket::open(address, owner, &slot, helpers, &spec.name);
            let socket = Arc::new(socket.map_err(|error| failure(address, &error))?);
            *found = Arc::downgrade(&socket);
            Ok(socket)
        };
        addresses.map(open).collect()
    }

    fn slot(&self, app: &str, address: &ListenAddress) -> Slot {
        let mut slots = lock(&self.0);
        // Addresses that no thread and no socket uses any more.
        slots.retain(|_, slot| Arc::strong_count(slot) > 1);
        let app = address.is_any_port().then(|| app.to_owned());
        Arc::clone(slots.entry((address.clone(), app)).or_default())
    }
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic in between leaves a socket that is not there, or one that is.
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Socket {
    fn open(
        address: &ListenAddress,
        owner: Option<Owner>,
        slot: &Slot,
        helpers: &HelperThreads,
        app: &str,
    ) -> io::Result<Self> {
        let backlog = sockets::MAX_BACKLOG;
        let (descriptor, file) = match address {
            ListenAddress::Tcp(address) => (sockets::tcp(*address, true, backlog)?, None),
            ListenAddress::TcpAnywhere(port) => (sockets::tcp_any_address(*port, backlog)?, None),
            ListenAddress::Udp(address) => (sockets::udp(*address, true, false)?, None),
            ListenAddress::Unix(path) => {
                let (socket, file) = sockets::unix(path, FileMode::Kept { more: 0 }, backlog, owner)?;
                (socket, Some(file))
            }
        };
        // As systemd passes them. A program that needs non-blocking sockets sets that itself, as gunicorn,
        // asyncio, Go and libuv do at once; a plain accept() in a loop would get nothing but EAGAIN. The mode
        // belongs to the socket and not to a descriptor, so it is never set again: that would make another
        // instance's event loop wait.
        sockets::make_blocking(&descriptor)?;
        Ok(Self {
            address: address.clone(),
            descriptor: Arc::new(descriptor),
            file,
            _slot: Arc::clone(slot),
            helpers: helpers.clone(),
            app: app.into(),
        })
    }

    /// Whether it has a file.
    pub(super) fn has_file(&self) -> bool {
        self.file.is_some()
    }

    /// The socket's address, with the port that the kernel has chosen.
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

impl Drop for Socket {
    fn drop(&mut self) {
        if let Some(file) = self.file.take() {
            // Without a thread for it the file stays: the next socket replaces it.
            let file = ManuallyDrop::new(file);
            let remove = move || drop(ManuallyDrop::into_inner(file));
            let _ = self.helpers.submit(Job::new(Purpose::File, remove).for_app(&self.app));
        }
    }
}

impl ListenSockets {
    /// The handle for the threads that open sockets.
    pub(super) fn open(&self) -> &OpenSockets {
        &self.open
    }

    /// Keeps the sockets that were opened for this application, unless it has some.
    pub(super) fn keep(&mut self, spec: &AppSpec, sockets: Vec<Arc<Socket>>) {
        if !spec.listen.is_empty() && self.set(spec).is_none() {
            let (app, listen) = (spec.name.clone(), spec.listen.clone());
            self.sets.push(Set { app, listen, sockets, announced: false });
        }
    }

    /// Events for the sockets that were opened since the last time: the first ones are opened before there is a log.
    pub(super) fn reports(&mut self) -> Vec<Notice> {
        let mut reports = Vec::new();
        for set in self.sets.iter_mut().filter(|set| !set.announced) {
            set.announced = true;
            let addresses = set.sockets.iter().map(|socket| socket.shown().clone());
            reports.extend(
                addresses.map(|address| Notice::of_app(&set.app, EventData::SocketOpened { address })),
            );
        }
        reports
    }

    fn set(&self, spec: &AppSpec) -> Option<&Set> {
        self.sets.iter().find(|set| set.app == spec.name && set.listen == spec.listen)
    }

    /// The sockets of an application, in the order of their descriptors.
    pub(super) fn of(&self, spec: &AppSpec) -> &[Arc<Socket>] {
        self.set(spec).map_or(&[], |set| set.sockets.as_slice())
    }

    /// The same for a worker of a cluster, which may request them by number.
    pub(super) fn lent_to(&self, spec: &AppSpec) -> Vec<HeldSocket> {
        let lent = |socket: &Arc<Socket>| (socket.address.clone(), socket.descriptor.clone());
        self.of(spec).iter().map(lent).collect()
    }

    /// Removes and returns the sockets that no application of this name and with this `listen` uses. [`close`] closes
    /// them.
    pub(super) fn keep_only(&mut self, is_used: impl Fn(&str, &[Listen]) -> bool) -> Vec<Arc<Socket>> {
        let unused = self.sets.extract_if(.., |set| !is_used(&set.app, &set.listen));
        let close = |set: Set| {
            debug!(app = set.app, "closing the sockets that were held for {}", set.app);
            set.sockets
        };
        unused.flat_map(close).collect()
    }
}

/// Closes sockets unless something else holds them, and removes their files. Touches files, so it may never
/// end.
pub(super) fn close(sockets: Vec<Arc<Socket>>) {
    for socket in sockets {
        if let Some(mut socket) = Arc::into_inner(socket) {
            socket.file = None;
        }
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
                "\n  hint: another program listens there (`ss -ltnp` shows it), or another `listen` of this file covers it"
            }
        },
        io::ErrorKind::NotFound => "\n  hint: create its directory: procrun does not",
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
