//! What a TARGET is: an ecosystem file by its name, else a script or a program.

use std::{
    ffi::{OsStr, OsString},
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
};

use super::{
    file, foreign,
    path::resolve,
    problem::{EX_CONFIG, EX_USAGE, Problem, Problems},
};
use crate::{program, spec::ExitCode};

/// As shells and container runtimes answer for a program that is not there.
const NOT_FOUND: ExitCode = 127;
/// And for one that is there but cannot be executed.
const NOT_EXECUTABLE: ExitCode = 126;

/// How an ecosystem file is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Toml,
    Json,
    Yaml,
    /// JavaScript or TypeScript: evaluated by a child.
    Script,
}

/// What is to be run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Target {
    /// An ecosystem file, absolute.
    File { path: PathBuf, format: Format },
    /// A script, a program or a shell line, as an app's `script` would say it.
    Script(String),
    /// The text of an ecosystem file that is no file: from stdin, or made by a command.
    Text { text: String, format: Format },
    /// Nothing: applications come by commands.
    Nothing,
}

/// The target that means an ecosystem file on stdin.
pub const STDIN: &str = "-";

/// The file names that are ecosystem files, by how they end.
const ENDINGS: [(&str, Format); 12] = [
    (".toml", Format::Toml),
    (".json", Format::Json),
    (".jsonc", Format::Json),
    (".json5", Format::Json),
    (".yml", Format::Yaml),
    (".yaml", Format::Yaml),
    (".config.js", Format::Script),
    (".config.cjs", Format::Script),
    (".config.mjs", Format::Script),
    (".config.ts", Format::Script),
    (".config.cts", Format::Script),
    (".config.mts", Format::Script),
];

pub(super) fn format_of(target: &OsStr) -> Option<Format> {
    let name = target.as_bytes();
    ENDINGS.iter().find(|(ending, _)| name.ends_with(ending.as_bytes())).map(|&(_, format)| format)
}

/// How the text of a file is read that has no name: by the first thing in it that is no comment.
pub(super) fn format_of_text(text: &str) -> Format {
    let mut rest = text.trim_start();
    while rest.starts_with(['#', '/']) {
        rest = match rest.strip_prefix("/*") {
            Some(comment) => comment.split_once("*/").map_or("", |(_, rest)| rest),
            None => rest.split_once('\n').map_or("", |(_, rest)| rest),
        }
        .trim_start();
    }
    let line = rest.lines().next().unwrap_or_default();
    let is_list = |rest: &str| rest.trim_start().starts_with(['{', ']', '/']);
    match rest.chars().next() {
        None | Some('{') => Format::Json,
        Some('[') if is_list(&rest[1..]) => Format::Json,
        Some('-') => Format::Yaml,
        _ if line.contains('=') || line.starts_with('[') => Format::Toml,
        _ if line.contains(':') => Format::Yaml,
        _ => Format::Toml,
    }
}

/// Finds out what `target` is. A program is looked for in the app's working directory, then in
/// the caller's, then, if it has no slash, in `PATH`.
pub(super) fn classify(
    target: &OsStr,
    cwd: &Path,
    app_cwd: &Path,
    path: Option<&OsString>,
) -> Result<Target, Problems> {
    if target == STDIN {
        let text = file::stdin().map_err(|unreadable| {
            let problem = Problem::new(format!("stdin {}", unreadable.why));
            let hint = unreadable.hint.map(str::to_owned);
            Problems::one(EX_CONFIG, Problem { hint, ..problem })
        })?;
        let format = format_of_text(&text);
        return Ok(Target::Text { text, format });
    }
    if let Some(format) = format_of(target) {
        return Ok(Target::File { path: resolve(cwd, Path::new(target)), format });
    }
    let Some(script) = target.to_str() else {
        let name = target.to_string_lossy();
        return Err(Problems::one(EX_USAGE, Problem::new(format!("the name `{name}` is not UTF-8"))));
    };
    if script.trim().is_empty() {
        return Err(Problems::one(EX_USAGE, Problem::new("the TARGET is empty")));
    }
    if let Some(refused) = foreign::refused(script, &resolve(cwd, Path::new(script))) {
        return Err(refused);
    }
    for directory in [app_cwd, cwd] {
        let candidate = directory.join(script);
        match std::fs::metadata(&candidate) {
            Ok(metadata) if metadata.is_dir() => {
                // `procrun test` with a directory `test` beside it can still mean the program.
                if script.contains('/') || find_in_path(script, path).is_err() {
                    return directory_target(script, &resolve(directory, Path::new(script)));
                }
            }
            Ok(_) if directory == app_cwd => return Ok(Target::Script(script.to_owned())),
            Ok(_) => return Ok(Target::Script(candidate.to_string_lossy().into_owned())),
            Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
                return Err(cannot_run(script, "permission denied"));
            }
            Err(_) => {}
        }
    }
    if script.contains(' ') {
        return Ok(Target::Script(script.to_owned()));
    }
    if script.contains('/') {
        return Err(not_found(script, &format!("no such file in {}", app_cwd.display())));
    }
    find_in_path(script, path).map(Target::Script)
}

