//! Programs that run a script: which of them exists, and its arguments.

use std::{
    ffi::{OsStr, OsString},
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use super::{
    candidates::Candidates,
    command::Command,
    failure::{Failure, NOT_EXECUTABLE, NOT_FOUND, no_cluster, not_executable_error},
    head,
    identity::{self, FileKind, NodeTool},
    lookup::{Lookup, Script, main_file},
    package::Package,
    shebang::RequestedProgram,
    typescript::{self, Loader, NodeVersion, STRIP_TYPES, TypeScript},
};
use crate::{
    spec::{ExecMode, ProgramKind},
    sys::program::Found,
};

impl Lookup<'_> {
    /// A configured interpreter: itself a program, or a script that another program runs.
    pub(super) fn by_interpreter(&self, name: &str) -> Result<Command, Failure> {
        let (script, main) = match self.script()? {
            Script::Directory(directory) => {
                let main = main_file(&directory)?;
                (directory, main)
            }
            Script::File(file) => (file.clone(), file),
        };
        let found = self.find(OsStr::new(name));
        let interpreter = match &found {
            Found::Executable(file) | Found::NotExecutable(file) => Some(file.clone()),
            Found::Missing => None,
            Found::Unknown(file, errno) => return Err(Failure::unknown(file, *errno)),
        };
        let is_plain = identity::by_name(Path::new(name)).is_some();
        let file = interpreter.filter(|file| !is_plain && identity::by_names(file).is_none());
        let Some(file) = file else { return self.run_by(&Candidates::one(name), &script, &main) };
        let (file, requested, node_path) = match identity::file_kind(&file)? {
            FileKind::JavaScript(requested) if !requested.program.is_empty() => (file, requested, None),
            FileKind::Shim(shim) => (shim.target, RequestedProgram::default(), shim.node_path),
            FileKind::JavaScript(_) | FileKind::Script(..) | FileKind::Binary => {
                return self.run_by(&Candidates::one(name), &script, &main);
            }
        };
        let tool = identity::tool(&file)?;
        let mut command = match (tool, self.mode) {
            (NodeTool::Tsx(directory, package), ExecMode::Cluster) => {
                self.by_tsx(&directory, &package, &requested, Some(&script))?
            }
            (NodeTool::TsNode, ExecMode::Cluster) if self.loads_modules(&file) => {
                let why = format!("`{name}` runs modules in a child of its own; tsx does not");
                return Err(no_cluster(why));
            }
            (NodeTool::Runner, ExecMode::Cluster) => {
                return Err(no_cluster(format!(
                    "its interpreter `{name}` runs the script in a child of its own"
                )));
            }
            (tool, _) => {
                let mut candidates = Candidates::requested(&requested);
                candidates.args.push(file.clone().into_os_string());
                let mut command = self.run_by(&candidates, &script, &main)?;
                if matches!(tool, NodeTool::Runner) {
                    command.kind = ProgramKind::PackageRunner;
                }
                command
            }
        };
        command.vars.extend(node_path.map(|first| self.node_path(first)));
        Ok(command)
    }

    /// Whether ts-node is configured to start Node with its loader of modules.
    fn loads_modules(&self, file: &Path) -> bool {
        let is_for_modules = identity::base(file).as_bytes().starts_with(b"bin-esm");
        is_for_modules || self.exec.interpreter_args.iter().any(|arg| arg == "--esm")
    }

    /// npm, yarn and other package runners.
    pub(super) fn runner(&self, requested: &RequestedProgram, script: &Path) -> Result<Command, Failure> {
        let mut command = self.run_by(&Candidates::requested(requested), script, script)?;
        command.kind = ProgramKind::PackageRunner;
        command.reason = format!("`{}` runs the application in a child of its own", self.exec.script);
        Ok(command)
    }

    /// tsx is Node with a loader, in a child of its own. A worker of a cluster is that Node itself.
    pub(super) fn by_tsx(
        &self,
        directory: &Path,
        package: &Package,
        requested: &RequestedProgram,
        script: Option<&Path>,
    ) -> Result<Command, Failure> {
        let words = if script.is_some() { &self.exec.interpreter_args } else { &self.exec.args };
        let (loader, taken) = Loader::of_tsx(directory, package, words).map_err(no_cluster)?;
        let mut candidates = Candidates::requested(requested);
        candidates.vars.extend(loader.vars);
        let (program, name) = self.first_of(&candidates, script.unwrap_or(directory))?;
        let rest = words[taken..].iter().map(OsString::from);
        let argv = [name].into_iter().chain(candidates.args).chain(loader.options).chain(rest);
        let argv: Vec<OsString> = match script {
            Some(script) => argv.chain([script.as_os_str().to_owned()]).chain(self.args()).collect(),
            None => argv.collect(),
        };
        Ok(by_node(program, argv, candidates.vars))
    }

    /// The first existing candidate, with its arguments, the script and the arguments of the script. `main` is the file
    /// that `script` leads to.
    pub(super) fn run_by(
        &self,
        candidates: &Candidates,
        script: &Path,
        main: &Path,
    ) -> Result<Command, Failure> {
        let (mut program, mut name) = self.first_of(candidates, script)?;
        let mut kind = kind_of(&program, &name);
        let mut options: Vec<OsString> = Vec::new();
        if kind == ProgramKind::Node && main.extension().is_some_and(typescript::is_typescript) {
            match self.typescript(&program, candidates, main)? {
                Some(bun) => (program, name, kind) = (bun, "bun".into(), ProgramKind::Bun),
                None => options.extend(self.strips_types(&program)?.then(|| STRIP_TYPES.into())),
            }
        }
        if kind == ProgramKind::Shell {
            refuse_windows_lines(main)?;
        }
        if kind == ProgramKind::Node && self.wants_source_maps(script, main) {
            options.push("--enable-source-maps".into());
        }
        let reason = format!("`{}` runs {}, and is not Node", name.display(), script.display());
        let argv = [name]
            .into_iter()
            .chain(options)
            .chain(candidates.args.iter().cloned())
            .chain(self.exec.interpreter_args.iter().map(OsString::from))
            .chain([script.as_os_str().to_owned()])
            .chain(self.args())
            .collect();
        let takes_node_options = kind == ProgramKind::Node;
        let vars = candidates.vars.clone();
        Ok(Command { program, argv, vars, kind, takes_node_options, is_direct: false, reason })
    }

    fn first_of(&self, candidates: &Candidates, script: &Path) -> Result<(PathBuf, OsString), Failure> {
        let mut refused = None;
        for name in &candidates.names {
            match self.find(name) {
                Found::Executable(program) => return Ok((program, name.clone())),
                Found::NotExecutable(found) => refused = refused.or(Some(found)),
                Found::Missing => {}
                // A less preferred candidate would be another program.
                Found::Unknown(file, errno) => return Err(Failure::unknown(&file, errno)),
            }
        }
        if let Some(found) = refused {
            return Err(not_executable_error(&found));
        }
        let names: Vec<String> =
            candidates.names.iter().map(|name| format!("`{}`", name.display())).collect();
        let (verb, neither) = if names.len() > 1 { ("are", "neither ") } else { ("is not", "") };
        let (names, script) = (names.join(" nor "), script.display());
        let message = format!(
            "{neither}{names}, which would run {script}, {verb} in PATH\n  hint: install it, or set `interpreter`"
        );
        Err(Failure::new(NOT_FOUND, message))
    }

    /// Whether this Node can run TypeScript, if that can be determined. A Bun beside it can.
    fn typescript(
        &self,
        node: &Path,
        candidates: &Candidates,
        script: &Path,
    ) -> Result<Option<PathBuf>, Failure> {
        if self.has_loader(candidates) {
            return Ok(None);
        }
        let has_jsx = script.extension() == Some(OsStr::new("tsx"));
        let version = node_version(node)?;
        let can_run = version.is_none_or(|version| version.typescript() != TypeScript::No);
        if can_run && !has_jsx {
            return Ok(None);
        }
        let may_be_bun = candidates.names.iter().any(|name| name == "bun");
        if may_be_bun && let Found::Executable(bun) = self.find(OsStr::new("bun")) {
            return Ok(Some(bun));
        }
        let what = if has_jsx { "JSX" } else { "TypeScript" };
        let version = version.map(|version| format!(" {version}")).unwrap_or_default();
        let hint = if has_jsx { "" } else { "use Node 22.18 or later, or " };
        let message = format!(
            "{} is {what}, which Node{version} ({}) cannot run\n  hint: {hint}install tsx and set \
             `interpreter` to \"node_modules/.bin/tsx\"",
            script.display(),
            node.display()
        );
        Err(Failure::new(NOT_EXECUTABLE, message))
    }

    fn strips_types(&self, node: &Path) -> Result<bool, Failure> {
        let is_configured = self.exec.interpreter_args.iter().any(|arg| arg == STRIP_TYPES);
        if is_configured {
            return Ok(false);
        }
        Ok(node_version(node)?.is_some_and(|version| version.typescript() == TypeScript::Flag))
    }

    /// Whether Node is configured to load something that may handle TypeScript.
    fn has_loader(&self, candidates: &Candidates) -> bool {
        let of_env = self.context.node_options.as_deref().unwrap_or_default().as_bytes();
        let words = of_env.split(u8::is_ascii_whitespace);
        let args = self.exec.interpreter_args.iter().map(String::as_bytes);
        let of_line = candidates.args.iter().map(|arg| arg.as_bytes());
        // An interpreter that is itself a Node script handles it.
        let is_tool = candidates.args.iter().any(|arg| arg.as_bytes().starts_with(b"/"));
        is_tool || words.chain(args).chain(of_line).any(typescript::loads)
    }

    /// PM2's rule: with a map beside the script, unless it is configured.
    fn wants_source_maps(&self, script: &Path, main: &Path) -> bool {
        self.exec.source_maps.unwrap_or_else(|| {
            [script, main].into_iter().any(|file| {
                let mut map = file.as_os_str().to_owned();
                map.push(".map");
                Path::new(&map).is_file()
            })
        })
    }
}

