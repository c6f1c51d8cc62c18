//! A temporary directory for each test, and the builder that starts procrun in it.

use std::{
    env, fs,
    os::{fd::OwnedFd, unix::fs::PermissionsExt},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::{
        Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
};

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use tempfile::TempDir;

use super::run::Procrun;

/// Held while a file is open for writing and while a process is started: a child that another test forks in between
/// would hold the file open, and executing it would fail with ETXTBSY.
static FORKING: Mutex<()> = Mutex::new(());

/// An environment variable that all processes of a run inherit; each run has its own value.
const MARKER: &str = "TEST_RUN_OF_PROCRUN";
static RUNS: AtomicU32 = AtomicU32::new(0);

fn forking() -> MutexGuard<'static, ()> {
    FORKING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The built program.
pub fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| match env::var_os("CARGO_BIN_EXE_procrun") {
        Some(path) => path.into(),
        // A test program that was started without Cargo is in the directory `deps` beside the program.
        None => env::current_exe()
            .expect("/proc is mounted")
            .ancestors()
            .nth(2)
            .expect("a target")
            .join("procrun"),
    })
}

/// The root of the repository.
pub fn repository() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

/// A temporary directory with the files of a test; removed when the test ends.
pub struct Bed {
    dir: TempDir,
}

impl Bed {
    pub fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("procrun-test-").tempdir().expect("a temporary directory");
        // Workers of other users enter it, too.
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).expect("our own directory");
        Self { dir }
    }

    /// A bed with this `ecosystem.toml`.
    pub fn with(ecosystem: &str) -> Self {
        let bed = Self::new();
        bed.file("ecosystem.toml", ecosystem);
        bed
    }

    /// A bed with this `ecosystem.toml` and these other files.
    pub fn with_files(ecosystem: &str, files: &[(&str, &str)]) -> Self {
        let bed = Self::with(ecosystem);
        for (name, content) in files {
            bed.file(name, content);
        }
        bed
    }

    /// A bed with one app `main`, a shell script that runs once.
    pub fn once(keys: &str, script: &str) -> Self {
        let bed = Self::with(&format!(
            "[[apps]]\nname = \"main\"\nscript = \"./main.sh\"\nautorestart = false\n{keys}"
        ));
        bed.script("main.sh", format!("#!/bin/sh\n{script}\n"));
        bed
    }

    /// A bed with one app `main`, a shell script that restarts when it ends.
    pub fn again(keys: &str, script: &str) -> Self {
        let bed = Self::with(&format!("[[apps]]\nname = \"main\"\nscript = \"./main.sh\"\n{keys}"));
        bed.script("main.sh", format!("#!/bin/sh\n{script}\n"));
        bed
    }

    pub fn root(&self) -> &Path {
        self.dir.path()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes a file and creates the directories above it.
    pub fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        let _held = forking();
        fs::create_dir_all(path.parent().expect("inside the bed")).expect("our own directory");
        fs::write(&path, content).expect("our own directory");
        path
    }

    /// Writes an executable file.
    pub fn script(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.file(name, content);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("our own file");
        path
    }

    /// Copies a program into the bed.
    pub fn copy(&self, from: impl AsRef<Path>, name: &str) -> PathBuf {
        let path = self.path(name);
        let _held = forking();
        fs::copy(from, &path).expect("our own directory");
        path
    }

    /// The content of a file; empty if the file does not exist (yet).
    pub fn read(&self, name: &str) -> String {
        String::from_utf8_lossy(&fs::read(self.path(name)).unwrap_or_default()).into_owned()
    }

    pub fn exists(&self, name: &str) -> bool {
        self.path(name).exists()
    }

    /// The names in a directory of the bed, sorted.
    pub fn list(&self, name: &str) -> Vec<String> {
        let entries = fs::read_dir(self.path(name)).expect("a directory of the bed");
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    /// A builder that starts procrun in this directory.
    pub fn launch(&self, args: &[&str]) -> Launch<'_> {
        Launch::new(self.root(), args)
    }

    /// The `PROCRUN_HOME` of [`Bed::isolated`].
    pub fn home(&self) -> String {
        self.path("home").to_string_lossy().into_owned()
    }

    /// [`Bed::launch`] without access to other supervisors of this machine.
    pub fn isolated(&self, args: &[&str]) -> Launch<'_> {
        self.launch(args).env("PROCRUN_HOME", &self.home())
    }

    /// Starts procrun as an ordinary process.
    pub fn start(&self, args: &[&str]) -> Procrun {
        self.launch(args).start()
    }

    /// Starts the applications of `ecosystem.toml`, with log lines of level debug.
    pub fn start_with_debug_log(&self) -> Procrun {
        self.start(&["ecosystem.toml", "--log-level", "debug"])
    }

    /// Starts procrun as PID 1 of a PID namespace.
    pub fn start_pid1(&self, args: &[&str]) -> Procrun {
        self.launch(args).pid1().start()
    }
}

