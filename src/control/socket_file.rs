//! Takes a path for the socket of a supervisor, and removes the socket at the end.
//!
//! A lock file beside the socket shows whether its supervisor runs: the kernel releases the lock when the process
//! ends. So the socket of a running supervisor is never replaced, and a stale socket always is.

use std::{
    ffi::OsString,
    fmt,
    fs::{self, DirBuilder, File, OpenOptions, Permissions},
    io,
    os::unix::{
        fs::{DirBuilderExt, FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt},
        net::{SocketAddr, UnixListener},
    },
    path::{Path, PathBuf},
};

use nix::{fcntl::OFlag, unistd::geteuid};

use super::socket_paths::{Name, SocketPaths};
use crate::sys::lock::FileLock;

/// The maximum number of sockets for one process id in a shared directory.
const MAX_SOCKETS_PER_PID: u32 = 64;

/// A socket that this process owns. Dropping it removes the files.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    _lock: Lock,
}

/// A lock file. Dropping it removes the file while it is locked, so that no other process can lock the same file in
/// between.
#[derive(Debug)]
struct Lock {
    path: PathBuf,
    _file: FileLock,
}

/// Why there is no control socket.
#[derive(Debug)]
pub enum SocketError {
    /// A running supervisor uses the socket.
    Taken(PathBuf),
    /// No path could be used, each for this reason.
    NoDirectory(Vec<(PathBuf, io::Error)>),
}

impl fmt::Display for SocketError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Taken(path) => write!(f, "another supervisor uses the control socket {}", path.display()),
            Self::NoDirectory(tried) => {
                f.write_str("no directory can hold the control socket")?;
                for (number, (path, error)) in tried.iter().enumerate() {
                    let separator = if number == 0 { ": " } else { "; " };
                    write!(f, "{separator}{}: {error}", path.display())?;
                }
                Ok(())
            }
        }
    }
}

impl std::error::Error for SocketError {}

impl SocketFile {
    /// Takes the first usable path and listens there.
    ///
    /// # Errors
    ///
    /// [`SocketError::Taken`] if a running supervisor uses the socket with this name.
    pub fn take(paths: &SocketPaths, name: Name) -> Result<(Self, UnixListener), SocketError> {
        match paths {
            SocketPaths::Socket(path) => match Self::at(path.clone()) {
                Ok(Some(socket)) => Ok(socket),
                Ok(None) => Err(SocketError::Taken(path.clone())),
                Err(error) => Err(SocketError::NoDirectory(vec![(path.clone(), error)])),
            },
            SocketPaths::Directories(directories) => {
                let mut tried = Vec::new();
                for directory in directories {
                    match in_directory(directory, name) {
                        Ok(Some(socket)) => return Ok(socket),
                        Ok(None) => return Err(SocketError::Taken(directory.join(name.file(0)))),
                        Err(error) => tried.push((directory.clone(), error)),
                    }
                }
                Err(SocketError::NoDirectory(tried))
            }
        }
    }

    /// The path of the socket.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// `None`: a running supervisor uses the socket.
    fn at(path: PathBuf) -> io::Result<Option<(Self, UnixListener)>> {
        let Some(lock) = Lock::of(&path)? else { return Ok(None) };
        match fs::symlink_metadata(&path) {
            // The supervisor of this socket has ended: otherwise it would hold the lock.
            Ok(found) if found.file_type().is_socket() => fs::remove_file(&path)?,
            Ok(_) => {
                return Err(io::Error::new(
                    io::ErrorKind::AlreadyExists,
                    "the path exists and is not a socket",
                ));
            }
            Err(_) => {}
        }
        // The kernel accepts only shorter paths; no client could connect to this one.
        SocketAddr::from_pathname(&path).map_err(|_| {
            let length = path.as_os_str().len();
            let message = format!("a socket's path has at most 107 bytes, {} has {length}", path.display());
            io::Error::new(io::ErrorKind::InvalidInput, message)
        })?;
        // The socket gets its final name after listen(2), so a client that finds it is not refused.
        let new = path.with_extension("new");
        let _ = fs::remove_file(&new);
        let listener = UnixListener::bind(&new)?;
        let moved = fs::set_permissions(&new, Permissions::from_mode(0o600))
            .and_then(|()| listener.set_nonblocking(true))
            .and_then(|()| fs::rename(&new, &path));
        if let Err(error) = moved {
            let _ = fs::remove_file(&new);
            return Err(error);
        }
        let socket = Self { path, _lock: lock };
        Ok(Some((socket, listener)))
    }
}

