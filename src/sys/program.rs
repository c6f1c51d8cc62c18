//! Looking for programs: in `PATH`, by their mode bits and first bytes.

use std::{
    ffi::OsStr,
    fs::File,
    io::{self, Read},
    os::unix::{ffi::OsStrExt, fs::PermissionsExt},
    path::{Path, PathBuf},
};

/// Where a program without a slash is looked for when `PATH` is not set (execvp(3)).
const DEFAULT_PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// What a search for a program found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// A regular file that may be executed.
    Executable(PathBuf),
    /// A file of this name that may not be executed, and none that may.
    NotExecutable(PathBuf),
    /// Nothing of this name.
    Missing,
}

/// What the first bytes of a file say of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// An ELF binary.
    Elf,
    /// A script that names its interpreter; empty when the line names none.
    Shebang(PathBuf),
    /// Anything else.
    Other,
}

/// Looks for `name` as a shell would: with a slash relative to `cwd`, otherwise in the folders of
/// `path` (execvp(3)).
pub fn find(name: &OsStr, cwd: &Path, path: Option<&OsStr>) -> Found {
    if name.as_bytes().contains(&b'/') {
        return at(cwd.join(name));
    }
    let mut refused = None;
    for folder in std::env::split_paths(path.unwrap_or(OsStr::new(DEFAULT_PATH))) {
        match at(cwd.join(folder).join(name)) {
            Found::Executable(found) => return Found::Executable(found),
            Found::NotExecutable(found) => refused = refused.or(Some(found)),
            Found::Missing => {}
        }
    }
    refused.map_or(Found::Missing, Found::NotExecutable)
}

/// Whether this very file can be executed.
pub fn at(path: PathBuf) -> Found {
    match path.metadata() {
        Ok(meta) if meta.is_file() && meta.permissions().mode() & 0o111 != 0 => Found::Executable(path),
        Ok(_) => Found::NotExecutable(path),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Found::NotExecutable(path),
        Err(_) => Found::Missing,
    }
}

/// Reads what kind of file it is from its first bytes.
///
/// # Errors
/// What open(2) or read(2) say.
pub fn kind(path: &Path) -> io::Result<Kind> {
    let mut first = [0; 256];
    let mut file = File::open(path)?;
    let mut have = 0;
    while have < first.len() {
        match file.read(&mut first[have..])? {
            0 => break,
            n => have += n,
        }
    }
    let first = &first[..have];
    if first.starts_with(b"\x7fELF") {
        return Ok(Kind::Elf);
    }
    let Some(line) = first.strip_prefix(b"#!") else { return Ok(Kind::Other) };
    let line = line.split(|byte| *byte == b'\n').next().unwrap_or_default().trim_ascii();
    let interpreter = line.split(|byte| *byte == b' ' || *byte == b'\t').next().unwrap_or_default();
    Ok(Kind::Shebang(PathBuf::from(OsStr::from_bytes(interpreter))))
}
