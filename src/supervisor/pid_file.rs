//! The file that holds the process id of an instance while it runs (`pid_file`).

use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::PathBuf,
};

use nix::fcntl::OFlag;

use crate::sys::{
    file_rights::{FileOwner, FileRights},
    reap::Pid,
};

/// A pid file, kept for an application that may run as a user of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PidFile {
    pub(super) path: PathBuf,
    pub(super) owner: Option<FileOwner>,
}

impl PidFile {
    /// Writes the id, and makes the directory first if it is missing, as PM2 does.
    ///
    /// Must be a regular file: to write to a FIFO or a device could take any time or do anything.
    pub(super) fn write(&self, pid: Pid) -> io::Result<()> {
        let _rights = self.rights();
        if let Some(directory) = self.path.parent() {
            fs::create_dir_all(directory)?;
        }
        let mut options = OpenOptions::new();
        let flags = OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
        options.write(true).create(true).custom_flags(flags.bits());
        let mut file = options.open(&self.path)?;
        if !file.metadata()?.is_file() {
            return Err(io::Error::other("is not a regular file"));
        }
        file.set_len(0)?;
        writeln!(file, "{pid}")
    }

    /// Removes the file, if it is there.
    pub(super) fn remove(&self) {
        let _rights = self.rights();
        let _ = fs::remove_file(&self.path);
    }

    fn rights(&self) -> FileRights {
        FileRights::on(&self.path, self.owner.as_ref())
    }
}
