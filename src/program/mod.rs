//! Finds the program that runs a script.
//!
//! This is the only place that decides it. The configuration needs the default of `exec_mode` and warnings, the
//! preflight needs what is missing, and each start needs what to execute. All of them get an answer from the
//! file at that moment: its links, its `#!` line, the main file of a directory. It reads files, changes
//! nothing, and waits for nothing but the file system.

mod head;
mod identity;
mod interpreted;
mod package;
mod runners;
mod shebang;
mod shim;
#[cfg(test)]
mod tests;
mod typescript;

use std::{
    ffi::{OsStr, OsString},
    fmt, io,
    path::{Path, PathBuf},
};

use nix::errno::Errno;

use self::{
    identity::{Nature, Tool},
    interpreted::Candidates,
    shebang::Shebang,
};
pub use self::{package::main_of, runners::may_start_runner, typescript::NodeVersion};
use crate::{
    spec::{Exec, ExecMode, ExitCode, Interpreter, ProgramKind, serve},
    sys::{
        program::{self, Found},
        shortage::is_file_shortage,
    },
};

/// A shell's exit code for a missing command.
const NOT_FOUND: ExitCode = 127;
/// A shell's exit code for a command that cannot be executed.
const NOT_EXECUTABLE: ExitCode = 126;

/// A program and its arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// The file to execute, absolute.
    pub program: PathBuf,
    /// All arguments, `argv[0]` first.
    pub argv: Vec<OsString>,
    /// Variables that are set on the way to the program, as by `env -S`.
    pub vars: Vec<(OsString, OsString)>,
    /// The kind of program that runs the code.
    pub kind: ProgramKind,
    /// Whether the program is Node itself, so that `argv[1]` may be an option of Node.
    pub takes_node_options: bool,
    /// There is no interpreter to which `interpreter_args` could be passed.
    pub is_direct: bool,
    /// How the kind was found, for messages: `/app/run is a shell script (#!/bin/sh)`.
    pub because: String,
}

/// Why no program can be executed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The exit code that a shell would have.
    pub code: ExitCode,
    /// What failed, where, why and the next step, for messages.
    pub message: String,
    /// The reason if the program could run, but not as a worker of a cluster.
    pub no_cluster: Option<String>,
    /// Whether the failure may be over at the next look-up: a lack of descriptors, or a failing file system.
    pub is_shortage: bool,
}

