//! Files of every kind, and what is executed for them.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
};

use super::*;

/// A directory with programs of its own: `PATH` leads nowhere else.
struct Place {
    directory: tempfile::TempDir,
    exec: Exec,
}

impl Place {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let exec = Exec {
            script: String::new(),
            args: vec!["arg".to_owned()],
            cwd: directory.path().to_owned(),
            interpreter: Interpreter::Auto,
            interpreter_args: Vec::new(),
            source_maps: None,
            stdin: crate::spec::Stdin::Open,
        };
        let place = Self { directory, exec };
        for program in ["node", "python3", "bash", "sh"] {
            place.program(&format!("bin/{program}"), "\x7fELF");
        }
        place
    }

    fn at(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
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
        let path = self.at("bin").into_os_string();
        resolve(&exec, mode, &LookupContext { path: Some(path), ..LookupContext::default() })
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
        words.join(" ").replace(&format!("{}/", self.directory.path().display()), "")
    }

    #[track_caller]
    fn assert(&self, script: &str, kind: ProgramKind, argv: &str) {
        let command = self.auto(script).unwrap();
        assert_eq!((command.kind, self.shown(&command)), (kind, argv.to_owned()), "{script}");
    }
}

#[test]
fn what_a_file_is_decides_and_not_its_name() {
    let place = Place::new();
    let shebang = "#!/usr/bin/env node\n";
    place.program("node_modules/next/dist/bin/next", shebang);
    place.link("node_modules/.bin/next", "../next/dist/bin/next");
    place.file("bin/www", "require('../app')\n");
    place.program("bin/serve", "#!/usr/bin/env -S A=1 node --flag\n");
    place.program("tool.v2", shebang);
    place.file("plain.v2", "module.exports = 1\n");
    place.program("bin/old", "#!/opt/none/bin/node\n");
    place.program("run", "#!/bin/sh\n");
    place.program("native", "\x7fELF");
    place.program("app.py", "");
    place.link("main.js", "native");
    let kind = ProgramKind::Node;
    place.assert("node_modules/next/dist/bin/next", kind, "node node_modules/next/dist/bin/next arg");
    place.assert("node_modules/.bin/next", kind, "node node_modules/.bin/next arg");
    place.assert("bin/www", kind, "node bin/www arg");
    place.assert("serve", kind, "node --flag bin/serve arg");
    place.assert("tool.v2", kind, "node tool.v2 arg");
    place.assert("plain.v2", kind, "node plain.v2 arg");
    place.assert("bin/old", kind, "node bin/old arg");
    place.assert("run", ProgramKind::Shell, "run arg");
    place.assert("native", ProgramKind::Other, "native arg");
    place.assert("app.py", ProgramKind::Python, "python3 app.py arg");
    // PM2's rule: an extension that has an interpreter comes first.
    place.assert("main.js", kind, "node main.js arg");
    assert_eq!(place.auto("serve").unwrap().vars, [("A".into(), "1".into())]);
    assert!(place.auto("bin/www").unwrap().takes_node_options);
    assert!(!place.auto("native").unwrap().takes_node_options);
}

