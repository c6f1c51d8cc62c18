//! Whether a program that is not for Node may start a package runner, such as a shell script that runs `npm start`.
//!
//! A package runner is itself a program for Node. It would open the IPC channel of the application
//! below it. So the channel passes through the runner (`node/forward.cjs`) if a command line or a script names
//! one. A name that is found by mistake costs nothing: another Node below the program opens the same channel.

use std::{
    collections::BTreeSet,
    ffi::OsStr,
    path::{Path, PathBuf},
};

use super::{command::Command, head};
use crate::{
    spec::{ProgramKind, package_runner_programs},
    sys::{
        program::{self, Found},
        regular_file,
    },
};

/// Maximum number of scripts that are read: one may call another one.
const MAX_SCRIPTS: usize = 8;

/// Whether this program may start a package runner. Reads the scripts that its command line names.
pub fn may_start_runner(command: &Command, cwd: &Path) -> bool {
    let is_shell = match command.kind {
        ProgramKind::Node | ProgramKind::Bun | ProgramKind::PackageRunner => return false,
        ProgramKind::Shell => true,
        ProgramKind::Python | ProgramKind::Other => false,
    };
    let mut scripts = Scripts { cwd, read: BTreeSet::new() };
    let line: Vec<_> = command.argv.iter().map(|word| word.to_string_lossy()).collect();
    let mut texts = vec![line.join("\n")];
    if is_shell {
        // A shell reads a script that may not be executed, too.
        let files = [Some(command.program.as_os_str()), command.argv.get(1).map(AsRef::as_ref)];
        texts.extend(files.into_iter().flatten().filter_map(|file| scripts.read(&cwd.join(file))));
    }
    let mut is_named = false;
    while let Some(text) = texts.pop() {
        if needs_plain_channel(&text) {
            return false;
        }
        for word in words(&text) {
            is_named |= is_runner(word);
            texts.extend(scripts.named(word));
        }
    }
    is_named
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|letter: char| letter.is_whitespace() || ";&|()<>'\"`=".contains(letter))
        .filter(|word| !word.is_empty())
}

fn base(word: &str) -> &str {
    word.rsplit('/').next().unwrap_or(word)
}

fn is_runner(word: &str) -> bool {
    let name = base(word);
    let name = [".js", ".cjs", ".mjs"].iter().find_map(|ending| name.strip_suffix(ending)).unwrap_or(name);
    package_runner_programs().any(|program| program == name)
}

/// Whether a script needs the channel at its usual place: the script uses it, a Node must not read files or gets other
/// options, or Bun uses it.
fn needs_plain_channel(text: &str) -> bool {
    let replaces_options = text.contains("NODE_OPTIONS=") && !text.contains("$NODE_OPTIONS");
    let replaces_options = replaces_options && !text.contains("${NODE_OPTIONS");
    replaces_options
        || text.contains("NODE_CHANNEL_FD")
        || words(text).any(|word| {
            matches!(word, "--permission" | "--experimental-permission")
                || matches!(base(word), "bun" | "bunx")
        })
}

fn has_script_ending(path: &Path) -> bool {
    path.extension() == Some(OsStr::new("sh"))
}

/// The scripts that a command line and other scripts name.
struct Scripts<'a> {
    cwd: &'a Path,
    read: BTreeSet<PathBuf>,
}

impl Scripts<'_> {
    /// The text of the script that this word names, if it is one that was not read yet.
    fn named(&mut self, word: &str) -> Option<String> {
        let is_script = has_script_ending(Path::new(word));
        if !is_script && !word.contains('/') {
            return None;
        }
        let path = self.cwd.join(word);
        let is_program = || matches!(program::at(path.clone()), Found::Executable(_));
        // A device is not even opened: that may have an effect.
        let exists = if is_script { regular_file::exists(&path).unwrap_or(false) } else { is_program() };
        if exists { self.read(&path) } else { None }
    }

    fn read(&mut self, path: &Path) -> Option<String> {
        if self.read.len() >= MAX_SCRIPTS || !self.read.insert(path.to_owned()) {
            return None;
        }
        let is_binary = !has_script_ending(path) && !head::is_text(path).ok()?;
        if is_binary { None } else { head::read_script(path).ok() }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _};

    use super::*;

    fn may_start(root: &Path, kind: ProgramKind, argv: &[&str]) -> bool {
        let command = Command {
            program: root.join(argv[0]),
            argv: argv.iter().map(Into::into).collect(),
            vars: Vec::new(),
            kind,
            takes_node_options: false,
            is_direct: true,
            reason: String::new(),
        };
        may_start_runner(&command, root)
    }

    #[test]
    fn a_package_runner_is_found_on_the_command_line_and_in_scripts() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        let file = |name: &str, mode: u32, text: &str| {
            fs::create_dir_all(root.join(name).parent().unwrap()).unwrap();
            fs::write(root.join(name), text).unwrap();
            fs::set_permissions(root.join(name), fs::Permissions::from_mode(mode)).unwrap();
        };
        file("start.sh", 0o644, "#!/bin/sh\nset -e\nexec npm start\n");
        file("outer.sh", 0o755, "#!/bin/sh\n. ./env.sh\n./bin/inner \"$@\"\n");
        file("bin/inner", 0o755, "#!/bin/sh\nexec \"$@\"\nyarn --silent start\n");
        file("plain", 0o644, "pnpm start\n");
        file("app.sh", 0o755, "#!/bin/sh\nexec node app.js\n");
        file("own.sh", 0o755, "npm ci\necho ready >&$NODE_CHANNEL_FD\n");
        file("other.sh", 0o755, "export NODE_OPTIONS=--max-old-space-size=99\nnpm start\n");
        file("more.sh", 0o755, "export NODE_OPTIONS=\"--no-warnings $NODE_OPTIONS\"\nnpm start\n");
        file("loop.sh", 0o755, "./loop.sh\nnpm start\n");
        file("binary", 0o755, "\x7fELF npm\0");
        let shell = |argv: &[&str]| may_start(root, ProgramKind::Shell, argv);
        let other = |argv: &[&str]| may_start(root, ProgramKind::Other, argv);
        assert!(shell(&["sh", "start.sh"]) && shell(&["start.sh"]) && shell(&["bash", "plain"]));
        assert!(shell(&["outer.sh"]), "a script that another one calls");
        assert!(shell(&["bash", "-c", "cd app && npm start"]) && shell(&["more.sh"]) && shell(&["loop.sh"]));
        assert!(other(&["tini", "--", "npm", "start"]) && other(&["dumb-init", "./start.sh"]));
        assert!(other(&["env", "A=1", "/usr/local/bin/npx", "serve"]));
        assert!(other(&["node", "/usr/lib/node_modules/npm/bin/npm-cli.js", "start"]));
        assert!(
            !shell(&["app.sh"]) && !shell(&["own.sh"]) && !shell(&["other.sh"]) && !other(&["binary", "x"])
        );
        assert!(!shell(&["sh", "-c", "npm ci && bun app.js"]));
        assert!(!shell(&["sh", "-c", "npm ci && node --permission app.js"]));
        assert!(!may_start(root, ProgramKind::PackageRunner, &["npm", "start"]));
    }
}