/// A lock that a command holds while it starts a supervisor. A second command waits, and finds that supervisor.
#[derive(Debug)]
pub struct StartLock {
    _lock: FileLock,
}

impl StartLock {
    /// Waits until the path is free.
    ///
    /// # Errors
    /// No directory is usable for a socket.
    pub fn wait(paths: &SocketPaths) -> Result<Self, SocketError> {
        let mut tried = Vec::new();
        let locks: Vec<PathBuf> = match paths {
            SocketPaths::Socket(path) => vec![path.with_extension("start")],
            SocketPaths::Directories(directories) => {
                directories.iter().map(|directory| directory.join("start")).collect()
            }
        };
        for path in locks {
            let directory = path.parent().unwrap_or(Path::new("/"));
            let lock = match paths {
                SocketPaths::Socket(_) => Ok(()),
                SocketPaths::Directories(_) => own_directory(directory),
            }
            .and_then(|()| open_lock(&path))
            .and_then(FileLock::wait);
            match lock {
                Ok(lock) => return Ok(Self { _lock: lock }),
                Err(error) => tried.push((path, error)),
            }
        }
        Err(SocketError::NoDirectory(tried))
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

impl Lock {
    /// Locks the lock file of a socket. `None`: another process holds the lock.
    fn of(socket: &Path) -> io::Result<Option<Self>> {
        let path = socket.with_extension("lock");
        loop {
            let Some(lock) = FileLock::take(open_lock(&path)?)? else { return Ok(None) };
            let socket = lock.file().metadata()?;
            // A lock on a removed file has no effect.
            match fs::symlink_metadata(&path) {
                Ok(there) if (there.dev(), there.ino()) == (socket.dev(), socket.ino()) => {
                    return Ok(Some(Self { path, _file: lock }));
                }
                _ => {}
            }
        }
    }
}

fn open_lock(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags((OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits())
        .open(path)
}

impl Drop for Lock {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

fn in_directory(directory: &Path, name: Name) -> io::Result<Option<(SocketFile, UnixListener)>> {
    own_directory(directory)?;
    remove_stale(directory);
    let max = if name == Name::Default { 1 } else { MAX_SOCKETS_PER_PID };
    for again in 0..max {
        if let Some(socket) = SocketFile::at(directory.join(name.file(again)))? {
            return Ok(Some(socket));
        }
    }
    Ok(None)
}

/// Creates the directory if it does not exist, and checks that only this user can write to it: in a directory that
/// others can write to, a socket could belong to any user.
///
/// # Errors
///
/// The directory belongs to another user, is writable for others, or cannot be created.
pub fn own_directory(directory: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    let found = fs::symlink_metadata(directory)?;
    if found.is_symlink() {
        let message = "a symbolic link: name the directory itself";
        return Err(io::Error::new(io::ErrorKind::NotADirectory, message));
    }
    if !found.is_dir() {
        return Err(io::Error::new(io::ErrorKind::NotADirectory, "not a directory"));
    }
    if found.uid() != geteuid().as_raw() {
        let message = format!("the directory belongs to user {}", found.uid());
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, message));
    }
    // A shared directory such as `/tmp` keeps its permissions.
    let (is_sticky, is_shared) = (found.mode() & 0o1000 != 0, found.mode() & 0o022 != 0);
    let is_empty = || fs::read_dir(directory).is_ok_and(|mut entries| entries.next().is_none());
    if found.mode() & 0o077 != 0 && !is_sticky && is_empty() {
        fs::set_permissions(directory, Permissions::from_mode(0o700))?;
    } else if is_shared {
        let mode = found.mode() & 0o7777;
        let message = format!("other users can write to it (mode {mode:o}): name a new directory in it");
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, message));
    }
    Ok(())
}

/// Removes the files of supervisors that were killed.
fn remove_stale(directory: &Path) {
    let Ok(entries) = fs::read_dir(directory) else { return };
    for entry in entries.flatten() {
        let is_numbered = entry.file_name().as_encoded_bytes().first().is_some_and(u8::is_ascii_digit);
        if !is_numbered || !Name::is_socket(&entry.file_name()) {
            continue;
        }
        let path = entry.path();
        if let Ok(Some(lock)) = Lock::of(&path) {
            drop(SocketFile { path, _lock: lock });
        }
    }
}