fn node_version(node: &Path) -> Result<Option<NodeVersion>, Failure> {
    NodeVersion::of(node).map_err(|error| Failure::of_file(node, &error))
}

fn by_node(program: PathBuf, argv: Vec<OsString>, vars: Vec<(OsString, OsString)>) -> Command {
    let kind = kind_of(&program, &argv[0]);
    let reason = format!("`{}` runs it", argv[0].display());
    let takes_node_options = kind == ProgramKind::Node;
    Command { program, argv, vars, kind, takes_node_options, is_direct: false, reason }
}

fn kind_of(program: &Path, name: &OsStr) -> ProgramKind {
    identity::by_name(Path::new(name)).or_else(|| identity::by_names(program)).unwrap_or_default()
}

/// A shell treats the carriage return at the end of each line as a part of its last word.
fn refuse_windows_lines(script: &Path) -> Result<(), Failure> {
    match head::read(script) {
        Ok(head) if head::has_windows_lines(&head) => {
            let script = script.display();
            let message = format!(
                "the lines of {script} end with carriage returns (Windows line endings), which a shell reads \
                 as a part of each command\n  hint: sed -i 's/\\r$//' {script}"
            );
            Err(Failure::new(NOT_EXECUTABLE, message))
        }
        Ok(_) | Err(_) => Ok(()),
    }
}
