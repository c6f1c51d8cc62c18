//! The kind of an interpreter: by its names, its links and the package it belongs to.

use std::{
    ffi::OsStr,
    fs, io,
    path::{Path, PathBuf},
};

use super::{
    failure::Failure,
    head::{self, Content},
    package::{self, Package},
    shebang::{RequestedProgram, Shebang},
    shim::Shim,
};
use crate::{
    spec::{PACKAGE_RUNNERS, ProgramKind},
    sys::regular_file::known,
};

/// Maximum number of links; more lead in a cycle.
const MAX_LINKS: usize = 16;

/// A Node program that is executed directly, by its package.
#[derive(Debug)]
pub(super) enum NodeTool {
    /// tsx: it starts Node with a loader.
    Tsx(PathBuf, Package),
    /// ts-node: it runs the script in its own process, unless it is configured to load modules.
    TsNode,
    /// The program runs the program of its arguments in a child.
    Runner,
    /// Any other program.
    Other,
}

/// The kind of an interpreter by the name of its file.
pub(super) fn by_name(path: &Path) -> Option<ProgramKind> {
    let name = path.file_name()?.to_str()?;
    let stem = name.trim_end_matches(|letter: char| letter.is_ascii_digit() || "-.".contains(letter));
    match stem {
        "nodejs" => Some(ProgramKind::Node),
        "bun" => Some(ProgramKind::Bun),
        "python" | "pypy" => Some(ProgramKind::Python),
        "sh" | "bash" | "dash" | "zsh" | "ksh" | "mksh" | "ash" | "fish" | "busybox" => {
            Some(ProgramKind::Shell)
        }
        // PM2's rule, which also fits `my-node`; but `ts-node` is a program for Node.
        _ if stem.ends_with("node") && !stem.ends_with("ts-node") && stem != "babel-node" => {
            Some(ProgramKind::Node)
        }
        _ => None,
    }
}

/// As [`by_name`] for every name on the way to the file itself: `node20` may be a link to `.../bin/node`.
pub(super) fn by_names(path: &Path) -> Option<ProgramKind> {
    let mut path = path.to_owned();
    for _ in 0..MAX_LINKS {
        if let Some(kind) = by_name(&path) {
            return Some(kind);
        }
        let target = fs::read_link(&path).ok()?;
        path = path.parent().unwrap_or(Path::new("/")).join(target);
    }
    None
}

/// The kind of a JavaScript file that is executed directly.
///
/// # Errors
/// A file system fails, or the kernel lacks memory or descriptors.
pub(super) fn tool(file: &Path) -> Result<NodeTool, Failure> {
    let package = known(fs::canonicalize(file)).and_then(|file| match file {
        Some(file) => package::of(&file),
        None => Ok(None),
    });
    let Some((directory, package)) = package.map_err(|error| Failure::of_file(file, &error))? else {
        return Ok(NodeTool::Other);
    };
    let name = package.name.as_ref().and_then(serde_json::Value::as_str).unwrap_or_default();
    Ok(match name {
        "tsx" => NodeTool::Tsx(directory, package),
        "ts-node" => NodeTool::TsNode,
        _ if PACKAGE_RUNNERS.contains(&name) => NodeTool::Runner,
        _ => NodeTool::Other,
    })
}

/// The interpreter of a file, according to its content.
#[derive(Debug)]
pub(super) enum FileKind {
    /// JavaScript: the program of its `#!` line, or no program. As under PM2, any text without a `#!` line is
    /// JavaScript.
    JavaScript(RequestedProgram),
    /// A shim that makes Node run another file.
    Shim(Shim),
    /// Another interpreter, according to the `#!` line.
    Script(Shebang, ProgramKind),
    /// A binary, or a file that cannot be read.
    Binary,
}

/// Reads the first bytes of a file.
///
/// # Errors
/// A file system fails, or the kernel lacks memory or descriptors.
pub(super) fn file_kind(file: &Path) -> Result<FileKind, Failure> {
    let unknown = |error: io::Error| Failure::of_file(file, &error);
    let Some(head) = known(head::read(file)).map_err(unknown)? else { return Ok(FileKind::Binary) };
    Ok(match Content::of(&head) {
        Content::Elf | Content::Binary => FileKind::Binary,
        Content::Text => FileKind::JavaScript(RequestedProgram::default()),
        Content::Script(shebang) => {
            let kind = by_names(Path::new(&shebang.requested.program)).unwrap_or_default();
            match kind {
                ProgramKind::Node | ProgramKind::Bun => FileKind::JavaScript(shebang.requested),
                ProgramKind::Shell => {
                    Shim::read(file).map_err(unknown)?.map_or(FileKind::Script(shebang, kind), FileKind::Shim)
                }
                ProgramKind::PackageRunner | ProgramKind::Python | ProgramKind::Other => {
                    FileKind::Script(shebang, kind)
                }
            }
        }
    })
}

/// The name of a file without its directories, for messages.
pub(super) fn base(path: &Path) -> &OsStr {
    path.file_name().unwrap_or(path.as_os_str())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn an_interpreter_is_recognised_by_its_name() {
        for (name, kind) in [
            ("node", Some(ProgramKind::Node)),
            ("/usr/bin/nodejs", Some(ProgramKind::Node)),
            ("/opt/node-22.1.0", Some(ProgramKind::Node)),
            ("my-node", Some(ProgramKind::Node)),
            ("bun", Some(ProgramKind::Bun)),
            ("python3.11", Some(ProgramKind::Python)),
            ("/bin/bash", Some(ProgramKind::Shell)),
            ("node_modules/.bin/ts-node", None),
            ("tsx", None),
            ("ruby", None),
        ] {
            assert_eq!(by_name(Path::new(name)), kind, "{name}");
        }
    }

    #[test]
    fn a_link_is_recognised_by_the_names_on_its_way() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        fs::write(at("node"), "").unwrap();
        symlink("node", at("current")).unwrap();
        symlink(at("current"), at("runtime")).unwrap();
        symlink("loop", at("loop")).unwrap();
        assert_eq!(by_names(&at("runtime")), Some(ProgramKind::Node));
        assert_eq!(by_names(&at("loop")), None);
    }
}
