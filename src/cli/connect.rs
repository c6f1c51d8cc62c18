//! Finds the supervisor of a command, and reports if none runs.

use std::{borrow::Cow, ffi::OsStr, fmt::Write as _, path::Path};

use nix::unistd::geteuid;

use super::{
    failure::{Failure, NO_SUPERVISOR},
    invoked_as::InvokedAs,
};
use crate::{
    config::resolve_path,
    control::{
        Answer, PROTOCOL, Request, SocketPaths,
        client::{self, Connection, ConnectionError, NoSupervisor},
        is_pattern,
        snapshot::{InstanceDetails, Overview},
        targets::ProcessList,
    },
    machine::StatusReport,
    sys::{accounts, directory},
};

/// The directories in which sockets of supervisors are searched for.
pub(super) fn places(socket: Option<&OsStr>) -> Result<SocketPaths, Failure> {
    let cwd = directory::working().map_err(|error| {
        Failure::new(NO_SUPERVISOR, format!("cannot find the working directory: {error}"))
    })?;
    Ok(places_from(socket, &cwd))
}

/// The same with relative paths resolved from a directory.
pub(super) fn places_from(socket: Option<&OsStr>, cwd: &Path) -> SocketPaths {
    let is_pm2 = InvokedAs::this().is_pm2();
    SocketPaths::find(socket, geteuid().as_raw(), cwd, is_pm2, |name| std::env::var_os(name))
}

/// A connection to a supervisor.
pub(super) struct Supervisor {
    connection: Connection,
}

impl From<Connection> for Supervisor {
    fn from(connection: Connection) -> Self {
        Self { connection }
    }
}

impl Supervisor {
    /// Connects to the selected supervisor.
    pub(super) fn find(socket: Option<&OsStr>) -> Result<Self, Failure> {
        let connection = client::find(&places(socket)?).map_err(|error| unreachable(&error))?;
        Ok(Self { connection })
    }

    /// Connects to the selected supervisor; `None` when none runs. A supervisor that `--socket` names must run.
    pub(super) fn find_running(socket: Option<&OsStr>) -> Result<Option<Self>, Failure> {
        match client::find(&places(socket)?) {
            Ok(connection) => Ok(Some(Self { connection })),
            Err(error) if socket.is_none() && error.is_none_running() => Ok(None),
            Err(error) => Err(unreachable(&error)),
        }
    }

    /// Connects to the selected supervisor, if one runs.
    pub(super) fn find_at(places: &SocketPaths) -> Result<Option<Self>, Failure> {
        match client::find(places) {
            Ok(connection) => Ok(Some(connection.into())),
            Err(NoSupervisor::NotRunning(_)) => Ok(None),
            Err(error @ NoSupervisor::Ambiguous(_)) => Err(unreachable(&error)),
        }
    }

    /// Waits for its hello.
    pub(super) fn greet(&mut self) -> Result<(), Failure> {
        self.connection.greet().map_err(|error| self.failure(&error))
    }

    pub(super) fn connection(&self) -> &Connection {
        &self.connection
    }

    /// The user of the supervisor. Its processes run as the same user unless the configuration names another.
    pub(super) fn user(&self) -> Option<String> {
        self.connection.uid().map(accounts::name_of)
    }

    /// Sends a request that has one answer.
    pub(super) fn request(&mut self, request: &Request) -> Result<Answer, Failure> {
        self.send(request)?;
        self.answer()
    }

    /// The supervisor's data and its instances in brief.
    pub(super) fn overview(&mut self, request: &Request) -> Result<Overview, Failure> {
        match self.request(request)? {
            Answer::Overview(overview) => Ok(overview),
            other => Err(unexpected(&other)),
        }
    }

    /// All details of some instances.
    pub(super) fn details(&mut self, targets: Vec<String>) -> Result<Vec<InstanceDetails>, Failure> {
        match self.request(&Request::Describe { targets })? {
            Answer::Details(details) => Ok(details),
            other => Err(unexpected(&other)),
        }
    }

    /// Whether some instances are ready.
    pub(super) fn status(&mut self, targets: Vec<String>) -> Result<StatusReport, Failure> {
        match self.request(&Request::Status { targets })? {
            Answer::Status(report) => Ok(report),
            other => Err(unexpected(&other)),
        }
    }

    pub(super) fn send(&mut self, request: &Request) -> Result<(), Failure> {
        let request = self.with_script_paths(request)?;
        self.connection.send(&request).map_err(|error| self.failure(&error))
    }