impl Failure {
    fn new(code: ExitCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), no_cluster: None, is_shortage: false }
    }

    /// An error of reading this file.
    fn of_file(file: &Path, error: &io::Error) -> Self {
        let message = format!("cannot read {}: {error}", file.display());
        Self { is_shortage: is_file_shortage(error), ..Self::new(NOT_EXECUTABLE, message) }
    }

    fn unknown(file: &Path, errno: Errno) -> Self {
        Self::of_file(file, &errno.into())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// The variables of the application that influence which program is executed.
#[derive(Debug, Clone, Default)]
pub struct LookupContext {
    path: Option<OsString>,
    node_options: Option<OsString>,
    node_path: Option<OsString>,
}

impl LookupContext {
    /// Takes these variables from an environment.
    pub fn new(variable: impl Fn(&str) -> Option<OsString>) -> Self {
        Self {
            path: variable("PATH"),
            node_options: variable("NODE_OPTIONS"),
            node_path: variable("NODE_PATH"),
        }
    }
}

/// Finds out what to execute for a process of this mode.
///
/// # Errors
/// What is missing, cannot be executed, or cannot be a worker of a cluster.
pub fn resolve(exec: &Exec, mode: ExecMode, around: &LookupContext) -> Result<Command, Failure> {
    check_cwd(&exec.cwd)?;
    let lookup = Lookup { exec, mode, around };
    let command = match (&exec.interpreter, mode) {
        (Interpreter::Program(interpreter), _) => lookup.by_interpreter(interpreter)?,
        (Interpreter::None, ExecMode::Fork) => lookup.itself()?,
        (Interpreter::BuiltIn, _) => lookup.built_in(),
        // PM2 runs every worker of a cluster with Node, whatever the configured interpreter is.
        (Interpreter::None, ExecMode::Cluster) | (Interpreter::Auto, _) => lookup.by_kind()?,
    };
    if mode == ExecMode::Cluster && !command.kind.can_cluster() {
        return Err(no_cluster(command.because));
    }
    Ok(command)
}

/// The kind of an application by the names in its configuration alone, for a file that does not exist yet.
pub fn kind_by_name(exec: &Exec) -> Option<ProgramKind> {
    match &exec.interpreter {
        Interpreter::Program(program) => identity::by_name(Path::new(program)),
        Interpreter::None | Interpreter::BuiltIn => None,
        Interpreter::Auto => {
            let script = Path::new(&exec.script);
            let by_extension = Candidates::by_extension(script).map(|candidates| candidates.kind());
            by_extension.or_else(|| identity::by_name(script))
        }
    }
}

/// Whether PM2 makes a cluster of several instances by default: a script that Node runs without another program
/// between.
pub fn clusters_by_default(exec: &Exec, around: &LookupContext) -> bool {
    let is_plain = match &exec.interpreter {
        Interpreter::Auto => true,
        Interpreter::None | Interpreter::BuiltIn => false,
        Interpreter::Program(interpreter) => interpreter_kind(interpreter, exec, around).is_some(),
    };
    let kind = match resolve(exec, ExecMode::Fork, around) {
        Ok(command) => Some(command.kind),
        Err(_) => kind_by_name(exec),
    };
    is_plain && kind.is_some_and(ProgramKind::can_cluster)
}

/// The kind of an interpreter, unless it is itself a script.
fn interpreter_kind(name: &str, exec: &Exec, around: &LookupContext) -> Option<ProgramKind> {
    match program::find(OsStr::new(name), &exec.cwd, around.path.as_deref()) {
        Found::Executable(found) | Found::NotExecutable(found) => {
            identity::by_name(Path::new(name)).or_else(|| identity::by_names(&found))
        }
        Found::Missing | Found::Unknown(..) => identity::by_name(Path::new(name)),
    }
}

/// A program by its name in `path`, or by its path relative to `cwd`.
///
/// # Errors
/// If it does not exist or cannot be executed.
pub fn command(name: &str, cwd: &Path, path: Option<&OsStr>) -> Result<PathBuf, Failure> {
    match program::find(OsStr::new(name), cwd, path) {
        Found::Executable(found) => Ok(found),
        Found::NotExecutable(found) => Err(not_executable(&found)),
        Found::Missing => Err(Failure::new(NOT_FOUND, format!("`{name}` is not there"))),
        Found::Unknown(file, errno) => Err(Failure::unknown(&file, errno)),
    }
}

/// What `script` leads to.
enum Script {
    File(PathBuf),
    /// Its main file runs.
    Directory(PathBuf),
}

struct Lookup<'a> {
    exec: &'a Exec,
    mode: ExecMode,
    around: &'a LookupContext,
}

