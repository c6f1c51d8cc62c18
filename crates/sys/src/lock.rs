//! File locks that the kernel releases when their holder ends (flock(2)).
//!
//! nix's `Flock` is not used: its `drop` panics where unlocking fails (a file system without locks, a seccomp
//! filter), although closing the file unlocks it anyway.

use std::{
    fs::File,
    io,
    os::fd::{AsRawFd, RawFd},
};

use nix::libc;

/// A file with an exclusive lock, which is released when this is dropped.
#[derive(Debug)]
pub struct FileLock(File);

impl FileLock {
    /// Takes the lock; waits while another process holds it.
    ///
    /// # Errors
    ///
    /// The error of flock(2).
    pub fn wait(file: File) -> io::Result<Self> {
        loop {
            match flock(file.as_raw_fd(), libc::LOCK_EX) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return result.map(|()| Self(file)),
            }
        }
    }

    /// Takes the lock without waiting. `None`: another process holds it.
    ///
    /// # Errors
    ///
    /// The error of flock(2).
    pub fn take(file: File) -> io::Result<Option<Self>> {
        match flock(file.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) {
            Ok(()) => Ok(Some(Self(file))),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The file.
    pub fn file(&self) -> &File {
        &self.0
    }
}

impl Drop for FileLock {
    fn drop(&mut self) {
        // Unlocks before closing: a child that has not executed its program yet holds a duplicate of the descriptor.
        let _ = flock(self.0.as_raw_fd(), libc::LOCK_UN);
    }
}

fn flock(fd: RawFd, operation: i32) -> io::Result<()> {
    // SAFETY: takes two integers.
    if unsafe { libc::flock(fd, operation) } == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_has_the_lock_until_it_is_dropped() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let open = || File::open(file.path()).unwrap();
        let first = FileLock::take(open()).unwrap().expect("it is free");
        assert!(FileLock::take(open()).unwrap().is_none());
        drop(first);
        assert!(FileLock::wait(open()).is_ok());
    }
}
