//! How a script runs without a configured interpreter: by its extension, its content, or itself.

use std::{
    ffi::{OsStr, OsString},
    path::{Path, PathBuf},
};

use super::{
    candidates::Candidates,
    command::Command,
    failure::{Failure, NOT_FOUND, directory_without_program, executable},
    identity::{self, FileKind, NodeTool},
    lookup::{Lookup, Script, main_file},
    shebang::Shebang,
};
use crate::{
    spec::{ExecMode, ProgramKind, serve},
    sys::program::{self, Found},
};

impl Lookup<'_> {
    /// By the extension, then by the kind of the file.
    pub(super) fn by_kind(&self) -> Result<Command, Failure> {
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
            None => self.by_content(script),
        }
    }

    fn by_content(&self, script: PathBuf) -> Result<Command, Failure> {
        match identity::file_kind(&script)? {
            FileKind::JavaScript(requested) => match identity::tool(&script)? {
                NodeTool::Tsx(directory, package) if self.mode == ExecMode::Cluster => {
                    self.by_tsx(&directory, &package, &requested, None)
                }
                NodeTool::Runner => self.runner(&requested, &script),
                NodeTool::Tsx(..) | NodeTool::TsNode | NodeTool::Other => {
                    self.run_by(&Candidates::requested(&requested), &script, &script)
                }
            },
            FileKind::Shim(shim) => {
                let mut command = self.by_target_of_shim(&shim.target)?;
                command.vars.extend(shim.node_path.map(|first| self.node_path(first)));
                Ok(command)
            }
            FileKind::Script(shebang, kind) => self.direct(script, Some((&shebang, kind))),
            FileKind::Binary => self.direct(script, None),
        }
    }

    /// A shim never leads to another one.
    fn by_target_of_shim(&self, target: &Path) -> Result<Command, Failure> {
        match identity::file_kind(target)? {
            FileKind::Shim(_) => self.direct(target.to_owned(), None),
            FileKind::JavaScript(_) | FileKind::Script(..) | FileKind::Binary => {
                self.by_content(target.to_owned())
            }
        }
    }

    /// `interpreter = "none"`: the rules of the kernel. If they lead to Node, Node runs with the same arguments, so that
    /// it can get options.
    pub(super) fn by_kernel_rules(&self) -> Result<Command, Failure> {
        let script = match self.script()? {
            Script::Directory(directory) => return Err(directory_without_program(&directory)),
            Script::File(script) => script,
        };
        match identity::file_kind(&script)? {
            FileKind::JavaScript(requested) if !requested.program.is_empty() => {
                executable(script.clone())?;
                self.run_by(&Candidates::requested(&requested), &script, &script)
            }
            FileKind::Script(shebang, kind) => self.direct(script, Some((&shebang, kind))),
            FileKind::JavaScript(_) | FileKind::Shim(_) | FileKind::Binary => self.direct(script, None),
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
        let (kind, reason) = match line {
            None => {
                let kind = identity::by_names(&script).unwrap_or_default();
                (kind, format!("{} is an executable program, not a script for Node", script.display()))
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
            reason,
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
        let requested = &shebang.requested.program;
        let sets_path = shebang.requested.vars.iter().any(|(name, _)| name == "PATH");
        if shebang.is_by_env() && !requested.is_empty() && !sets_path {
            let path = self.context.path.as_deref();
            match program::find(requested, &self.exec.cwd, path) {
                Found::Executable(_) | Found::NotExecutable(_) => {}
                Found::Missing => {
                    let requested = requested.display();
                    let message = format!(
                        "the first line of {script} names `{requested}`, which is not in PATH\n  hint: install \
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
            let found = program::find(OsStr::new(shell), &self.exec.cwd, self.context.path.as_deref());
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
                    reason: format!("`{line}` is a command line for {shell}"),
                });
            }
        }
        Err(Failure::new(NOT_FOUND, format!("no shell in PATH for the command line `{line}`")))
    }

    /// The running binary, even if its path leads to another file now.
    pub(super) fn built_in(&self) -> Command {
        Command {
            program: PathBuf::from("/proc/self/exe"),
            argv: [OsString::from(serve::WORKER)].into_iter().chain(self.args()).collect(),
            vars: Vec::new(),
            kind: ProgramKind::Other,
            takes_node_options: false,
            is_direct: true,
            reason: "procrun itself serves the files".to_owned(),
        }
    }
}
