//! Reads files that another user may have replaced.
//!
//! A check of the type of a path proves nothing about the file that is opened afterwards: its owner may put a
//! FIFO there in between, and opening or reading it could block forever. So the file is opened first, without
//! waiting, and the descriptor is checked.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

use nix::fcntl::OFlag;

/// Opens a regular file for reading. Waits for nothing but the file system.
///
/// # Errors
/// The error of open(2); `InvalidInput` for a file that is not a regular file, `IsADirectory` for a directory.
pub fn open(path: &Path) -> io::Result<File> {
    // A FIFO without a writer is opened at once, and a terminal does not become procrun's own.
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

/// The bytes of a regular file, and no more than the first `limit` of them.
///
/// # Errors
/// As [`open`], and the error of read(2).
pub fn read_start(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open(path)?.take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

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