/// Builds the command line and the environment of procrun, and starts it. Every test starts procrun by this.
#[expect(clippy::struct_excessive_bools, reason = "four independent switches")]
pub struct Launch<'a> {
    dir: &'a Path,
    binary: PathBuf,
    args: Vec<String>,
    env: Vec<(String, String)>,
    around: Vec<String>,
    inside: Vec<String>,
    pid1: bool,
    terminal: bool,
    hold_out: bool,
    hold_err: bool,
}

impl<'a> Launch<'a> {
    /// procrun in this directory, with a small fixed environment.
    pub fn new(dir: &'a Path, args: &[&str]) -> Self {
        Self {
            dir,
            binary: binary().to_owned(),
            args: args.iter().map(|&arg| arg.to_owned()).collect(),
            env: Vec::new(),
            around: Vec::new(),
            inside: Vec::new(),
            pid1: false,
            terminal: false,
            hold_out: false,
            hold_err: false,
        }
    }

    /// As PID 1 of a PID namespace.
    pub fn pid1(mut self) -> Self {
        self.pid1 = true;
        self
    }

    /// As PID 1 of a PID namespace if `yes`.
    pub fn pid1_if(mut self, yes: bool) -> Self {
        self.pid1 = yes;
        self
    }

    /// With an additional environment variable.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// With the system's own directories as `PATH`: every user may run the programs there.
    pub fn system_path(self) -> Self {
        self.env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
    }

    /// Another path of the program, for example a symbolic link to it.
    pub fn binary(mut self, path: impl Into<PathBuf>) -> Self {
        self.binary = path.into();
        self
    }

    /// Through a program that replaces itself by procrun, as `setpriv` does.
    pub fn through(mut self, program: &[&str]) -> Self {
        self.inside.extend(program.iter().map(|&word| word.to_owned()));
        self
    }

    /// After these shell commands, in the process that becomes procrun.
    pub fn after(self, commands: &str) -> Self {
        let line = format!("{commands}\nexec \"$@\"");
        self.through(&["sh", "-e", "-c", &line, "sh"])
    }

    /// In a separate mount namespace, so that [`Launch::after`] may mount.
    pub fn own_mounts(mut self) -> Self {
        self.around.extend(["unshare", "--mount", "--"].map(str::to_owned));
        self
    }

    /// In a separate network namespace, in which no interface is up.
    pub fn own_network(mut self) -> Self {
        self.around.extend(["unshare", "--net", "--"].map(str::to_owned));
        self
    }

    /// With a new controlling terminal; the capture of stdout has both streams.
    pub fn terminal(mut self) -> Self {
        self.terminal = true;
        self
    }

    /// Does not read stdout until [`Procrun::release_out`].
    pub fn hold_out(mut self) -> Self {
        self.hold_out = true;
        self
    }

