//! The client side of the control socket: finds the supervisor, sends requests and reads answers.
//!
//! Blocking, without a runtime or a thread, because a command lives for a few milliseconds. The client starts and
//! removes nothing, and skips a socket without a listener.

use std::{
    fmt,
    io::{self, Read, Write},
    os::unix::{fs::MetadataExt, net::UnixStream},
    path::{Path, PathBuf},
    time::Duration,
};

use nix::{
    sys::socket::{getsockopt, sockopt::PeerCredentials},
    unistd::geteuid,
};

use super::{
    framing::{Hello, LineBuffer, MAX_ANSWER, PROTOCOL, decode, encode},
    message::{Answer, Request},
    socket_file::sockets_in,
    socket_paths::{Name, SocketPaths},
};

/// The time limit for the hello. A running supervisor sends it at once, a stopped one (SIGSTOP) never.
const HELLO_TIMEOUT: Duration = Duration::from_secs(10);

/// A connection to a supervisor.
#[derive(Debug)]
pub struct Connection {
    stream: UnixStream,
    path: PathBuf,
    lines: LineBuffer,
    greeted: bool,
    greeting_sent: bool,
}

/// Why no supervisor can be reached.
#[derive(Debug)]
pub enum NoSupervisor {
    /// The searched paths, each with its state.
    NotRunning(Vec<(PathBuf, SocketState)>),
    /// Several supervisors run, and none of them is the default one.
    Ambiguous(Vec<PathBuf>),
}

impl NoSupervisor {
    /// Whether no supervisor runs: each path is empty, or has the socket of a supervisor that has exited. A
    /// path that cannot be read proves nothing.
    pub fn is_none_running(&self) -> bool {
        match self {
            Self::NotRunning(searched) => searched
                .iter()
                .all(|(_, finding)| matches!(finding, SocketState::Missing | SocketState::Stale)),
            Self::Ambiguous(_) => false,
        }
    }
}

/// The state of a path at which a socket was expected.
#[derive(Debug)]
pub enum SocketState {
    /// No such file.
    Missing,
    /// A socket without a listener.
    Stale,
    /// It belongs to another user.
    Foreign(u32),
    /// Connecting failed.
    Refused(io::Error),
}

impl fmt::Display for SocketState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("no such socket"),
            Self::Stale => f.write_str("its supervisor has exited"),
            Self::Foreign(uid) => write!(f, "it belongs to user {uid}"),
            Self::Refused(error) => write!(f, "{error}"),
        }
    }
}

/// Why a connection cannot be used any more.
#[derive(Debug)]
pub enum ConnectionError {
    /// The supervisor has exited.
    Ended,
    /// It uses another version of the protocol.
    Version(Hello),
    /// It does not respond in time.
    NoAnswer,
    /// Its answer is not a message, or the kernel reports an error.
    Failed(String),
}

impl From<io::Error> for ConnectionError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => Self::Ended,
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Self::NoAnswer,
            _ => Self::Failed(error.to_string()),
        }
    }
}

/// Connects to the selected supervisor: the one of `--socket`, else the default one, else the only running one.
///
/// # Errors
/// [`NoSupervisor`].
pub fn find(paths: &SocketPaths) -> Result<Connection, NoSupervisor> {
    let directories = match paths {
        SocketPaths::Socket(path) => {
            // Root may name the socket of any user; a search excludes those of other users.
            let any_owner = geteuid().is_root();
            return connect(path, any_owner)
                .map_err(|finding| NoSupervisor::NotRunning(vec![(path.clone(), finding)]));
        }
        SocketPaths::Directories(directories) => directories,
    };
    let mut searched = Vec::new();
    for directory in directories {
        let path = directory.join(Name::Default.file(0));
        match connect(&path, false) {
            Ok(connection) => return Ok(connection),
            Err(finding) => searched.push((path, finding)),
        }
    }
    let mut live = Vec::new();
    for path in directories.iter().flat_map(|directory| sockets_in(directory)) {
        if searched.iter().any(|(known, _)| *known == path) {
            continue;
        }
        match connect(&path, false) {
            Ok(connection) => live.push(connection),
            Err(finding) => searched.push((path, finding)),
        }
    }
    match live.len() {
        0 => Err(NoSupervisor::NotRunning(searched)),
        1 => Ok(live.remove(0)),
        _ => Err(NoSupervisor::Ambiguous(live.into_iter().map(|connection| connection.path).collect())),
    }
}