#[test]
fn a_directory_is_run_by_its_main_file() {
    let place = Place::new();
    place.file("a/index.js", "");
    place.file("b/package.json", r#"{"main": "lib/main"}"#);
    place.file("b/lib/main.js", "");
    place.file("b/lib/main.js.map", "{}");
    place.file("c/readme", "");
    place.assert("./a", ProgramKind::Node, "node ./a arg");
    place.assert("b/", ProgramKind::Node, "node --enable-source-maps b/ arg");
    let failure = place.auto("./c").unwrap_err();
    assert!(failure.message.contains("./c is a directory without a program"), "{failure}");
    assert_eq!(failure.code, 126);
}

#[test]
fn several_ways_lead_to_one_interpreter() {
    let place = Place::new();
    place.file("app.js", "");
    place.link("node20", "bin/node");
    place.program("bin/my-node", "#!/bin/bash\nexec node \"$@\"\n");
    for interpreter in ["node", "./bin/node", "./node20", "my-node"] {
        let command = place.by(interpreter, "app.js", ExecMode::Cluster).unwrap();
        assert_eq!(place.shown(&command), format!("{interpreter} app.js arg"));
        assert_eq!(command.kind, ProgramKind::Node, "{interpreter}");
    }
    let failure = place.by("ruby", "app.js", ExecMode::Fork).unwrap_err();
    assert!(failure.message.contains("`ruby`, which would run"), "{failure}");
}

#[test]
fn none_is_the_kernels_rule_and_in_a_cluster_pm2s() {
    let place = Place::new();
    place.file("start.js", "");
    place.program("cli", "#!/usr/bin/env node\n");
    let none = |script: &str, mode| place.find(script, Interpreter::None, mode);
    assert_eq!(place.shown(&none("start.js", ExecMode::Cluster).unwrap()), "node start.js arg");
    assert!(none("start.js", ExecMode::Fork).unwrap_err().message.contains("is not executable"));
    let command = none("cli", ExecMode::Fork).unwrap();
    assert_eq!((command.kind, place.shown(&command)), (ProgramKind::Node, "node cli arg".to_owned()));
}

#[test]
fn a_shim_is_followed_like_a_link() {
    let place = Place::new();
    let shim = "#!/bin/sh\nbasedir=$(dirname \"$0\")\n  export NODE_PATH=\"/x\"\nexec node  \"$basedir/../next/bin.js\" \"$@\"\n";
    place.program("node_modules/.bin/next", shim);
    assert_eq!(place.auto("node_modules/.bin/next").unwrap().kind, ProgramKind::Shell, "it leads nowhere");
    place.file("node_modules/next/bin.js", "#!/usr/bin/env node\n");
    let command = place.find("node_modules/.bin/next", Interpreter::Auto, ExecMode::Cluster).unwrap();
    assert_eq!(place.shown(&command), "node node_modules/.bin/../next/bin.js arg");
    assert_eq!(command.vars, [("NODE_PATH".into(), "/x".into())]);
}

#[test]
fn a_cluster_that_cannot_be_had_says_why() {
    let place = Place::new();
    place.program("run", "#!/bin/sh\n");
    place.program("native", "\x7fELF");
    place.file("app.py", "");
    place.file("app.js", "");
    place.program("lib/npm/bin/npm-cli.js", "#!/usr/bin/env node\n");
    place.file("lib/npm/package.json", r#"{"name": "npm"}"#);
    place.link("bin/npm", "../lib/npm/bin/npm-cli.js");
    let why = |script: &str| {
        let failure = place.find(script, Interpreter::Auto, ExecMode::Cluster).unwrap_err();
        failure.no_cluster.unwrap_or_else(|| panic!("{}", failure.message))
    };
    assert!(why("run").ends_with("run is a script for another interpreter (#!/bin/sh)"), "{}", why("run"));
    assert!(why("native").contains("is a program of its own"), "{}", why("native"));
    assert!(why("app.py").contains("`python3` runs"), "{}", why("app.py"));
    assert_eq!(why("npm"), "`npm` runs the application in a child of its own");
    assert_eq!(why("npm run start"), "`npm run start` is a command line for bash");
    let failure = place.by("python3", "app.js", ExecMode::Cluster).unwrap_err();
    assert!(failure.no_cluster.is_some());
    assert_eq!(place.auto("npm").unwrap().kind, ProgramKind::PackageRunner);
}

#[test]
fn tsx_and_ts_node_can_be_workers() {
    let place = Place::new();
    place.program("node_modules/tsx/dist/cli.mjs", "#!/usr/bin/env node\n");
    let package =
        r#"{"name": "tsx", "exports": {".": "./dist/loader.mjs", "./preflight": "./dist/preflight.cjs"}}"#;
    place.file("node_modules/tsx/package.json", package);
    place.link("node_modules/.bin/tsx", "../tsx/dist/cli.mjs");
    place.program("node_modules/ts-node/dist/bin.js", "#!/usr/bin/env node\n");
    place.file("node_modules/ts-node/package.json", r#"{"name": "ts-node"}"#);
    place.link("node_modules/.bin/ts-node", "../ts-node/dist/bin.js");
    place.file("app.ts", "");
    let by = |name: &str, mode| place.by(&format!("node_modules/.bin/{name}"), "app.ts", mode).unwrap();

    let command = by("tsx", ExecMode::Fork);
    assert_eq!(place.shown(&command), "node node_modules/.bin/tsx app.ts arg");
    let command = by("tsx", ExecMode::Cluster);
    let shown = place.shown(&command);
    assert!(
        shown.starts_with("node --require ") && shown.ends_with("/dist/loader.mjs app.ts arg"),
        "{shown}"
    );
    assert!(shown.contains(" --import file://"), "{shown}");
    let command = by("ts-node", ExecMode::Cluster);
    assert_eq!(place.shown(&command), "node node_modules/.bin/ts-node app.ts arg");
    assert_eq!((command.kind, command.takes_node_options), (ProgramKind::Node, true));
}

#[test]
fn typescript_needs_a_node_that_can_run_it() {
    let mut place = Place::new();
    place.file("app.ts", "");
    place.assert("app.ts", ProgramKind::Node, "node app.ts arg");
    let version = |major: u32, minor: u32| {
        format!(
            "#define NODE_MAJOR_VERSION {major}\n#define NODE_MINOR_VERSION {minor}\n#define NODE_PATCH_VERSION 0\n"
        )
    };
    place.file("include/node/node_version.h", &version(22, 9));
    place.assert("app.ts", ProgramKind::Node, "node --experimental-strip-types app.ts arg");
    place.file("include/node/node_version.h", &version(20, 1));
    let failure = place.auto("app.ts").unwrap_err();
    assert!(failure.message.contains("app.ts is TypeScript, which Node 20.1.0"), "{failure}");
    place.program("bin/bun", "\x7fELF");
    place.assert("app.ts", ProgramKind::Bun, "bun app.ts arg");
    place.exec.interpreter_args = vec!["--import".to_owned(), "tsx".to_owned()];
    place.assert("app.ts", ProgramKind::Node, "node --import tsx app.ts arg");
}

#[test]
fn a_map_beside_the_script_turns_source_maps_on() {
    let mut place = Place::new();
    place.file("dist/main.js", "");
    place.assert("dist/main.js", ProgramKind::Node, "node dist/main.js arg");
    place.file("dist/main.js.map", "{}");
    place.assert("dist/main.js", ProgramKind::Node, "node --enable-source-maps dist/main.js arg");
    place.exec.source_maps = Some(false);
    place.assert("dist/main.js", ProgramKind::Node, "node dist/main.js arg");
}

#[test]
fn what_the_kernel_would_only_call_missing_is_explained() {
    let place = Place::new();
    place.program("windows", "#!/bin/sh\r\necho\r\n");
    place.program("windows.sh", "#!/bin/sh\r\necho\r\n");
    place.program("gone", "#!/opt/none/ruby\n");
    place.program("by-env", "#!/usr/bin/env ruby\n");
    let message = |script: &str| place.auto(script).unwrap_err().message;
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
fn several_of_a_node_script_are_a_cluster_unless_something_is_between() {
    let place = Place::new();
    place.file("app.js", "");
    place.program("cli", "#!/usr/bin/env node\n");
    place.program("run", "#!/bin/sh\n");
    let around = LookupContext { path: Some(place.at("bin").into_os_string()), ..LookupContext::default() };
    let clusters = |script: &str, interpreter: Interpreter| {
        let exec = Exec { script: script.to_owned(), interpreter, ..place.exec.clone() };
        clusters_by_default(&exec, &around)
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