impl Lookup<'_> {
    /// By the extension, then by the kind of the file.
    fn by_kind(&self) -> Result<Command, Failure> {
        let script = match self.script() {
            Ok(Script::Directory(directory)) => return self.directory(&directory),
            Ok(Script::File(script)) => script,
            Err(failure) if !failure.is_shortage && self.exec.script.trim().contains(char::is_whitespace) => {
                return self.shell_line();
            }
            Err(failure) => return Err(failure),
        };
        match Candidates::by_extension(&script) {
            Some(candidates) => self.run_by(&candidates, &script, &script),
            None => self.by_nature(script),
        }
    }

    fn by_nature(&self, script: PathBuf) -> Result<Command, Failure> {
        match identity::nature(&script)? {
            Nature::JavaScript(asked) => match identity::tool(&script)? {
                Tool::Tsx(directory, package) if self.mode == ExecMode::Cluster => {
                    self.by_tsx(&directory, &package, &asked, None)
                }
                Tool::Runner => self.runner(&asked, &script),
                Tool::Tsx(..) | Tool::TsNode | Tool::Other => {
                    self.run_by(&Candidates::asked(&asked), &script, &script)
                }
            },
            Nature::Shim(shim) => {
                let mut command = self.by_nature_of_target(&shim.target)?;
                command.vars.extend(shim.node_path.map(|first| self.node_path(first)));
                Ok(command)
            }
            Nature::Script(shebang, kind) => self.direct(script, Some((&shebang, kind))),
            Nature::Binary => self.direct(script, None),
        }
    }

    /// The variable with these directories before its own.
    fn node_path(&self, first: String) -> (OsString, OsString) {
        let mut path = OsString::from(first);
        if let Some(more) = self.around.node_path.as_ref().filter(|more| !more.is_empty()) {
            path.push(":");
            path.push(more);
        }
        ("NODE_PATH".into(), path)
    }

    /// A shim never leads to another one.
    fn by_nature_of_target(&self, target: &Path) -> Result<Command, Failure> {
        match identity::nature(target)? {
            Nature::Shim(_) => self.direct(target.to_owned(), None),
            Nature::JavaScript(_) | Nature::Script(..) | Nature::Binary => self.by_nature(target.to_owned()),
        }
    }

    /// `interpreter = "none"`: the kernel's own rules. Where they lead to Node, Node is run with the same
    /// arguments, so that it can get options.
    fn itself(&self) -> Result<Command, Failure> {
        let script = match self.script()? {
            Script::Directory(directory) => return Err(is_directory(&directory)),
            Script::File(script) => script,
        };
        match identity::nature(&script)? {
            Nature::JavaScript(asked) if !asked.program.is_empty() => {
                executable(script.clone())?;
                self.run_by(&Candidates::asked(&asked), &script, &script)
            }
            Nature::Script(shebang, kind) => self.direct(script, Some((&shebang, kind))),
            Nature::JavaScript(_) | Nature::Shim(_) | Nature::Binary => self.direct(script, None),
        }
    }

    /// The script as an absolute path: a file or a directory as seen from the working directory, or a
    /// command in `PATH`.
    fn script(&self) -> Result<Script, Failure> {
        let Exec { script, cwd, .. } = self.exec;
        let file = cwd.join(script);
        let is_name = !script.contains('/');
        match file.metadata() {
            // `test` with a directory of that name beside it can still mean the program.
            Ok(meta) if meta.is_dir() && is_name => match self.in_path(script) {
                Ok(program) => Ok(Script::File(program)),
                Err(failure) if failure.is_shortage => Err(failure),
                Err(_) => Ok(Script::Directory(file)),
            },
            Ok(meta) if meta.is_dir() => Ok(Script::Directory(file)),
            Ok(meta) if meta.is_file() => Ok(Script::File(file)),
            Ok(_) => Err(Failure::new(NOT_EXECUTABLE, format!("{} is not a regular file", file.display()))),
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Failure::of_file(&file, &error)),
            Err(_) if is_name => self.in_path(script).map(Script::File),
            Err(_) => Err(Failure::new(NOT_FOUND, format!("{} does not exist", file.display()))),
        }
    }

    fn in_path(&self, script: &str) -> Result<PathBuf, Failure> {
        let cwd = &self.exec.cwd;
        match program::find(OsStr::new(script), cwd, self.around.path.as_deref()) {
            Found::Executable(found) => Ok(found),
            Found::NotExecutable(found) => Err(not_executable(&found)),
            Found::Missing => {
                let message =
                    format!("`{script}` is neither a file in {} nor a command in PATH", cwd.display());
                Err(Failure::new(NOT_FOUND, message))
            }
            Found::Unknown(file, errno) => Err(Failure::unknown(&file, errno)),
        }
    }

    /// Node runs a directory by its package.json or its index.js.
    fn directory(&self, directory: &Path) -> Result<Command, Failure> {
        let main = main_file(directory)?;
        let candidates = Candidates::by_extension(&main).unwrap_or_else(Candidates::javascript);
        self.run_by(&candidates, directory, &main)
    }

    /// Executes the script itself. Formats other than ELF and `#!` (binfmt_misc) are left to the kernel.
    fn direct(&self, script: PathBuf, line: Option<(&Shebang, ProgramKind)>) -> Result<Command, Failure> {
        let script = executable(script)?;
        let (kind, because) = match line {
            None => {
                let kind = identity::by_names(&script).unwrap_or_default();
                (kind, format!("{} is a program of its own, not a script for Node", script.display()))
            }
            Some((shebang, kind)) => {
                self.check_shebang(&script, shebang)?;
                (
                    kind,
                    format!(
                        "{} is a script for another interpreter (#!{})",
                        script.display(),
                        shebang.shown()
                    ),
                )
            }
        };
        let argv = [script.clone().into_os_string()].into_iter().chain(self.args()).collect();
        let takes_node_options = line.is_none() && kind == ProgramKind::Node;
        Ok(Command {
            argv,
            program: script,
            vars: Vec::new(),
            kind,
            takes_node_options,
            is_direct: true,
            because,
        })
    }

    /// For a missing interpreter the kernel reports only "no such file".
    fn check_shebang(&self, script: &Path, shebang: &Shebang) -> Result<(), Failure> {
        let interpreter = shebang.kernel.try_exists();
        if let Err(error) = interpreter.as_ref().map_err(|error| Failure::of_file(&shebang.kernel, error))
            && error.is_shortage
        {
            return Err(error);
        }
        let (script, kernel) = (script.display(), shebang.kernel.display());
        if shebang.carriage_return {
            let message = format!(
                "the first line of {script} ends with a carriage return (a Windows line ending), so the \
                 kernel looks for `{kernel}\\r`\n  hint: sed -i 's/\\r$//' {script}"
            );
            return Err(Failure::new(NOT_FOUND, message));
        }
        if !interpreter.is_ok_and(|exists| exists) {
            let message = format!("the first line of {script} names {kernel}, which does not exist");
            return Err(Failure::new(NOT_FOUND, message));
        }
        let asked = &shebang.asked.program;
        let sets_path = shebang.asked.vars.iter().any(|(name, _)| name == "PATH");
        if shebang.is_by_env() && !asked.is_empty() && !sets_path {
            let path = self.around.path.as_deref();
            match program::find(asked, &self.exec.cwd, path) {
                Found::Executable(_) | Found::NotExecutable(_) => {}
                Found::Missing => {
                    let asked = asked.display();
                    let message = format!(
                        "the first line of {script} names `{asked}`, which is not in PATH\n  hint: install \
                         it, or set `interpreter`"
                    );
                    return Err(Failure::new(NOT_FOUND, message));
                }
                Found::Unknown(file, errno) => return Err(Failure::unknown(&file, errno)),
            }
        }
        Ok(())
    }

    /// PM2 runs a script that is a whole command line by a shell.
    fn shell_line(&self) -> Result<Command, Failure> {
        let line = &self.exec.script;
        for shell in ["bash", "sh"] {
            let found = program::find(OsStr::new(shell), &self.exec.cwd, self.around.path.as_deref());
            if let Found::Unknown(file, errno) = found {
                return Err(Failure::unknown(&file, errno));
            }
            if let Found::Executable(program) = found {
                let argv = [shell, "-c", line, shell].map(OsString::from).into_iter();
                return Ok(Command {
                    program,
                    argv: argv.chain(self.args()).collect(),
                    vars: Vec::new(),
                    kind: ProgramKind::Shell,
                    takes_node_options: false,
                    is_direct: true,
                    because: format!("`{line}` is a command line for {shell}"),
                });
            }
        }
        Err(Failure::new(NOT_FOUND, format!("no shell in PATH for the command line `{line}`")))
    }

    /// The running binary, even if its path leads to another file by now.
    fn built_in(&self) -> Command {
        Command {
            program: PathBuf::from("/proc/self/exe"),
            argv: [OsString::from(serve::WORKER)].into_iter().chain(self.args()).collect(),
            vars: Vec::new(),
            kind: ProgramKind::Other,
            takes_node_options: false,
            is_direct: true,
            because: "procrun itself serves the files".to_owned(),
        }
    }

    fn args(&self) -> impl Iterator<Item = OsString> {
        self.exec.args.iter().map(OsString::from)
    }
}

