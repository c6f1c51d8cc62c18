//! Reads files that another user can replace.
//!
//! A check of the type of a path proves nothing about the file that is opened afterwards: its owner can put a FIFO
//! there in between, and opening or reading that can block forever. So the file is opened first, with `O_NONBLOCK`,
//! and then the descriptor is checked.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

use nix::fcntl::OFlag;

use super::shortage::is_file_shortage;

/// The size of the buffer for the first read of a file, in bytes.
const FIRST_READ: usize = 4096;

/// Opens a regular file for reading. Blocks only on the file system.
///
/// # Errors
///
/// The error of open(2); `IsADirectory` for a directory, `InvalidInput` for any other file that is not a regular
/// file.
pub fn open(path: &Path) -> io::Result<File> {
    // With `O_NONBLOCK` a FIFO opens without a writer; with `O_NOCTTY` a terminal does not become the controlling
    // one.
    let flags = OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    let file = OpenOptions::new().read(true).custom_flags(flags.bits()).open(path)?;
    let found = file.metadata()?;
    if found.is_dir() {
        Err(io::ErrorKind::IsADirectory.into())
    } else if found.is_file() {
        Ok(file)
    } else {
        Err(io::Error::new(io::ErrorKind::InvalidInput, "is not a regular file"))
    }
}

/// Reads the first `limit` bytes of a regular file.
///
/// # Errors
///
/// As [`open`], and the error of read(2).
pub fn read_start(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let room = usize::try_from(limit).unwrap_or(usize::MAX).min(FIRST_READ);
    let mut bytes = Vec::with_capacity(room);
    open(path)?.take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Whether the path is a regular file.
///
/// # Errors
///
/// A file system fails, or the kernel lacks memory: the answer is unknown at the moment.
pub fn exists(path: &Path) -> io::Result<bool> {
    known(path.metadata().map(|found| found.is_file())).map(Option::unwrap_or_default)
}

/// The result of a look-up. `None`: the file is missing, or procrun cannot use it.
///
/// # Errors
///
/// A shortage: the same look-up may succeed later ([`is_file_shortage`]).
pub fn known<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(error) if is_file_shortage(&error) => Err(error),
        Err(_) => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_known_to_be_missing_unless_its_file_system_fails() {
        let failed = |errno| known::<()>(Err(io::Error::from_raw_os_error(errno)));
        assert_eq!(known(Ok(1)).unwrap(), Some(1));
        for errno in [nix::libc::ENOENT, nix::libc::EACCES, nix::libc::ENOTDIR] {
            assert_eq!(failed(errno).unwrap(), None, "{errno}");
        }
        for errno in [nix::libc::EIO, nix::libc::EMFILE, nix::libc::ENOMEM, nix::libc::ENOTCONN] {
            assert_eq!(failed(errno).unwrap_err().raw_os_error(), Some(errno));
        }
        assert!(exists(Path::new("/proc/self/status")).unwrap());
        assert!(!exists(Path::new("/proc")).unwrap() && !exists(Path::new("/proc/none")).unwrap());
    }

    #[test]
    fn only_regular_files_are_read_and_only_their_start() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        nix::unistd::mkfifo(&at("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        std::fs::write(at("file"), "0123456789").unwrap();
        std::os::unix::fs::symlink("file", at("link")).unwrap();
        let kind = |path: &Path| read_start(path, 4).map_err(|error| error.kind());
        assert_eq!(kind(&at("fifo")), Err(io::ErrorKind::InvalidInput));
        assert_eq!(kind(Path::new("/dev/zero")), Err(io::ErrorKind::InvalidInput));
        assert_eq!(kind(directory.path()), Err(io::ErrorKind::IsADirectory));
        assert_eq!(kind(&at("none")), Err(io::ErrorKind::NotFound));
        assert_eq!(kind(&at("file")).unwrap(), b"0123");
        assert_eq!(kind(&at("link")).unwrap(), b"0123", "a link to a regular file is one");
    }
}
