//! The client side of the control socket: finds the supervisor, sends requests and reads answers.
//!
//! Blocking, without a runtime or a thread: a command lives for a few milliseconds. The client starts and
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
    message::{Answer, Hello, LONGEST_ANSWER, Lines, PROTOCOL, Request, decode, encode},
    socket_file::sockets_in,
    socket_paths::{Name, SocketPaths},
};

/// A running supervisor sends its hello at once; a stopped one (SIGSTOP) never does.
const HELLO: Duration = Duration::from_secs(10);

/// A connection to a supervisor.
#[derive(Debug)]
pub struct Connection {
    stream: UnixStream,
    path: PathBuf,
    lines: Lines,
    greeted: bool,
    greeting_sent: bool,
}

/// Why no supervisor can be reached.
#[derive(Debug)]
pub enum Unreachable {
    /// The searched paths, each with its finding.
    Nobody(Vec<(PathBuf, Finding)>),
    /// Several supervisors live and none of them is the default.
    Several(Vec<PathBuf>),
}

impl Unreachable {
    /// Whether no supervisor runs: each path is empty, or has the socket of a supervisor that has exited. A
    /// path that cannot be read proves nothing.
    pub fn is_none_running(&self) -> bool {
        match self {
            Self::Nobody(looked_at) => {
                looked_at.iter().all(|(_, finding)| matches!(finding, Finding::Missing | Finding::Stale))
            }
            Self::Several(_) => false,
        }
    }
}

/// What was found at a place.
#[derive(Debug)]
pub enum Finding {
    /// Nothing.
    Missing,
    /// A socket without a listener.
    Stale,
    /// It belongs to another user.
    Foreign(u32),
    /// Something else.
    Refused(io::Error),
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("nothing there"),
            Self::Stale => f.write_str("its supervisor is gone"),
            Self::Foreign(uid) => write!(f, "it belongs to user {uid}"),
            Self::Refused(error) => write!(f, "{error}"),
        }
    }
}

/// Why a conversation broke off.
#[derive(Debug)]
pub enum Broken {
    /// The supervisor is gone.
    Ended,
    /// It speaks another version of the protocol.
    Version(Hello),
    /// It does not answer.
    Silent,
    /// Its answer is not a message, or the kernel reported an error.
    Failed(String),
}

impl From<io::Error> for Broken {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => Self::Ended,
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Self::Silent,
            _ => Self::Failed(error.to_string()),
        }
    }
}

/// Connects to the selected supervisor: the one of `--socket`, else the default one, else the only running one.
///
/// # Errors
/// [`Unreachable`].
pub fn find(places: &SocketPaths) -> Result<Connection, Unreachable> {
    let directories = match places {
        SocketPaths::Socket(path) => {
            // Root may name the socket of any user; the search does not include those.
            let named_by_root = geteuid().is_root();
            return connect(path, named_by_root)
                .map_err(|finding| Unreachable::Nobody(vec![(path.clone(), finding)]));
        }
        SocketPaths::Directories(directories) => directories,
    };
    let mut looked_at = Vec::new();
    for directory in directories {
        let path = directory.join(Name::Default.file(0));
        match connect(&path, false) {
            Ok(connection) => return Ok(connection),
            Err(finding) => looked_at.push((path, finding)),
        }
    }
    let mut live = Vec::new();
    for path in directories.iter().flat_map(|directory| sockets_in(directory)) {
        if looked_at.iter().any(|(known, _)| *known == path) {
            continue;
        }
        match connect(&path, false) {
            Ok(connection) => live.push(connection),
            Err(finding) => looked_at.push((path, finding)),
        }
    }
    match live.len() {
        0 => Err(Unreachable::Nobody(looked_at)),
        1 => Ok(live.remove(0)),
        _ => Err(Unreachable::Several(live.into_iter().map(|connection| connection.path).collect())),
    }
}

