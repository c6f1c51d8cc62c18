//! From a script to the program that runs it: PM2's rules by extension, and a look at the first
//! bytes for the rest.
//!
//! Looks at files, changes nothing.

use std::{
    ffi::{OsStr, OsString},
    io,
    path::{Path, PathBuf},
};

use super::failed_start::kind_of;
use crate::{
    machine::{FailureKind, SpawnFailure},
    spec::{Exec, Interpreter, serve},
    sys::{
        limits::{Limits, Refusal},
        program::{self, Found, Kind},
        spawn::{self, Stage},
    },
};

/// A shell's code for a command that is not there.
const NOT_FOUND: u8 = 127;
/// A shell's code for a command that cannot be executed.
const NOT_EXECUTABLE: u8 = 126;

/// A program and its arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Command {
    /// The file to execute, absolute.
    pub(super) program: PathBuf,
    /// All arguments, `argv[0]` first.
    pub(super) argv: Vec<OsString>,
    /// Whether Node runs it.
    pub(super) is_node: bool,
    /// Whether Python runs it, which keeps its output back unless told otherwise.
    pub(super) is_python: bool,
}

/// Programs for scripts by extension, the preferred one first (PM2's `schema.json`).
const BY_EXTENSION: [(&[&str], &[&str]); 8] = [
    (&["js", "cjs", "mjs", "jsx"], &["node", "bun"]),
    (&["ts", "cts", "mts", "tsx"], &["node", "bun"]),
    (&["py"], &["python3", "python"]),
    (&["sh"], &["bash", "sh"]),
    (&["rb"], &["ruby"]),
    (&["php"], &["php"]),
    (&["pl"], &["perl"]),
    (&["lua"], &["lua"]),
];

/// Finds out what to execute. `path` is the worker's own `PATH`.
pub(super) fn resolve(exec: &Exec, path: Option<&OsStr>) -> Result<Command, SpawnFailure> {
    check_cwd(&exec.cwd)?;
    let lookup = Lookup { exec, path };
    match &exec.interpreter {
        Interpreter::None => {
            let script = lookup.script()?;
            let kind = program::kind(&script).ok();
            lookup.direct(script, kind)
        }
        Interpreter::Program(interpreter) => {
            let script = lookup.script()?;
            lookup.interpreted(&[interpreter], &script)
        }
        Interpreter::Auto => lookup.by_kind(),
        Interpreter::BuiltIn => Ok(lookup.built_in()),
    }
}

/// A program by its name in `path`, or by its path as seen from `cwd`.
pub(super) fn command(name: &str, cwd: &Path, path: Option<&OsStr>) -> Result<PathBuf, SpawnFailure> {
    match program::find(OsStr::new(name), cwd, path) {
        Found::Executable(found) => Ok(found),
        Found::NotExecutable(found) => Err(not_executable(&found)),
        Found::Missing => Err(failure(NOT_FOUND, format!("`{name}` is not there"))),
    }
}

struct Lookup<'a> {
    exec: &'a Exec,
    path: Option<&'a OsStr>,
}