/// The sockets of a directory, with or without a listener, in the order of their names.
pub(super) fn sockets_in(directory: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    let names = entries.flatten().map(|entry| entry.file_name());
    let mut names: Vec<OsString> = names.filter(|name| Name::is_socket(name)).collect();
    names.sort_unstable();
    names.into_iter().map(|name| directory.join(name)).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn an_active_socket_stays_and_a_stale_one_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path().join("a/b");
        let paths = SocketPaths::Directories(vec![home.clone()]);
        let (socket, listener) = SocketFile::take(&paths, Name::Default).unwrap();
        assert_eq!(socket.path(), home.join("procrun.sock"));
        assert_eq!(fs::metadata(&home).unwrap().mode() & 0o777, 0o700);
        assert_eq!(fs::metadata(socket.path()).unwrap().mode() & 0o777, 0o600);
        assert!(matches!(SocketFile::take(&paths, Name::Default), Err(SocketError::Taken(_))));
        UnixStream::connect(socket.path()).unwrap();

        let path = socket.path().to_owned();
        drop((socket, listener));
        assert_eq!(fs::read_dir(&home).unwrap().count(), 0, "nothing is left");
        // As a supervisor that was killed leaves it.
        drop(UnixListener::bind(&path).unwrap());
        fs::write(path.with_extension("lock"), "").unwrap();
        let (socket, _listener) = SocketFile::take(&paths, Name::Default).unwrap();
        UnixStream::connect(socket.path()).unwrap();
    }

    #[test]
    fn a_directory_with_another_use_keeps_its_mode() {
        let dir = tempfile::tempdir().unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o7777;
        for (name, before, holds, after) in [
            ("shared", 0o1777, false, Err("other users can write to it (mode 1777)")),
            ("team", 0o775, true, Err("other users can write to it (mode 775)")),
            ("app", 0o755, true, Ok(0o755)),
            ("new", 0o777, false, Ok(0o700)),
        ] {
            let path = dir.path().join(name);
            fs::create_dir(&path).unwrap();
            if holds {
                fs::write(path.join("app.js"), "").unwrap();
            }
            fs::set_permissions(&path, Permissions::from_mode(before)).unwrap();
            match (SocketFile::take(&SocketPaths::Directories(vec![path.clone()]), Name::Default), after) {
                (Ok(_), Ok(after)) => assert_eq!(mode(&path), after, "{name}"),
                (Err(refusal), Err(why)) => {
                    assert!(refusal.to_string().contains(why), "{refusal}");
                    assert_eq!(mode(&path), before, "{name}");
                }
                (socket, after) => panic!("{name}: {socket:?} instead of {after:?}"),
            }
        }
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(dir.path().join("new"), &link).unwrap();
        let refusal = SocketFile::take(&SocketPaths::Directories(vec![link]), Name::Default).unwrap_err();
        assert!(refusal.to_string().contains("symbolic link"), "{refusal}");
    }

    #[test]
    fn a_path_without_access_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        // `sun_path` has 108 bytes, so a path has at most 107; the one with `.new` would still fit.
        let stem = "x".repeat(108 - ".sock".len() - dir.path().as_os_str().len() - 1);
        let longest = |stem: &str| SocketPaths::Socket(dir.path().join(format!("{stem}.sock")));
        assert!(matches!(SocketFile::take(&longest(&stem), Name::Default), Err(SocketError::NoDirectory(_))));
        let (socket, _listener) = SocketFile::take(&longest(&stem[1..]), Name::Default).unwrap();
        UnixStream::connect(socket.path()).unwrap();
    }

    #[test]
    fn a_process_id_may_repeat_and_stale_sockets_are_removed() {
        let dir = tempfile::tempdir().unwrap();
        let paths = SocketPaths::Directories(vec![dir.path().to_owned()]);
        drop(UnixListener::bind(dir.path().join("99.sock")).unwrap());
        let (first, _one) = SocketFile::take(&paths, Name::Pid(1)).unwrap();
        let (second, _two) = SocketFile::take(&paths, Name::Pid(1)).unwrap();
        assert_eq!(first.path().file_name().unwrap(), "1.sock");
        assert_eq!(second.path().file_name().unwrap(), "1-1.sock");
        assert_eq!(sockets_in(dir.path()), [second.path(), first.path()]);
    }

    #[test]
    fn a_directory_of_others_and_an_existing_file_are_errors() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "mine").unwrap();
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(dir.path(), &link).unwrap();
        let paths = SocketPaths::Directories(vec![file.clone(), link, dir.path().join("ok")]);
        let (socket, _listener) = SocketFile::take(&paths, Name::Default).unwrap();
        assert!(socket.path().starts_with(dir.path().join("ok")));
        let refused = SocketFile::take(&SocketPaths::Socket(file.clone()), Name::Default).unwrap_err();
        assert!(refused.to_string().contains("not a socket"), "{refused}");
        assert_eq!(fs::read_to_string(file).unwrap(), "mine");
    }
}