fn connect(path: &Path, any_owner: bool) -> Result<Connection, SocketState> {
    let me = geteuid().as_raw();
    let is_mine = |uid: u32| any_owner || uid == me || uid == 0;
    // A user that can write to the directory can put any socket there.
    if let Some(directory) = path.parent().and_then(|directory| directory.symlink_metadata().ok())
        && !any_owner
        && directory.mode() & 0o022 == 0
        && !is_mine(directory.uid())
    {
        return Err(SocketState::Foreign(directory.uid()));
    }
    let stream = UnixStream::connect(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => SocketState::Missing,
        io::ErrorKind::ConnectionRefused => SocketState::Stale,
        _ => SocketState::Refused(error),
    })?;
    // The credentials of the process that called listen(2).
    match getsockopt(&stream, PeerCredentials) {
        Ok(peer) if !is_mine(peer.uid()) => Err(SocketState::Foreign(peer.uid())),
        Ok(_) => Ok(Connection::new(stream, path.to_owned())),
        Err(error) => Err(SocketState::Refused(error.into())),
    }
}

impl Connection {
    /// A connection from an open socket.
    pub fn new(stream: UnixStream, path: PathBuf) -> Self {
        Self { stream, path, lines: LineBuffer::default(), greeted: false, greeting_sent: false }
    }

    /// The path of the socket.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A handle with which another thread ends the connection by shutting it down.
    ///
    /// # Errors
    /// No file descriptor is left.
    pub fn hang_up(&self) -> io::Result<UnixStream> {
        self.stream.try_clone()
    }

    /// The supervisor's process id in this PID namespace. `None`: it is in another one.
    pub fn pid(&self) -> Option<i32> {
        getsockopt(&self.stream, PeerCredentials).ok().map(|peer| peer.pid()).filter(|pid| *pid > 0)
    }

    /// The user id of the supervisor.
    pub fn uid(&self) -> Option<u32> {
        getsockopt(&self.stream, PeerCredentials).ok().map(|peer| peer.uid())
    }

    /// Sends a request; the answers come by [`Connection::answer`].
    ///
    /// # Errors
    /// [`ConnectionError`].
    pub fn send(&mut self, request: &Request) -> Result<(), ConnectionError> {
        let mut line = Vec::new();
        if !self.greeting_sent {
            self.greeting_sent = true;
            line = encode(&Hello::own());
        }
        line.extend_from_slice(&encode(request));
        match self.stream.write_all(&line) {
            // The supervisor may have sent a reason before it closed the connection.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe && !self.greeted => Ok(()),
            result => Ok(result?),
        }
    }

    /// Waits for the supervisor's hello.
    ///
    /// # Errors
    /// [`ConnectionError`].
    pub fn greet(&mut self) -> Result<(), ConnectionError> {
        if !self.greeting_sent {
            self.greeting_sent = true;
            self.stream.write_all(&encode(&Hello::own()))?;
        }
        if !self.greeted {
            self.stream.set_read_timeout(Some(HELLO_TIMEOUT))?;
            let line = self.line()?;
            self.accept_hello(&line)?;
            self.stream.set_read_timeout(None)?;
        }
        Ok(())
    }

    fn accept_hello(&mut self, line: &[u8]) -> Result<(), ConnectionError> {
        let hello: Hello = decode(line).map_err(ConnectionError::Failed)?;
        if hello.protocol != PROTOCOL {
            return Err(ConnectionError::Version(hello));
        }
        self.greeted = true;
        Ok(())
    }

    /// The next answer.
    ///
    /// # Errors
    /// [`ConnectionError`].
    pub fn answer(&mut self) -> Result<Answer, ConnectionError> {
        self.greet()?;
        let line = self.line()?;
        decode(&line).map_err(ConnectionError::Failed)
    }

    /// The next answer, if it arrives within this time. A partial answer is kept.
    ///
    /// # Errors
    /// [`ConnectionError`], but never [`ConnectionError::NoAnswer`].
    pub fn answer_within(&mut self, timeout: Duration) -> Result<Option<Answer>, ConnectionError> {
        self.stream.set_read_timeout(Some(timeout))?;
        loop {
            let line = match self.line() {
                Err(ConnectionError::NoAnswer) => return Ok(None),
                line => line?,
            };
            if self.greeted {
                self.stream.set_read_timeout(None)?;
                return decode(&line).map(Some).map_err(ConnectionError::Failed);
            }
            self.accept_hello(&line)?;
        }
    }

    /// Sends a request and returns the answer.
    ///
    /// # Errors
    /// [`ConnectionError`].
    pub fn request(&mut self, request: &Request) -> Result<Answer, ConnectionError> {
        self.send(request)?;
        self.answer()
    }

    fn line(&mut self) -> Result<Vec<u8>, ConnectionError> {
        loop {
            match self.lines.next(MAX_ANSWER) {
                Ok(Some(line)) => return Ok(line.to_vec()),
                Ok(None) => {}
                Err(_) => return Err(ConnectionError::Failed("the answer is too long".to_owned())),
            }
            let mut piece = [0; 16 * 1024];
            match self.stream.read(&mut piece) {
                Ok(0) => return Err(ConnectionError::Ended),
                Ok(count) => self.lines.feed(&piece[..count]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}