    /// The request with the absolute paths of the scripts that it names: the supervisor has another working
    /// directory. A name, an id or a namespace of the list is not changed.
    fn with_script_paths<'a>(&mut self, request: &'a Request) -> Result<Cow<'a, Request>, Failure> {
        let mut named = request.clone();
        if !named.targets_mut().iter().any(|word| may_be_script(word)) {
            return Ok(Cow::Borrowed(request));
        }
        let list = self.overview(&Request::List)?.instances;
        let list = ProcessList::from(&*list);
        // Without a working directory only absolute paths name a script.
        let cwd = directory::working().unwrap_or_else(|_| "/".into());
        for word in named.targets_mut() {
            if may_be_script(word) && !list.has_group(word) {
                *word = resolve_path(&cwd, word.as_ref()).to_string_lossy().into_owned();
            }
        }
        Ok(Cow::Owned(named))
    }

    /// Sends a request; `false` when the supervisor has exited.
    pub(super) fn ask_if_running(&mut self, request: &Request) -> Result<bool, Failure> {
        match self.connection.send(request) {
            Ok(()) => Ok(true),
            Err(ConnectionError::Ended) => Ok(false),
            Err(error) => Err(self.failure(&error)),
        }
    }

    /// The next answer; a refusal is a failure.
    pub(super) fn answer(&mut self) -> Result<Answer, Failure> {
        match self.connection.answer() {
            Ok(Answer::Failed(error)) => Err(error.into()),
            Ok(answer) => Ok(answer),
            Err(error) => Err(self.failure(&error)),
        }
    }

    /// The next answer; `None` when the supervisor has ended.
    pub(super) fn answer_or_end(&mut self) -> Result<Option<Answer>, Failure> {
        match self.connection.answer() {
            Ok(Answer::Failed(error)) => Err(error.into()),
            Ok(answer) => Ok(Some(answer)),
            Err(ConnectionError::Ended) => Ok(None),
            Err(error) => Err(self.failure(&error)),
        }
    }

    fn failure(&self, error: &ConnectionError) -> Failure {
        let path = self.connection.path().display();
        match error {
            ConnectionError::Ended => {
                Failure::not_done(format!("the supervisor at {path} exited before it answered"))
            }
            ConnectionError::NoAnswer => {
                Failure::new(NO_SUPERVISOR, format!("the supervisor at {path} does not answer"))
                    .hint("it is stopped (SIGSTOP), or the machine is overloaded")
            }
            ConnectionError::Failed(why) => Failure::not_done(format!("the supervisor at {path}: {why}")),
            ConnectionError::Version(theirs) => {
                let failure = Failure::not_done(format!(
                    "the supervisor at {path} is procrun {} with protocol version {}; this is procrun {} with protocol \
                     version {PROTOCOL}",
                    theirs.procrun,
                    theirs.protocol,
                    env!("CARGO_PKG_VERSION"),
                ));
                let by_its_own = self.connection.pid().map(|pid| {
                    format!("use its own program: /proc/{pid}/exe list; or restart the supervisor with this version")
                });
                failure.hint_if(by_its_own)
            }
        }
    }
}

/// The answer does not belong to the request, although both sides have the same protocol version.
pub(super) fn unexpected(answer: &Answer) -> Failure {
    Failure::not_done(format!("unexpected answer of the supervisor: {answer:?}"))
}

/// Whether a target can be the path of a script: it has the form of a path, or a file of that name exists.
fn may_be_script(word: &str) -> bool {
    let is_path = ["/", "./", "../"].iter().any(|begin| word.starts_with(begin));
    let is_id = word.bytes().all(|byte| byte.is_ascii_digit());
    is_path && !is_pattern(word) || !is_id && Path::new(word).is_file()
}

fn unreachable(error: &NoSupervisor) -> Failure {
    match error {
        NoSupervisor::NotRunning(searched) => {
            let mut message = "no supervisor is running".to_owned();
            for (path, finding) in searched {
                write!(message, "\n  {}: {finding}", path.display())
                    .expect("writing to a String cannot fail");
            }
            let hint = "`procrun ecosystem.toml` starts one in the foreground, `procrun start app.js` in\n\
                        the background. --socket FILE selects another socket";
            Failure::new(NO_SUPERVISOR, message).hint(hint)
        }
        NoSupervisor::Ambiguous(paths) => {
            let mut hint = "select one with".to_owned();
            for path in paths {
                write!(hint, "\n--socket {}", path.display()).expect("writing to a String cannot fail");
            }
            let message = format!("{} supervisors are running and none is the default", paths.len());
            Failure::new(NO_SUPERVISOR, message).hint(hint)
        }
    }
}