/// A directory runs by its main file, as Node runs it.
fn directory_target(name: &str, directory: &Path) -> Result<Target, Problems> {
    if program::main_of(directory).is_some() {
        return Ok(Target::Script(directory.to_string_lossy().into_owned()));
    }
    let file = ENDINGS.iter().map(|(ending, _)| format!("ecosystem{ending}"));
    let hint = match file.into_iter().find(|file| directory.join(file).is_file()) {
        Some(file) => format!("`procrun {}` runs its ecosystem file", Path::new(name).join(file).display()),
        None => {
            "name the file in it; a directory runs by `main` in its package.json or its index.js".to_owned()
        }
    };
    let problem = Problem::new(format!("`{name}` cannot be run: is a directory"));
    Err(Problems::one(NOT_EXECUTABLE, problem.hint(hint)))
}

/// The first executable of that name, as a shell would find it.
pub(super) fn find_in_path(name: &str, path: Option<&OsString>) -> Result<String, Problems> {
    let mut forbidden = None;
    for directory in
        std::env::split_paths(path.map_or(OsStr::new("/usr/local/bin:/usr/bin:/bin"), |path| path))
    {
        let candidate = directory.join(name);
        if !candidate.is_file() || !candidate.is_absolute() {
            continue;
        }
        match nix::unistd::access(&candidate, nix::unistd::AccessFlags::X_OK) {
            Ok(()) => {
                if let Some(path) = candidate.to_str() {
                    return Ok(path.to_owned());
                }
            }
            Err(_) => forbidden = forbidden.or(Some(candidate)),
        }
    }
    Err(match forbidden {
        Some(candidate) => cannot_run(&candidate.to_string_lossy(), "is not executable"),
        None => not_found(name, "no such file here, and no such program in PATH"),
    })
}

fn not_found(name: &str, why: &str) -> Problems {
    Problems::one(NOT_FOUND, Problem::new(format!("`{name}` not found: {why}")))
}

fn cannot_run(name: &str, why: &str) -> Problems {
    Problems::one(NOT_EXECUTABLE, Problem::new(format!("`{name}` cannot be run: {why}")))
}

/// The arguments after `--`; an app's `args` are text.
pub(super) fn utf8_arguments(args: Vec<OsString>) -> Result<Vec<String>, Problems> {
    args.into_iter()
        .map(|arg| {
            arg.into_string().map_err(|arg| {
                let problem = Problem::new(format!("the argument `{}` is not UTF-8", arg.to_string_lossy()));
                Problems::one(EX_USAGE, problem)
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn the_format_of_a_text_is_told_by_its_beginning() {
        for (text, format) in [
            ("{\"apps\": []}", Format::Json),
            ("// PM2\n/* x */ [ {\"script\": \"a\"}]", Format::Json),
            ("", Format::Json),
            ("# one\n[[apps]]\nscript = \"a\"", Format::Toml),
            ("log_format = \"raw\"\n", Format::Toml),
            ("[apps]\n", Format::Toml),
            ("apps:\n  - script: a=b\n", Format::Yaml),
            ("- script: a\n", Format::Yaml),
        ] {
            assert_eq!(format_of_text(text), format, "{text}");
        }
    }

    #[test]
    fn targets_are_told_apart() {
        let dir = tempfile::tempdir().unwrap();
        let (cwd, bin) = (dir.path().join("cwd"), dir.path().join("bin"));
        std::fs::create_dir_all(cwd.join("sub")).unwrap();
        std::fs::create_dir_all(&bin).unwrap();
        for file in [cwd.join("app.js"), bin.join("npm"), bin.join("plain"), cwd.join("sub/x.sh")] {
            std::fs::write(&file, "").unwrap();
        }
        std::fs::create_dir_all(cwd.join("module")).unwrap();
        std::fs::write(cwd.join("module/index.js"), "").unwrap();
        std::fs::set_permissions(bin.join("npm"), std::fs::Permissions::from_mode(0o755)).unwrap();
        std::fs::set_permissions(bin.join("plain"), std::fs::Permissions::from_mode(0o644)).unwrap();
        let path = OsString::from(&bin);
        let find = |target: &str| classify(OsStr::new(target), &cwd, &cwd, Some(&path));
        let code = |target: &str| find(target).unwrap_err().exit_code();

        for (name, format) in [
            ("x.toml", Format::Toml),
            ("none/x.json", Format::Json),
            ("x.yml", Format::Yaml),
            ("ecosystem.config.js", Format::Script),
            ("ecosystem.config.ts", Format::Script),
        ] {
            assert_eq!(find(name), Ok(Target::File { path: cwd.join(name), format }));
        }
        assert_eq!(find("app.js"), Ok(Target::Script("app.js".into())));
        assert_eq!(find("./sub/x.sh"), Ok(Target::Script("./sub/x.sh".into())));
        assert_eq!(find("npm"), Ok(Target::Script(bin.join("npm").to_str().unwrap().into())));
        assert_eq!(find("echo hi"), Ok(Target::Script("echo hi".into())));
        for directory in ["module", "module/", "./module"] {
            let path = cwd.join("module").to_str().unwrap().into();
            assert_eq!(find(directory), Ok(Target::Script(path)), "its name gives the app one");
        }
        assert_eq!(code("none"), 127);
        assert_eq!(code("./none"), 127);
        assert_eq!(code("none.js"), 127);
        assert_eq!(code("plain"), 126);
        assert_eq!(code("sub"), 126);
        assert_eq!(code("./sub"), 126);
        assert_eq!(code(""), 64);
    }
}