impl Lookup<'_> {
    fn by_kind(&self) -> Result<Command, SpawnFailure> {
        let script = match self.script() {
            Ok(script) => script,
            Err(_) if self.exec.script.trim().contains(char::is_whitespace) => return self.shell_line(),
            Err(failure) => return Err(failure),
        };
        let extension = script.extension().and_then(OsStr::to_str).unwrap_or_default();
        if let Some((_, programs)) = BY_EXTENSION.iter().find(|(known, _)| known.contains(&extension)) {
            return self.interpreted(programs, &script);
        }
        match program::kind(&script) {
            Ok(Kind::Other) if extension.is_empty() => self.interpreted(&["node", "bun"], &script),
            kind => self.direct(script, kind.ok()),
        }
    }

    /// The script as an absolute path: a file of the working directory, or a command in `PATH`.
    fn script(&self) -> Result<PathBuf, SpawnFailure> {
        let Exec { script, cwd, .. } = self.exec;
        let file = cwd.join(script);
        match file.metadata() {
            Ok(meta) if meta.is_dir() => {
                return Err(failure(
                    NOT_EXECUTABLE,
                    format!("{} is a directory, not a program", file.display()),
                ));
            }
            Ok(meta) if meta.is_file() => return Ok(file),
            Ok(_) => {
                return Err(failure(NOT_EXECUTABLE, format!("{} is no regular file", file.display())));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                return Err(failure(NOT_EXECUTABLE, format!("cannot look at {}: {error}", file.display())));
            }
        }
        if script.contains('/') {
            return Err(failure(NOT_FOUND, format!("{} does not exist", file.display())));
        }
        match program::find(OsStr::new(script), cwd, self.path) {
            Found::Executable(found) => Ok(found),
            Found::NotExecutable(found) => Err(not_executable(&found)),
            Found::Missing => Err(failure(
                NOT_FOUND,
                format!("`{script}` is neither a file in {} nor a command in PATH", cwd.display()),
            )),
        }
    }

    /// Executes the script itself. What the kernel may know of it beyond ELF and `#!`
    /// (binfmt_misc) is left to the kernel.
    fn direct(&self, script: PathBuf, kind: Option<Kind>) -> Result<Command, SpawnFailure> {
        let script = match program::at(script) {
            Found::Executable(script) => script,
            Found::NotExecutable(script) => return Err(not_executable(&script)),
            Found::Missing => return Err(failure(NOT_FOUND, "it has just been removed".to_owned())),
        };
        if let Some(Kind::Shebang(interpreter)) = kind
            && !interpreter.exists()
        {
            let (script, interpreter) = (script.display(), interpreter.display());
            let message = format!("the first line of {script} asks for {interpreter}, which does not exist");
            return Err(failure(NOT_FOUND, message));
        }
        let argv = [script.clone().into_os_string()].into_iter().chain(self.args());
        Ok(Command { argv: argv.collect(), program: script, is_node: false, is_python: false })
    }

    /// The first of `candidates` that is there, with its arguments, the script and the script's.
    fn interpreted(&self, candidates: &[impl AsRef<str>], script: &Path) -> Result<Command, SpawnFailure> {
        let mut refused = None;
        for name in candidates.iter().map(AsRef::as_ref) {
            match program::find(OsStr::new(name), &self.exec.cwd, self.path) {
                Found::Executable(program) => {
                    let base = name.rsplit('/').next().unwrap_or(name);
                    let is_node = matches!(base, "node" | "nodejs");
                    let source_maps =
                        (self.exec.source_maps && is_node).then(|| OsString::from("--enable-source-maps"));
                    let argv = [OsString::from(name)]
                        .into_iter()
                        .chain(source_maps)
                        .chain(self.exec.interpreter_args.iter().map(OsString::from))
                        .chain([script.as_os_str().to_owned()])
                        .chain(self.args());
                    return Ok(Command {
                        argv: argv.collect(),
                        program,
                        is_node,
                        is_python: base.starts_with("python"),
                    });
                }
                Found::NotExecutable(found) => refused = refused.or(Some(found)),
                Found::Missing => {}
            }
        }
        if let Some(found) = refused {
            return Err(not_executable(&found));
        }
        let names =
            candidates.iter().map(|name| format!("`{}`", name.as_ref())).collect::<Vec<_>>().join(" nor ");
        let (verb, neither) = if candidates.len() > 1 { ("are", "neither ") } else { ("is not", "") };
        Err(failure(
            NOT_FOUND,
            format!(
                "{neither}{names}, which would run {}, {verb} in PATH\n  hint: install it, or set `interpreter`",
                script.display()
            ),
        ))
    }

    /// PM2 runs a script that is a whole command line by a shell.
    fn shell_line(&self) -> Result<Command, SpawnFailure> {
        for shell in ["bash", "sh"] {
            if let Found::Executable(program) = program::find(OsStr::new(shell), &self.exec.cwd, self.path) {
                let argv = [shell, "-c", &self.exec.script, shell].map(OsString::from).into_iter();
                return Ok(Command {
                    program,
                    argv: argv.chain(self.args()).collect(),
                    is_node: false,
                    is_python: false,
                });
            }
        }
        Err(failure(NOT_FOUND, format!("no shell in PATH for the command line `{}`", self.exec.script)))
    }

    /// This very binary, also if another one stands at its path by now.
    fn built_in(&self) -> Command {
        Command {
            program: PathBuf::from("/proc/self/exe"),
            argv: [OsString::from(serve::WORKER)].into_iter().chain(self.args()).collect(),
            is_node: false,
            is_python: false,
        }
    }

    fn args(&self) -> impl Iterator<Item = OsString> {
        self.exec.args.iter().map(OsString::from)
    }
}

fn check_cwd(cwd: &Path) -> Result<(), SpawnFailure> {
    match cwd.metadata() {
        Ok(meta) if meta.is_dir() => Ok(()),
        Ok(_) => Err(failure(NOT_EXECUTABLE, format!("its cwd {} is not a directory", cwd.display()))),
        Err(error) => {
            Err(failure(NOT_EXECUTABLE, format!("its cwd {} cannot be used: {error}", cwd.display())))
        }
    }
}

fn not_executable(path: &Path) -> SpawnFailure {
    failure(
        NOT_EXECUTABLE,
        format!("{} is not executable\n  hint: chmod +x it, or set `interpreter`", path.display()),
    )
}

fn failure(code: u8, message: String) -> SpawnFailure {
    SpawnFailure { code, message, kind: FailureKind::Permanent }
}

/// A limit that nobody gets here.
pub(super) fn not_allowed(refusal: &Refusal) -> SpawnFailure {
    failure(NOT_EXECUTABLE, refusal.to_string())
}

/// What the kernel said when it was asked to execute `program` with these limits.
pub(super) fn spawn_failure(program: &Path, limits: &Limits, error: &spawn::Error) -> SpawnFailure {
    if let Stage::Limits(part) = error.stage {
        return not_allowed(&limits.refusal(part, &error.source));
    }
    let kind = error.source.kind();
    let code = if kind == io::ErrorKind::NotFound { NOT_FOUND } else { NOT_EXECUTABLE };
    // A file that is open for writing will be closed; a file of the wrong kind stays what it is.
    let otherwise = if error.stage == Stage::Fork || kind == io::ErrorKind::ExecutableFileBusy {
        FailureKind::Transient
    } else {
        FailureKind::Permanent
    };
    let mut message = format!("{}: {error}", program.display());
    // Who becomes a user that has too many processes is told at this late moment (execve(2)).
    if error.stage == Stage::Exec && kind == io::ErrorKind::WouldBlock {
        message.push_str("\n  hint: its user has more processes than the limit `nproc` allows");
    }
    SpawnFailure { code, message, kind: kind_of(&error.source, otherwise) }
}