/// Checks that a process can work in this directory.
///
/// # Errors
/// The directory does not exist, is not a directory, or cannot be read.
pub fn check_cwd(cwd: &Path) -> Result<(), Failure> {
    let unusable = |why: String| Failure::new(NOT_EXECUTABLE, format!("its cwd {} {why}", cwd.display()));
    match cwd.metadata() {
        Ok(meta) if meta.is_dir() => Ok(()),
        Ok(_) => Err(unusable("is not a directory".to_owned())),
        Err(error) => {
            let failure = Failure {
                is_shortage: is_file_shortage(&error),
                ..unusable(format!("cannot be used: {error}"))
            };
            Err(failure)
        }
    }
}

fn executable(script: PathBuf) -> Result<PathBuf, Failure> {
    match program::at(script) {
        Found::Executable(script) => Ok(script),
        Found::NotExecutable(script) => Err(not_executable(&script)),
        Found::Missing => Err(Failure::new(NOT_FOUND, "it has just been removed")),
        Found::Unknown(script, errno) => Err(Failure::unknown(&script, errno)),
    }
}

fn not_executable(path: &Path) -> Failure {
    let message = format!("{} is not executable\n  hint: chmod +x it, or set `interpreter`", path.display());
    Failure::new(NOT_EXECUTABLE, message)
}

/// The file that Node runs for a directory.
fn main_file(directory: &Path) -> Result<PathBuf, Failure> {
    let main = main_of(directory).map_err(|error| Failure::of_file(directory, &error))?;
    main.ok_or_else(|| is_directory(directory))
}

fn is_directory(path: &Path) -> Failure {
    let message = format!(
        "{} is a directory without a program: no `main` in a package.json and no index.js\n  hint: set \
         `script` to the file that is to run",
        path.display()
    );
    Failure::new(NOT_EXECUTABLE, message)
}

fn no_cluster(why: String) -> Failure {
    Failure {
        code: NOT_EXECUTABLE,
        message: format!(
            "it cannot be a worker of a cluster: {why}\n  hint: set `exec_mode` to \"fork\", or `script` to a \
             file for Node"
        ),
        no_cluster: Some(why),
        is_shortage: false,
    }
}