fn connect(path: &Path, anybodys: bool) -> Result<Connection, Finding> {
    let me = geteuid().as_raw();
    let is_mine = |uid: u32| anybodys || uid == me || uid == 0;
    // A user with write permission for the directory may put any socket there.
    if let Some(directory) = path.parent().and_then(|directory| directory.symlink_metadata().ok())
        && !anybodys
        && directory.mode() & 0o022 == 0
        && !is_mine(directory.uid())
    {
        return Err(Finding::Foreign(directory.uid()));
    }
    let stream = UnixStream::connect(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Finding::Missing,
        io::ErrorKind::ConnectionRefused => Finding::Stale,
        _ => Finding::Refused(error),
    })?;
    // The credentials of the process that called listen(2).
    match getsockopt(&stream, PeerCredentials) {
        Ok(peer) if !is_mine(peer.uid()) => Err(Finding::Foreign(peer.uid())),
        Ok(_) => Ok(Connection::new(stream, path.to_owned())),
        Err(error) => Err(Finding::Refused(error.into())),
    }
}

impl Connection {
    /// A connection that was made elsewhere.
    pub fn new(stream: UnixStream, path: PathBuf) -> Self {
        Self { stream, path, lines: Lines::default(), greeted: false, greeting_sent: false }
    }

    /// Which socket it is.
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

    /// The supervisor's process id as it is seen from here; `None` when it cannot be seen.
    pub fn pid(&self) -> Option<i32> {
        getsockopt(&self.stream, PeerCredentials).ok().map(|peer| peer.pid()).filter(|pid| *pid > 0)
    }

    /// The user of the supervisor.
    pub fn uid(&self) -> Option<u32> {
        getsockopt(&self.stream, PeerCredentials).ok().map(|peer| peer.uid())
    }

    /// Sends a request; the answers come by [`Connection::answer`].
    ///
    /// # Errors
    /// [`Broken`].
    pub fn ask(&mut self, request: &Request) -> Result<(), Broken> {
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
    /// [`Broken`].
    pub fn greet(&mut self) -> Result<(), Broken> {
        if !self.greeting_sent {
            self.greeting_sent = true;
            self.stream.write_all(&encode(&Hello::own()))?;
        }
        if !self.greeted {
            self.stream.set_read_timeout(Some(HELLO))?;
            let line = self.line()?;
            self.accept_hello(&line)?;
            self.stream.set_read_timeout(None)?;
        }
        Ok(())
    }

    fn accept_hello(&mut self, line: &[u8]) -> Result<(), Broken> {
        let hello: Hello = decode(line).map_err(Broken::Failed)?;
        if hello.protocol != PROTOCOL {
            return Err(Broken::Version(hello));
        }
        self.greeted = true;
        Ok(())
    }

    /// The next answer.
    ///
    /// # Errors
    /// [`Broken`].
    pub fn answer(&mut self) -> Result<Answer, Broken> {
        self.greet()?;
        let line = self.line()?;
        decode(&line).map_err(Broken::Failed)
    }

    /// The next answer, if it arrives within this time. A partial answer is kept.
    ///
    /// # Errors
    /// [`Broken`], but never [`Broken::Silent`].
    pub fn answer_within(&mut self, patience: Duration) -> Result<Option<Answer>, Broken> {
        self.stream.set_read_timeout(Some(patience))?;
        loop {
            let line = match self.line() {
                Err(Broken::Silent) => return Ok(None),
                line => line?,
            };
            if self.greeted {
                self.stream.set_read_timeout(None)?;
                return decode(&line).map(Some).map_err(Broken::Failed);
            }
            self.accept_hello(&line)?;
        }
    }

    /// Sends a request and returns the answer.
    ///
    /// # Errors
    /// [`Broken`].
    pub fn request(&mut self, request: &Request) -> Result<Answer, Broken> {
        self.ask(request)?;
        self.answer()
    }

    fn line(&mut self) -> Result<Vec<u8>, Broken> {
        loop {
            match self.lines.next(LONGEST_ANSWER) {
                Ok(Some(line)) => return Ok(line.to_vec()),
                Ok(None) => {}
                Err(_) => return Err(Broken::Failed("the answer is too long".to_owned())),
            }
            let mut piece = [0; 16 * 1024];
            match self.stream.read(&mut piece) {
                Ok(0) => return Err(Broken::Ended),
                Ok(count) => self.lines.feed(&piece[..count]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}