    /// Does not read stderr until [`Procrun::release_err`].
    pub fn hold_err(mut self) -> Self {
        self.hold_err = true;
        self
    }

    fn words(&self) -> Vec<String> {
        let mut words = Vec::new();
        if self.terminal {
            words.extend(["setsid", "--ctty"].map(str::to_owned));
        }
        words.extend(self.around.iter().cloned());
        if self.pid1 {
            words.push("unshare".to_owned());
            if !nix::unistd::geteuid().is_root() {
                // A user namespace gives the right to the other two.
                words.extend(["--user", "--map-root-user"].map(str::to_owned));
            }
            words.extend(["--pid", "--fork", "--mount-proc", "--kill-child=KILL", "--"].map(str::to_owned));
        }
        words.extend(self.inside.iter().cloned());
        words.push(self.binary.to_string_lossy().into_owned());
        words.extend(self.args.iter().cloned());
        words
    }

    fn command(&self) -> Command {
        let words = self.words();
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).current_dir(self.dir).env_clear();
        command.env("PATH", env::var_os("PATH").expect("a PATH"));
        command.env("HOME", self.dir).env("LANG", "C.UTF-8");
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Runs it to its end, without a terminal, and returns the exact bytes that it has printed.
    #[track_caller]
    pub fn run(self) -> Output {
        run_to_end(&mut self.command())
    }

    /// Starts it.
    pub fn start(self) -> Procrun {
        let mut command = self.command();
        let run = format!("{}#{}", self.dir.display(), RUNS.fetch_add(1, Ordering::Relaxed));
        command.env(MARKER, &run);

        let terminal = self.terminal.then(open_terminal);
        if let Some((_, theirs)) = &terminal {
            let handle = || Stdio::from(theirs.try_clone().expect("a descriptor to spare"));
            command.stdin(handle()).stdout(handle()).stderr(handle());
        } else {
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        }
        let child = spawn(&mut command);
        // The command holds the other end of the terminal, which would prevent a hang-up.
        drop(command);
        let mut run = Procrun::new(child, self.pid1, format!("{MARKER}={run}"));
        if let Some((ours, theirs)) = terminal {
            drop(theirs);
            run.attach_terminal(ours, self.hold_out);
        } else {
            run.attach_pipes(self.hold_out, self.hold_err);
        }
        run
    }
}

/// A terminal: the end of the test and the end of procrun.
fn open_terminal() -> (OwnedFd, OwnedFd) {
    let ends = nix::pty::openpty(None, None).expect("a terminal");
    for end in [&ends.master, &ends.slave] {
        fcntl(end, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)).expect("our own descriptor");
    }
    (ends.master, ends.slave)
}

/// Runs a program to its end and returns its output.
#[track_caller]
pub fn tool(program: &str, args: &[&str], dir: &Path) -> Output {
    run_to_end(Command::new(program).args(args).current_dir(dir))
}

/// Runs a command to its end, without input, and returns its output.
#[track_caller]
pub fn run_to_end(command: &mut Command) -> Output {
    let child = spawn(command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()));
    child.wait_with_output().unwrap_or_else(|error| panic!("{command:?}: {error}"))
}

/// Starts a program that the test itself waits for. Tests use no other way: see `FORKING`.
#[track_caller]
#[expect(clippy::disallowed_methods, reason = "the test is the parent here")]
pub fn spawn(command: &mut Command) -> Child {
    let _held = forking();
    command.spawn().unwrap_or_else(|error| panic!("{command:?} cannot run: {error}"))
}

/// The major version of `node` in PATH.
#[track_caller]
pub fn node_major() -> u32 {
    let output = tool("node", &["--version"], Path::new("/"));
    let version = String::from_utf8_lossy(&output.stdout).into_owned();
    let major = version.trim().trim_start_matches('v').split('.').next().and_then(|word| word.parse().ok());
    major.unwrap_or_else(|| panic!("node --version printed {version:?}"))
}
