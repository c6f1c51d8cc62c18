//! Files of every kind, and the programs that run them.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::PathBuf,
};

use super::{
    command::Command,
    failure::Failure,
    lookup::LookupContext,
    resolve::{clusters_by_default, resolve},
};
use crate::spec::{Exec, ExecMode, Interpreter, ProgramKind};

/// A directory with its own programs, the only one in `PATH`.
struct TestDirectory {
    root: tempfile::TempDir,
    exec: Exec,
}

impl TestDirectory {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let exec = Exec {
            script: String::new(),
            args: vec!["arg".to_owned()],
            cwd: root.path().to_owned(),
            interpreter: Interpreter::Auto,
            interpreter_args: Vec::new(),
            source_maps: None,
            stdin: crate::spec::Stdin::Open,
        };
        let directory = Self { root, exec };
        for program in ["node", "python3", "bash", "sh"] {
            directory.program(&format!("bin/{program}"), "\x7fELF");
        }
        directory
    }

    fn at(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn file(&self, name: &str, text: &str) {
        fs::create_dir_all(self.at(name).parent().unwrap()).unwrap();
        fs::write(self.at(name), text).unwrap();
    }

    fn program(&self, name: &str, text: &str) {
        self.file(name, text);
        fs::set_permissions(self.at(name), fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn link(&self, name: &str, target: &str) {
        fs::create_dir_all(self.at(name).parent().unwrap()).unwrap();
        symlink(target, self.at(name)).unwrap();
    }

    fn find(&self, script: &str, interpreter: Interpreter, mode: ExecMode) -> Result<Command, Failure> {
        let exec = Exec { script: script.to_owned(), interpreter, ..self.exec.clone() };
        resolve(&exec, mode, &self.context())
    }

    fn context(&self) -> LookupContext {
        let path = |name: &str| (name == "PATH").then(|| self.at("bin").into_os_string());
        LookupContext::new(path)
    }

    fn auto(&self, script: &str) -> Result<Command, Failure> {
        self.find(script, Interpreter::Auto, ExecMode::Fork)
    }

    fn by(&self, interpreter: &str, script: &str, mode: ExecMode) -> Result<Command, Failure> {
        self.find(script, Interpreter::Program(interpreter.to_owned()), mode)
    }

    /// The arguments, with the directory left out.
    fn shown(&self, command: &Command) -> String {
        let words: Vec<_> = command.argv.iter().map(|word| word.to_str().unwrap()).collect();
        words.join(" ").replace(&format!("{}/", self.root.path().display()), "")
    }

    #[track_caller]
    fn assert(&self, script: &str, kind: ProgramKind, argv: &str) {
        let command = self.auto(script).unwrap();
        assert_eq!((command.kind, self.shown(&command)), (kind, argv.to_owned()), "{script}");
    }
}

#[test]
fn the_content_of_a_file_decides_and_not_its_name() {
    let directory = TestDirectory::new();
    let shebang = "#!/usr/bin/env node\n";
    directory.program("node_modules/next/dist/bin/next", shebang);
    directory.link("node_modules/.bin/next", "../next/dist/bin/next");
    directory.file("bin/www", "require('../app')\n");
    directory.program("bin/serve", "#!/usr/bin/env -S A=1 node --flag\n");
    directory.program("tool.v2", shebang);
    directory.file("plain.v2", "module.exports = 1\n");
    directory.program("bin/old", "#!/opt/none/bin/node\n");
    directory.program("run", "#!/bin/sh\n");
    directory.program("native", "\x7fELF");
    directory.program("app.py", "");
    directory.link("main.js", "native");
    let kind = ProgramKind::Node;
    directory.assert("node_modules/next/dist/bin/next", kind, "node node_modules/next/dist/bin/next arg");
    directory.assert("node_modules/.bin/next", kind, "node node_modules/.bin/next arg");
    directory.assert("bin/www", kind, "node bin/www arg");
    directory.assert("serve", kind, "node --flag bin/serve arg");
    directory.assert("tool.v2", kind, "node tool.v2 arg");
    directory.assert("plain.v2", kind, "node plain.v2 arg");
    directory.assert("bin/old", kind, "node bin/old arg");
    directory.assert("run", ProgramKind::Shell, "run arg");
    directory.assert("native", ProgramKind::Other, "native arg");
    directory.assert("app.py", ProgramKind::Python, "python3 app.py arg");
    // PM2's rule: an extension that has an interpreter comes first.
    directory.assert("main.js", kind, "node main.js arg");
    assert_eq!(directory.auto("serve").unwrap().vars, [("A".into(), "1".into())]);
    assert!(directory.auto("bin/www").unwrap().takes_node_options);
    assert!(!directory.auto("native").unwrap().takes_node_options);
}

#[test]
fn a_directory_is_run_by_its_main_file() {
    let directory = TestDirectory::new();
    directory.file("a/index.js", "");
    directory.file("b/package.json", r#"{"main": "lib/main"}"#);
    directory.file("b/lib/main.js", "");
    directory.file("b/lib/main.js.map", "{}");
    directory.file("c/readme", "");
    directory.assert("./a", ProgramKind::Node, "node ./a arg");
    directory.assert("b/", ProgramKind::Node, "node --enable-source-maps b/ arg");
    let failure = directory.auto("./c").unwrap_err();
    assert!(failure.message.contains("./c is a directory without a program"), "{failure}");
    assert_eq!(failure.code, 126);
}

#[test]
fn several_ways_lead_to_one_interpreter() {
    let directory = TestDirectory::new();
    directory.file("app.js", "");
    directory.link("node20", "bin/node");
    directory.program("bin/my-node", "#!/bin/bash\nexec node \"$@\"\n");
    for interpreter in ["node", "./bin/node", "./node20", "my-node"] {
        let command = directory.by(interpreter, "app.js", ExecMode::Cluster).unwrap();
        assert_eq!(directory.shown(&command), format!("{interpreter} app.js arg"));
        assert_eq!(command.kind, ProgramKind::Node, "{interpreter}");
    }
    let failure = directory.by("ruby", "app.js", ExecMode::Fork).unwrap_err();
    assert!(failure.message.contains("`ruby`, which would run"), "{failure}");
}

#[test]
fn interpreter_none_follows_the_kernel_and_in_a_cluster_pm2() {
    let directory = TestDirectory::new();
    directory.file("start.js", "");
    directory.program("cli", "#!/usr/bin/env node\n");
    let none = |script: &str, mode| directory.find(script, Interpreter::None, mode);
    assert_eq!(directory.shown(&none("start.js", ExecMode::Cluster).unwrap()), "node start.js arg");
    assert!(none("start.js", ExecMode::Fork).unwrap_err().message.contains("is not executable"));
    let command = none("cli", ExecMode::Fork).unwrap();
    assert_eq!((command.kind, directory.shown(&command)), (ProgramKind::Node, "node cli arg".to_owned()));
}

#[test]
fn a_shim_is_followed_like_a_link() {
    let directory = TestDirectory::new();
    let shim = "#!/bin/sh\nbasedir=$(dirname \"$0\")\n  export NODE_PATH=\"/x\"\nexec node  \"$basedir/../next/bin.js\" \"$@\"\n";
    directory.program("node_modules/.bin/next", shim);
    assert_eq!(
        directory.auto("node_modules/.bin/next").unwrap().kind,
        ProgramKind::Shell,
        "its target is missing"
    );
    directory.file("node_modules/next/bin.js", "#!/usr/bin/env node\n");
    let command = directory.find("node_modules/.bin/next", Interpreter::Auto, ExecMode::Cluster).unwrap();
    assert_eq!(directory.shown(&command), "node node_modules/.bin/../next/bin.js arg");
    assert_eq!(command.vars, [("NODE_PATH".into(), "/x".into())]);
}

#[test]
fn an_impossible_cluster_is_refused_with_the_reason() {
    let directory = TestDirectory::new();
    directory.program("run", "#!/bin/sh\n");
    directory.program("native", "\x7fELF");
    directory.file("app.py", "");
    directory.file("app.js", "");
    directory.program("lib/npm/bin/npm-cli.js", "#!/usr/bin/env node\n");
    directory.file("lib/npm/package.json", r#"{"name": "npm"}"#);
    directory.link("bin/npm", "../lib/npm/bin/npm-cli.js");
    let why = |script: &str| {
        let failure = directory.find(script, Interpreter::Auto, ExecMode::Cluster).unwrap_err();
        failure.no_cluster.unwrap_or_else(|| panic!("{}", failure.message))
    };
    assert!(why("run").ends_with("run is a script for another interpreter (#!/bin/sh)"), "{}", why("run"));
    assert!(why("native").contains("is an executable program, not a script"), "{}", why("native"));
    assert!(why("app.py").contains("`python3` runs"), "{}", why("app.py"));
    assert_eq!(why("npm"), "`npm` runs the application in a child of its own");
    assert_eq!(why("npm run start"), "`npm run start` is a command line for bash");
    let failure = directory.by("python3", "app.js", ExecMode::Cluster).unwrap_err();
    assert!(failure.no_cluster.is_some());
    assert_eq!(directory.auto("npm").unwrap().kind, ProgramKind::PackageRunner);
}

#[test]
fn tsx_and_ts_node_can_be_workers() {
    let directory = TestDirectory::new();
    directory.program("node_modules/tsx/dist/cli.mjs", "#!/usr/bin/env node\n");
    let package =
        r#"{"name": "tsx", "exports": {".": "./dist/loader.mjs", "./preflight": "./dist/preflight.cjs"}}"#;
    directory.file("node_modules/tsx/package.json", package);
    directory.link("node_modules/.bin/tsx", "../tsx/dist/cli.mjs");
    directory.program("node_modules/ts-node/dist/bin.js", "#!/usr/bin/env node\n");
    directory.file("node_modules/ts-node/package.json", r#"{"name": "ts-node"}"#);
    directory.link("node_modules/.bin/ts-node", "../ts-node/dist/bin.js");
    directory.file("app.ts", "");
    let by = |name: &str, mode| directory.by(&format!("node_modules/.bin/{name}"), "app.ts", mode).unwrap();

    let command = by("tsx", ExecMode::Fork);
    assert_eq!(directory.shown(&command), "node node_modules/.bin/tsx app.ts arg");
    let command = by("tsx", ExecMode::Cluster);
    let shown = directory.shown(&command);
    assert!(
        shown.starts_with("node --require ") && shown.ends_with("/dist/loader.mjs app.ts arg"),
        "{shown}"
    );
    assert!(shown.contains(" --import file://"), "{shown}");
    let command = by("ts-node", ExecMode::Cluster);
    assert_eq!(directory.shown(&command), "node node_modules/.bin/ts-node app.ts arg");
    assert_eq!((command.kind, command.takes_node_options), (ProgramKind::Node, true));
}

#[test]
fn typescript_needs_a_node_that_can_run_it() {
    let mut directory = TestDirectory::new();
    directory.file("app.ts", "");
    directory.assert("app.ts", ProgramKind::Node, "node app.ts arg");
    let version = |major: u32, minor: u32| {
        format!(
            "#define NODE_MAJOR_VERSION {major}\n#define NODE_MINOR_VERSION {minor}\n#define NODE_PATCH_VERSION 0\n"
        )
    };
    directory.file("include/node/node_version.h", &version(22, 9));
    directory.assert("app.ts", ProgramKind::Node, "node --experimental-strip-types app.ts arg");
    directory.file("include/node/node_version.h", &version(20, 1));
    let failure = directory.auto("app.ts").unwrap_err();
    assert!(failure.message.contains("app.ts is TypeScript, which Node 20.1.0"), "{failure}");
    directory.program("bin/bun", "\x7fELF");
    directory.assert("app.ts", ProgramKind::Bun, "bun app.ts arg");
    directory.exec.interpreter_args = vec!["--import".to_owned(), "tsx".to_owned()];
    directory.assert("app.ts", ProgramKind::Node, "node --import tsx app.ts arg");
}

#[test]
fn a_map_beside_the_script_turns_source_maps_on() {
    let mut directory = TestDirectory::new();
    directory.file("dist/main.js", "");
    directory.assert("dist/main.js", ProgramKind::Node, "node dist/main.js arg");
    directory.file("dist/main.js.map", "{}");
    directory.assert("dist/main.js", ProgramKind::Node, "node --enable-source-maps dist/main.js arg");
    directory.exec.source_maps = Some(false);
    directory.assert("dist/main.js", ProgramKind::Node, "node dist/main.js arg");
}

#[test]
fn a_missing_interpreter_and_windows_line_endings_are_explained() {
    let directory = TestDirectory::new();
    directory.program("windows", "#!/bin/sh\r\necho\r\n");
    directory.program("windows.sh", "#!/bin/sh\r\necho\r\n");
    directory.program("gone", "#!/opt/none/ruby\n");
    directory.program("by-env", "#!/usr/bin/env ruby\n");
    let message = |script: &str| directory.auto(script).unwrap_err().message;
    assert!(
        message("windows").contains("a carriage return (a Windows line ending)"),
        "{}",
        message("windows")
    );
    assert!(message("windows.sh").contains("(Windows line endings)"), "{}", message("windows.sh"));
    assert!(message("gone").contains("names /opt/none/ruby, which does not exist"), "{}", message("gone"));
    assert!(message("by-env").contains("names `ruby`, which is not in PATH"), "{}", message("by-env"));
    assert!(message("./none.js").contains("none.js does not exist"), "{}", message("./none.js"));
}

#[test]
fn several_instances_of_a_node_script_are_a_cluster_by_default() {
    let directory = TestDirectory::new();
    directory.file("app.js", "");
    directory.program("cli", "#!/usr/bin/env node\n");
    directory.program("run", "#!/bin/sh\n");
    let context = directory.context();
    let clusters = |script: &str, interpreter: Interpreter| {
        let exec = Exec { script: script.to_owned(), interpreter, ..directory.exec.clone() };
        clusters_by_default(&exec, &context)
    };
    for (script, interpreter, expected) in [
        ("app.js", Interpreter::Auto, true),
        ("cli", Interpreter::Auto, true),
        ("not-there-yet.js", Interpreter::Auto, true),
        ("app.js", Interpreter::Program("node".to_owned()), true),
        ("app.js", Interpreter::None, false),
        ("app.js", Interpreter::Program("tsx".to_owned()), false),
        ("run", Interpreter::Auto, false),
        ("not-there-yet", Interpreter::Auto, false),
    ] {
        assert_eq!(clusters(script, interpreter.clone()), expected, "{script} {interpreter:?}");
    }
}
