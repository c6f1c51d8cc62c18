//! A supervisor in the background: where its own lines go, and who waits for it.
//!
//! It is the same as in the foreground; only that nobody reads its stdout.

use std::{
    cell::RefCell,
    fs::{DirBuilder, File},
    io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::fs::DirBuilderExt,
    },
    path::PathBuf,
};

use crate::{
    logs::{FileSpec, Logs},
    spec::{LogFiles, RuntimeLog},
    sys::spawn,
};

/// What is special about it.
#[derive(Debug)]
pub struct Background {
    /// Where it keeps its files.
    pub home: PathBuf,
    /// A connection to the command that has started it and waits.
    pub first_client: RefCell<Option<OwnedFd>>,
    /// It was detached from its caller: what it says goes to its log alone.
    pub detached: bool,
}

impl Background {
    /// The log: `procrun.log` and the applications' files.
    pub(super) fn logs(&self, log: &RuntimeLog) -> io::Result<Logs> {
        DirBuilder::new().recursive(true).mode(0o700).create(self.home.join("logs"))?;
        if !self.detached {
            return Logs::start(log);
        }
        let LogFiles { max_size, keep, compress, .. } = LogFiles::default();
        let file = FileSpec {
            path: self.home.join("procrun.log"),
            max_size,
            keep,
            compress,
            private: true,
            owner: None,
        };
        let null: File = spawn::dev_null()?.into();
        // Until here the caller was told what hindered it; it must not have to wait for the end.
        nix::unistd::dup2_stdout(null.as_fd())?;
        nix::unistd::dup2_stderr(null.as_fd())?;
        Logs::start_unseen(log, file)
    }

    /// The connection to the command that waits, once.
    pub(super) fn first_client(&self) -> Option<OwnedFd> {
        self.first_client.take()
    }
}
