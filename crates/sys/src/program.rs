//! Searches for programs by `PATH` and mode bits.

use std::{
    ffi::OsStr,
    io,
    os::unix::{ffi::OsStrExt, fs::PermissionsExt},
    path::{Path, PathBuf},
};

use nix::errno::Errno;

use super::shortage::is_file_shortage;

/// The search path when `PATH` is not set (execvp(3)).
const DEFAULT_PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// The result of a search for a program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// A regular file that can be executed.
    Executable(PathBuf),
    /// A file with this name that cannot be executed; there is no other one.
    NotExecutable(PathBuf),
    /// No file has this name.
    Missing,
    /// Unknown: a file system fails with this error at this path.
    Unknown(PathBuf, Errno),
}

/// Searches for `name` like a shell: relative to `cwd` if it contains a slash, otherwise in the directories of `path`
/// (execvp(3)).
pub fn find(name: &OsStr, cwd: &Path, path: Option<&OsStr>) -> Found {
    if name.as_bytes().contains(&b'/') {
        return at(cwd.join(name));
    }
    let (mut refused, mut unknown) = (None, None);
    for folder in std::env::split_paths(path.unwrap_or(OsStr::new(DEFAULT_PATH))) {
        match at(cwd.join(folder).join(name)) {
            Found::Executable(found) => return Found::Executable(found),
            // A directory that may not be searched has no effect.
            Found::NotExecutable(found) if found.exists() => refused = refused.or(Some(found)),
            Found::NotExecutable(_) | Found::Missing => {}
            Found::Unknown(path, errno) => unknown = unknown.or(Some(Found::Unknown(path, errno))),
        }
    }
    if let Some(unknown) = unknown {
        return unknown;
    }
    refused.map_or(Found::Missing, Found::NotExecutable)
}

/// Whether exactly this file can be executed.
pub fn at(path: PathBuf) -> Found {
    match path.metadata() {
        Ok(meta) if meta.is_file() && meta.permissions().mode() & 0o111 != 0 => Found::Executable(path),
        Ok(_) => Found::NotExecutable(path),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Found::NotExecutable(path),
        Err(error) if is_file_shortage(&error) => {
            Found::Unknown(path, error.raw_os_error().map_or(Errno::EIO, Errno::from_raw))
        }
        Err(_) => Found::Missing,
    }
}
